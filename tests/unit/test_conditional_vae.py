"""The stage train-conditional-vae: what it learns and what it cannot, masks, bits, and errors."""

import json

import numpy as np
import pandas as pd
import pytest
from synthetic_stamps import write_run

from mgsflow.baselines.train_conditional_vae import train_conditional_vae
from mgsflow.config import Baselines, Compute, Targets, Vae
from mgsflow.config.evaluation import ConditionalVae
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_table, write_table
from mgsflow.evaluation.metrics import r2
from mgsflow.models.storage import load_tensors
from mgsflow.training import loop as loop_module

COUNT = 480
SETTINGS = ConditionalVae(epochs=25, batch_size=32, learning_rate=3e-3, precision="float32")
VAE = Vae(channels=[8, 8, 16])
RUN = Targets(properties=["redshift", "log_stellar_mass", "metallicity"], lines=[])
SETS = np.array(["train", "train", "validation", "train", "test", "vae_train"])


class InterruptionError(Exception):
    pass


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """Stamps, and targets: the flux of a galaxy, its size, and the flux again, often missing."""
    folder = tmp_path_factory.mktemp("sky")
    paths, truth = write_run(folder, COUNT)
    table = pd.DataFrame(
        {
            "objid": truth["objid"],
            "set": SETS[np.arange(COUNT) % len(SETS)],
            "redshift": 0.1 * truth["log_flux"],
            "log_stellar_mass": 8 + truth["size"],
            "metallicity": 8.5 + truth["log_flux"],
        }
    )
    table.loc[np.arange(COUNT) % 3 == 0, "metallicity"] = np.nan
    return folder, paths, table[table["set"] != "vae_train"].reset_index(drop=True)


def _train(sky, out, table=None, settings=SETTINGS, seed=1, vae=VAE):
    folder, paths, features = sky
    out.mkdir(exist_ok=True)
    write_table(out / "features.parquet", features if table is None else table)
    train_conditional_vae(
        shards=paths,
        index=folder / "index.parquet",
        features=out / "features.parquet",
        vae=vae,
        baselines=Baselines(conditional_vae=settings),
        targets=RUN,
        compute=Compute(device="cpu", vae_threads=1),
        seed=seed,
        checkpoints=out / "checkpoints",
        out=out,
        predictions=out / "predictions.parquet",
    )
    return read_table(out / "predictions.parquet")


def _r2(table, features, target, name="test"):
    part = table[(table["set"] == name) & (table["target"] == target)]
    truth = features.set_index("objid")[target].loc[part["objid"]].to_numpy()
    known = np.isfinite(truth)
    return r2(truth[known], part["prediction"].to_numpy()[known])


