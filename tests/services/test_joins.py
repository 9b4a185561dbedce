"""The joins that bite: what each does to a galaxy, by our own SQL on a small SDSS data base.

Three good galaxies; something happens to the one in the middle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from skyserver_database import SkyServerDatabase, tables_of
from skyserver_replies import FIRST_OBJID, FIRST_SPECOBJID, served_rows

from mgsflow.config import Catalogue, Selection
from mgsflow.core.ledger import read_account
from mgsflow.core.tables import read_table
from mgsflow.sample.select import select
from mgsflow.sky.query import query, whole_query
from mgsflow.sky.reply import parse_reply, specobjids

OBJID = [FIRST_OBJID + i for i in range(3)]
SPECOBJID = [FIRST_SPECOBJID + 1024 * i for i in range(3)]
MIDDLE = OBJID[1]
BOSS = 4000 << 50  # a specobjid begins with its plate's number
EBOSS = 9000 << 50  # beyond int64
NEIGHBOUR = FIRST_OBJID + 100
GALSPEC = ("galSpecInfo", "galSpecExtra", "galSpecLine")

Tables = dict[str, pd.DataFrame]


def good_tables() -> Tables:
    rows = served_rows(3).assign(ra=[183.7, 183.8, 183.9], dec=[0.1, 0.2, 0.3])
    return tables_of(rows.assign(fiber_ra=rows["ra"], fiber_dec=rows["dec"]))


def put(tables: Tables, table: str, **values: object) -> None:
    """Change values of the galaxy in the middle."""
    for name, value in values.items():
        tables[table].loc[1, name] = value


def add_spectrum(
    tables: Tables, specobjid: int, *, galspec: bool = False, **values: object
) -> None:
    """A second spectrum of the galaxy in the middle, otherwise as its first."""
    for name in ("SpecObjAll", *(GALSPEC if galspec else ())):
        second = tables[name].iloc[[1]].assign(specobjid=specobjid)
        second = second.assign(**(values if name == "SpecObjAll" else {}))
        both = pd.concat([tables[name], second], ignore_index=True)
        ids = [*tables[name]["specobjid"].tolist(), specobjid]
        tables[name] = both.assign(specobjid=np.array(ids, dtype=np.uint64))


def add_object(tables: Tables, arcsec: float, **values: object) -> None:
    """An object north of the galaxy in the middle."""
    other = tables["PhotoObjAll"].iloc[[1]].assign(objid=NEIGHBOUR, **values)
    other["dec"] += arcsec / 3600
    tables["PhotoObjAll"] = pd.concat([tables["PhotoObjAll"], other], ignore_index=True)


def replies(database: SkyServerDatabase, selection: Selection, size: int) -> list[str]:
    """The chunks of a query, each asked for after the last specobjid of the one before."""
    chunks, after = [], 0
    while ids := specobjids(text := database.answer(query(selection, size, after)), "reply"):
        chunks.append(text)
        after = ids[-1]
    return chunks


def sample(folder, tables: Tables, size: int = 2, **settings):
    """selected.parquet, the reasons by objid, and how many rows came, of a query in chunks."""
    selection = Selection(**({"sample_size": None} | settings))
    reply = folder / f"reply-{len(list(folder.iterdir()))}"
    reply.mkdir()
    for number, text in enumerate(replies(SkyServerDatabase(tables), selection, size)):
        (reply / f"chunk-{number:04d}.csv").write_text(text)
    select(
        reply=reply, sky="sdss", catalogue=Catalogue(), selection=selection, seed=1,
        out=folder / "selected.parquet", dropped=folder / "dropped.parquet",
    )  # fmt: skip
    entries, totals = read_account(folder / "dropped.parquet")
    table = read_table(folder / "selected.parquet")
    assert totals["came"] == totals["kept"] + len(entries) and totals["kept"] == len(table)
    return table, list(zip(entries["objid"], entries["reason"], strict=True)), totals["came"]


@dataclass
class Case:
    """What happens to the galaxy; how many rows come, and why it leaves (None: it never came).

    `off` are the settings that let it stay, if there are any.
    """

    change: Callable[[Tables], None]
    came: int
    reason: str | None
    off: dict = field(default_factory=dict)


def without_galspec(tables: Tables) -> None:
    for name in GALSPEC:
        tables[name] = tables[name].drop(index=1)


def matched_by_flux(tables: Tables) -> None:
    """Release 8's bestObjID: a brighter object 10 arcsec away."""
    add_object(tables, 10.0, petroMag_r=15.0)
    put(tables, "SpecObjAll", bestObjID=NEIGHBOUR)


