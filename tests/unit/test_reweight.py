"""Posteriors under another population, on a toy whose posterior under any prior is known."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from gaussian_population import NAMES, NOISE, Population, exact

from mgsflow import PriorRatio
from mgsflow.core.errors import UserError
from mgsflow.models.prior_ratio import effective_sizes, resample

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


def test_without_a_shift_all_draws_weigh_the_same(train):
    other, inputs = OLD.draw(1500, 50)
    draws = exact(OLD).sample(inputs, 100)
    for ratio in (
        PriorRatio.of_sample(train, other, NAMES),
        PriorRatio.of_draws(train, draws, NAMES, NAMES),
    ):
        assert (effective_sizes(ratio.weights(draws, NAMES)) / 100).mean() > 0.95


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


def test_a_population_beyond_the_training_set_is_warned_of(train):
    with pytest.warns(UserWarning, match=r"lie beyond the training set's range in redshift"):
        PriorRatio.of_sample(train, Population(5.0, 0.5).draw(500, 0)[0], REDSHIFT)


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


def test_what_cannot_be_is_refused_in_words(train):
    ratio = PriorRatio.of_sample(train, NEW.draw(100, 1)[0], REDSHIFT)
    posterior = exact(OLD).reweight(ratio)
    for members in (posterior.sample_members, posterior.log_prob_members):
        with pytest.raises(UserError, match="a mixture whose members have other shares"):
            members(np.zeros((2, 2)))
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