@pytest.fixture(scope="module")
def trained(sky, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    return out, _train(sky, out)


def test_it_finds_the_flux_and_the_size_in_the_stamps(sky, trained):
    for target in RUN.properties:
        assert _r2(trained[1], sky[2], target) > 0.8, target


@pytest.mark.slow
def test_from_shuffled_targets_it_learns_nothing(sky, tmp_path):
    """The control: what it predicts then is known of the stamps of other galaxies alone."""
    features = sky[2].copy()
    random = np.random.default_rng(3)
    for target in RUN.properties:
        features[target] = random.permutation(features[target].to_numpy())
    table = _train(sky, tmp_path, features)
    for target in RUN.properties:
        assert _r2(table, features, target) <= 0.05, target


def test_each_validation_and_test_galaxy_is_predicted_once(sky, trained):
    table = trained[1]
    assert list(table) == ["method", "objid", "set", "target", "prediction", "split", "block"]
    for target in RUN.properties:
        part = table[table["target"] == target].sort_values("objid")
        expected = sky[2][sky[2]["set"] != "train"].sort_values("objid")
        assert list(part["objid"]) == list(expected["objid"])
        assert list(part["set"]) == list(expected["set"])
    assert np.isfinite(table["prediction"]).all()
    assert set(table["method"]) == {"conditional_vae"}


def test_a_missing_metallicity_leaves_its_galaxy_to_the_other_targets(sky, tmp_path):
    """Measured in three training galaxies alone, it leaves the others' lesson as it was."""
    features = sky[2].copy()
    features.loc[features["set"] == "train", "metallicity"] = np.nan
    first = features.index[features["set"] == "train"][:3]
    features.loc[first, "metallicity"] = [8.0, 9.0, 10.0]
    table = _train(sky, tmp_path, features)
    assert _r2(table, features, "redshift") > 0.8
    assert np.isfinite(table["prediction"]).all()


def test_the_same_seed_gives_the_same_bits_and_another_others(sky, trained, tmp_path):
    short = SETTINGS.model_copy(update={"epochs": 2})
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        _train(sky, tmp_path / name, settings=short, seed=seed)
    one, again, other = (
        (tmp_path / name / "predictions.parquet").read_bytes() for name in ("a", "b", "c")
    )
    assert one == again
    assert one != other


def test_an_interrupted_training_ends_with_the_same_bits(sky, tmp_path, monkeypatch):
    short = SETTINGS.model_copy(update={"epochs": 4})
    _train(sky, tmp_path / "whole", settings=short)
    report = loop_module.Loop._report

    def stop(self, fit):
        report(self, fit)
        if fit.epoch == 3:
            raise InterruptionError

    with monkeypatch.context() as patch:
        patch.setattr(loop_module.Loop, "_report", stop)
        with pytest.raises(InterruptionError):
            _train(sky, tmp_path / "broken", settings=short)
    assert list((tmp_path / "broken/checkpoints").iterdir())
    _train(sky, tmp_path / "broken", settings=short)
    assert not list((tmp_path / "broken/checkpoints").iterdir())
    for name in ("model.safetensors", "predictions.parquet"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()


def test_a_checkpoint_of_pixels_stretched_otherwise_is_not_taken_up(sky, tmp_path, monkeypatch):
    keys = []

    def save_and_stop(checkpoints, state):
        keys.append(checkpoints.fingerprint)
        raise InterruptionError

    monkeypatch.setattr(loop_module.Checkpoints, "save", save_and_stop)
    for vae in (VAE, VAE.model_copy(update={"softening": 5.0})):
        with pytest.raises(InterruptionError):
            _train(sky, tmp_path, vae=vae)
    assert keys[0] != keys[1]


def test_what_it_writes_beside_the_predictions(sky, trained):
    out, _ = trained
    facts = json.loads((out / "model.json").read_text())
    assert facts["architecture"] == {
        "kind": "conditional_vae",
        "bands": 3,
        "size": 16,
        "channels": [8, 8, 16],
        "targets": 3,
        "free": 2,
    }
    assert facts["targets"] == RUN.properties
    train = sky[2][sky[2]["set"] == "train"]
    assert facts["standardisation"]["targets"]["mean"][2] == pytest.approx(
        train["metallicity"].mean()
    )
    assert facts["data"]["train"] == len(train)
    history = pd.read_csv(out / "history.csv")
    assert history["validation_loss"].min() == pytest.approx(facts["training"]["validation_loss"])
    cost = json.loads((out / "telemetry.json").read_text())
    assert cost["stage"] == "train-conditional-vae"
    assert cost["parameters"] == sum(
        tensor.numel() for tensor in load_tensors(out / "model.safetensors").values()
    )


def test_a_galaxy_without_a_stamp_is_named(sky, tmp_path):
    features = sky[2].copy()
    features.loc[4, "objid"] = 77
    with pytest.raises(UserError, match="no stamp of 1 of the 400 galaxies.*objid 77"):
        _train(sky, tmp_path, features)


def test_a_target_that_hardly_anybody_has_is_left_out(sky, tmp_path, capsys):
    features = sky[2].copy()
    features.loc[9:, "metallicity"] = np.nan
    short = SETTINGS.model_copy(update={"epochs": 1})
    table = _train(sky, tmp_path, features, short)
    assert set(table["target"]) == {"redshift", "log_stellar_mass"}
    assert "too few galaxies to train on metallicity" in capsys.readouterr().err
    features[RUN.properties] = np.nan
    with pytest.raises(UserError, match="no target is measured in 10 training galaxies"):
        _train(sky, tmp_path, features, short)
