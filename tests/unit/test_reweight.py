"""Posteriors under another population, on a toy whose posterior under any prior is known."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from gaussian_population import NAMES, NOISE, ExactEnsemble, Population, exact

from mgsflow import PriorRatio
from mgsflow.config.evaluation import Calibration
from mgsflow.core.errors import UserError
from mgsflow.posterior import prior_ratio
from mgsflow.posterior.posterior import Posterior
from mgsflow.posterior.reweighted import DensityPosterior
from mgsflow.posterior.weights import effective_sizes, normalised, resample

OLD, NEW = Population(), Population(mean=1.2, std=0.6)
REDSHIFT = ["redshift"]
DRAWS = 400


@pytest.fixture(scope="module")
def train() -> pd.DataFrame:
    return OLD.draw(3000, 0)[0]


@pytest.fixture(scope="module", params=["sample", "density", "draws"])
def ratio(request, train) -> PriorRatio:
    """The ratio of redshifts, learnt in each of the three ways."""
    return learnt(request.param, train)


def learnt(way: str, train: pd.DataFrame) -> PriorRatio:
    """From other new galaxies than those that are looked at."""
    truth, inputs = NEW.draw(1500, 10)
    if way == "sample":
        return PriorRatio.of_sample(train, truth, REDSHIFT)
    if way == "density":
        return PriorRatio.of_density(train, NEW.log_density, REDSHIFT)
    return PriorRatio.of_draws(train, exact(OLD).sample(inputs, 100, seed=3), NAMES, REDSHIFT)


def off_by(posterior, inputs) -> tuple[np.ndarray, np.ndarray]:
    """Means less the exact ones, (n, 2), and mean widths, (2,), in the exact posterior's widths."""
    mean, covariance = NEW.posterior(inputs)
    width = np.sqrt(np.diag(covariance))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draws = posterior.sample(inputs, DRAWS, seed=1)
    return (draws.mean(axis=1) - mean) / width, draws.std(axis=1).mean(axis=0) / width


