"""The comparison tells what a flow's posterior is off by, on a toy whose answers are known."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from synthetic_features import COMPUTE, PHOTOMETRY, make_features, train

from mgsflow.config import Oracle, Selection, Simulated, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_notes, read_table, write_table
from mgsflow.evaluation.oracle.compare import FAINTEST, JOINT, Flow, compare
from mgsflow.evaluation.oracle.observe import Kernel, Observed
from mgsflow.evaluation.oracle.oracle import oracle
from mgsflow.evaluation.oracle.posterior import Exact
from mgsflow.report.figure_contours import figure_contours
from mgsflow.report.table_oracle import table_oracle
from mgsflow.report.writing import read_shown

TARGETS = Targets(properties=["log_stellar_mass", "log_sfr", "redshift"], lines=["log1p_h_alpha"])
NAMES = [*TARGETS.properties, *TARGETS.lines]
GALAXIES, DRAWS = 300, 1500
WIDTH = np.array([0.2, 0.4, 0.02, 0.5])  # of the posteriors
NOISE = np.array([0.1, 0.2, 0.0, 0.0])  # part of it that is the measurement's
CENTRE = np.array([10.5, 0.3, 0.1, 4.0])


def posteriors(wider: float = 1.0, shift: float = 0.0):
    """Truths, exact posteriors and flows that are `wider` and off by `shift` widths."""
    random = np.random.default_rng(3)
    for number in range(GALAXIES):
        centre = CENTRE + WIDTH * random.normal(0, 3, 4)
        truth = pd.Series(centre + WIDTH * random.normal(0, 1, 4), NAMES)
        true = centre + np.sqrt(WIDTH**2 - NOISE**2) * random.normal(0, 1, (DRAWS, 4))
        weights = random.uniform(0.5, 1.5, DRAWS)
        kernels = {
            name: Kernel(true[:, i], np.full(DRAWS, NOISE[i]), np.ones(DRAWS))
            for i, name in enumerate(NAMES[:2])
        }
        values = pd.DataFrame(true + NOISE * random.normal(0, 1, (DRAWS, 4)), columns=NAMES)
        exact = Exact(Observed(np.arange(DRAWS), values, kernels), weights / weights.sum(), TARGETS)
        mean, sigma = centre + shift * WIDTH, wider * WIDTH
        draws = mean + sigma * random.normal(0, 1, (4000, 4))
        log_core = norm(mean[:3], sigma[:3]).logpdf(truth.to_numpy()[:3]).sum()
        yield number, truth, exact, Flow(NAMES, draws, log_core)


def table_of(tmp_path: Path, **off: float) -> pd.DataFrame:
    random = np.random.default_rng(4)
    rows = [row for each in posteriors(**off) for row in compare(*each, random)]
    write_table(tmp_path / "oracle.parquet", pd.DataFrame(rows), notes={"refused": 2})
    table_oracle(oracle=tmp_path / "oracle.parquet", seed=1, out=tmp_path / "oracle.csv")
    return pd.read_csv(tmp_path / "oracle.csv").set_index("target")


@pytest.mark.slow
def test_the_exact_posterior_itself_loses_nothing(tmp_path):
    table = table_of(tmp_path)
    assert list(table.index) == ["redshift", "log_stellar_mass", "log_sfr", "log1p_h_alpha", JOINT]
    assert (table["refused"] == 2).all()
    each = table.drop(index=JOINT)
    assert each["bias"].to_numpy() == pytest.approx(0, abs=0.02)
    assert each["width_ratio"].to_numpy() == pytest.approx(1, abs=0.02)
    for whose in ("exact", "flow"):
        assert each[f"{whose}_coverage_68"].to_numpy() == pytest.approx(0.68, abs=0.09)
        assert each[f"{whose}_coverage_95"].to_numpy() == pytest.approx(0.95, abs=0.04)
    assert (table["gap"] - table["gap_bias"]).to_numpy() == pytest.approx(0, abs=0.012)
    # the joint density of three needs a kernel in one alone
    assert abs(table.loc[JOINT, "gap_bias"]) < 0.05


@pytest.mark.slow
def test_a_flow_that_is_too_wide_is_told_by_how_much(tmp_path):
    table = table_of(tmp_path, wider=1.4)
    loss = np.log(1.4) + (1 / 1.4**2 - 1) / 2  # KL divergence of two centred Gaussians
    each = table.drop(index=JOINT)
    assert each["width_ratio"].to_numpy() == pytest.approx(1.4, abs=0.03)
    assert each["gap"].to_numpy() == pytest.approx(loss, abs=0.05)
    assert table.loc[JOINT, "gap"] == pytest.approx(3 * loss, abs=0.12)
    assert (each["flow_coverage_68"] > 0.78).all()


@pytest.mark.slow
def test_a_flow_that_is_off_is_told_by_how_much(tmp_path):
    table = table_of(tmp_path, shift=0.5)
    each = table.drop(index=JOINT)
    assert each["bias"].to_numpy() == pytest.approx(0.5, abs=0.03)
    assert each["gap"].to_numpy() == pytest.approx(0.125, abs=0.08)
    assert (each["gap"] > 0.05).all()


def test_a_flux_too_faint_for_a_line_is_scored_by_its_probability():
    number, truth, exact, flow = next(posteriors())
    values = exact.observed.values.assign(log1p_h_alpha=FAINTEST / 2)
    values.loc[: DRAWS // 2 - 1, "log1p_h_alpha"] = 2.0
    exact = Exact(
        Observed(np.arange(DRAWS), values, exact.observed.kernels),
        np.full(DRAWS, 1 / DRAWS),
        TARGETS,
    )
    draws = flow.draws.copy()
    draws[:, 3] = np.where(np.arange(len(draws)) < 0.25 * len(draws), -0.1, 2.0)
    faint = truth.copy()
    faint["log1p_h_alpha"] = 0.0
    rows = compare(number, faint, exact, Flow(NAMES, draws, 0.0), np.random.default_rng(0))
    row = next(row for row in rows if row["target"] == "log1p_h_alpha")
    assert row["exact_log_density"] == pytest.approx(np.log(0.5))
    assert row["flow_log_density"] == pytest.approx(np.log(0.25))
    assert 0 <= row["exact_pit"] <= 0.5 and 0 <= row["flow_pit"] <= 0.25


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    table, targets = make_features(), Targets()
    flows = {f"{flow}_model": train(folder, table, flow, targets) for flow in ("property", "line")}
    return folder / "features.parquet", flows


def run(
    models,
    tmp_path,
    targets: Targets = Targets(),  # noqa: B008
    selection: Selection = Selection(sample_size=None),  # noqa: B008
    **settings,
):
    features, flows = models
    few = {"galaxies": 10, "draws": 400_000, "kept": 100, "effective_min": 10.0}
    oracle(
        features=features,
        **flows,
        oracle=Oracle(**{**few, "posterior_draws": 100, **settings}),
        simulated=Simulated(),
        selection=selection,
        targets=targets,
        photometry=PHOTOMETRY,
        compute=COMPUTE,
        seed=1,
        out=tmp_path / "oracle.parquet",
        examples=tmp_path / "examples.h5",
    )


@pytest.mark.slow
def test_galaxies_of_another_sky_are_refused_in_words(models, tmp_path):
    """The toy's magnitudes are none of the simulated sky's: nothing of the prior comes near."""
    with pytest.raises(UserError, match="Raise oracle.draws"):
        run(models, tmp_path)


def test_settings_that_cannot_be_are_refused_in_words(models, tmp_path):
    with pytest.raises(UserError, match=r"oracle\.galaxies is 0"):
        run(models, tmp_path, galaxies=0)
    with pytest.raises(UserError, match="The settings name|the settings name"):
        run(models, tmp_path, targets=Targets(lines=[]))
    with pytest.raises(UserError, match="fainter than the sky's limit"):
        run(models, tmp_path, selection=Selection(petro_mag_r_max=None))
    with pytest.raises(ValueError, match="keep at least twice effective_min"):
        Oracle(kept=500)


def test_another_variant_is_refused_in_words(models, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "mgsflow.posterior.posterior.Posterior.variant", "images_photometry-observed"
    )
    with pytest.raises(UserError, match="photometry alone"):
        run(models, tmp_path)


@pytest.mark.slow
def test_the_stage_writes_what_table_and_figure_read(models, tmp_path, monkeypatch):
    """With the toy's exact posteriors in place of the sky's; whose targets are all nine."""
    names = [*Targets().properties, *Targets().lines]
    random = np.random.default_rng(5)

    def exact_of(rows: int) -> Exact:
        values = pd.DataFrame(random.normal(0, 1, (rows, len(names))), columns=names)
        return Exact(Observed(np.arange(rows), values, {}), np.full(rows, 1 / rows), Targets())

    sizes = [400] * 8 + [5, 0]
    monkeypatch.setattr(
        "mgsflow.evaluation.oracle.oracle.exact_posteriors",
        lambda *_: [exact_of(size) if size else None for size in sizes],
    )
    run(models, tmp_path)
    table = read_table(tmp_path / "oracle.parquet")
    assert read_notes(tmp_path / "oracle.parquet")["refused"] == 2
    assert table["objid"].nunique() == 8 and table["objid"].dtype == np.int64
    assert set(table["target"]) == {*names, JOINT}
    with h5py.File(tmp_path / "examples.h5") as file:
        assert list(file) == ["0", "1", "2"]
        assert file["0"]["exact"].shape == (4000, 9) and file["0"]["flow"].shape == (100, 9)
    table_oracle(oracle=tmp_path / "oracle.parquet", seed=1, out=tmp_path / "oracle.csv")
    assert len(read_shown(tmp_path / "oracle.json")) == 10
    assert "Galaxies (2 refused)" in read_shown(tmp_path / "oracle.json").columns
    for name in ("a", "b"):
        figure_contours(examples=tmp_path / "examples.h5", out=tmp_path / f"{name}.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
