"""The calibration suite's parts against answers that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from calibration_toys import CORRELATIONS, permuted, scaled, shifted, toy
from scipy import stats
from scipy.special import ndtri

from mgsflow.core.errors import UserError
from mgsflow.evaluation import metrics
from mgsflow.evaluation.bootstrap import BootstrapOfMeans, deviation
from mgsflow.evaluation.calibration import coordinates, inputs, joint, recalibrate
from mgsflow.evaluation.calibration import proper_scores as scores
from mgsflow.evaluation.calibration.bands import band, shares, uniformity
from mgsflow.evaluation.calibration.pit import pit


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize("draws", [1, 7, 200])
def test_ranks_of_the_right_posterior_are_uniform_whatever_the_draws(random, draws):
    values = random.standard_normal((20_000, draws + 1))
    found = pit(values[:, 1:], values[:, 0], random)
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    assert found.min() > 0 and found.max() < 1


def test_draws_that_equal_the_truth_are_put_on_either_side(random):
    """Discrete posteriors, such as a flux that is often 0."""
    values = random.integers(0, 3, (20_000, 51))
    assert stats.kstest(pit(values[:, 1:], values[:, 0], random), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("kind", ["curve", "histogram"])
@pytest.mark.parametrize("n", [40, 600])
def test_a_band_holds_all_of_a_calibrated_curve_as_often_as_it_says(random, kind, n):
    bounds = band(n, kind, 0.9)
    inside = [
        bool(np.all((bounds.low <= found) & (found <= bounds.high)))
        for found in (shares(random.uniform(size=n), kind) for _ in range(400))
    ]
    # a band of whole galaxies cannot hold exactly 90%, and must not hold less
    assert np.mean(inside) > 0.9 - 4 * np.sqrt(0.09 / 400)
    assert np.mean(inside) < (0.97 if n > 100 else 0.99)


def test_the_p_value_of_uniformity_is_itself_uniform_and_resolves_what_is_rare(random):
    found = [uniformity(random.uniform(size=150)) for _ in range(400)]
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    assert uniformity(random.beta(2, 2, 400)) < 1e-6
    assert np.isnan(uniformity(np.empty(0)))


def test_the_crps_is_the_metrics_own_galaxy_by_galaxy(random):
    draws, truth = random.standard_normal((50, 30)), random.standard_normal(50)
    found = metrics.crps_each(draws, truth)
    assert found.mean() == pytest.approx(metrics.crps(draws, truth), rel=1e-12)
    assert found[7] == pytest.approx(metrics.crps(draws[7:8], truth[7:8]), rel=1e-12)


def test_the_priors_crps_is_that_of_the_other_galaxies_truths(random):
    truth = random.exponential(size=40)
    others = np.array([np.delete(truth, i) for i in range(40)])
    np.testing.assert_allclose(scores.crps_of_prior(truth), metrics.crps_each(others, truth))


def test_in_one_dimension_the_energy_score_is_the_crps(random):
    draws, truth = random.standard_normal((3000, 60)), random.standard_normal(3000)
    energy = scores.energy(draws[..., None], truth[:, None])
    difference = energy - metrics.crps_each(draws, truth)
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(3000)
    assert difference.std() < 0.2  # of pairs that are some, not all


def test_kernel_densities_come_near_the_gaussians_own(random):
    """Entropy, and minus the integral of the squared density: 1 / (2 sqrt(pi) sigma)."""
    sigma = 0.3
    draws, truth = sigma * random.standard_normal((2000, 400)), sigma * random.standard_normal(2000)
    entropy = 0.5 * np.log(2 * np.pi * np.e * sigma**2)
    assert scores.negative_log_density(draws, truth).mean() == pytest.approx(entropy, abs=0.05)
    squared = 1 / (2 * np.sqrt(np.pi) * sigma)
    assert scores.cde_loss(draws, truth).mean() == pytest.approx(-squared, rel=0.05)


def test_a_truth_far_from_all_draws_costs_nats_and_not_infinity(random):
    draws = random.standard_normal((1, 300))
    assert 10 < scores.negative_log_density(draws, np.array([30.0]))[0] < 30


@pytest.mark.parametrize("score", ["energy", "variogram", "crps", "nll", "cde_loss"])
@pytest.mark.parametrize("wrong", [lambda t: scaled(t, 0.5), lambda t: shifted(t, 0.5)])
def test_every_score_prefers_the_right_posterior(score, wrong):
    right = toy(1500, 1)
    spread = right.truth.std(axis=0)

    def value(given) -> np.ndarray:
        if score in ("energy", "variogram"):
            return getattr(scores, score)(given.draws / spread, given.truth / spread)
        each = {
            "crps": metrics.crps_each,
            "nll": scores.negative_log_density,
            "cde_loss": scores.cde_loss,
        }[score]
        return each(given.draws[..., 0], given.truth[:, 0])

    loss = value(wrong(right)) - value(right)
    if score == "variogram" and wrong(right).draws.std() > 0.95 * right.draws.std():
        # differences of targets that are all shifted by as many sigma change but little
        assert abs(loss.mean()) < 0.05
    else:
        assert loss.mean() > 4 * loss.std() / np.sqrt(len(loss))


def test_the_variogram_score_notices_correlations_that_are_dropped():
    right = toy(1500, 1)
    spread = right.truth.std(axis=0)
    wrong = permuted(right, [0, 1, 2, 3, 4])
    loss = scores.variogram(wrong.draws / spread, right.truth / spread) - scores.variogram(
        right.draws / spread, right.truth / spread
    )
    assert loss.mean() > 4 * loss.std() / np.sqrt(len(loss))


def test_coordinates_are_those_of_a_gaussian_with_the_claimed_correlations(random):
    given = toy(600, 3, draws=400)
    where = coordinates.coordinates(given.draws, given.truth, 400, random)
    for scores_of in (where.truth, where.draws[:, 0], where.white_truth, where.white_draws[:, 0]):
        assert np.abs(scores_of.mean(axis=0)).max() < 0.2
        assert scores_of.std(axis=0) == pytest.approx(1, abs=0.12)
    np.testing.assert_allclose(where.claimed.mean(axis=0), CORRELATIONS, atol=0.04)
    white = np.corrcoef(where.white_draws.reshape(-1, 5).T)
    np.testing.assert_allclose(white, np.eye(5), atol=0.05)


def test_the_copulas_density_is_the_gaussian_ones(random):
    given = toy(1500, 3, draws=400)
    where = coordinates.coordinates(given.draws, given.truth, 400, random)
    expected = -0.5 * np.linalg.slogdet(CORRELATIONS)[1]  # the mutual information
    assert coordinates.copula_log_density(where).mean() == pytest.approx(expected, abs=0.08)


def test_the_worst_correlation_names_its_pair(random):
    right = toy(800, 4)
    where = coordinates.coordinates(permuted(right, [4]).draws, right.truth, 200, random)
    worst = joint.worst_correlation(where)
    assert (worst.first, worst.second) == (0, 4)  # log M and O/H, the strongest
    assert worst.claimed == pytest.approx(0, abs=0.05)
    assert worst.observed == pytest.approx(0.5, abs=0.1)


def test_widths_and_centres_are_no_fault_of_the_correlations(random):
    right = toy(400, 4)
    given = scaled(shifted(right, 0.5), 0.6)
    where = coordinates.coordinates(given.draws, right.truth, 200, random)
    assert joint.worst_correlation(where).p_value > 0.01


def test_a_temperature_mends_widths_and_keeps_ranks_between_targets(random):
    learnt, other = scaled(toy(1500, 1), 0.7), scaled(toy(1500, 2), 0.7)
    mend = recalibrate.learn("temperature", learnt.draws[..., 0], learnt.truth[:, 0], random)
    mended = mend(other.draws[..., 0])
    factor = mended.std(axis=1) / other.draws[..., 0].std(axis=1)
    assert factor == pytest.approx(1 / 0.7, rel=0.06)
    z = ndtri(pit(mended, other.truth[:, 0], random))
    assert z.std() == pytest.approx(1, abs=0.06)
    order = np.argsort(other.draws[..., 0], axis=1)
    np.testing.assert_array_equal(np.argsort(mended, axis=1), order)


def test_conformal_levels_mend_what_a_temperature_cannot(random):
    """Draws that are shifted: their ranks are not uniform, whatever their width."""
    learnt, other = shifted(toy(2000, 1), -0.4), shifted(toy(2000, 2), -0.4)
    before = uniformity(pit(other.draws[..., 1], other.truth[:, 1], random))
    mend = recalibrate.learn("conformal", learnt.draws[..., 1], learnt.truth[:, 1], random)
    mended = mend(other.draws[..., 1])
    z = ndtri(pit(mended, other.truth[:, 1], random))
    assert before < 1e-10
    assert abs(z.mean()) < 0.08 and z.std() == pytest.approx(1, abs=0.08)
    order = np.argsort(other.draws[..., 1], axis=1, kind="stable")
    assert np.all(np.diff(np.take_along_axis(mended, order, axis=1), axis=1) >= 0)


def test_too_few_galaxies_mend_nothing_and_unknown_methods_are_refused(random):
    few = toy(10, 1)
    draws = few.draws[..., 0]
    assert recalibrate.learn("conformal", draws, few.truth[:, 0], random)(draws) is draws
    with pytest.raises(UserError, match=r"calibration\.recalibrate: magic"):
        recalibrate.learn("magic", draws, few.truth[:, 0], random)


def test_the_bootstraps_intervals_hold_the_truth_as_often_as_they_say(random):
    held = []
    for seed in range(200):
        values = random.normal(0, 2, 100)
        found = BootstrapOfMeans(100, 200, seed).function(deviation, values, values**2)
        held.append(found.low < 2 < found.high)
    assert 0.87 < np.mean(held) < 0.99


def _features(n: int, random: np.random.Generator) -> pd.DataFrame:
    magnitudes = 17 + random.standard_normal((n, 1)) + 0.1 * random.standard_normal((n, 5))
    table = pd.DataFrame(magnitudes, columns=[f"mag_{band}" for band in "ugriz"])
    for blue, red in zip("ugri", "griz", strict=True):
        table[f"colour_{blue}_{red}"] = table[f"mag_{blue}"] - table[f"mag_{red}"]
    for kind in ("mean", "std"):
        for i in range(3):
            table[f"latent_{kind}_{i:02d}"] = random.standard_normal(n)
    return table.set_index(pd.Index(np.arange(n), name="objid"))


def test_components_are_of_the_variants_own_inputs(random):
    table = _features(300, random)
    photometry = inputs.components(table, "photometry-observed", 3)
    both = inputs.components(table, "images_photometry-observed", 3)
    assert photometry.shape == (300, 3) and both.shape == (300, 6)
    np.testing.assert_allclose(both.std(axis=0), 1)
    assert abs(np.corrcoef(photometry[:, 0], table["mag_r"])[0, 1]) > 0.9
    # nine columns of five bands: four colours follow from the magnitudes
    assert inputs.components(table, "photometry-observed", 9).shape[1] == 5


def test_slices_are_thirds_in_magnitude_inferred_redshift_and_colour(random):
    table = _features(300, random)
    found = inputs.slices(table, table["mag_z"].to_numpy())
    assert list(found) == ["all", *(n for names in inputs.NAMES.values() for n in names)]
    assert all(mask.sum() == 100 for name, mask in found.items() if name != "all")
    assert table["mag_r"][found["bright"]].max() <= table["mag_r"][found["faint"]].min()
    colour = table["mag_u"] - table["mag_r"]
    assert colour[found["blue"]].max() <= colour[found["red"]].min()
    bare = inputs.slices(table[["latent_mean_00"]], None)
    assert list(bare) == ["all"]


def test_galaxies_that_the_features_lack_are_named(random):
    with pytest.raises(UserError, match=r"f\.parquet: has no galaxy 77,"):
        inputs.rows_of(_features(10, random), np.array([3, 77]), "f.parquet")