CASES = {
    "a spectrum without MPA-JHU measurements": Case(without_galspec, 2, None, {"reliable": False}),
    "no object under the fibre": Case(lambda t: put(t, "SpecObjAll", bestObjID=0), 2, None),
    "an object that is a secondary detection": Case(
        lambda t: put(t, "PhotoObjAll", mode=2), 2, None
    ),
    "an objid that is not in the data base": Case(
        lambda t: put(t, "SpecObjAll", bestObjID=NEIGHBOUR), 2, None
    ),
    "unreliable measurements": Case(
        lambda t: put(t, "galSpecInfo", reliable=0),
        3,
        "galSpec is not reliable",
        {"reliable": False},
    ),
    "not the legacy primary": Case(
        lambda t: put(t, "SpecObjAll", legacyPrimary=0), 2, None, {"legacy_primary": False}
    ),
    "another target's bit": Case(
        lambda t: put(t, "SpecObjAll", legacy_target1=32), 2, None, {"target_bits": []}
    ),
    "an object matched by flux, 10 arcsec away": Case(
        matched_by_flux,
        3,
        "farther than 3 arcsec from the spectrum's fibre, or without position",
        {"match_radius": None},
    ),
    "an object 4 arcsec west of the fibre": Case(
        lambda t: put(t, "SpecObjAll", ra=183.8 + 4 / 3600),
        3,
        "farther than 3 arcsec from the spectrum's fibre, or without position",
        {"match_radius": None},
    ),
    "a quasar": Case(
        lambda t: put(t, "SpecObjAll", **{"class": "QSO"}),
        3,
        "class is not GALAXY",
        {"spectral_class": None},
    ),
    "a redshift with a warning": Case(
        lambda t: put(t, "SpecObjAll", zWarning=4),
        3,
        "zWarning is not 0",
        {"good_redshift": False},
    ),
    "bad photometry": Case(
        lambda t: put(t, "PhotoObjAll", clean=0),
        3,
        "photometry is not clean",
        {"clean_photometry": False},
    ),
    "a redshift of -9999": Case(lambda t: put(t, "SpecObjAll", z=-9999.0), 2, None),
    "a redshift beyond the limit": Case(
        lambda t: put(t, "SpecObjAll", z=0.31), 2, None, {"redshift_max": 0.32}
    ),
    "a magnitude of -9999": Case(
        lambda t: put(t, "PhotoObjAll", petroMag_r=-9999.0),
        3,
        "Petrosian r is missing",
        {"petro_mag_r_max": None, "surface_brightness_max": None},
    ),
    "a radius of -1000": Case(
        lambda t: put(t, "PhotoObjAll", petroR50_r=-1000.0),
        3,
        "surface brightness in r is fainter than 24.5 or missing",
        {"surface_brightness_max": None},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_galaxy_leaves_as_the_settings_say(tmp_path, name):
    case = CASES[name]
    tables = good_tables()
    case.change(tables)
    table, reasons, came = sample(tmp_path, tables)
    assert table["objid"].tolist() == [OBJID[0], OBJID[2]]
    assert came == case.came
    assert [reason for _, reason in reasons] == ([case.reason] if case.reason else [])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.off])
def test_the_galaxy_stays_where_the_setting_is_off(tmp_path, name):
    case = CASES[name]
    tables = good_tables()
    case.change(tables)
    table, reasons, came = sample(tmp_path, tables, **case.off)
    assert came == len(table) == 3 and not reasons
    assert len({MIDDLE, NEIGHBOUR} & set(table["objid"])) == 1


def test_a_later_spectrum_by_boss_takes_nothing_away(tmp_path):
    """It holds sciencePrimary; the legacy spectrum holds the measurements."""
    tables = good_tables()
    put(tables, "SpecObjAll", sciencePrimary=0)
    add_spectrum(tables, BOSS, sciencePrimary=1, legacyPrimary=0, legacy_target1=0, z=0.12)
    table, reasons, came = sample(tmp_path, tables)
    assert came == 3 and not reasons
    assert table["objid"].tolist() == OBJID and table.loc[1, "redshift"] == 0.1
    everything = {"legacy_primary": False, "target_bits": [], "reliable": False}
    table, reasons, came = sample(tmp_path, tables, **everything)
    assert came == 4 and reasons == [(MIDDLE, "another row has the same objid")]
    assert table.loc[1, "redshift"] == 0.1 and table["log_stellar_mass"].notna().all()


