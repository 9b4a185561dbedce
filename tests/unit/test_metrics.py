"""The figures of merit against closed forms and known answers."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mgsflow.evaluation import metrics
from mgsflow.evaluation.bootstrap import bootstrap


def _calibrated(galaxies: int, draws: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Draws (n, S) and truths (n,) from the same Gaussian, another one for each galaxy."""
    random = np.random.default_rng(seed)
    centre = random.normal(10, 3, (galaxies, 1))
    width = random.uniform(0.1, 2, (galaxies, 1))
    drawn = centre + width * random.standard_normal((galaxies, draws + 1))
    return drawn[:, 1:].astype(np.float32), drawn[:, 0]


def test_r2_is_one_for_the_truth_zero_for_the_mean_and_worked_by_hand():
    truth = np.array([1.0, 2.0, 3.0, 4.0])
    assert metrics.r2(truth, truth) == 1
    assert metrics.r2(truth, np.full(4, 2.5)) == 0
    assert metrics.r2(truth, truth[::-1]) == pytest.approx(1 - 20 / 5)


def test_errors_by_hand():
    truth = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    prediction = truth + np.array([0.0, 1.0, -1.0, 2.0, 100.0])
    assert metrics.bias(truth, prediction) == pytest.approx(102 / 5)
    assert metrics.rmse(truth, prediction) == pytest.approx(np.sqrt(10006 / 5))
    assert metrics.mean_absolute_error(truth, prediction) == pytest.approx(104 / 5)
    # errors about their median 1: 1, 0, 2, 1, 99, whose median is 1
    assert metrics.nmad(truth, prediction) == pytest.approx(1.4826)


def test_nmad_is_sigma_for_a_gaussian_whatever_the_outliers():
    random = np.random.default_rng(3)
    errors = random.normal(0.4, 0.2, 40_000)
    errors[:200] = 1e6
    truth = random.normal(0, 5, 40_000)
    assert metrics.nmad(truth, truth + errors) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("figure", [metrics.r2, metrics.rmse, metrics.bias, metrics.nmad])
def test_a_missing_truth_does_not_count_but_a_missing_prediction_shows(figure):
    truth, prediction = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    with_gap = figure(np.append(truth, np.nan), np.append(prediction, 7.0))
    assert with_gap == figure(truth, prediction)
    assert np.isnan(figure(truth, np.array([1.5, np.nan, 3.0])))
    assert np.isnan(figure(np.full(3, np.nan), prediction))


@pytest.mark.parametrize("draws", [39, 200])
@pytest.mark.parametrize("level", [0.68, 0.95])
def test_a_calibrated_posterior_covers_its_level_whatever_the_number_of_draws(draws, level):
    galaxies = 20_000
    covered = metrics.coverage(*_calibrated(galaxies, draws), level)
    assert abs(covered - level) < 4 * np.sqrt(level * (1 - level) / galaxies)


def test_coverage_finds_posteriors_that_are_too_narrow():
    draws, truth = _calibrated(20_000, 200)
    centre = draws.mean(axis=1, keepdims=True)
    narrow = centre + 0.7 * (draws - centre)
    # the 68% interval of a Gaussian 0.7 times as wide, read off the true one
    expected = 2 * norm.cdf(0.7 * norm.ppf(0.84)) - 1
    assert metrics.coverage(narrow, truth, 0.68) == pytest.approx(expected, abs=0.015)


def test_crps_is_the_closed_form_of_a_gaussian():
    # Gneiting & Raftery (2007), equation 20 and the one after it
    mean, sigma, truth = 10.0, 0.5, 10.8
    z = (truth - mean) / sigma
    exact = sigma * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    draws = np.random.default_rng(5).normal(mean, sigma, (400, 1000))
    assert metrics.crps(draws, np.full(400, truth)) == pytest.approx(exact, rel=2e-3)


