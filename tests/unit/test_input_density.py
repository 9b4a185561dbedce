"""The density of the inputs: its arithmetic, its threshold, and what the posterior makes of it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from synthetic_features import make_features, train

from mgsflow.config.sample import Targets
from mgsflow.core.errors import UserError
from mgsflow.models.input_density import InputDensity
from mgsflow.models.storage import load_tensors, save_tensors
from mgsflow.posterior.posterior import Posterior
from mgsflow.training.input_density import FLOOR, fit_input_density, with_thresholds


def two_peaks(rows: int, seed: int) -> np.ndarray:
    """Two correlated peaks in the plane, and their difference as a third, dependent input."""
    random = np.random.default_rng(seed)
    peak = np.where(random.random(rows) < 0.3, -2.0, 2.0)
    x = peak + 0.5 * random.standard_normal(rows)
    y = 0.6 * x + 0.3 * random.standard_normal(rows)
    return np.stack([x, y, x - y], axis=1)


@pytest.fixture(scope="module")
def density():
    return fit_input_density(two_peaks(4000, 1), two_peaks(2000, 2), 0, seed=3)


def test_the_log_density_is_the_mixtures(density):
    points = two_peaks(50, 4)
    parts = [
        weight * multivariate_normal(mean, covariance).pdf(points)
        for weight, mean, covariance in zip(
            density.weights, density.means, density.covariances, strict=True
        )
    ]
    np.testing.assert_allclose(density.log_prob(points), np.log(sum(parts)), rtol=1e-6)


def test_bic_finds_both_peaks_and_the_floor_holds_on_the_plane(density):
    assert len(density.weights) == 2
    assert sorted(density.means[:, 0].round()) == [-2, 2]
    least = np.linalg.eigvalsh(density.covariances).min()
    assert least == pytest.approx(FLOOR, rel=0.01)


def test_the_threshold_leaves_out_the_share_that_it_promises(density):
    calm = density.log_prob(two_peaks(20_000, 5))
    for outside in (0.01, 0.1):
        shares = []
        for seed in range(60):
            (threshold,) = with_thresholds(density, two_peaks(500, 10 + seed), outside).thresholds
            shares.append((calm < threshold).mean())
        assert np.mean(shares) == pytest.approx(outside, rel=0.25)


def test_a_small_validation_set_sets_the_threshold_at_its_least(density):
    few = two_peaks(30, 6)
    found = with_thresholds(density, few, 0.01)
    assert found.thresholds == (density.log_prob(few).min(),)


def test_what_lies_between_the_peaks_or_off_the_plane_is_outside(density):
    between, off = np.array([[0.0, 0.0, 0.0]]), np.array([[2.0, 1.2, 0.3]])
    assert density.out_of_distribution_score(between) > 0
    assert density.out_of_distribution_score(off) > 0
    assert density.out_of_distribution_score(np.array([[2.0, 1.2, 0.8]])) < 0


def test_the_factors_are_the_latents_and_the_photometry_given_them(density):
    split = replace(density, latents=1, thresholds=(-4.0, 1.0))
    points = two_peaks(50, 4)
    factors = split.log_factors(points)
    np.testing.assert_allclose(factors.sum(axis=1), density.log_prob(points))
    parts = [
        weight * norm(mean[0], covariance[0, 0] ** 0.5).pdf(points[:, 0])
        for weight, mean, covariance in zip(
            density.weights, density.means, density.covariances, strict=True
        )
    ]
    np.testing.assert_allclose(factors[:, 0], np.log(sum(parts)), rtol=1e-6)
    expected = np.maximum(-4.0 - factors[:, 0], 1.0 - factors[:, 1])
    np.testing.assert_array_equal(split.out_of_distribution_score(points), expected)


def test_many_noisy_latents_do_not_drown_a_wrong_magnitude():
    """Sixty inputs of heavy tails and one that follows from the first: shifted, it is noticed."""

    def inputs(rows, seed):
        random = np.random.default_rng(seed)
        latents = random.standard_t(4, (rows, 60)) / 2**0.5
        return np.column_stack([latents, latents[:, 0] + 0.1 * random.standard_normal(rows)])

    found = fit_input_density(inputs(3000, 1), inputs(1000, 2), 60, seed=3)
    usual, wrong = inputs(2000, 4), inputs(2000, 4)
    wrong[:, 60] += 1
    assert (found.out_of_distribution_score(usual) > 0).mean() < 0.03
    assert (found.out_of_distribution_score(wrong) > 0).mean() > 0.95
    joint = np.sort(found.log_prob(inputs(1000, 2)))[10]
    assert (found.log_prob(wrong) < joint).mean() < 0.9, "the joint density alone would miss many"


def test_few_rows_get_few_components():
    assert len(fit_input_density(two_peaks(15, 1), two_peaks(15, 2), 0, 3).weights) == 1


def test_it_is_stored_and_found_again(density, tmp_path):
    save_tensors(tmp_path / "density.safetensors", density.to_tensors())
    again = InputDensity.from_stored(
        load_tensors(tmp_path / "density.safetensors"), density.to_json()
    )
    points = two_peaks(50, 4)
    scores = density.out_of_distribution_score(points)
    assert np.array_equal(again.out_of_distribution_score(points), scores)


@pytest.fixture(scope="module")
def posterior(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    table = make_features(600)
    return Posterior.load(*(train(folder, table, flow, Targets()) for flow in ("property", "line")))


def test_the_posterior_flags_what_is_not_like_its_training_set(posterior):
    table = make_features(400, seed=9)
    assert posterior.out_of_distribution(table).mean() < 0.05
    swapped = table.assign(mag_g=table["mag_i"], mag_i=table["mag_g"])
    for blue, red in ("ug", "gr", "ri", "iz"):
        swapped[f"colour_{blue}_{red}"] = swapped[f"mag_{blue}"] - swapped[f"mag_{red}"]
    assert posterior.out_of_distribution(swapped).mean() > 0.95
    scores = posterior.out_of_distribution_score(table)
    np.testing.assert_array_equal(posterior.out_of_distribution(table), scores > 0)
    array = table[posterior.inputs].to_numpy()
    np.testing.assert_allclose(posterior.out_of_distribution_score(array), scores)


def test_both_flows_of_a_variant_hold_the_same_density(posterior):
    first, other = (ensemble.input_density for ensemble in posterior._ensembles)
    assert np.array_equal(first.covariances, other.covariances)
    assert first.thresholds == other.thresholds


def test_the_members_disagree_more_far_away(posterior):
    table = make_features(200, seed=9)
    far = table.assign(**{f"mag_{band}": table[f"mag_{band}"] + 8 for band in "ugriz"})
    near, distant = posterior.epistemic_spread(table), posterior.epistemic_spread(far)
    assert near.shape == (200,) and (near > 0).all()
    # beyond the training set's range an input counts as one at its end, so that it is not more
    assert np.median(distant) > 1.15 * np.median(near)
    spread = posterior.mean_head(table).std(axis=1, ddof=1)
    scale = np.concatenate([each.target_scale.std for each in posterior._ensembles])
    np.testing.assert_allclose(near**2, ((spread / scale) ** 2).mean(axis=1), rtol=1e-4)


def test_missing_values_are_refused(posterior):
    table = make_features(40, seed=9)
    table.loc[3, "mag_u"] = np.nan
    for method in (posterior.out_of_distribution_score, posterior.out_of_distribution):
        with pytest.raises(UserError, match="1 of 40 rows.*rows 3"):
            method(table)


def test_a_model_of_an_older_version_says_what_it_lacks(posterior):
    older = Posterior(posterior._ensembles)
    density = posterior._ensembles[0].input_density
    posterior._ensembles[0].input_density = None
    try:
        with pytest.raises(UserError, match="no density of its inputs.*train-flow"):
            older.out_of_distribution(make_features(4))
    finally:
        posterior._ensembles[0].input_density = density