def coverage(posterior, truth, inputs, level=0.68) -> np.ndarray:
    """Share of the truths within the central interval of each target, (2,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draws = posterior.sample(inputs, DRAWS, seed=2)
    ranks = (draws < truth.to_numpy()[:, None]).mean(axis=1)
    return (np.abs(ranks - 0.5) < level / 2).mean(axis=0)


def test_reweighted_posteriors_are_the_new_populations_exact_ones(ratio):
    _, inputs = NEW.draw(1000, 20)
    trained = exact(OLD)
    before, wide = off_by(trained, inputs)
    assert before[:, 0].mean() < -0.8 and wide[0] > 1.2, "the toy's shift does no harm"
    after, width = off_by(trained.reweight(ratio), inputs)
    assert np.abs(after.mean(axis=0)).max() < 0.1
    assert np.sqrt(np.square(after).mean(axis=0)).max() < 0.2
    # the mass, which the ratio does not name, follows the redshift by the joint draws
    assert width == pytest.approx([1, 1], abs=0.08)


@pytest.mark.slow
def test_coverage_before_and_after(ratio):
    truth, inputs = NEW.draw(3000, 30)
    before = coverage(exact(OLD), truth, inputs)
    after = coverage(exact(OLD).reweight(ratio), truth, inputs)
    assert before[0] < 0.63
    assert after == pytest.approx([0.68, 0.68], abs=0.04)


def test_the_density_is_that_of_the_new_posterior(train):
    truth, inputs = NEW.draw(500, 40)
    ratio = PriorRatio.of_sample(train, NEW.draw(1500, 10)[0], REDSHIFT)
    wanted = exact(NEW).log_prob(inputs, truth)
    trained, found = exact(OLD), exact(OLD).reweight(ratio).log_prob(inputs, truth)
    assert np.abs(found - wanted).mean() < 0.1
    assert np.abs(trained.log_prob(inputs, truth) - wanted).mean() > 0.4


@pytest.mark.slow
def test_without_a_shift_all_draws_weigh_the_same(train):
    other, inputs = OLD.draw(1500, 50)
    draws = exact(OLD).sample(inputs, 100)
    for ratio in (
        PriorRatio.of_sample(train, other, NAMES),
        PriorRatio.of_draws(train, draws, NAMES, NAMES),
    ):
        assert (effective_sizes(ratio.weights(draws, NAMES)) / 100).mean() > 0.95


@pytest.mark.slow
def test_no_weights_mend_galaxies_that_look_otherwise(train):
    """Noisier inputs are no label shift: the right prior does not bring the coverage back."""
    truth, _ = NEW.draw(3000, 60)
    noise = np.random.default_rng(61).multivariate_normal(np.zeros(2), 4 * NOISE, len(truth))
    ratio = PriorRatio.of_density(train, NEW.log_density, REDSHIFT)
    assert coverage(exact(OLD).reweight(ratio), truth, truth.to_numpy() + noise)[1] < 0.5


def test_the_effective_number_of_draws_is_told_and_warned_of(train):
    _, inputs = NEW.draw(50, 70)
    near, far = (
        exact(OLD).reweight(PriorRatio.of_density(train, Population(m, s).log_density, REDSHIFT))
        for m, s in ((0.3, 0.9), (5.0, 0.2))
    )
    assert near.effective_draws(inputs, DRAWS).min() > 2 * DRAWS
    assert far.effective_draws(inputs, DRAWS).max() < 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        near.sample(inputs, DRAWS)
    with pytest.warns(UserWarning, match="50 of 50 galaxies have fewer than 100 effective draws"):
        far.sample(inputs, DRAWS)


@pytest.mark.parametrize("way", ["sample", "density", "edged", "draws"])
def test_a_population_beyond_the_training_set_is_warned_of(train, way):
    far = Population(5.0, 0.5)
    truth, _ = far.draw(500, 0)

    def make() -> PriorRatio:
        if way == "sample":
            return PriorRatio.of_sample(train, truth, REDSHIFT)
        if way == "density":
            return PriorRatio.of_density(train, far.log_density, REDSHIFT)
        if way == "edged":  # so far that no training galaxy has any density
            return PriorRatio.of_density(train, edged(40, 50), REDSHIFT)
        draws = truth.to_numpy()[:, None] + np.zeros((1, 30, 1))
        return PriorRatio.of_draws(train, draws, NAMES, REDSHIFT)

    with pytest.warns(UserWarning, match=r"lie beyond the training set's range in redshift"):
        make()


@pytest.mark.slow
def test_a_population_within_the_training_set_is_not_warned_of(train):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for way in ("sample", "density", "draws"):
            learnt(way, train)
        PriorRatio.of_density(train, edged(-1, 2), REDSHIFT)


def edged(low: float, high: float):
    """A log-density that is flat between two redshifts and ends there."""
    return lambda values: np.where((values[:, 0] > low) & (values[:, 0] < high), 0.0, -np.inf)


def test_galaxies_that_cannot_be_of_the_new_population_are_nan_and_harm_no_others(train):
    """A hard edge at a redshift of 0.5: far below it no draw has any weight."""
    inputs = np.array([[1.5, 0.5], [-30.0, 0.0], [1.0, 0.2], [-30.0, 1.0], [2.0, 1.0]])
    truth = np.array([[1.0, 0.4]] * 5)
    good, lost = [0, 2, 4], [1, 3]
    posterior = exact(OLD).reweight(PriorRatio.of_density(train, edged(0.5, 3), REDSHIFT))
    said = "2 of 5 galaxies have fewer than 100 effective draws, 2 of them none at all"
    with pytest.warns(UserWarning, match=said):
        draws = posterior.sample(inputs, DRAWS, seed=3)
    assert np.isnan(draws[lost]).all()
    assert (draws[good][..., 0] > 0.5).all() and (draws[good][..., 0] < 3).all()
    for row in good:
        alone = posterior.sample(inputs[row : row + 1], DRAWS, seed=3, first_row=row)
        np.testing.assert_array_equal(draws[row], alone[0])
    effective = posterior.effective_draws(inputs, DRAWS, seed=3)
    assert (effective[lost] == 0).all() and (effective[good] > 100).all()
    with pytest.warns(UserWarning, match=said):
        density = posterior.log_prob(inputs, truth)
    assert np.isnan(density[lost]).all()
    # the training set's density is an estimate: its shape is what is looked at here
    assert np.isfinite(density[good]).all()
    below = posterior.log_prob(inputs[good], np.array([[0.4, 0.4]] * 3))
    assert (below == -np.inf).all()


def test_a_ratio_that_is_no_number_is_refused():
    for value, word in ((np.nan, "nan"), (np.inf, "inf")):
        ratio = PriorRatio(REDSHIFT, lambda values, v=value: np.full(len(values), v))
        with pytest.raises(UserError, match=f"log-ratio of redshift is {word} at"):
            exact(OLD).reweight(ratio).sample(np.zeros((2, 2)), 10)


def test_a_metallicity_of_nan_is_refused_by_its_row_where_the_ratio_needs_it(train):
    """Under a ratio of something else the density is that of the other targets, as ever."""
    ensemble = ExactEnsemble(OLD)
    ensemble.targets = ["redshift", "metallicity"]
    old, new = (
        table.rename(columns={"log_stellar_mass": "metallicity"})
        for table in (train, NEW.draw(200, 1)[0])
    )
    values = np.array([[0.5, 0.1], [0.5, np.nan], [0.2, 0.3]])
    trained = Posterior([ensemble])
    ratio = PriorRatio.of_sample(old, new, ["metallicity"])
    with pytest.raises(UserError, match="1 of 3 rows have a NaN .* in metallicity: rows 1"):
        trained.reweight(ratio).log_prob(np.ones((3, 2)), values)
    ratio = PriorRatio.of_sample(old, new, REDSHIFT)
    found = trained.reweight(ratio).log_prob(np.ones((3, 2)), values)
    assert np.isfinite(found[[0, 2]]).all()


def test_metallicity_has_no_population_that_draws_could_tell(train):
    table = train.assign(metallicity=8.7)
    with pytest.raises(UserError, match="metallicity is known of the training galaxies where"):
        PriorRatio.of_draws(table, np.zeros((100, 30, 1)), ["metallicity"], ["metallicity"])
    with pytest.raises(ValueError, match="not a shift of the population; remove metallicity"):
        Calibration(prior_targets=["redshift", "metallicity"])


def test_ratios_are_evaluated_in_blocks(train, monkeypatch):
    ratio = PriorRatio.of_sample(train, NEW.draw(100, 1)[0], REDSHIFT)
    draws = exact(OLD).sample(np.zeros((30, 2)), 20)
    whole, sizes = ratio.log_ratio(draws, NAMES), []
    counted = PriorRatio(REDSHIFT, lambda v: (sizes.append(len(v)), ratio._log_ratio(v))[1])
    monkeypatch.setattr(prior_ratio, "AT_ONCE", 64)
    np.testing.assert_allclose(counted.log_ratio(draws, NAMES), whole, rtol=1e-12)
    assert max(sizes) == 64 and sum(sizes) == 600


def test_columns_of_the_joint_draws_are_what_only_gives(train):
    """Lines go with the properties that they are drawn with: not apart, which would differ."""
    ratio = PriorRatio.of_sample(train, NEW.draw(200, 1)[0], REDSHIFT)
    other = ExactEnsemble(OLD)
    other.targets = ["log1p_h_alpha", "log1p_h_beta"]
    posterior = Posterior([ExactEnsemble(OLD), other]).reweight(ratio)
    _, inputs = NEW.draw(20, 3)
    joint = posterior.sample(inputs, 150, seed=1)
    np.testing.assert_array_equal(joint[..., :2], posterior.only(NAMES).sample(inputs, 150, seed=1))
    # the toy's two ensembles draw the same numbers, by which the rows are known for whole
    np.testing.assert_array_equal(joint[..., :2], joint[..., 2:])
    with pytest.raises(UserError, match="log1p_h_beta: reweighted together with redshift"):
        posterior.only(other.targets)
    assert posterior.only(["log_sfr"]) is None


ABSENT = {
    "sample_members", "log_prob_members", "members", "draws_per_member", "mean_head", "measurable",
    "detects", "epistemic_spread", "widen", "load",
}  # fmt: skip


def test_it_lacks_what_is_of_single_members_and_says_where_that_is(ratio):
    posterior = exact(OLD).reweight(ratio)
    public = {name for name in dir(Posterior) if not name.startswith("_")}
    assert {name for name in public if not hasattr(posterior, name)} == ABSENT
    for name in ABSENT:
        words = f"no attribute '{name}'. It has .*log_prob.* other shares .* reweight\\(\\) was"
        with pytest.raises(AttributeError, match=words):
            getattr(posterior, name)
    assert isinstance(posterior, DensityPosterior) and not isinstance(posterior, Posterior)
    assert repr(posterior) == (
        "<ReweightedPosterior of redshift, log_stellar_mass given toy (2 inputs)>"
    )


def test_reweighting_twice_is_reweighting_by_the_product():
    halves = PriorRatio(REDSHIFT, lambda v: (NEW.log_density(v) - OLD.log_density(v)) / 2)
    truth, inputs = NEW.draw(1000, 20)
    posterior = exact(OLD).reweight(halves).reweight(halves)
    errors, width = off_by(posterior, inputs)
    assert np.abs(errors.mean(axis=0)).max() < 0.1 and width == pytest.approx([1, 1], abs=0.08)
    off = posterior.log_prob(inputs, truth) - exact(NEW).log_prob(inputs, truth)
    assert np.abs(off).mean() < 0.1


def test_a_galaxys_draws_depend_on_its_number_alone(ratio):
    _, inputs = NEW.draw(40, 80)
    posterior = exact(OLD).reweight(ratio)
    whole = posterior.sample(inputs, 150, seed=4)
    np.testing.assert_array_equal(whole[25:], posterior.sample(inputs[25:], 150, 4, first_row=25))
    pieces = [part for _, part in posterior.chunks(inputs, 150, seed=4, size=7)]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))
    np.testing.assert_allclose(posterior.mean(inputs, 150, seed=4), whole.mean(axis=1), rtol=1e-5)


def test_resampling_takes_each_draw_as_often_as_it_weighs():
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.full(30, 0.3), size=20)
    draws = np.broadcast_to(np.arange(30.0)[:, None], (20, 30, 1))
    taken = resample(draws, weights, 500, random.uniform(size=20))
    assert taken.shape == (20, 500, 1)
    counts = np.array([np.bincount(row.astype(int), minlength=30) for row in taken[..., 0]])
    assert np.abs(counts - 500 * weights).max() < 1 + 1e-6
    assert effective_sizes(np.full((1, 30), 1 / 30)) == pytest.approx([30])


def test_no_draw_without_a_weight_is_taken():
    weights = np.array([[0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0], [np.nan] * 4])
    draws = np.broadcast_to(np.arange(4.0), (3, 4))
    for chance in (0.0, 1 - 2**-53):
        taken = resample(draws, weights, 10, np.full(3, chance))
        assert set(taken[0]) == {1, 2} and set(taken[1]) == {3} and np.isnan(taken[2]).all()
    np.testing.assert_array_equal(effective_sizes(weights), [2, 1, 0])
    nothing, log_mean = normalised(np.full((1, 4), -np.inf))
    assert np.isnan(nothing).all() and log_mean == [-np.inf]


def test_what_cannot_be_is_refused_in_words(train):
    ratio = PriorRatio.of_sample(train, NEW.draw(100, 1)[0], REDSHIFT)
    posterior = exact(OLD).reweight(ratio)
    with pytest.raises(UserError, match="draws must be 1 or more, not 0"):
        posterior.sample(np.zeros((2, 2)), 0)
    with pytest.raises(UserError, match="no column metallicity"):
        PriorRatio.of_sample(train, train, ["metallicity"])
    with pytest.raises(UserError, match="a population needs at least 50"):
        PriorRatio.of_sample(train, train.head(20), REDSHIFT)
    with pytest.raises(UserError, match="of 10 galaxies no population can be estimated"):
        PriorRatio.of_draws(train, np.zeros((10, 50, 2)), NAMES, REDSHIFT)
    other = PriorRatio.of_sample(
        train.assign(log_sfr=0.1 * train["redshift"]),
        train.assign(log_sfr=0.2 * train["redshift"]),
        ["log_sfr"],
    )
    with pytest.raises(UserError, match="does not infer log_sfr"):
        exact(OLD).reweight(other)


@pytest.mark.slow
def test_the_table_in_the_docs_is_what_is_measured(train, repository):
    text = (repository / "docs/calibration.md").read_text(encoding="utf-8")
    lines = text[text.index("| as trained |") :].splitlines()[:4]
    truth, inputs = NEW.draw(3000, 30)
    posteriors = [exact(OLD)]
    posteriors += [exact(OLD).reweight(learnt(w, train)) for w in ("sample", "density", "draws")]
    for line, posterior in zip(lines, posteriors, strict=True):
        cells = line.replace("−", "-").split("|")[2:6]
        stated = [float(word) for word in " ".join(cells).replace("/", " ").split()]
        held = [100 * coverage(posterior, truth, inputs, level)[0] for level in (0.68, 0.95)]
        errors, width = off_by(posterior, inputs)
        found = [*held, errors[:, 0].mean(), np.sqrt(np.square(errors[:, 0]).mean()), width[0]]
        assert found[:2] == pytest.approx(stated[:2], abs=0.3), line
        assert found[2:] == pytest.approx(stated[2:], abs=0.01), line