def test_crps_equals_the_sum_over_all_pairs_and_is_fair_with_few_draws():
    draws, truth = _calibrated(7, 11)
    pairs = np.abs(draws[:, :, None] - draws[:, None, :]).sum(axis=(1, 2)) / (11 * 10)
    by_pairs = np.mean(np.abs(draws - truth[:, None]).mean(axis=1) - 0.5 * pairs)
    assert metrics.crps(draws, truth) == pytest.approx(by_pairs, rel=1e-5)
    few, many = (metrics.crps(*_calibrated(60_000, n, seed=8)) for n in (2, 50))
    assert few == pytest.approx(many, rel=0.02)


def test_crps_prefers_the_true_width():
    draws, truth = _calibrated(5000, 100)
    centre = draws.mean(axis=1, keepdims=True)
    wide, narrow = (centre + factor * (draws - centre) for factor in (1.6, 0.5))
    best = metrics.crps(draws, truth)
    assert best < metrics.crps(wide, truth)
    assert best < metrics.crps(narrow, truth)


def test_draws_are_scored_alike_in_one_chunk_and_in_many(monkeypatch):
    draws, truth = _calibrated(50, 20)
    truth[3] = np.nan
    whole = metrics.crps(draws, truth), metrics.coverage(draws, truth, 0.68)
    monkeypatch.setattr(metrics, "_CHUNK", 60)
    parts = metrics.crps(draws, truth), metrics.coverage(draws, truth, 0.68)
    assert parts == pytest.approx(whole, rel=1e-12)


def test_photometric_redshifts_by_hand():
    truth = np.array([0.0, 0.1, 0.2, 0.25])
    delta = np.array([0.01, -0.01, 0.06, 0.0])
    figures = metrics.photo_z(truth, truth + delta * (1 + truth))
    assert figures.bias == pytest.approx(0.015)
    assert figures.outliers == pytest.approx(0.25)
    assert figures.sigma_mad == pytest.approx(1.4826 * 0.01)


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_is_scikit_learns(ties):
    random = np.random.default_rng(0)
    positive = random.random(200) < 0.3
    score = random.standard_normal(200) + positive
    score = score.round() if ties else score
    assert metrics.auc(positive, score) == pytest.approx(roc_auc_score(positive, score))
    assert np.isnan(metrics.auc(np.ones(5, bool), np.arange(5.0)))
    assert np.isnan(metrics.auc(np.array([True, False]), np.array([np.nan, 1.0])))


def test_the_bootstrap_has_the_standard_error_of_a_mean_and_repeats():
    values = np.random.default_rng(2).normal(0, 3, 900)
    found = bootstrap(np.mean, (values,), 2000, seed=4)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 3 / np.sqrt(900), rel=0.1)
    assert found.low < found.value == values.mean() < found.high
    assert found == bootstrap(np.mean, (values,), 2000, seed=4)
    assert found != bootstrap(np.mean, (values,), 2000, seed=5)
    assert found.columns("a") == {"a": found.value, "a_low": found.low, "a_high": found.high}


def test_the_bootstrap_draws_whole_galaxies():
    values = np.arange(50.0)
    found = bootstrap(metrics.r2, (values, values), 20, seed=0)
    assert (found.low, found.high) == (1, 1)  # truth and prediction stay together
    assert np.isnan(astuple(bootstrap(np.mean, (np.empty(0),), 20, seed=0))).all()


def test_the_bootstrap_draws_whole_blocks_and_drops_what_is_not_finite():
    random = np.random.default_rng(0)
    blocks = np.repeat(np.arange(40), 25)
    values = random.normal(size=40)[blocks] + 0.01 * random.normal(size=1000)
    whole = bootstrap(np.mean, (values,), 400, 1, blocks)
    single = bootstrap(np.mean, (values,), 400, 1)
    assert whole.value == single.value
    assert whole.high - whole.low == pytest.approx(5 * (single.high - single.low), rel=0.2)
    lost = bootstrap(lambda v: np.nan if v[0] > 0 else v.mean(), (values,), 400, 1)
    assert np.isfinite([lost.low, lost.high]).all()
