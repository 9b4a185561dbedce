"""The noise of the draws: pure functions of seed, galaxy and draw, the same on every device.

A generator with a state would give other numbers on a GPU than on a CPU, and others again when the
galaxies come in other blocks. A counter-based one has no state: the galaxy's number and the place
within its draws are the counter, and all numbers are computed at once, where they are needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Philox4x32-10 (Salmon et al. 2011, SC '11, section 3.3): multipliers, and steps of the key.
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 0xFFFFFFFF
_LANES = 4  # numbers of 32 bits from one counter


def philox(counter: tuple[Tensor | int, ...], key: int) -> Tensor:
    """Philox4x32-10 of counters of four words under a key of 64 bits.

    Each word of `counter` is a whole number in [0, 2**32), as a number or an int64 tensor; the
    tensors' shapes broadcast. Returns int64 of the broadcast shape + (4,), in [0, 2**32).
    """
    a, b, c, d = counter
    low, high = key & _WORD, (key >> 32) & _WORD
    for _ in range(_ROUNDS):
        # int64 wraps round, and keeps all 64 bits of a product of two words
        first, second = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, c = (second >> 32 & _WORD) ^ b ^ low, (first >> 32 & _WORD) ^ d ^ high
        b, d = second & _WORD, first & _WORD
        low, high = (low + _KEY_STEPS[0]) & _WORD, (high + _KEY_STEPS[1]) & _WORD
    return torch.stack(torch.broadcast_tensors(a, b, c, d), dim=-1)


def galaxy_noise(
    key: int, numbers: range, draws: int, size: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Standard normal numbers for each galaxy's number, (n, draws, size), float32.

    A galaxy's numbers depend on `key`, `size` and its own number: neither on the other galaxies
    nor on `draws`, so that more draws begin with the fewer. Normal by the inverse of the
    distribution function, in float64, so that devices differ in a number's last bit at most.
    """
    words = _words(key, numbers, -(-draws * size // _LANES), device)
    uniform = (words.double() + 0.5) / 2.0**32
    normal = torch.special.ndtri(uniform).float()
    return normal.view(len(numbers), -1)[:, : draws * size].view(len(numbers), draws, size)


def galaxy_choice(
    key: int, numbers: range, choices: int, device: torch.device | str = "cpu"
) -> Tensor:
    """A whole number in [0, choices) for each galaxy's number, (n,), int64, each as likely."""
    return _words(key, numbers, 1, device)[:, 0, 0] * choices >> 32


def _words(key: int, numbers: range, blocks: int, device: torch.device | str) -> Tensor:
    """The words of counters (block, 0, galaxy), (n, blocks, 4)."""
    galaxy = torch.arange(numbers.start, numbers.stop, device=device)[:, None]
    block = torch.arange(blocks, device=device)
    zero = torch.zeros_like(block)
    return philox((block, zero, galaxy & _WORD, galaxy >> 32), key)
