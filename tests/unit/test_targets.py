"""Black-hole masses, metallicities and lines: the published relations, and what is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mgsflow.config import Targets
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import read_account
from mgsflow.core.quantities import LINE_FLUXES
from mgsflow.core.tables import read_table, write_table
from mgsflow.sample.black_hole import RELATIONS, log_black_hole_mass
from mgsflow.sample.metallicity import is_star_forming, metallicity_from_lines
from mgsflow.sample.targets import targets


def galaxies(n: int = 4, **columns) -> pd.DataFrame:
    """Star-forming galaxies: log [N II]/Ha = -0.5, log [O III]/Hb = 0.0, so that O3N2 = 0.5."""
    table = pd.DataFrame({"objid": np.arange(1, n + 1, dtype=np.int64)})
    fluxes = dict(zip(LINE_FLUXES, (100.0, 30.0, 100.0 * 10**-0.5, 30.0), strict=True))
    values = {"log_stellar_mass": 10.0, "log_sfr": 0.0, "redshift": 0.1, "metallicity": 8.8}
    values |= {"velocity_dispersion": 200.0, "velocity_dispersion_err": 5.0}
    values |= fluxes | {f"{name}_err": 1.0 for name in fluxes}
    return table.assign(**(values | columns))


def run(folder, table: pd.DataFrame, **settings):
    write_table(folder / "selected.parquet", table)
    targets(
        selected=folder / "selected.parquet",
        targets=Targets(**settings),
        out=folder / "targets.parquet",
        dropped=folder / "dropped.parquet",
    )
    return read_table(folder / "targets.parquet"), read_account(folder / "dropped.parquet")[1]


# log10(M_BH / Msun) at 200 km/s and at SDSS's cap, as the papers' formulas give them
@pytest.mark.parametrize(
    ("relation", "at_200", "at_cap"),
    [
        ("mcconnell_ma_2013", 8.32, 11.86),
        ("kormendy_ho_2013", 8.491, 11.24),
        ("gultekin_2009", 8.12, 10.78),
    ],
)
def test_the_relations_give_the_published_masses(relation, at_200, at_cap):
    mass = log_black_hole_mass(np.array([200.0, 850.0, 0.0, -5.0, np.nan]), relation)
    np.testing.assert_allclose(mass[:2], [at_200, at_cap], atol=0.006)
    assert np.isnan(mass[2:]).all()


def test_only_the_steep_relation_reaches_the_papers_masses():
    masses = {name: log_black_hole_mass(np.array([850.0]), name)[0] for name in RELATIONS}
    assert masses.pop("mcconnell_ma_2013") > 11.5 > max(masses.values())


def test_measured_black_holes_lie_about_the_relation(real_data):
    table = pd.read_csv(real_data / "mbh_sigma_harris2013.csv")
    table = table[(table["MBH"] > 3) & (table["sig_e"] > 0)]  # 0 stands for no measurement
    implied = log_black_hole_mass(table["sig_e"].to_numpy(), "mcconnell_ma_2013")
    offset = table["MBH"] - implied
    assert len(table) > 40
    assert abs(offset.median()) < 0.15
    assert offset.std() < 0.6


def test_velocity_dispersions_that_cannot_be_trusted_give_no_mass(tmp_path):
    table = galaxies(
        6,
        velocity_dispersion=[200.0, 850.0, 0.0, 60.0, np.nan, 150.0],
        velocity_dispersion_err=[5.0, 5.0, 5.0, 5.0, 5.0, -1.0],
    )
    kept, totals = run(tmp_path, table)
    mass = kept["log_black_hole_mass"]
    assert mass.notna().tolist() == [True, True, False, True, False, False]
    assert mass[1] > 11  # the cap is kept by default, as the paper's remark shows
    strict = {"velocity_dispersion_min": 70.0, "velocity_dispersion_max": 420.0}
    kept, totals = run(tmp_path, table, black_hole=strict)
    assert kept["log_black_hole_mass"].notna().tolist() == [True, *[False] * 5]
    noted = totals["noted"]
    assert noted["velocity dispersion not above 70.0 or above 420.0 km/s, missing"] == 3
    assert noted["velocity dispersion's fit invalid (error negative), missing"] == 1


def test_metallicities_follow_pettini_and_pagel():
    table = galaxies(1)
    o3n2, _ = metallicity_from_lines(table, "O3N2", 3.0)
    n2, _ = metallicity_from_lines(table, "N2", 3.0)
    np.testing.assert_allclose(o3n2, 8.73 - 0.32 * 0.5)
    np.testing.assert_allclose(n2, 8.90 + 0.57 * -0.5)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"flux_h_beta": 2.9}, "weak"),
        ({"flux_nii_6584": 0.0}, "weak"),
        ({"flux_oiii_5007": np.nan}, "weak"),
        ({"flux_h_alpha_err": 34.0}, "weak"),
        ({"flux_oiii_5007": 300.0, "flux_nii_6584": 80.0}, "not star-forming"),
        ({"flux_nii_6584": 120.0}, "not star-forming"),
        ({"flux_oiii_5007": 180.0, "flux_nii_6584": 5.0}, "outside the range of O3N2"),
    ],
)
def test_a_metallicity_needs_strong_lines_of_star_formation_in_range(change, why):
    values, reasons = metallicity_from_lines(galaxies(1, **change), "O3N2", 3.0)
    assert np.isnan(values[0])
    assert {reason: n for reason, n in reasons.items() if n} == {
        next(reason for reason in reasons if why in reason): 1
    }


def test_star_formation_ends_at_kauffmanns_line():
    n2 = np.array([-0.6, -0.6, 0.06, -0.2])
    line = 0.61 / (n2 - 0.05) + 1.3
    o3 = line + np.array([-0.01, 0.01, -50.0, -0.01])  # beyond 0.05 the hyperbola's other branch
    assert is_star_forming(n2, o3).tolist() == [True, False, False, True]


def test_lines_are_log1p_of_what_was_measured_and_changes_are_counted(tmp_path):
    table = galaxies(
        5,
        flux_h_alpha=[100.0, -3.0, 1e10, -5.4e5, 50.0],
        flux_h_alpha_err=[1.0, 1.0, 1.0, 1.0, -1.0],
    )
    kept, totals = run(tmp_path, table)
    np.testing.assert_allclose(
        kept["log1p_h_alpha"], [np.log(101), 0, np.nan, np.nan, np.nan], atol=1e-12
    )
    np.testing.assert_allclose(kept["flux_h_alpha"], [100, 0, np.nan, np.nan, np.nan])
    noted = totals["noted"]
    assert noted["flux_h_alpha negative, set to 0"] == 1
    assert noted["flux_h_alpha beyond 100000, missing"] == 2
    assert noted["flux_h_alpha not measured (error not positive), missing"] == 1
    kept, _ = run(tmp_path, table, negative_flux="missing")
    assert kept["log1p_h_alpha"].notna().tolist() == [True, False, False, False, False]


def test_implausible_values_are_missing_and_counted(tmp_path):
    table = galaxies(3, log_sfr=[0.0, -99.0, np.inf], metallicity=[8.8, 20.0, np.nan])
    kept, totals = run(tmp_path, table)
    assert kept["log_sfr"].notna().tolist() == [True, False, False]
    assert kept["metallicity"].notna().tolist() == [True, False, False]
    assert totals["noted"]["log_sfr outside -6.0 to 4.0, missing"] == 2
    assert totals["noted"]["metallicity outside 6.5 to 10.0, missing"] == 1
    assert totals["kept"] == totals["came"] == 3


def test_only_what_the_settings_name_is_there(tmp_path):
    kept, _ = run(tmp_path, galaxies(), properties=["redshift"], lines=[])
    assert list(kept) == ["objid", "redshift"]


@pytest.mark.parametrize(
    ("absent", "settings", "words"),
    [
        ("log_sfr", {}, "log_sfr is to be inferred, but there is no log_sfr"),
        ("velocity_dispersion", {}, "log_black_hole_mass .* no velocity_dispersion"),
        ("metallicity", {}, "metallicity .* Leave metallicity out"),
        ("flux_nii_6584", {}, "log1p_nii_6584 .* no flux_nii_6584"),
        ("flux_h_beta", {"metallicity": "N2", "lines": []}, "metallicity .* no flux_h_beta"),
        ("flux_h_beta_err", {"metallicity": "O3N2"}, "metallicity .* no flux_h_beta_err"),
    ],
)
def test_a_target_that_the_catalogue_lacks_is_refused(tmp_path, absent, settings, words):
    with pytest.raises(UserError, match=words):
        run(tmp_path, galaxies().drop(columns=absent), **settings)
