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
from mgsflow.core.surveys import SDSS
from mgsflow.evaluation.oracle.density import rank
from mgsflow.evaluation.oracle.observe import on_atom
from mgsflow.evaluation.oracle.posterior import Exact
from mgsflow.evaluation.oracle.sampling import exact_posteriors, stream
from mgsflow.sample.black_hole import log_black_hole_mass
from mgsflow.sample.cuts import cuts_of
from mgsflow.sample.splits import required_targets
from mgsflow.sample.targets import derive_targets
from mgsflow.sky.reply import parse_reply
from mgsflow.sky.simulated.simulate_catalogue import make_objects, make_reply, write_reply

pytestmark = pytest.mark.slow

SIMULATED = Simulated(galaxies=600, galaxies_per_field=1, contaminants=0, stamps=False)
SELECTION, TARGETS = Selection(sample_size=None), Targets()
CORE = ["log_stellar_mass", "log_sfr", "redshift", "log_black_hole_mass"]
DRAWS = Oracle(draws=2_000_000, kept=500, effective_min=60)
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
    for band in SDSS.bands:
        measured[f"mag_{band}"] = table[f"mag_{band}"] - table[f"extinction_{band}"]
    complete = measured[required_targets(TARGETS)].notna().all(axis=1)
    return measured[complete].reset_index(drop=True)


def magnitudes(galaxies):
    return galaxies[[f"mag_{band}" for band in SDSS.bands]].to_numpy()


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
    """Data that are off by colour, which no noise explains, are noticed."""
    few = galaxies.iloc[:300].reset_index(drop=True)
    wrong = posteriors(magnitudes(few) + np.array([0.06, 0.03, 0.0, -0.03, -0.06]))
    assert kstest(ranks(wrong, few, "redshift"), "uniform").pvalue < 1e-3


def test_measurability_is_calibrated(exact, galaxies):
    good = [i for i, one in enumerate(exact) if one is not None and one.effective > LEAST]
    predicted = np.array([exact[i].measurable for i in good])
    known = galaxies["metallicity"].notna().to_numpy()[good]
    error = np.sqrt((predicted * (1 - predicted)).sum()) / len(good)
    assert abs(predicted.mean() - known.mean()) < 4 * error
    assert predicted[known].mean() > predicted[~known].mean() + 0.2


def best(exact, count=8, measurable=False):
    """Numbers of the galaxies with the largest effective samples."""
    sizes = [
        -1 if one is None or (measurable and one.measurable < 0.5) else one.effective
        for one in exact
    ]
    return np.argsort(sizes)[::-1][:count]


@pytest.mark.parametrize(
    "target", ["log_stellar_mass", "log_sfr", "log_black_hole_mass", "metallicity", "redshift"]
)
def test_densities_are_those_of_the_draws(exact, target):
    """They integrate to one, but for what has no density, with the draws' mean and width."""
    for i in best(exact, measurable=target == "metallicity"):
        one = exact[i].given_metallicity() if target == "metallicity" else exact[i]
        values, weights = one.sample(target)
        plain = ~on_atom(target, values, TARGETS)
        total, values = weights[plain].sum(), values[plain]
        weights = weights[plain] / total
        mean = np.sum(weights * values)
        sigma = np.sqrt(np.sum(weights * (values - mean) ** 2))
        grid = np.linspace(mean - 9 * sigma, mean + 9 * sigma, 700)
        grid = grid[~on_atom(target, grid, TARGETS)]
        density = [np.exp(one.log_density(pd.Series({target: x}), [target])) for x in grid]
        step = grid[1] - grid[0]
        # the capped fits are among the draws, but their true dispersions have a density as well
        assert np.sum(density) * step == pytest.approx(1, abs=0.01)
        assert total > 0.95
        found = np.average(grid, weights=density)
        width = np.sqrt(np.average((grid - found) ** 2, weights=density))
        error = sigma / np.sqrt(one.effective)
        assert abs(found - mean) < 4 * error
        assert width == pytest.approx(sigma, rel=0.02 + 4 / np.sqrt(2 * one.effective))


def test_joint_densities_of_two_streams_agree(galaxies, exact):
    """Draws that know nothing of each other give the same density within their own estimate."""
    data = magnitudes(galaxies)
    chosen = best(exact, 60)
    whole = stream(data[chosen], DRAWS, SIMULATED, 4, 2)
    others = list(exact_posteriors(whole, SIMULATED, SELECTION, TARGETS, 4))
    truths = [galaxies.iloc[i] for i in chosen]
    core = [not on_atom("log_black_hole_mass", t["log_black_hole_mass"], TARGETS) for t in truths]
    pairs = [
        (exact[i].log_density(truth, CORE), other.log_density(truth, CORE))
        for i, truth, other, good in zip(chosen, truths, others, core, strict=True)
        if good
    ]
    difference = np.diff(np.array(pairs), axis=1)
    assert len(difference) > 50
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))
    assert np.abs(difference).max() < 5 and np.median(np.abs(difference)) < 0.3


def test_cuts_of_the_dispersion_cut_the_density(galaxies, exact):
    """A fit outside of 70 to 420 km/s leaves the sample: the density is all within."""
    trusted = Targets(
        black_hole={"velocity_dispersion_min": 70.0, "velocity_dispersion_max": 420.0}
    )
    [i] = best(exact, 1)
    whole = stream(magnitudes(galaxies)[[i]], DRAWS, SIMULATED, 3, 1)
    [one] = exact_posteriors(whole, SIMULATED, SELECTION, trusted, 3)
    assert not on_atom("log_black_hole_mass", one.sample("log_black_hole_mass")[0], trusted).any()
    low, high = log_black_hole_mass(np.array([70.0, 420.0]), trusted.black_hole.relation)
    grid = np.linspace(low, high, 2000)
    name = ["log_black_hole_mass"]
    density = [np.exp(one.log_density(pd.Series({name[0]: x}), name)) for x in grid]
    assert np.sum(density) * (grid[1] - grid[0]) == pytest.approx(1, abs=0.01)


def test_a_metallicity_of_the_lines_is_smoothed_by_a_kernel(galaxies, exact):
    """Its noise is that of four lines: the catalogue's Gaussian is none of it."""
    derived = Targets(metallicity="O3N2")
    chosen = best(exact, 5, measurable=True)
    whole = stream(magnitudes(galaxies)[chosen], DRAWS, SIMULATED, 3, 1)
    for one in exact_posteriors(whole, SIMULATED, SELECTION, derived, 3):
        given = one.given_metallicity()
        values, weights = given.sample("metallicity")
        mean = np.sum(weights * values)
        grid = np.linspace(mean - 1, mean + 1, 800)
        density = [
            np.exp(given.log_density(pd.Series({"metallicity": x}), ["metallicity"])) for x in grid
        ]
        assert np.sum(density) * (grid[1] - grid[0]) == pytest.approx(1, abs=0.01)
        assert np.average(grid, weights=density) == pytest.approx(mean, abs=0.01)


def test_processes_change_nothing(galaxies):
    data = magnitudes(galaxies)[:20]
    few = Oracle(draws=800_000, kept=200, effective_min=60)
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
    [blue, plain] = posteriors(strange, Oracle(draws=400_000, kept=200, effective_min=60), 1)
    assert blue is None or blue.effective < 5
    assert isinstance(plain, Exact)
