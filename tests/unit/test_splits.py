"""The division into sets: disjoint, by the galaxy alone, and nobody lost in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mgsflow.config import Photometry, Splits, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import read_account
from mgsflow.core.tables import read_table, write_table
from mgsflow.sample.sky_blocks import sky_blocks
from mgsflow.sample.splits import splits

FIRST = 1237648674532688079
TWO = Targets(properties=["log_sfr", "metallicity"], lines=["log1p_h_alpha"])
BANDS = Photometry(bands=["g", "r"])
NO_BANDS = Photometry(bands=[])
SETS = {"vae_train", "vae_validation", "train", "validation", "test"}


def tables(n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Targets and photometry of `n` galaxies without a gap."""
    objid = pd.DataFrame({"objid": FIRST + np.arange(n, dtype=np.int64)})
    magnitudes = {"mag_g": 17.0, "mag_r": 16.0, "colour_g_r": 1.0}
    return objid.assign(log_sfr=0.0, metallicity=8.8, log1p_h_alpha=3.0), objid.assign(**magnitudes)


def run(
    folder: Path,
    galaxies: pd.DataFrame,
    magnitudes: pd.DataFrame | None = None,
    stamps: np.ndarray | None = None,
    targets: Targets = TWO,
    photometry: Photometry = BANDS,
    seed: int = 1,
    places: pd.DataFrame | None = None,
    **shares: float | str,
):
    folder.mkdir(exist_ok=True)
    write_table(folder / "targets.parquet", galaxies)
    if magnitudes is not None:
        write_table(folder / "photometry.parquet", magnitudes)
    if places is not None:
        write_table(folder / "selected.parquet", places)
    if stamps is not None:
        write_table(folder / "index.parquet", pd.DataFrame({"objid": stamps, "shard": 0}))
    splits(
        targets_table=folder / "targets.parquet",
        photometry_table=None if magnitudes is None else folder / "photometry.parquet",
        index=None if stamps is None else folder / "index.parquet",
        selected=None if places is None else folder / "selected.parquet",
        targets=targets,
        photometry=photometry,
        splits=Splits(**shares),
        seed=seed,
        out=folder / "splits.parquet",
        dropped=folder / "dropped.parquet",
    )
    sets = read_table(folder / "splits.parquet")
    return sets.set_index("objid")["set"], *read_account(folder / "dropped.parquet")


def test_the_sets_have_their_shares_and_share_no_galaxy(tmp_path):
    galaxies, magnitudes = tables(20_000)
    sets, _, totals = run(tmp_path, galaxies, magnitudes, galaxies["objid"].to_numpy())
    assert sets.index.is_unique and len(sets) == totals["kept"] == 20_000
    expected = {
        "vae_train": 0.36, "vae_validation": 0.04, "train": 0.42, "validation": 0.09, "test": 0.09
    }  # fmt: skip
    shares = sets.value_counts(normalize=True)
    for name, share in expected.items():
        assert abs(shares[name] - share) < 4 * np.sqrt(share * (1 - share) / 20_000), name


def test_where_a_galaxy_goes_depends_on_it_and_the_seed_alone(tmp_path):
    galaxies, magnitudes = tables(2000)
    stamps = galaxies["objid"].to_numpy()
    sets, _, _ = run(tmp_path / "a", galaxies, magnitudes, stamps)
    fewer, _, _ = run(tmp_path / "b", galaxies[::-3], magnitudes[::-3], stamps[::-3])
    other, _, _ = run(tmp_path / "c", galaxies, magnitudes, stamps, seed=2)
    assert (sets[fewer.index] == fewer).all()
    assert (sets != other).mean() > 0.4


