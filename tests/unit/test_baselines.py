"""The baselines on toys in which it is known what can be learnt, and from what."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.neural_network import MLPRegressor

from mgsflow.baselines import regressors
from mgsflow.baselines.baselines import baselines
from mgsflow.config import Baselines, Splits, Stamps, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_notes, read_table, write_table
from mgsflow.evaluation.metrics import r2

QUICK = Baselines(mlp_hidden=[32, 32], mlp_epochs=40, boosting_iterations=60, neighbours=8)
TARGETS = Targets(properties=["log_sfr", "redshift", "metallicity"], lines=["log1p_h_alpha"])
NAMES = [*TARGETS.properties, *TARGETS.lines]
OURS = Splits()
PHOTOMETRIC, IMAGE = ("photometry_mlp", "photometry_boosting"), ("image_mlp", "image_knn")


def _sky(n: int = 900, seed: int = 0) -> pd.DataFrame:
    """Redshift and H alpha follow from r, g, z; SFR and metallicity from two latents.

    The six other latents are switched off, as the KL divergence does: noise of tiny variance.
    Half the galaxies of any set have no metallicity.
    """
    random = np.random.default_rng(seed)
    table = pd.DataFrame({"objid": 1237648720000000000 + np.arange(n)})
    table["set"] = np.array(["train", "validation", "test"])[
        np.digitize(np.arange(n) / n, [0.6, 0.8])
    ]
    for band in "ugriz":
        table[f"mag_{band}"] = random.uniform(14, 18, n)
    for blue, red in ("ug", "gr", "ri", "iz"):
        table[f"colour_{blue}_{red}"] = table[f"mag_{blue}"] - table[f"mag_{red}"]
        table[f"rest_colour_{blue}_{red}"] = random.normal(size=n)
    for k in range(8):
        table[f"latent_mean_{k:02d}"] = random.normal(size=n) * (1 if k < 2 else 1e-3)
        table[f"latent_std_{k:02d}"] = 0.1
    colour, first, second = table["mag_g"] - table["mag_r"], *_latents(table)
    table["redshift"] = 0.15 + 0.03 * colour + 0.02 * np.sin(table["mag_z"])
    table["log1p_h_alpha"] = 3 + 0.5 * (table["mag_r"] - 16) ** 2
    table["log_sfr"] = np.sin(2 * first) + 0.5 * second
    table["metallicity"] = np.where(np.arange(n) % 2 > 0, 8.8 + 0.2 * first, np.nan)
    return table


def _latents(table: pd.DataFrame) -> list[pd.Series]:
    return [table["latent_mean_00"], table["latent_mean_01"]]


def _run(
    folder,
    table,
    settings=QUICK,
    targets=TARGETS,
    seed=1,
    splits=OURS,
    places=None,
    provider="frames",
) -> pd.DataFrame:
    write_table(folder / "features.parquet", table)
    places = table[["objid"]] if places is None else places
    write_table(folder / "selected.parquet", places)
    out = folder / "baselines.parquet"
    baselines(
        features=folder / "features.parquet",
        selected=folder / "selected.parquet",
        baselines=settings,
        targets=targets,
        splits=splits,
        stamps=Stamps(provider=provider),
        seed=seed,
        out=out,
    )
    return read_table(out)


def _accuracy(table: pd.DataFrame, result: pd.DataFrame, set: str = "test") -> dict:
    truth = table.set_index("objid")
    return {
        key: r2(truth.loc[part["objid"], key[1]].to_numpy(), part["prediction"].to_numpy())
        for key, part in result[result["set"] == set].groupby(["method", "target"])
    }


@pytest.fixture(scope="module")
def sky() -> pd.DataFrame:
    return _sky()


@pytest.fixture(scope="module")
def result(sky, tmp_path_factory) -> pd.DataFrame:
    return _run(tmp_path_factory.mktemp("baselines"), sky)


def test_every_method_predicts_every_target_of_both_sets_once(sky, result):
    keys = ["method", "set", "target", "objid"]
    assert not result.duplicated(keys).any()
    assert result["prediction"].notna().all()  # metallicity too, of galaxies that have none
    counts = result.groupby(["method", "target"])["set"].value_counts().unstack()
    assert len(counts) == 4 * len(NAMES)
    assert (counts[["validation", "test"]] == [180, 180]).all(axis=None)
    assert set(result["objid"]) == set(sky.loc[sky["set"] != "train", "objid"])


def test_each_method_learns_what_its_inputs_tell_and_nothing_else(sky, result):
    score = _accuracy(sky, result)
    for method in PHOTOMETRIC:
        assert min(score[method, "redshift"], score[method, "log1p_h_alpha"]) > 0.85
        assert max(score[method, "log_sfr"], score[method, "metallicity"]) < 0.1
    for method in IMAGE:
        assert min(score[method, "log_sfr"], score[method, "metallicity"]) > 0.85
        assert max(score[method, "redshift"], score[method, "log1p_h_alpha"]) < 0.1


def test_predictions_are_in_the_targets_units(sky, result):
    for name in NAMES:
        known = sky[name].dropna()
        found = result.loc[result["target"] == name, "prediction"]
        assert known.min() - known.std() < found.median() < known.max() + known.std()


def test_a_seed_repeats_to_the_bit_and_another_gives_another_mlp(sky, result, tmp_path):
    settings = QUICK.model_copy(update={"methods": ["photometry_mlp", "photometry_boosting"]})
    expected = result[result["method"].isin(settings.methods)].reset_index(drop=True)
    pd.testing.assert_frame_equal(_run(tmp_path, sky, settings), expected, check_exact=True)
    other = _run(tmp_path, sky, settings, seed=2)
    mlp = expected["method"] == "photometry_mlp"
    assert (other.loc[mlp, "prediction"] != expected.loc[mlp, "prediction"]).all()


@pytest.mark.parametrize("method", ["photometry_mlp", "photometry_boosting"])
def test_training_stops_by_our_validation_set(sky, tmp_path, method):
    """Where the validation set contradicts the training set, whatever is learnt is a loss."""
    table = sky.copy()
    wrong = table["set"] == "validation"
    table.loc[wrong, "redshift"] = 0.3 - table.loc[wrong, "redshift"]
    targets = Targets(properties=["redshift"], lines=[])
    predicted = _run(tmp_path, table, QUICK.model_copy(update={"methods": [method]}), targets)
    spread = predicted.loc[predicted["set"] == "test", "prediction"].std()
    assert spread < 0.5 * table.loc[table["set"] == "test", "redshift"].std()


def test_test_galaxies_truths_are_never_used(sky, result, tmp_path):
    table = sky.copy()
    table.loc[table["set"] == "test", NAMES] = 99.0
    pd.testing.assert_frame_equal(_run(tmp_path, table), result)


def test_a_galaxy_seen_before_is_its_own_nearest_neighbour_by_far(sky, tmp_path):
    """Of eight neighbours, weighted by inverse distance, the one at no distance decides."""
    table = sky.copy()
    latents = [name for name in table if name.startswith("latent_mean")]
    train, test = (table.index[table["set"] == name] for name in ("train", "test"))
    table.loc[test, latents] = table.loc[train[: len(test)], latents].to_numpy() + 1e-9
    settings = QUICK.model_copy(update={"methods": ["image_knn"]})
    result = _run(tmp_path, table, settings).query("set == 'test' and target == 'log_sfr'")
    expected = table.loc[train[: len(test)], "log_sfr"].to_numpy()
    np.testing.assert_allclose(result["prediction"], expected, rtol=1e-6, atol=1e-6)


def test_methods_without_their_inputs_are_left_out_and_said_so(sky, tmp_path, capsys):
    table = sky[[name for name in sky if not name.startswith("latent") and name != "mag_z"]]
    result = _run(tmp_path, table, provider="none")
    assert set(result["method"]) == {"photometry_boosting"}
    left_out = read_notes(tmp_path / "baselines.parquet")["left_out"]
    sky_split, image = "photometry_boosting_sky", {"image_mlp", "image_knn", "conditional_vae"}
    assert set(left_out) == {"photometry_mlp", *image, sky_split}
    assert left_out["conditional_vae"] == "the run has no stamps"
    assert left_out[sky_split] == "the catalogue has no ra, dec"
    assert left_out["photometry_mlp"] == "the run has no mag_z"
    assert "image_knn is left out" in capsys.readouterr().err
    _run(tmp_path, table, provider="frames")
    assert "conditional_vae" not in read_notes(tmp_path / "baselines.parquet")["left_out"]


def test_images_of_metallicity_alone_and_a_run_without_any_method(sky, tmp_path):
    """As the real JPEG sample is: no photometry, one target, and that one often missing."""
    latents = [name for name in sky if name.startswith("latent")]
    targets = Targets(properties=["metallicity"], lines=[])
    table = sky[["objid", "set", "metallicity", *latents]]
    assert set(_run(tmp_path, table, targets=targets)["method"]) == set(IMAGE)
    none = _run(tmp_path, table.drop(columns=latents), targets=targets)
    assert len(none) == 0
    columns = ["method", "objid", "set", "target", "prediction", "split", "block"]
    assert list(none) == columns


def test_a_target_that_hardly_anybody_has_is_left_out(sky, tmp_path, capsys):
    table = sky.copy()
    table.loc[table.index[5:], "metallicity"] = np.nan
    settings = QUICK.model_copy(update={"methods": ["image_knn"]})
    result = _run(tmp_path, table, settings)
    assert set(result["target"]) == set(NAMES) - {"metallicity"}
    assert "too few galaxies to train on metallicity" in capsys.readouterr().err


def test_features_that_lack_a_set_or_a_target_are_refused(sky, tmp_path):
    with pytest.raises(UserError, match="no galaxy in the set validation"):
        _run(tmp_path, sky[sky["set"] != "validation"])
    with pytest.raises(UserError, match="no column redshift"):
        _run(tmp_path, sky.drop(columns="redshift"))


def test_observed_colours_are_made_where_all_variants_take_rest_frame_ones(sky, result, tmp_path):
    table = sky[[name for name in sky if not name.startswith("colour")]]
    settings = QUICK.model_copy(update={"methods": ["photometry_boosting"]})
    expected = result[result["method"] == "photometry_boosting"].reset_index(drop=True)
    found = _run(tmp_path, table, settings)
    assert found.columns.equals(expected.columns)
    np.testing.assert_array_equal(found["prediction"], expected["prediction"])


BY_SKY = QUICK.model_copy(update={"methods": ["photometry_boosting", "photometry_boosting_sky"]})


def _clustered(seed: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Galaxies of 30 clusters, far from each other, whose redshift their magnitudes betray.

    All of a cluster have its redshift, which follows from nothing; and its own colour, by which a
    method that has seen members of it knows which one it is.
    """
    random = np.random.default_rng(seed)
    table = _sky(1500, seed)
    cluster = np.arange(len(table)) % 30
    table["redshift"] = random.uniform(0.02, 0.3, 30)[cluster]
    table["set"] = random.choice(["train", "validation", "test"], len(table), p=[0.6, 0.2, 0.2])
    table["mag_g"] = table["mag_r"] + 0.05 * cluster + random.normal(0, 0.002, len(table))
    places = table[["objid"]].assign(
        ra=12.0 * cluster + 1.5 + random.uniform(0, 0.1, len(table)),
        dec=random.uniform(0.1, 0.2, len(table)),
    )
    return table, places


