"""The features are the flows' galaxies, each once, joined by objid; nothing is lost in silence."""

import numpy as np
import pandas as pd
import pytest
from synthetic_features import FIRST_OBJID, PHOTOMETRY, make_features

from mgsflow.config.models import Flows
from mgsflow.config.sample import Photometry, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.quantities import QUANTITIES, Quantity
from mgsflow.core.tables import read_quantities, read_table, write_table
from mgsflow.training.features import features

TARGETS = Targets()
GOALS = [*TARGETS.properties, *TARGETS.lines]


@pytest.fixture
def sky(tmp_path):
    """The files that the stage reads, their rows in different orders, with VAE galaxies besides."""
    table = make_features(60)
    rest = table.filter(like="colour_").add_prefix("rest_") - table[["redshift"]].to_numpy()
    photometry = pd.concat([table.filter(regex="objid|mag_|^colour_"), rest], axis=1)
    vae = pd.DataFrame({"objid": FIRST_OBJID + 1000 + np.arange(5), "set": "vae_train"})
    latents = pd.DataFrame({"objid": [*table["objid"], *vae["objid"]]})
    for name in ("mean_00", "mean_01", "std_00", "std_01"):
        latents[f"latent_{name}"] = np.random.default_rng(1).random(len(latents))
    parts = {
        "splits": pd.concat([vae, table[["objid", "set"]]]),
        "targets_table": table[["objid", *GOALS]].iloc[::-1],
        "photometry_table": photometry.sample(frac=1, random_state=3),
        "latents": latents.sample(frac=1, random_state=4),
    }
    return {
        name: _written(tmp_path / f"{name}.parquet", part) for name, part in parts.items()
    }, table


def _written(path, table):
    write_table(path, table.reset_index(drop=True))
    return path


def run(files, tmp_path, **changes):
    settings = {"targets": TARGETS, "photometry": PHOTOMETRY, "flows": Flows()} | changes
    features(**files, **settings, out=tmp_path / "features.parquet")
    return read_table(tmp_path / "features.parquet")


def edit(files, name, change):
    table = read_table(files[name])
    write_table(files[name], change(table).reset_index(drop=True))


def test_rows_are_joined_by_objid_whatever_their_order(sky, tmp_path):
    files, table = sky
    joined = run(files, tmp_path)
    assert joined["objid"].dtype == np.int64 and list(joined["objid"]) == list(table["objid"])
    assert set(joined["set"]) == {"train", "validation", "test"}
    for name in ("mag_u", "colour_g_r", *GOALS):
        np.testing.assert_array_equal(joined[name], table[name])
    latents = read_table(files["latents"]).set_index("objid")
    np.testing.assert_array_equal(
        joined["latent_std_01"], latents.loc[joined["objid"], "latent_std_01"]
    )


def test_latents_keep_the_words_of_their_encoder(sky, tmp_path):
    files, _ = sky
    own = [Quantity("latent_std_01", "", "Width of the second number")]
    write_table(files["latents"], read_table(files["latents"]), own)
    run(files, tmp_path)
    described = {q.name: q.description for q in read_quantities(tmp_path / "features.parquet")}
    assert described["latent_std_01"] == "Width of the second number"
    assert (
        "latent_std_00" not in described and described["mag_g"] == QUANTITIES["mag_g"].description
    )


def test_columns_are_what_the_variants_need_and_no_more(sky, tmp_path):
    files, _ = sky
    joined = run(files, tmp_path, flows=Flows(variants=["photometry-observed"]))
    assert not [name for name in joined if "rest" in name or "latent" in name]
    assert list(joined.columns[-len(GOALS) :]) == GOALS


def test_without_stamps_there_are_no_latents(sky, tmp_path):
    files, _ = sky
    del files["latents"]
    joined = run(files, tmp_path, flows=Flows(variants=["photometry-rest_frame"]))
    assert "rest_colour_i_z" in joined and not [name for name in joined if "latent" in name]
    with pytest.raises(UserError, match="latent_mean_00"):
        run(files, tmp_path)


def test_targets_and_bands_that_are_left_out(sky, tmp_path):
    files, _ = sky
    targets = Targets(properties=["redshift"], lines=[])
    flows = Flows(variants=["photometry-observed"])
    joined = run(files, tmp_path, targets=targets, flows=flows, photometry=Photometry(bands=["r"]))
    assert list(joined.columns) == ["objid", "set", "mag_r", "redshift"]


def test_only_metallicity_may_be_missing(sky, tmp_path):
    files, table = sky
    assert run(files, tmp_path)["metallicity"].isna().sum() == table["metallicity"].isna().sum() > 0
    edit(files, "targets_table", lambda t: t.assign(log_sfr=t["log_sfr"].mask(t.index < 3)))
    with pytest.raises(UserError, match=r"3 of 60 galaxies.*log_sfr"):
        run(files, tmp_path)


@pytest.mark.parametrize("name", ["splits", "targets_table", "photometry_table", "latents"])
def test_an_objid_that_is_there_twice_is_refused(sky, tmp_path, name):
    files, _ = sky
    edit(files, name, lambda t: pd.concat([t, t.iloc[[7]]]))
    with pytest.raises(UserError, match="more than once"):
        run(files, tmp_path)


@pytest.mark.parametrize("name", ["targets_table", "photometry_table", "latents"])
def test_a_galaxy_that_a_table_lacks_is_named(sky, tmp_path, name):
    files, _ = sky
    edit(files, name, lambda t: t[t["objid"] != FIRST_OBJID + 11])
    with pytest.raises(UserError, match=f"1 of the flows' 60 galaxies.*{FIRST_OBJID + 11}"):
        run(files, tmp_path)


def test_objid_as_a_float_is_refused(sky, tmp_path):
    files, _ = sky
    edit(files, "photometry_table", lambda t: t.assign(objid=t["objid"].astype(float)))
    with pytest.raises(UserError, match="expected int64"):
        run(files, tmp_path)


def test_an_empty_set_is_refused(sky, tmp_path):
    files, _ = sky
    edit(files, "splits", lambda t: t[t["set"] != "validation"])
    with pytest.raises(UserError, match="validation"):
        run(files, tmp_path)
