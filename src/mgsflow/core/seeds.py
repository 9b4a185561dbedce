"""Seeds: each stage derives its own from the run seed and its name."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *names: object) -> int:
    """A seed in [0, 2**63) for the stage `names` of a run with the seed `seed`.

    Unlike the state of a shared generator, it is the same on every machine and for every order of
    execution.
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: object) -> np.random.Generator:
    """The NumPy generator of a stage."""
    return np.random.default_rng(derive_seed(seed, *names))


def hash_uniform(ids: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each int64 id, a pure function of id and seed.

    A galaxy's number then depends neither on its position in the table nor on the other galaxies.
    The mixing function is the finaliser of SplitMix64 (Steele, Lea & Flood 2014).
    """
    mixed = ids.astype(np.int64).view(np.uint64) ^ np.uint64(derive_seed(seed, "hash"))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


def hash_order(ids: np.ndarray, seed: int, *names: object) -> np.ndarray:
    """Positions (n,) that sort `ids` (n,) int64 by their hash, and equal hashes by id.

    The first k are a random choice. It depends on the stage's `names` and on the set of galaxies,
    but not on the order of the rows.
    """
    return np.lexsort((ids, hash_uniform(ids, derive_seed(seed, *names))))
