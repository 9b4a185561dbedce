"""One entry in the vocabulary, one in a survey's record: what a user adds reaches every table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from mgsflow.core.quantities import (
    LINES,
    METALLICITY,
    PROPERTIES,
    QUANTITIES,
    READABLE,
    Role,
    in_table_order,
    label,
    math_name,
    short_name,
    symbol,
)
from mgsflow.core.tables import read_table, write_table
from mgsflow.report.table1 import table1
from mgsflow.report.writing import read_shown

SOURCE = Path(__file__).resolve().parents[2] / "src/mgsflow"
PROPERTY = r"""
    Quantity(
        "log_age",
        "dex(yr)",
        "Mean stellar age",
        Role.CORE,
        symbol=r"$\log\,t_\star$",
        unit_symbol=r"\mathrm{yr}",
        short="log age",
        plausible=(6.0, 10.5),
    ),
"""
BAND = 'Passband("y", 9633.0),\n'


def insert(path: Path, before: str, text: str) -> None:
    source = path.read_text()
    assert source.count(before) == 1, f"{path}: {before!r} is not there, or there twice"
    path.write_text(source.replace(before, text + before))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The outputs of own_catalogue_run.py with the package as a user would have changed it."""
    folder = tmp_path_factory.mktemp("own")
    package = folder / "src/mgsflow"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    insert(package / "core/quantities.py", "    Quantity(\n        METALLICITY,", PROPERTY)
    insert(package / "core/surveys.py", "    ),\n    pixel_scale=0.396,", BAND)
    out, script = folder / "out", Path(__file__).with_name("own_catalogue_run.py")
    out.mkdir()
    paths = os.pathsep.join([str(package.parent), str(script.parent)])
    done = subprocess.run(
        [sys.executable, str(script), str(out)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out


def test_a_property_of_ones_own_is_read_in_our_unit_with_its_error(run):
    source, selected = (
        pd.read_parquet(run / "catalogue.parquet"),
        read_table(run / "selected.parquet"),
    )
    assert (10 ** selected["log_age"] / 1e9).to_numpy() == pytest.approx(source["age"].to_numpy())
    assert selected["log_age_err"].to_numpy() == pytest.approx(0.0434, abs=1e-4)  # of 10%, dex
    metadata = pq.read_schema(run / "selected.parquet").field("log_age").metadata
    assert metadata == {b"unit": b"dex(yr)", b"description": b"Mean stellar age"}
    implausible = selected["log_age"] < 6
    assert implausible.sum() == 1
    assert (read_table(run / "targets.parquet")["log_age"].isna() == implausible).all()


def test_a_property_of_ones_own_reaches_models_draws_and_catalogue(run):
    model = json.loads((run / "property/photometry-observed/model.json").read_text())
    assert model["targets"] == ["redshift", "log_stellar_mass", "log_age"]
    assert model["units"]["log_age"] == "dex(yr)"
    catalogue = Table.read(run / "posteriors.fits")
    assert {"log_age_mean", "log_age_q50"} <= set(catalogue.colnames)


def test_every_table_shows_a_property_of_ones_own(run):
    first = read_shown(run / "table1.json").set_index("Method")
    assert list(first.columns) == ["z", "log M⋆", "log age"]
    published = first.index.str.contains("published")
    assert (first.loc[published, "log age"] == "–").all()
    ours = first.loc[~published & ~first.index.str.startswith("Ceiling"), "log age"]
    assert len(ours) == 3 and (ours != "–").all()
    second = read_shown(run / "table2.json")
    assert list(second.columns[2:]) == ["log M⋆", "z", "log age"]  # the paper's order first
    assert (
        second["log age"].tolist()[:2] == ["–", "–"] and "–" not in second["log age"].tolist()[2:]
    )
    assert "log age" in set(read_shown(run / "scores.json")["Quantity"])
    judged = read_shown(run / "calibration.json")["Quantity"].tolist()
    assert judged == ["z", "log M⋆", "log age", "Core properties, jointly"]
    assert "log age" in (run / "table1.tex").read_text()


def test_every_figure_shows_a_property_of_ones_own(run):
    texts = json.loads((run / "texts.json").read_text())
    assert texts["ranks"].count("log age") == 2  # of the ranks, and of the coverage
    assert r"True $\log\,t_\star\ [\mathrm{yr}]$" in texts["figure2"]


def test_a_band_of_ones_own_becomes_magnitudes_and_colours(run):
    table = read_table(run / "features.parquet")
    inputs = [*(f"mag_{band}" for band in "ugrizy"), "colour_i_z", "colour_z_y"]
    assert set(inputs) <= set(table.columns)
    assert table["colour_z_y"].to_numpy() == pytest.approx(
        (table["mag_z"] - table["mag_y"]).to_numpy()
    )
    metadata = pq.read_schema(run / "photometry.parquet").field("colour_z_y").metadata
    assert metadata == {b"unit": b"mag", b"description": b"Observed colour z - y"}


def test_no_module_minds_a_new_entry_and_defaults_stay(run):
    facts = json.loads((run / "facts.json").read_text())
    assert facts["modules"] > 150
    assert facts["default"] == list(PROPERTIES), "a new property is inferred where it is named"
    assert facts["plausible"]["log_age"] == [6.0, 10.5]


def test_what_the_vocabulary_does_not_know_is_shown_by_its_name(tmp_path):
    rows = {"method": ["photometry-observed"] * 2, "target": ["unheard_of", "redshift"], "n": 5}
    parts = [f"{part}{end}" for part in ("r2", "r2_mean_head") for end in ("", "_low", "_high")]
    scores = pd.DataFrame(rows).assign(**dict.fromkeys(parts, 0.5), r2_gain=np.nan)
    scores = scores.assign(r2_gain_low=np.nan, r2_gain_high=np.nan)
    write_table(tmp_path / "scores.parquet", scores)
    table1(scores=tmp_path / "scores.parquet", out=tmp_path / "table1.csv")
    assert list(read_shown(tmp_path / "table1.json").columns) == ["Method", "z", "unheard_of"]


def test_targets_stand_in_the_order_of_tables_and_none_is_left_out():
    given = [*reversed(LINES), "unheard_of", METALLICITY, "log_sfr", "redshift", "log_sfr"]
    assert in_table_order(given) == ["redshift", "log_sfr", METALLICITY, *LINES, "unheard_of"]


def test_a_quantity_is_named_in_one_place_for_tables_figures_and_axes():
    assert label("log_sfr") == r"$\log\,\mathrm{SFR}\ [\mathrm{M}_\odot\,\mathrm{yr}^{-1}]$"
    assert label("redshift") == "Redshift $z$" and symbol("redshift") == "$z$"
    assert symbol("log_sfr") == r"$\log\,\mathrm{SFR}$"
    assert (
        label("log1p_h_beta") == r"$\ln(1+F)$, H$\beta$" and symbol("log1p_h_beta") == r"H$\beta$"
    )
    assert short_name("log_black_hole_mass") == "log M_BH"
    assert math_name("log_black_hole_mass") == r"log $M_\mathrm{BH}$"
    assert math_name("log1p_h_beta") == "Hβ"
    for name in ("unheard_of", "plate"):
        assert {label(name), symbol(name), short_name(name), math_name(name)} == {name}


@pytest.mark.parametrize("name", [*PROPERTIES, *LINES])
def test_a_target_has_all_that_tables_and_figures_need(name):
    quantity = QUANTITIES[name]
    assert quantity.short and quantity.symbol and quantity.description
    assert all(source in READABLE for source in quantity.derived_from)


def test_errors_are_of_what_is_measured():
    errors = {q.name: q.error_of for q in QUANTITIES.values() if q.role == Role.ERROR}
    assert errors["log_sfr_err"] == "log_sfr" and errors["mag_err_u"] == "mag_u"
    assert set(errors.values()) <= set(READABLE)
    assert QUANTITIES["log_sfr_err"].unit == QUANTITIES["metallicity_err"].unit == "dex"
    assert QUANTITIES["flux_h_beta_err"].unit == QUANTITIES["flux_h_beta"].unit
    assert "log_black_hole_mass_err" not in QUANTITIES, "it follows from the dispersion's"