def test_the_two_hashes_are_independent(tmp_path):
    """A bias of one division on the other would give the test set other galaxies."""
    galaxies, magnitudes = tables(20_000)
    with_vae, _, _ = run(tmp_path / "a", galaxies, magnitudes, galaxies["objid"].to_numpy())
    without, _, _ = run(tmp_path / "b", galaxies, magnitudes)
    flows = with_vae[~with_vae.str.startswith("vae")]
    assert (without[flows.index] == flows).all()
    vae = without[with_vae.index[with_vae.str.startswith("vae")]]
    assert abs((vae == "test").mean() - 0.15) < 0.02


def test_without_stamps_there_is_no_vae(tmp_path):
    sets, _, _ = run(tmp_path, *tables(300))
    assert set(sets) == {"train", "validation", "test"}


def test_a_galaxy_of_the_vae_needs_a_stamp_only(tmp_path):
    galaxies, magnitudes = tables(1000)
    stamps = galaxies["objid"].to_numpy()[::2]
    galaxies.loc[galaxies.index % 4 == 0, "log_sfr"] = np.nan
    sets, entries, totals = run(tmp_path, galaxies, magnitudes, stamps)
    assert totals["came"] == 500 and set(sets.index) <= set(stamps)
    incomplete = sets[sets.index.isin(galaxies.loc[galaxies["log_sfr"].isna(), "objid"])]
    assert len(incomplete) > 50 and incomplete.str.startswith("vae").all()
    assert set(entries["reason"]) == {"log_sfr is missing"}
    assert totals["kept"] + len(entries) == 500


@pytest.mark.parametrize(
    ("table", "column", "reason"),
    [
        ("targets", "log_sfr", "log_sfr is missing"),
        ("targets", "log1p_h_alpha", "log1p_h_alpha is missing"),
        ("photometry", "mag_g", "mag_g is missing"),
        ("photometry", "rest_colour_g_r", "rest_colour_g_r is missing"),
        ("targets", "metallicity", None),
    ],
)
def test_the_flows_need_everything_but_metallicity(tmp_path, table, column, reason):
    galaxies, magnitudes = tables(200)
    magnitudes["rest_colour_g_r"] = 0.8
    (galaxies if table == "targets" else magnitudes).loc[[3, 5], column] = np.nan
    sets, entries, _ = run(tmp_path, galaxies, magnitudes)
    assert entries["reason"].tolist() == ([reason] * 2 if reason else [])
    assert entries["objid"].tolist() == ([FIRST + 3, FIRST + 5] if reason else [])
    assert len(sets) == 200 - len(entries)


def test_metallicity_alone_must_be_there(tmp_path):
    galaxies, _ = tables(200)
    galaxies.loc[7, "metallicity"] = np.nan
    alone = Targets(properties=["metallicity"], lines=[])
    _, entries, _ = run(tmp_path, galaxies, targets=alone, photometry=NO_BANDS)
    assert entries["reason"].tolist() == ["metallicity is missing"]


@pytest.mark.parametrize(
    ("n", "shares", "words"),
    [
        (12, {}, "gets . of 12 galaxies, fewer than"),
        (2000, {"train": 0.849, "validation": 0.1509}, "the set `test` gets 1 of 2000"),
        (400, {"vae": 0.001}, "the set `vae_train`"),
    ],
)
def test_sets_that_are_too_small_are_refused(tmp_path, n, shares, words):
    galaxies, magnitudes = tables(n)
    stamps = galaxies["objid"].to_numpy() if "vae" in shares else None
    with pytest.raises(UserError, match=words):
        run(tmp_path, galaxies, magnitudes, stamps, **shares)
    assert not (tmp_path / "splits.parquet").exists()


def test_a_sample_of_which_nothing_is_complete_is_an_error(tmp_path):
    galaxies, magnitudes = tables(50)
    with pytest.raises(UserError, match=r"no galaxy is left of 50.*log_sfr is missing"):
        run(tmp_path, galaxies.assign(log_sfr=np.nan), magnitudes)


def test_stamps_of_another_selection_are_refused(tmp_path):
    galaxies, magnitudes = tables(300)
    with pytest.raises(UserError, match=r"not selected.*earlier selection"):
        run(tmp_path, galaxies, magnitudes, galaxies["objid"].to_numpy() + 5)


