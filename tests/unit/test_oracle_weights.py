"""The parts of the oracle's importance sampling, each held to a plain reference."""

import numpy as np
import pytest
from scipy.special import logsumexp

from mgsflow.config import Simulated
from mgsflow.evaluation.oracle.density import (
    effective_size,
    log_mixture,
    log_normal,
    quantiles,
    rank,
    resample,
)
from mgsflow.evaluation.oracle.match import REACH, Matcher, scatter
from mgsflow.evaluation.oracle.prior import CAUSES, Prior
from mgsflow.evaluation.oracle.reservoir import Reservoir
from mgsflow.evaluation.oracle.weights import propose
from mgsflow.sky.simulated.likelihood import log_likelihood
from mgsflow.sky.simulated.photometry import asinh_magnitude
from mgsflow.sky.simulated.population import draw_unselected
from mgsflow.sky.simulated.seds import SED_DIVERSITY


@pytest.fixture(scope="module")
def prior():
    random = np.random.default_rng(4)
    galaxies = draw_unselected(20_000, Simulated(), random).assign(reddening=0.03)
    return Prior(galaxies[CAUSES].to_numpy(float))


def data_of(prior, random):
    """Magnitudes of the galaxies of `prior`, somewhat off, as noise would have them."""
    shift = random.normal(0, 0.02, prior.magnitudes.shape)
    return asinh_magnitude(prior.fluxes(shift)) - prior.extinction


def test_weights_integrate_to_the_evidence(prior):
    """The mean weight of many proposals is that of many draws of the prior, for each galaxy."""
    random = np.random.default_rng(5)
    few = prior[np.arange(6)]
    magnitudes = data_of(few, random)
    count = 40_000
    rows = np.repeat(np.arange(6), count)
    _, proposed = propose(magnitudes[rows], few[rows], random)
    deviations = SED_DIVERSITY * random.normal(0, 1, (len(rows), 5))
    plain = log_likelihood(
        magnitudes[rows],
        few[rows].extinction,
        few[rows].fluxes(deviations),
        few[rows].half_light,
    )
    ours, reference = (np.exp(w).reshape(6, count) for w in (proposed, plain))
    error = np.hypot(ours.std(axis=1), reference.std(axis=1)) / np.sqrt(count)
    assert (np.abs(ours.mean(axis=1) - reference.mean(axis=1)) < 4.5 * error).all()
    assert (error / reference.mean(axis=1) < 0.05).all()
    # and that is what it is for: the proposals' weights hardly differ
    assert effective_size(ours[0]) > 0.95 * count
    assert effective_size(ours[0]) > 2 * effective_size(reference[0])


def test_matches_are_those_of_a_plain_search(prior):
    random = np.random.default_rng(6)
    magnitudes = data_of(prior[np.arange(25)], random)
    galaxy, row, distance = Matcher(magnitudes).pairs(prior, np.arange(25))
    inverse = np.linalg.inv(scatter(magnitudes))
    offset = prior.magnitudes[None] - magnitudes[:, None]
    plain = np.sqrt(np.einsum("mni,mij,mnj->mn", offset, inverse, offset))
    expected = np.argwhere(plain < REACH)
    assert len(expected) > 50
    order = np.lexsort((row, galaxy))
    assert np.array_equal(np.stack([galaxy, row], axis=1)[order], expected)
    assert distance == pytest.approx(plain[galaxy, row])


def draws_of(random, count=3000, galaxies=3):
    galaxy = random.integers(0, galaxies, count)
    log_weight = random.normal(0, 1.5, count)
    return galaxy, log_weight, random.normal(0, 1, (count, 2)), random.uniform(0, 1, count)


def sums(reservoir, galaxy):
    log_weight, rows = reservoir.draws(galaxy)
    weight = np.exp(log_weight)
    return np.array([weight.sum(), *(weight[:, None] * rows).sum(axis=0)])


def test_a_reservoir_keeps_sums_in_the_mean():
    random = np.random.default_rng(7)
    galaxy, log_weight, rows, _ = draws_of(random)
    mine = galaxy == 1
    weight = np.exp(log_weight[mine])
    expected = np.array([weight.sum(), *(weight[:, None] * rows[mine]).sum(axis=0)])
    found = []
    for _ in range(300):
        reservoir = Reservoir(3, 60, 2)
        reservoir.add(galaxy, log_weight, rows, random.uniform(0, 1, len(rows)))
        assert len(reservoir.draws(1)[0]) == 60
        found.append(sums(reservoir, 1))
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - expected) < 4 * error).all()
    assert error[0] / expected[0] < 0.02


def test_a_reservoir_does_not_care_in_what_parts_draws_come():
    random = np.random.default_rng(8)
    parts = [draws_of(random) for _ in range(4)]
    one = Reservoir(3, 50, 2)
    for part in parts:
        one.add(*part)
    left, right = Reservoir(3, 50, 2), Reservoir(3, 50, 2)
    for part in parts[::-2]:
        left.add(*part)
    for part in parts[::2]:
        right.add(*part)
    left.merge(right)
    for galaxy in range(3):
        assert np.sort(one.draws(galaxy)[0]) == pytest.approx(np.sort(left.draws(galaxy)[0]))
    assert one.effective() == pytest.approx(left.effective())
    assert np.array_equal(one.count, left.count)


def test_a_reservoir_with_room_keeps_every_draw():
    random = np.random.default_rng(9)
    galaxy, log_weight, rows, uniform = draws_of(random, 40)
    reservoir = Reservoir(4, 50, 2)
    reservoir.add(galaxy, log_weight, rows, uniform)
    for i in range(3):
        assert np.sort(reservoir.draws(i)[0]) == pytest.approx(np.sort(log_weight[galaxy == i]))
    assert len(reservoir.draws(3)[0]) == 0  # a galaxy that nothing came near
    weight = np.exp(log_weight[galaxy == 0])
    assert reservoir.effective()[0] == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert reservoir.effective()[3] == 0


def test_weighted_quantiles_are_those_of_repeated_values():
    random = np.random.default_rng(10)
    values, times = random.normal(0, 1, 500), random.integers(1, 9, 500)
    weights = times / times.sum()
    levels = np.array([0.16, 0.5, 0.84])
    repeated = np.quantile(np.repeat(values, times), levels)
    assert quantiles(values, weights, levels) == pytest.approx(repeated, abs=0.03)


def test_rank_shares_what_equals_the_truth():
    values, weights = np.array([0.0, 0.0, 1.0, 2.0]), np.array([0.2, 0.3, 0.4, 0.1])
    assert rank(values, weights, 0.0, 0.5) == pytest.approx(0.25)
    assert rank(values, weights, 1.5, 0.9) == pytest.approx(0.9)


def test_a_mixture_integrates_to_one():
    random = np.random.default_rng(11)
    centres, widths = random.normal(0, 1, 50), random.uniform(0.1, 0.5, 50)
    weights = random.uniform(0, 1, 50)
    grid = np.linspace(-8, 8, 4001)
    log_density = [log_mixture(log_normal(x - centres, widths), weights) for x in grid]
    assert logsumexp(log_density) + np.log(grid[1] - grid[0]) == pytest.approx(0, abs=1e-6)


def test_resampling_draws_by_weight():
    weights = np.array([0.5, 0.25, 0.125, 0.125])
    rows = resample(weights, 800, np.random.default_rng(12))
    assert np.bincount(rows) == pytest.approx(800 * weights, abs=1)
