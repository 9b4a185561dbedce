"""Larger errors and missing bands widen the posterior as the exact answer does."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from synthetic_features import make_features, train

from mgsflow.config.sample import Targets
from mgsflow.core.errors import UserError
from mgsflow.models.input_density import InputDensity
from mgsflow.models.standardise import Standardiser
from mgsflow.posterior import mixture
from mgsflow.posterior.magnitudes import Magnitudes
from mgsflow.posterior.mixture import MixturePosterior
from mgsflow.posterior.noise import galaxy_noise
from mgsflow.posterior.posterior import Posterior
from mgsflow.posterior.reweighted import DensityPosterior
from mgsflow.training.input_density import fit_input_density

BANDS = ("g", "r", "i")
INPUTS = ["colour_g_r", "colour_r_i", "mag_g", "mag_r", "mag_i"]
MEAN = np.array([17.9, 17.1, 16.7])
COVARIANCE = 0.6 * np.ones((3, 3)) + np.diag([0.06, 0.02, 0.03])  # of the training set's magnitudes
SLOPE, SCATTER = np.array([0.9, -1.4, 0.6]), 0.05  # redshift of its magnitudes


def inputs_of(magnitudes: np.ndarray) -> np.ndarray:
    colours = magnitudes[..., :-1] - magnitudes[..., 1:]
    return np.concatenate([colours, magnitudes], axis=-1)


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes as the training set's (count, 3), and redshifts (count,)."""
    random = np.random.default_rng(seed)
    magnitudes = random.multivariate_normal(MEAN, COVARIANCE, count)
    truth = (magnitudes - MEAN) @ SLOPE + SCATTER * random.standard_normal(count)
    return magnitudes, truth


class Exact:
    """The exact posterior of redshift given the training set's inputs, as an ensemble of two."""

    variant, inputs, targets, detects = "photometry-observed", INPUTS, ["redshift"], False
    device, members = torch.device("cpu"), [None, None]
    target_scale = Standardiser(np.zeros(1), np.ones(1))

    def __init__(self) -> None:
        rows, calm = (inputs_of(draw(20_000, seed)[0]) for seed in (1, 2))
        self.input_scale = Standardiser.fit(rows)
        scaled = [self.input_scale.apply(part) for part in (rows, calm)]
        self.input_density = fit_input_density(*scaled, 0, seed=3)

    def sample(self, inputs, numbers, share, seed):
        each = np.repeat(inputs[:, None], share, axis=1)
        return torch.stack([self.sample_each(each, numbers, i, seed) for i in range(2)], dim=1)

    def sample_each(self, inputs, numbers, member, seed):
        mean = torch.from_numpy((inputs[..., 2:] - MEAN) @ SLOPE)[..., None]
        noise = galaxy_noise(100 * seed + member, numbers, inputs.shape[1], 1)
        return (mean + SCATTER * noise).float()


@pytest.fixture(scope="module")
def exact():
    return Posterior([Exact()])


def observed(magnitudes: np.ndarray, extra: np.ndarray, seed: int) -> pd.DataFrame:
    """The galaxies with noise of the errors `extra` (3,); an infinite one is a missing band."""
    noise = np.random.default_rng(seed).standard_normal(magnitudes.shape)
    seen = np.isfinite(extra)
    values = np.where(seen, magnitudes + noise * np.where(seen, extra, 0), np.nan)
    table = pd.DataFrame(values, columns=[f"mag_{band}" for band in BANDS])
    return table.assign(**{f"extra_error_{b}": e for b, e in zip(BANDS, extra, strict=True)})


def analytic(values: np.ndarray, extra: np.ndarray) -> tuple[np.ndarray, float]:
    """Means (n,) and the standard deviation of redshift given noisy magnitudes (n, 3)."""
    seen = np.flatnonzero(np.isfinite(extra))
    part = COVARIANCE[:, seen]
    gain = part @ np.linalg.inv(part[seen] + np.diag(extra[seen] ** 2))
    mean = (values[:, seen] - MEAN[seen]) @ gain.T @ SLOPE
    left = COVARIANCE - gain @ part.T
    return mean, float(np.sqrt(SLOPE @ left @ SLOPE + SCATTER**2))


CASES = {
    "no error": [0.0, 0.0, 0.0],
    "errors": [0.15, 0.1, 0.05],
    "one band": [0.0, 0.2, 0.0],
    "missing": [0.0, 0.0, np.inf],
    "missing and errors": [np.inf, 0.1, 0.1],
    "nothing": [np.inf, np.inf, np.inf],
}