def test_two_spectra_of_one_object_are_one_galaxy(tmp_path):
    tables = good_tables()
    add_spectrum(tables, SPECOBJID[0] - 1024, galspec=True, z=0.11)
    table, reasons, came = sample(tmp_path, tables)
    assert came == 4 and reasons == [(MIDDLE, "another row has the same objid")]
    assert table["redshift"].tolist() == [0.1, 0.11, 0.1]


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_plates_beyond_int64_neither_break_the_query_nor_the_file(tmp_path, size):
    tables = good_tables()
    add_spectrum(tables, EBOSS, legacyPrimary=0, legacy_target1=0)
    add_spectrum(tables, EBOSS + 1024, legacyPrimary=0, legacy_target1=0, bestObjID=NEIGHBOUR)
    add_object(tables, 1.0)
    table, reasons, came = sample(tmp_path, tables, size)
    assert came == 3 and not reasons and table["objid"].tolist() == OBJID
    everything = {"legacy_primary": False, "target_bits": [], "reliable": False}
    table, reasons, came = sample(tmp_path, tables, size, **everything)
    assert came == 5 and reasons == [(MIDDLE, "another row has the same objid")]
    assert table["objid"].tolist() == [*OBJID, NEIGHBOUR]
    assert table["log_stellar_mass"].isna().tolist() == [False, False, False, True]


def test_matches_by_flux_and_by_position_give_the_same_galaxies(tmp_path):
    """What the match by flux adds is cut; what it takes away is one galaxy and never another."""
    by_flux, by_position = good_tables(), good_tables()
    for tables in (by_flux, by_position):
        add_object(tables, 10.0, petroMag_r=15.0)
    put(by_flux, "SpecObjAll", bestObjID=NEIGHBOUR)
    there, _, _ = sample(tmp_path, by_position)
    here, _, _ = sample(tmp_path, by_flux)
    assert there["objid"].tolist() == OBJID
    expected = there[there["objid"] != MIDDLE].reset_index(drop=True)
    pd.testing.assert_frame_equal(here, expected)


def test_missing_values_arrive_as_missing_and_drop_nothing(tmp_path):
    tables = good_tables()
    put(tables, "galSpecExtra", oh_p50=-9999.0, sfr_tot_p50=-9999.0)
    put(tables, "galSpecLine", h_beta_flux=-9999.0)
    put(tables, "PhotoObjAll", modelMag_u=-1000.0, modelMag_z=-9999.0)
    put(tables, "galSpecInfo", v_disp=np.nan)
    table, reasons, _ = sample(tmp_path, tables)
    assert not reasons
    for name in ("metallicity", "log_sfr", "flux_h_beta", "mag_u", "mag_z", "velocity_dispersion"):
        assert table[name].isna().tolist() == [False, True, False], name
    assert table["log_stellar_mass"].notna().all()


def test_identifiers_keep_their_19_digits():
    tables = good_tables()
    table = parse_reply(SkyServerDatabase(tables).answer(whole_query(Selection())), "reply")
    assert sorted(table["objid"]) == OBJID and sorted(table["specobjid"]) == SPECOBJID
    assert all(len(str(objid)) == 19 for objid in OBJID)
    assert len({float(objid) for objid in OBJID}) == 1  # a float would have made them one


def test_the_whole_query_gives_the_rows_of_the_chunks(tmp_path):
    """What `mgsflow sql` prints, and what SkyServer is asked for, are one sample."""
    tables = good_tables()
    tables["SpecObjAll"].loc[1, "zWarning"] = 4
    whole = tmp_path / "result.csv"
    whole.write_text(SkyServerDatabase(tables).answer(whole_query(Selection())))
    chunks, reasons, _ = sample(tmp_path, tables, size=1)
    select(
        reply=whole, sky="sdss", catalogue=Catalogue(), selection=Selection(sample_size=None),
        seed=1, out=tmp_path / "whole.parquet", dropped=tmp_path / "dropped.parquet",
    )  # fmt: skip
    pd.testing.assert_frame_equal(read_table(tmp_path / "whole.parquet"), chunks)
    assert read_account(tmp_path / "dropped.parquet")[0]["reason"].tolist() == [reasons[0][1]]