def test_a_split_by_sky_does_not_know_clusters_that_a_split_by_galaxy_knows(tmp_path):
    table, places = _clustered()
    targets = Targets(properties=["redshift"], lines=[])
    result = _run(tmp_path, table, BY_SKY, targets, places=places)
    score = _accuracy(table, result)
    assert score["photometry_boosting", "redshift"] > 0.8
    assert score["photometry_boosting_sky", "redshift"] < 0.2


def test_the_split_by_sky_is_that_of_the_splits_and_keeps_blocks_whole(tmp_path):
    table, places = _clustered()
    result = _run(tmp_path, table, BY_SKY, places=places)
    ours = result[result["method"] == "photometry_boosting"]
    sky = result[result["method"] == "photometry_boosting_sky"]
    assert set(ours["split"]) == {"galaxy"} and set(ours["block"]) == {-1}
    assert set(sky["split"]) == {"sky"}
    assert (sky.groupby("block")["set"].nunique() == 1).all()
    cluster = (sky["objid"] - table["objid"].min()) % 30
    assert (sky.groupby(cluster)["block"].nunique() == 1).all()
    assert sky["block"].nunique() > 6
    divided = sky[sky["target"] == "redshift"].set_index("objid")["set"]
    # not our own test set, and the galaxies that are missing here are the training set
    assert 0 < (divided == table.set_index("objid")["set"].loc[divided.index]).mean() < 0.6