@pytest.mark.parametrize("name", CASES)
def test_the_widened_posterior_is_the_exact_one(exact, name):
    extra = np.array(CASES[name])
    magnitudes, truth = draw(1500, 5)
    table = observed(magnitudes, extra, 6)
    mean, width = analytic(table[[f"mag_{band}" for band in BANDS]].to_numpy(), extra)
    wide = exact.widen()
    draws = wide.sample(table, 200, 1)[..., 0].astype(float)
    assert np.abs(draws.mean(axis=1) - mean).mean() < 0.1 * width
    assert draws.std(axis=1).mean() == pytest.approx(width, rel=0.04)
    for level in (0.68, 0.95):
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=1)
        inside = ((low < truth) & (truth < high)).mean()
        # of these galaxies, the exact intervals cover `level` but for chance
        covered = (np.abs(truth - mean) < norm.ppf((1 + level) / 2) * width).mean()
        assert inside == pytest.approx(covered, abs=0.025)
        assert covered == pytest.approx(level, abs=0.04)


def test_plugging_the_noise_in_would_be_too_narrow(exact):
    """What widening is for: the naive way covers far less than it says."""
    magnitudes, truth = draw(1500, 5)
    table = observed(magnitudes, np.array(CASES["errors"]), 6)
    naive = exact.sample(inputs_of(table.iloc[:, :3].to_numpy()), 400, 1)[..., 0]
    low, high = np.quantile(naive, [0.16, 0.84], axis=1)
    assert ((low < truth) & (truth < high)).mean() < 0.35


@pytest.mark.slow
def test_each_galaxy_has_its_own_errors_and_missing_bands(exact):
    magnitudes, _ = draw(300, 7)
    parts = [observed(magnitudes[i::3], np.array(CASES[name]), i)
             for i, name in enumerate(("errors", "missing", "one band"))]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    widths = exact.widen().std(table, 2000, 1)[:, 0].reshape(3, 100)
    for found, name in zip(widths, ("errors", "missing", "one band"), strict=True):
        _, width = analytic(magnitudes, np.array(CASES[name]))
        np.testing.assert_allclose(found, width, rtol=0.15)


def test_two_peaks_and_latents_are_those_of_weighted_draws():
    """Against brute force: draws of the mixture, weighted by the likelihood of what was seen."""
    random = np.random.default_rng(0)
    names = ["latent_mean_00", "mag_g", "mag_r"]
    factors = random.standard_normal((2, 3, 3)) / 2
    covariances = factors @ np.swapaxes(factors, 1, 2) + 0.05 * np.eye(3)
    means = np.array([[0.0, 17.0, 16.0], [1.0, 18.5, 17.0]])
    density = InputDensity(np.array([0.4, 0.6]), means, covariances, 1)
    magnitudes = Magnitudes.of(names, density, Standardiser(np.zeros(3), np.ones(3)))
    latent, seen, error = 0.6, 17.6, 0.5  # in g; r is missing
    noise = random.standard_normal((1, 50_000, magnitudes.noise_size))
    found = magnitudes.draw(
        np.array([[latent]]), np.array([[seen, np.nan]]), np.array([[error, 0.0]]), noise
    )[0]
    assert (found[:, 0] == latent).all()
    peak = (random.random(1_500_000) < 0.6).astype(int)
    noise = random.standard_normal((len(peak), 3))
    x = means[peak] + np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[peak], noise)
    x = x[np.abs(x[:, 0] - latent) < 0.02]
    weights = np.exp(-0.5 * ((x[:, 1] - seen) / error) ** 2)
    expected = np.average(x[:, 1:], weights=weights, axis=0)
    np.testing.assert_allclose(found[:, 1:].mean(axis=0), expected, atol=0.02)
    expected = np.cov(x[:, 1:], rowvar=False, aweights=weights)
    np.testing.assert_allclose(np.cov(found[:, 1:], rowvar=False), expected, atol=0.02)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder, table = tmp_path_factory.mktemp("models"), make_features(400)
    return Posterior.load(*(train(folder, table, flow, Targets()) for flow in ("property", "line")))


@pytest.fixture
def galaxies():
    table = make_features(40, seed=5)
    return table.assign(**{f"extra_error_{band}": 0.0 for band in "ugriz"})


