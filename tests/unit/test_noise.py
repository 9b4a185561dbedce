"""The noise of the draws: the published generator, standard normal, one stream a galaxy."""

import numpy as np
import pytest
import torch
from scipy import stats

from mgsflow.posterior.noise import galaxy_choice, galaxy_noise, philox

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, ONES << 32 | ONES, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0_A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(counter, key, expected):
    """Of the authors' own test vectors (Random123, kat_vectors, philox4x32 10)."""
    found = philox(tuple(torch.tensor([word]) for word in counter), key)
    assert tuple(found[0].tolist()) == expected


def test_numbers_are_standard_normal_and_independent():
    noise = galaxy_noise(11, range(200), 500, 5)
    assert noise.shape == (200, 500, 5) and noise.dtype == torch.float32
    assert stats.kstest(noise.numpy().ravel(), "norm").pvalue > 1e-3
    for one, other in (
        (noise[1:], noise[:-1]),  # neighbouring galaxies
        (noise[:, 1:], noise[:, :-1]),  # draws
        (noise[..., 1:], noise[..., :-1]),  # variables
        (noise, galaxy_noise(12, range(200), 500, 5)),  # keys
        (noise.square(), galaxy_noise(12, range(200), 500, 5).square()),
    ):
        correlation = np.corrcoef(one.numpy().ravel(), other.numpy().ravel())[0, 1]
        assert abs(correlation) < 5 / np.sqrt(one.numel())


def test_a_galaxys_numbers_are_its_own():
    whole = galaxy_noise(1, range(0, 50), 12, 5)
    assert torch.equal(galaxy_noise(1, range(20, 30), 12, 5), whole[20:30])
    assert torch.equal(galaxy_noise(1, range(0, 50), 7, 5), whole[:, :7])
    assert len(whole.reshape(-1).unique()) > 0.999 * whole.numel()
    far = galaxy_noise(1, range(2**40, 2**40 + 50), 12, 5)
    assert not torch.isclose(far, whole).all(dim=(1, 2)).any(), "the high word counts"


def test_choices_are_uniform():
    chosen = galaxy_choice(5, range(30_000), 3)
    counts = torch.bincount(chosen, minlength=3)
    assert len(counts) == 3 and stats.chisquare(counts.numpy()).pvalue > 1e-3
    assert torch.equal(galaxy_choice(5, range(100, 200), 3), chosen[100:200])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_numbers():
    there = galaxy_noise(3, range(100), 1000, 5, "cuda").cpu()
    torch.testing.assert_close(there, galaxy_noise(3, range(100), 1000, 5), rtol=3e-7, atol=0)