@pytest.mark.parametrize(
    ("places", "splits", "reason"),
    [
        ({"ra": np.nan}, OURS, "galaxies have no position"),
        ({"ra": 10.0, "dec": 10.0}, OURS, "of 1 blocks of sky [01] are the test set's"),
        ({}, Splits(by="sky"), "the run itself is split by sky"),
    ],
)
def test_a_split_by_sky_that_cannot_be_had_is_left_out_with_its_reason(
    tmp_path, places, splits, reason
):
    table, good = _clustered()
    targets = Targets(properties=["redshift"], lines=[])
    result = _run(tmp_path, table, BY_SKY, targets, splits=splits, places=good.assign(**places))
    assert set(result["method"]) == {"photometry_boosting"}
    left_out = read_notes(tmp_path / "baselines.parquet")["left_out"]
    assert re.search(reason, left_out["photometry_boosting_sky"])


def test_denormal_numbers_are_nought_inside_alone():
    least = np.full(3, 1e-40, np.float32)
    with regressors.flushed_denormals():
        inside = least * np.float32(0.5)
    assert (inside == 0).all() and (least * np.float32(0.5) > 0).all()


def test_an_mlp_is_trained_without_denormal_numbers(monkeypatch):
    """A unit that is never active decays by the penalty alone: at 70,000 galaxies in two epochs."""
    halves, partial_fit = [], MLPRegressor.partial_fit

    def seen(self, inputs, wanted):
        halves.append(np.float32(1e-40) * np.float32(0.5))
        return partial_fit(self, inputs, wanted)

    monkeypatch.setattr(MLPRegressor, "partial_fit", seen)
    random = np.random.default_rng(1)
    data = regressors.Data(random.standard_normal((200, 3)), random.standard_normal((200, 2)))
    regressors.FITS["photometry_mlp"](data, data, QUICK, 1)
    assert len(halves) > 1 and not any(halves)
