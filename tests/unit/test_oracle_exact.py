"""The exact posteriors are calibrated on galaxies of the sky, and would not be if they were wrong.

By simulation-based calibration (Talts et al. 2018): the rank of what was measured of a galaxy in
its own posterior is uniform.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from mgsflow.config import Oracle, Selection, Simulated, Targets
from mgsflow.core.ledger import Ledger
from mgsflow.core.quantities import BANDS
from mgsflow.evaluation.oracle.density import rank
from mgsflow.evaluation.oracle.exact import Exact
from mgsflow.evaluation.oracle.observe import on_atom
from mgsflow.evaluation.oracle.sampling import exact_posteriors, stream
from mgsflow.sample.cuts import cuts_of
from mgsflow.sample.splits import required_targets
from mgsflow.sample.targets import derive_targets
from mgsflow.sky.reply import parse_reply
from mgsflow.sky.simulated.serve import make_objects, make_reply, write_reply

pytestmark = pytest.mark.slow

SIMULATED = Simulated(galaxies=900, galaxies_per_field=1, contaminants=0, stamps=False)
SELECTION, TARGETS = Selection(sample_size=None), Targets()
CORE = ["log_stellar_mass", "log_sfr", "redshift", "log_black_hole_mass"]
DRAWS = Oracle(draws=2_000_000, kept=500)
LEAST = 60  # effective sample of the galaxies that are ranked


@pytest.fixture(scope="module")
def galaxies(tmp_path_factory):
    """What the survey measured of the sky's galaxies, as the stages pass it on."""
    path = tmp_path_factory.mktemp("sky") / "reply.csv"
    write_reply(path, make_reply(make_objects(SIMULATED, 21), SIMULATED, 21))
    table = parse_reply(path.read_text(), "reply")
    for cut in cuts_of(SELECTION):
        table = table[cut.passes(table)]
    table = table.reset_index(drop=True)
    measured = derive_targets(table, TARGETS, Ledger("test", len(table), quiet=True))
    for band in BANDS:
        measured[f"mag_{band}"] = table[f"mag_{band}"] - table[f"extinction_{band}"]
    complete = measured[required_targets(TARGETS)].notna().all(axis=1)
    return measured[complete].reset_index(drop=True)


def magnitudes(galaxies):
    return galaxies[[f"mag_{band}" for band in BANDS]].to_numpy()


def posteriors(data, draws=DRAWS, workers=2):
    whole = stream(data, draws, SIMULATED, 3, workers)
    return list(exact_posteriors(whole, SIMULATED, SELECTION, TARGETS, 3))


@pytest.fixture(scope="module")
def exact(galaxies):
    return posteriors(magnitudes(galaxies))


def ranks(exact, galaxies, target):
    random = np.random.default_rng(1)
    found = [
        rank(*one.sample(target), truth, random.uniform())
        for one, truth in zip(exact, galaxies[target], strict=True)
        if one is not None and one.effective > LEAST and np.isfinite(truth)
    ]
    assert len(found) > 100
    return np.array(found)


@pytest.mark.parametrize("target", [*TARGETS.properties, *TARGETS.lines])
def test_ranks_are_uniform(exact, galaxies, target):
    assert kstest(ranks(exact, galaxies, target), "uniform").pvalue > 1e-3


def test_ranks_of_a_wrong_likelihood_are_not(galaxies):
    """Data that are 0.03 mag too red, which no noise explains, are noticed."""
    data = magnitudes(galaxies) + np.array([0.06, 0.03, 0.0, -0.03, -0.06])
    wrong = posteriors(data)
    assert kstest(ranks(wrong, galaxies, "redshift"), "uniform").pvalue < 1e-3


def test_measurability_is_calibrated(exact, galaxies):
    good = [i for i, one in enumerate(exact) if one is not None and one.effective > LEAST]
    predicted = np.array([exact[i].measurable for i in good])
    known = galaxies["metallicity"].notna().to_numpy()[good]
    error = np.sqrt((predicted * (1 - predicted)).sum()) / len(good)
    assert abs(predicted.mean() - known.mean()) < 4 * error
    assert predicted[known].mean() > predicted[~known].mean() + 0.2


def test_densities_agree_with_the_draws(exact, galaxies):
    """Of the draws' own Gaussians or by a kernel: the mean log-density is that of a histogram."""
    good = [i for i, one in enumerate(exact) if one is not None and one.effective > 150]
    assert len(good) > 50
    for target, step in [("log_stellar_mass", 0.15), ("log_sfr", 0.3), ("redshift", 0.02)]:
        ratios = []
        for i in good:
            truth = float(galaxies[target][i])
            values, weights = exact[i].sample(target)
            share = weights[np.abs(values - truth) < step / 2].sum()
            grid = np.linspace(truth - step / 2, truth + step / 2, 9)
            density = [exact[i].log_density(pd.Series({target: x}), [target]) for x in grid]
            ratios.append((np.exp(density).mean() * step) - share)
        assert abs(np.mean(ratios)) < 0.02


def test_a_mass_density_is_in_the_unit_of_the_mass(exact, galaxies):
    """That of the black hole's mass comes from the dispersion's noise: it integrates to one."""
    i = next(i for i, one in enumerate(exact) if one is not None and one.effective > 150)
    grid = np.linspace(-2, 11.85, 4000)
    densities = [
        np.exp(exact[i].log_density(pd.Series({"log_black_hole_mass": x}), ["log_black_hole_mass"]))
        for x in grid
    ]
    # fits at the cap of 850 km/s have no density: what is left of 1 is theirs
    values, weights = exact[i].sample("log_black_hole_mass")
    capped = weights[on_atom("log_black_hole_mass", values, TARGETS)].sum()
    assert np.sum(densities) * (grid[1] - grid[0]) == pytest.approx(1, abs=0.02)
    assert capped < 0.05


def test_more_draws_make_no_other_posterior(exact, galaxies):
    """Halves of one posterior agree within their error."""
    halves = [
        [
            np.average(
                *[part.sample("redshift")[k] for k in (0,)], weights=part.sample("redshift")[1]
            )
            for part in (one.half(0), one.half(1))
        ]
        for one in exact
        if one is not None and one.effective > 150
    ]
    a, b = np.array(halves).T
    assert np.std(a - b) < 0.35 * np.std(a)


def test_processes_change_nothing(galaxies):
    data = magnitudes(galaxies)[:20]
    few = Oracle(draws=800_000, kept=200)
    one, two = posteriors(data, few, 1), posteriors(data, few, 2)
    for a, b in zip(one, two, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert np.array_equal(a.weights, b.weights)
            pd.testing.assert_frame_equal(a.observed.values, b.observed.values)


def test_a_galaxy_of_no_known_kind_has_no_posterior(galaxies):
    """A star's colours, or a magnitude that nothing has: none of the draws comes near."""
    strange = magnitudes(galaxies)[:2].copy()
    strange[0, 0] -= 3.0
    [blue, plain] = posteriors(strange, Oracle(draws=400_000, kept=200), 1)
    assert blue is None or blue.effective < 5
    assert isinstance(plain, Exact)