def test_photometry_that_is_asked_for_must_be_there(tmp_path):
    galaxies, magnitudes = tables(300)
    with pytest.raises(UserError, match="--photometry-table"):
        run(tmp_path, galaxies)
    with pytest.raises(UserError, match="no column mag_r"):
        run(tmp_path, galaxies, magnitudes.drop(columns="mag_r"))


def sky(n: int, seed: int = 0) -> pd.DataFrame:
    """Positions all over the sphere."""
    random = np.random.default_rng(seed)
    dec = np.degrees(np.arcsin(random.uniform(-1, 1, n)))
    objid = FIRST + np.arange(n, dtype=np.int64)
    return pd.DataFrame({"objid": objid, "ra": random.uniform(0, 360, n), "dec": dec})


def test_by_sky_all_galaxies_of_a_block_are_in_one_set(tmp_path):
    galaxies, magnitudes = tables(20_000)
    places = sky(20_000)
    stamps = galaxies["objid"].to_numpy()
    sets, _, _ = run(tmp_path, galaxies, magnitudes, stamps, places=places, by="sky", block=5.0)
    block = sky_blocks(places["ra"].to_numpy(), places["dec"].to_numpy(), 5.0)
    assert len(np.unique(block)) > 1000
    assert (sets.loc[places["objid"]].groupby(block).nunique() == 1).all()
    shares = sets.value_counts(normalize=True)
    # of some 1650 blocks, not of 20,000 galaxies
    for name, share in {"vae_train": 0.36, "train": 0.42, "test": 0.09}.items():
        assert abs(shares[name] - share) < 4 * np.sqrt(share * (1 - share) / 1500), name


def test_blocks_have_nearly_equal_areas_and_the_side_asked_for():
    places = sky(400_000)
    block = sky_blocks(places["ra"].to_numpy(), places["dec"].to_numpy(), 6.0)
    members = places.groupby(block)
    assert members.ngroups == pytest.approx(41253 / 36, rel=0.02)
    inner = members.filter(lambda part: abs(part["dec"].mean()) < 80)
    counts = inner.groupby(block[inner.index]).size()
    assert counts.std() < 0.12 * counts.mean()  # of which 0.05 is Poisson's
    height = members["dec"].agg(np.ptp)
    assert height.max() <= 6.0
    across = inner.groupby(block[inner.index])["ra"].agg(np.ptp)
    across *= np.cos(np.radians(inner.groupby(block[inner.index])["dec"].mean()))
    assert across.between(3.5, 7.5).mean() > 0.99


def test_blocks_hold_the_poles_and_the_zero_of_right_ascension():
    ra, dec = np.array([0.0, 360.0, 359.999, 10.0, 200.0]), np.array([0.1, 0.1, 0.1, 90, 90])
    block = sky_blocks(ra, dec, 4.0)
    assert block[0] == block[1] != block[2]
    around = np.linspace(0, 360, 36, endpoint=False)
    south, north = (sky_blocks(around, np.full(36, pole), 4.0) for pole in (-90.0, 90.0))
    near = sky_blocks(around, np.full(36, -89.99), 4.0)
    assert (south == near).all()  # the pole lies in the cap's blocks, at each right ascension
    assert not set(south) & set(north)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (None, "--selected: splits.by is `sky`"),
        (sky(300).drop(columns="dec"), "the catalogue has no dec.*splits.by to `galaxy`"),
        (sky(300).assign(ra=np.nan), "300 galaxies have no position"),
        (sky(200), "are missing"),
        (sky(300).assign(ra=1.0, dec=1.0), "gets 0 of 300.*or smaller blocks"),
    ],
)
def test_a_split_by_sky_that_cannot_be_is_refused(tmp_path, places, words):
    with pytest.raises(UserError, match=words):
        run(tmp_path, *tables(300), places=places, by="sky")
