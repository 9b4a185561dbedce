"""The posteriors of all variants, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mgsflow.core.errors import UserError
from mgsflow.inference.draws import PosteriorSet, read_posterior


def each_variant(
    posteriors: list[Path], variants: list[str], set: str
) -> Iterator[tuple[str, PosteriorSet]]:
    """Name and posteriors of each variant's `set`. One variant at a time is in memory.

    Raises UserError where `variants` are not those of the files `posteriors`, in their order.
    """
    if len(posteriors) != len(variants):
        raise UserError(
            f"--posteriors has {len(posteriors)} files and --variants {len(variants)} names: give "
            "one file for each variant, in the same order."
        )
    for path, variant in zip(posteriors, variants, strict=True):
        posterior = read_posterior(path, set)
        if posterior.variant != variant:
            raise UserError(
                f"{path}: holds the posteriors of {posterior.variant}, not of {variant}. Give "
                "--posteriors and --variants in the same order."
            )
        yield variant, posterior