def test_without_larger_errors_the_draws_are_the_posteriors_own(trained, galaxies):
    wide = trained.widen()
    expected = trained.sample(galaxies, 21, 1)
    np.testing.assert_allclose(wide.sample(galaxies, 21, 1), expected, rtol=1e-3, atol=1e-3)


def test_draws_do_not_depend_on_the_blocks_and_more_begin_with_the_fewer(
    trained, galaxies, monkeypatch
):
    galaxies.loc[::2, "extra_error_r"] = 0.2
    galaxies.loc[1::4, "mag_u"] = np.nan
    wide = trained.widen()
    whole = wide.sample(galaxies, 10, 1)
    np.testing.assert_allclose(wide.sample(galaxies, 6, 1), whole[:, :6], rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(mixture, "BLOCK_ROWS", {"cpu": 15})
    pieces = np.concatenate([draws for _, draws in wide.chunks(galaxies, 10, 1, size=7)])
    np.testing.assert_allclose(pieces, whole, rtol=1e-3, atol=1e-3)
    changed = np.abs(whole - trained.sample(make_features(40, seed=5), 10, 1)).max(axis=(1, 2))
    assert (changed[0::2] > 1e-2).all() and (changed[3::4] < 1e-2).all()


def test_members_moments_and_parts_follow_the_draws(trained, galaxies):
    galaxies["mag_i"] = np.nan
    wide = trained.widen()
    assert wide.sample_members(galaxies, 20, 1).shape == (40, 2, 10, 9)
    draws = wide.sample(galaxies, 50, 2).astype(float)
    np.testing.assert_allclose(wide.mean(galaxies, 50, 2), draws.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(
        wide.quantiles(galaxies, [0.5], 50, 2)[:, 0], np.median(draws, axis=1), rtol=1e-4
    )
    lines = wide.only(Targets().lines)
    assert wide.only(["redshift"]) is None
    np.testing.assert_allclose(
        lines.sample_members(galaxies, 20, 1), wide.sample_members(galaxies, 20, 1)[..., 5:],
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip


def test_nonsense_is_refused(trained, galaxies):
    wide = trained.widen()
    for name, value in (("extra_error_g", -0.1), ("extra_error_g", np.nan), ("mag_g", np.inf)):
        bad = galaxies.copy()
        bad.loc[3, name] = value
        with pytest.raises(UserError, match="1 of 40 rows.*rows 3.*missing band is"):
            wide.sample(bad, 4)
    with pytest.raises(UserError, match="no column extra_error_u"):
        wide.sample(make_features(4), 4)
    with pytest.raises(UserError, match="1 of 40 rows"):
        trained.sample(galaxies.assign(mag_g=galaxies["mag_g"].mask(galaxies.index == 2)), 4)


ABSENT = {
    "log_prob", "log_prob_members", "mean_head", "measurable", "detects", "epistemic_spread",
    "out_of_distribution", "out_of_distribution_score", "reweight", "widen", "load",
}  # fmt: skip


def test_it_lacks_what_needs_observed_inputs_and_says_where_that_is(trained):
    wide = trained.widen()
    public = {name for name in dir(Posterior) if not name.startswith("_")}
    assert {name for name in public if not hasattr(wide, name)} == ABSENT
    for name in ABSENT:
        words = (
            f"no attribute '{name}'. It has .*quantiles, sample, sample_members.* widen\\(\\) was"
        )
        with pytest.raises(AttributeError, match=words):
            getattr(wide, name)
    assert not isinstance(wide, DensityPosterior | Posterior) and isinstance(wide, MixturePosterior)
    assert repr(wide).startswith("<WidenedPosterior of log_stellar_mass, log_sfr")


def test_an_error_inside_a_property_is_its_own(trained):
    wide = copy.copy(trained.widen())
    del wide._magnitudes
    with pytest.raises(AttributeError, match="no attribute '_magnitudes'$"):
        wide.inputs  # noqa: B018


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            ["rest_colour_g_r", "mag_g", "mag_r"],
            "rest_colour_g_r cannot be computed.*observed colours",
        ),
        (["latent_mean_00"], "no magnitudes"),
        (["colour_g_r", "mag_r"], "colours of g without"),
    ],
)
def test_inputs_that_cannot_be_widened_are_refused(inputs, words):
    size = len(inputs)
    density = InputDensity(np.ones(1), np.zeros((1, size)), np.eye(size)[None], 0)
    with pytest.raises(UserError, match=words):
        Magnitudes.of(inputs, density, Standardiser(np.zeros(size), np.ones(size)))
