"""Posteriors that are broken on purpose are caught, the right one is not, and by which test.

The numbers of galaxies are those of the table in docs/calibration.md, at which each fault is caught
in nine of ten cases or more; here each is to be caught whatever the seed.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from calibration_toys import ALPHA, BROKEN, TARGETS, Findings, judge, permuted, prior, scaled, toy

from mgsflow.evaluation.calibration import joint
from mgsflow.evaluation.calibration.bands import uniformity

SEEDS = range(4)
FINE = ("calibrated", "undecided")


@cache
def found(name: str, n: int) -> list[Findings]:
    """What the suite says of `n` galaxies, for each seed."""
    return [judge(BROKEN[name](toy(n, 400 + seed)), seed, nulls=20) for seed in SEEDS]


@pytest.mark.parametrize(
    ("name", "n", "word"),
    [("widths x 0.7", 150, "too narrow"), ("widths x 1.4", 150, "too wide")],
)
def test_wrong_widths_are_caught_target_by_target_and_jointly(name, n, word):
    factor = float(name.split()[-1])
    for one in found(name, n):
        assert all(word in verdict for verdict in one.verdicts[:-1]), one.verdicts
        assert "wrong coverage" in one.verdicts[-1]
        assert np.mean([m.width.value for m in one.marginals]) == pytest.approx(factor, rel=0.12)
        assert one.joint.width.value == pytest.approx(factor, rel=0.12)


def test_a_shift_is_caught_and_measured():
    for one in found("shifted by 0.3 sigma", 300):
        assert sum("biased high" in verdict for verdict in one.verdicts[:-1]) >= 3, one.verdicts
        assert not any("biased low" in verdict for verdict in one.verdicts)
        assert np.mean([m.bias.value for m in one.marginals]) == pytest.approx(0.32, abs=0.12)


def test_dropped_correlations_are_caught_though_every_target_alone_is_right():
    for one in found("correlations dropped", 100):
        assert "wrong correlations" in one.verdicts[-1]
        assert one.joint.correlation.claimed == pytest.approx(0, abs=0.1)


def test_an_unconditioned_metallicity_is_caught_and_named():
    for one in found("O/H unconditioned", 200):
        assert "wrong correlations" in one.verdicts[-1]
        assert TARGETS[one.joint.correlation.second] == "metallicity"


def test_the_prior_for_everybody_is_caught_by_the_local_tests_alone():
    for one in found("prior for everybody", 75):
        assert all("depends on the inputs" in verdict for verdict in one.verdicts[:-1])
        assert "told apart" in one.verdicts[-1]
        assert min(one.joint.p_tarp, one.joint.p_depth) > ALPHA / 4


def test_tarp_alone_misses_the_prior_however_many_galaxies_there_are():
    given = prior(toy(3000, 5))
    random = np.random.default_rng(1)
    assert uniformity(joint.tarp(given.draws, given.truth, random)) > 0.01


def test_tarp_alone_misses_an_unconditioned_metallicity_where_the_suite_does_not():
    for seed, one in zip(SEEDS, found("O/H unconditioned", 200), strict=True):
        assert one.joint.correlation.p_value < ALPHA / 4
        given = permuted(toy(200, 400 + seed), [4])
        value = joint.tarp(given.draws, given.truth, np.random.default_rng(seed))
        assert uniformity(value) > ALPHA / 4


def test_tarp_catches_what_it_can():
    given = scaled(toy(300, 5), 0.7)
    assert uniformity(joint.tarp(given.draws, given.truth, np.random.default_rng(1))) < 1e-4


@pytest.mark.slow
def test_the_right_posterior_is_called_something_else_as_rarely_as_stated():
    """30 toys of 5 targets and a joint posterior: 1.8 false alarms expected at 1%; 8 are too many.

    Of 180 independent verdicts 8 or more would be false once in two thousand times.
    """
    runs = [judge(toy(80, 900 + seed), seed, nulls=15) for seed in range(30)]
    false = sum(verdict not in FINE for one in runs for verdict in one.verdicts)
    assert false < 8
    values = np.array(
        [[m.p_bias, m.p_width, m.p_shape, m.p_local] for r in runs for m in r.marginals]
    )
    # p-values of calibrated posteriors are spread evenly: neither small nor all large
    assert np.abs(np.mean(values < 0.5, axis=0) - 0.5).max() < 0.18


def test_few_galaxies_make_no_verdict_of_calibration():
    runs = [judge(toy(20, seed), seed, nulls=5).verdicts[:-1] for seed in range(5)]
    assert np.mean([verdict == "undecided" for verdicts in runs for verdict in verdicts]) > 0.7
