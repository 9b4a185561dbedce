"""The simulated catalogue: a reply as SkyServer's, over a population with SDSS's trends."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgsflow.config import Simulated
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_notes, read_table
from mgsflow.sky.fields import frame_path, shard_of_fields
from mgsflow.sky.simulated.contaminants import KINDS
from mgsflow.sky.simulated.placement import field_wcs, object_identifiers, spectrum_identifiers
from mgsflow.sky.simulated.simulate_catalogue import REPLY_COLUMNS, make_reply, simulate_catalogue

REAL = Path(os.environ.get("MGSFLOW_REAL_DATA", "../shared/real"))
REAL_GALAXIES = REAL / "skyserver_dr14_ugriz_redshift.csv"
SETTINGS = Simulated(galaxies=1000, galaxies_per_field=75)


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sky")
    simulate_catalogue(
        out=folder / "reply", truth=folder / "truth.parquet", simulated=SETTINGS, seed=3
    )
    return folder


@pytest.fixture(scope="module")
def reply(sky):
    return pd.read_csv(sky / "reply" / "chunk-0000.csv", skiprows=1)


@pytest.fixture(scope="module")
def truth(sky):
    return read_table(sky / "truth.parquet")


@pytest.fixture(scope="module")
def good(reply, truth):
    """Rows of good galaxies, with their truth."""
    galaxies = truth[truth["kind"] == "galaxy"]
    rows = reply.drop_duplicates("objid", keep="first")
    return galaxies.merge(rows, on="objid", suffixes=("_true", ""))


def test_reply_is_skyservers(sky, reply):
    text = (sky / "reply" / "chunk-0000.csv").read_text().splitlines()
    assert text[0] == "#Table1"
    assert text[1].split(",") == list(REPLY_COLUMNS)
    assert len(set(REPLY_COLUMNS)) == 56
    assert reply["objid"].dtype == reply["specobjid"].dtype == np.int64
    assert reply["specobjid"].is_unique
    assert not reply.isna().any().any()  # missing is -9999


def test_identifiers_are_sdss(reply):
    rebuilt = object_identifiers(
        reply["run"], reply["camcol"], reply["field"], reply["objid"] & 0xFFFF
    )
    assert (rebuilt == reply["objid"]).all()
    # a real object: run 1904, camcol 3, field 163, object 125
    assert object_identifiers(1904, 3, 163, 125) == 1237653651835781245
    plate = spectrum_identifiers(1281) >> 50
    assert plate.tolist() == [266] * 640 + [267] * 640 + [268]


def test_reply_obeys_the_limits(good):
    corrected = good["petroMag_r"] - good["extinction_r_true"]
    assert (corrected <= SETTINGS.petro_mag_r_max + 1e-6).all()
    assert corrected.median() > 16.5  # a flux limit makes a faint majority
    assert good["redshift"].between(SETTINGS.redshift_min, SETTINGS.redshift_max).all()
    assert len(good) == SETTINGS.galaxies


def test_contaminants_are_all_there(reply, truth):
    fraction = 1 - SETTINGS.galaxies / len(reply)
    assert fraction == pytest.approx(SETTINGS.contaminants, abs=0.002)
    assert set(truth["kind"]) == set(KINDS) - {"duplicate"} | {"galaxy"}
    assert truth["objid"].is_unique
    repeated = reply["objid"].duplicated(keep=False)
    assert repeated.sum() == 2 * (len(reply) - len(truth)) > 0
    assert set(reply["class"]) == {"GALAXY", "STAR", "QSO"}
    assert (reply["zWarning"] != 0).any() and (reply["reliable"] == 0).any()
    assert (reply["petroMag_r"] - reply["extinction_r"] > SETTINGS.petro_mag_r_max).any()
    assert (reply["h_alpha_flux"] > 1e5).any()
    assert (reply["modelMag_u"] == -9999).any()
    assert ((reply["v_disp"] == 850) | (reply["v_disp"] == 0)).any()


def test_far_galaxies_are_massive(good):
    assert good["redshift"].corr(good["log_stellar_mass"], method="spearman") > 0.6


def test_colours_are_bimodal(good):
    """A red sequence and a blue cloud, with a valley between them (Strateva et al. 2001)."""
    near = good[good["redshift"] < 0.12]
    colour = near["mag_g"] - near["mag_r"]
    quenched = near["quenched"].astype(bool)
    assert colour[quenched].median() - colour[~quenched].median() > 0.2
    assert colour[quenched].std() < 0.7 * colour[~quenched].std()


def test_colours_of_far_quenched_galaxies_redden(good):
    quenched = good[good["quenched"].astype(bool) & (good["log_stellar_mass"] > 10.5)]
    colour = quenched["mag_g"] - quenched["mag_r"]
    near, far = colour[quenched["redshift"] < 0.06], colour[quenched["redshift"] > 0.14]
    assert far.median() - near.median() > 0.15


@pytest.mark.skipif(not REAL_GALAXIES.exists(), reason="no SkyServer export in MGSFLOW_REAL_DATA")
@pytest.mark.parametrize(
    ("blue", "red", "tolerance"),
    [("u", "g", 0.25), *zip("gri", "riz", [0.15, 0.06, 0.06], strict=True)],
)
def test_median_colours_are_sdss(good, blue, red, tolerance):
    """Within a small sky's sampling noise; both reddened, both cut at the export's u < 19.6."""
    real = pd.read_csv(REAL_GALAXIES)
    real = real[
        (real["class"] == "GALAXY") & real["redshift"].between(0.04, 0.12) & (real["r"] < 17.9)
    ]
    ours = good[(good["modelMag_u"] < 19.6) & good["redshift"].between(0.04, 0.12)]
    colour = ours[f"modelMag_{blue}"] - ours[f"modelMag_{red}"]
    assert colour.median() == pytest.approx((real[blue] - real[red]).median(), abs=tolerance)


def test_metallicity_only_where_the_lines_are_star_forming(good):
    has = good["oh_p50"] > -9999
    assert 0.1 < has.mean() < 0.6
    assert (good["bptclass"][has] == 1).all() and (good["bptclass"][~has] != 1).all()
    for line in ("h_alpha", "h_beta", "nii_6584", "oiii_5007"):
        assert (good[f"{line}_flux"] > 3 * good[f"{line}_flux_err"])[has].all()
    assert good["oh_p50"][has].between(7.5, 9.5).all()
    assert good["oh_p50"][has].corr(good["log_stellar_mass"][has]) > 0.6


def test_percentiles_are_as_wide_as_the_medians_scatter(good):
    for served, true in (("lgm_tot", "log_stellar_mass"), ("sfr_tot", "log_sfr")):
        low, median, high = (good[f"{served}_p{percent}"] for percent in (16, 50, 84))
        pull = (median - good[true]) / ((high - low) / 2)
        assert pull.std() == pytest.approx(1.0, abs=0.1)
    assert (good["oh_p16"] > -9999).equals(good["oh_p50"] > -9999)


def test_measurements_scatter_about_the_truth(good):
    assert (good["lgm_tot_p50"] - good["log_stellar_mass"]).std() == pytest.approx(0.10, abs=0.01)
    pull = (good["h_alpha_flux"] - good["true_flux_h_alpha"]) / good["h_alpha_flux_err"]
    assert pull.std() == pytest.approx(1.0, abs=0.1)
    fitted = good[
        (good["v_disp"] > 0) & (good["v_disp"] < 850) & (good["velocity_dispersion"] > 60)
    ]
    pull = (fitted["v_disp"] - fitted["velocity_dispersion"]) / fitted["v_disp_err"]
    assert pull.std() == pytest.approx(1.0, abs=0.1)


def test_photometry_is_reddened_and_noisy(good):
    for band in "ugriz":
        offset = good[f"modelMag_{band}"] - good[f"mag_{band}"] - good[f"extinction_{band}"]
        assert abs(offset.median()) < 0.01
        assert offset.std() < 0.5
    ratio = good["extinction_u"] / good["extinction_r"]
    assert ratio.to_numpy() == pytest.approx(5.155 / 2.751, rel=1e-6)
    errors = [good[f"modelMagErr_{band}"].median() for band in "ugriz"]
    assert errors[0] > 5 * errors[2] and errors[4] > errors[2]


def test_positions_agree_with_fields(truth):
    """Most stamps of 160 pixels lie in their frame, a few cross its edge; fields are distinct."""
    inside = truth["x"].between(80, 1968) & truth["y"].between(80, 1409)
    assert 0.9 < inside.mean() < 1.0
    for _, rows in truth.groupby(["run", "camcol", "field"]):
        pixels = field_wcs(rows.iloc[0], "r").wcs_world2pix(rows[["ra", "dec"]].to_numpy(), 1)
        assert pixels == pytest.approx(rows[["x", "y"]].to_numpy(), abs=1e-3)


def test_a_seed_gives_the_same_bytes(sky, tmp_path):
    again = Simulated(galaxies=200)
    for name in "ab":
        simulate_catalogue(
            out=tmp_path / name, truth=tmp_path / f"{name}.parquet", simulated=again, seed=5
        )
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    first, second = (tmp_path / name / "chunk-0000.csv" for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert read_notes(tmp_path / "a.parquet")["seed"] == 5


def test_another_seed_gives_another_sky(truth):
    first = make_reply(truth, SETTINGS, 3)
    second = make_reply(truth, SETTINGS, 4)
    assert not np.array_equal(first["modelMag_r"], second["modelMag_r"])


def test_a_limit_that_leaves_no_galaxy_is_refused(tmp_path):
    hopeless = Simulated(galaxies=10, petro_mag_r_max=5.0)
    with pytest.raises(UserError, match="petro_mag_r_max"):
        simulate_catalogue(out=tmp_path / "r", truth=tmp_path / "t", simulated=hopeless, seed=1)
    assert not list(tmp_path.iterdir())


def test_shards_hold_whole_fields_in_order():
    table = pd.DataFrame({"run": [2, 1, 1, 2, 1, 1], "camcol": 1, "field": [5, 9, 7, 5, 8, 9]})
    shard = shard_of_fields(table, 2)
    assert shard.tolist() == [1, 1, 0, 1, 0, 1]
    reversed_rows = shard_of_fields(table.iloc[::-1], 2)
    assert reversed_rows.sort_index().tolist() == shard.tolist()
    counts = table.assign(shard=shard_of_fields(table, 3)).drop_duplicates().groupby("shard").size()
    assert counts.max() - counts.min() <= 1
    with pytest.raises(UserError, match="field"):
        shard_of_fields(table.drop(columns="field"), 2)


def test_frame_path_is_sas():
    path = frame_path("x", 1000, 1, 100, "r")
    assert path.as_posix() == "x/301/1000/1/frame-r-001000-1-0100.fits.bz2"
