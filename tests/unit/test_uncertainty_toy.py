"""The split on a toy whose aleatoric and epistemic sigma are known: exactly, and by training."""

from __future__ import annotations

import numpy as np
import pytest
import uncertainty_toy as toy

from mgsflow.evaluation.uncertainty import decompose

AT = toy.draw(400, 5)[0]


def split_of_bayesian_ensembles(n: int, at: np.ndarray, repeats: int = 60) -> tuple[float, ...]:
    """Mean variances found, aleatoric and epistemic, and the known epistemic one.

    Five members a time, each with weights of its own from the Bayesian posterior given n rows.
    """
    random = np.random.default_rng(n)
    centre, covariance = toy.bayesian(*toy.draw(n, 1))
    found = []
    for _ in range(repeats):
        weights = random.multivariate_normal(centre, covariance, toy.MEMBERS)
        means = np.c_[np.ones(len(at)), at] @ weights.T
        noise = random.standard_normal((len(at), toy.MEMBERS, 30))
        split = decompose(means[..., None] + toy.sigma(at)[:, None, None] * noise)
        found.append((split.aleatoric.mean(), split.epistemic.mean()))
    aleatoric, epistemic = np.mean(found, axis=0)
    return aleatoric, epistemic, toy.epistemic_variance(covariance, at).mean()


@pytest.mark.parametrize("n", [25, 100, 400, 1600])
def test_of_members_that_are_draws_of_the_truth_the_split_is_the_truth(n):
    """Five members know their variance to 2 / 4; sixty ensembles and five weights average that."""
    for at in (AT, toy.outside(AT)):
        aleatoric, epistemic, known = split_of_bayesian_ensembles(n, at)
        assert aleatoric == pytest.approx(np.square(toy.sigma(at)).mean(), rel=0.02)
        assert epistemic == pytest.approx(known, rel=0.2)


def test_the_known_epistemic_sigma_falls_as_one_over_root_n_and_grows_outside():
    inside, outside = (
        np.sqrt([split_of_bayesian_ensembles(n, at)[1] for n in (100, 400, 1600, 6400)])
        for at in (AT, toy.outside(AT))
    )
    for sigmas in (inside, outside):
        assert np.polyfit(np.log([100, 400, 1600, 6400]), np.log(sigmas), 1)[0] == pytest.approx(
            -0.5, abs=0.05
        )
    assert (outside > 2 * inside).all()


def test_the_law_of_total_variance_holds_to_rounding():
    draws = np.random.default_rng(3).standard_normal((50, 5, 40)) * np.linspace(1, 2, 5)[:, None]
    split, (members, count) = decompose(draws), draws.shape[1:]
    # the two unbiased estimates, taken back to the variances of the draws that there are
    within = split.aleatoric * (count - 1) / count
    between = (split.epistemic + split.aleatoric / count) * (members - 1) / members
    pooled = draws.reshape(50, -1).var(axis=1)
    np.testing.assert_allclose(within + between, pooled, rtol=1e-12)


@pytest.fixture(scope="module")
def trained() -> dict[int, dict[str, float]]:
    """Root mean squares of five trained members on few and on many rows."""
    return {
        n: {name: float(np.sqrt(value)) for name, value in toy.measure(n, 0).items()}
        for n in (100, 900)
    }


@pytest.mark.slow
def test_trained_members_find_the_aleatoric_sigma(trained):
    many = trained[900]
    assert many["aleatoric"] == pytest.approx(many["true aleatoric"], rel=0.1)


@pytest.mark.slow
def test_trained_members_disagree_less_with_more_rows_and_more_outside(trained):
    """Bayesian regression knows a factor of 3 from 100 to 900 rows; chance moves five members'."""
    few, many = trained[100], trained[900]
    assert 1.5 < few["epistemic"] / many["epistemic"] < 6
    for found in trained.values():
        # less than lines do: an input beyond the training set's range counts as one at its end
        assert found["epistemic outside"] > 1.5 * found["epistemic"]
        # networks admit more than straight lines: they disagree more than Bayesian lines do
        assert 0.7 < found["epistemic"] / found["bayesian"] < 4


@pytest.mark.slow
def test_what_all_members_share_is_not_in_their_disagreement(trained):
    """They have one training set: the mean of five errs by more than a fifth of their variance."""
    for found in trained.values():
        alone = found["epistemic"] / np.sqrt(toy.MEMBERS)
        assert found["error of the ensemble"] > 1.3 * alone
