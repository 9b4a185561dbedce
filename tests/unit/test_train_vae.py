"""The stage train-vae: it learns, repeats bit for bit, and resumes as if never stopped."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_stamps import write_run

from mgsflow.config import Compute, Stamps, Vae
from mgsflow.core.errors import UserError
from mgsflow.models.encoders.vae import load_vae
from mgsflow.models.storage import load_tensors
from mgsflow.sample.shards import Layout, StampSet
from mgsflow.sample.stretch import Stretch
from mgsflow.training import loop as loop_module
from mgsflow.training.batches import Batches, stretch_tensor
from mgsflow.training.train_vae import train_vae

SETTINGS = Vae(
    latent=4, channels=[8, 8, 8], epochs=4, batch_size=16, learning_rate=3e-3, precision="float32"
)


class InterruptionError(Exception):
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    paths, truth = write_run(folder)
    return folder, paths, truth


def _train(run, out, settings=SETTINGS, code="", seed=1, size=16, **compute):
    folder, paths, _ = run
    train_vae(
        shards=paths,
        index=folder / "index.parquet",
        splits=folder / "splits.parquet",
        vae=settings,
        stamps=Stamps(size=size),
        compute=Compute(**{"device": "cpu", "vae_threads": 1} | compute),
        seed=seed,
        checkpoints=out / "checkpoints",
        out=out,
        code=code,
    )


def test_it_learns_and_says_what_it_did(run, tmp_path):
    settings = SETTINGS.model_copy(update={"epochs": 40})
    _train(run, tmp_path, settings)
    history = pd.read_csv(tmp_path / "history.csv")
    names = ["epoch", "train_loss", "reconstruction", "kl", "validation_loss", "seconds"]
    assert list(history) == names
    assert history["validation_loss"].min() < 0.3 * history["validation_loss"].iloc[0]
    total = history["reconstruction"] + settings.kl_weight * history["kl"]
    assert history["train_loss"].to_numpy() == pytest.approx(total.to_numpy())

    facts = json.loads((tmp_path / "model.json").read_text())
    best = history["validation_loss"].idxmin()
    assert facts["training"]["best_epoch"] == history["epoch"][best]
    assert facts["training"]["validation_loss"] == pytest.approx(history["validation_loss"][best])
    assert facts["data"]["vae_train"] == 48
    assert facts["data"]["vae_validation"] == 24
    assert facts["inputs"]["bands"] == ["g", "r", "i"]
    assert facts["settings"] == settings.model_dump()
    telemetry = json.loads((tmp_path / "telemetry.json").read_text())
    assert telemetry["stage"] == "train-vae"
    assert telemetry["gpu"] is None
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
def test_latents_know_flux_and_size(run, tmp_path):
    """A collapsed posterior, or one of noise, would know neither."""
    _train(run, tmp_path, SETTINGS.model_copy(update={"epochs": 60, "kl_weight": 0.1}))
    vae = load_vae(tmp_path)
    folder, paths, truth = run
    stamps = StampSet(paths, pd.read_parquet(folder / "index.parquet"))
    mean, std = np.split(vae.encode(stamps.raw(np.arange(len(stamps)))), 2, axis=1)
    inputs = np.column_stack([mean, mean**2, np.ones(len(mean))])
    for name in ("log_flux", "size"):
        values = truth[name].to_numpy()
        fitted = inputs @ np.linalg.lstsq(inputs, values, rcond=None)[0]
        assert 1 - np.var(values - fitted) / np.var(values) > 0.8
    assert (std < 0.5).any()  # some dimension is informative


def test_same_seed_same_bytes_and_another_seed_others(run, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        _train(run, tmp_path / name, SETTINGS.model_copy(update={"epochs": 2}), seed=seed)
    for file in ("model.safetensors", "model.json"):
        first, second, other = ((tmp_path / n / file).read_bytes() for n in "abc")
        assert first == second
        assert first != other


def _stop_and_go_on(run, out, monkeypatch, settings, **compute):
    """Train, stop after epoch 2 and go on; the numbers of the epochs after that."""
    save = loop_module.Checkpoints.save

    def save_and_stop(checkpoints, state):
        save(checkpoints, state)
        if state["fit"]["epoch"] == 2:
            raise InterruptionError

    with monkeypatch.context() as patch:
        patch.setattr(loop_module.Checkpoints, "save", save_and_stop)
        with pytest.raises(InterruptionError):
            _train(run, out, settings, **compute)
    assert not (out / "model.safetensors").exists()
    epochs = []
    report = loop_module.Loop._report
    monkeypatch.setattr(
        loop_module.Loop, "_report", lambda s, fit: (epochs.append(fit.epoch), report(s, fit))
    )
    _train(run, out, settings, **compute)
    return epochs


@pytest.mark.parametrize(
    ("precision", "compiled"),
    [
        ("float32", "never"),
        ("bfloat16", "never"),
        pytest.param("bfloat16", "always", marks=pytest.mark.slow),
    ],
)
def test_resumed_equals_never_stopped(run, tmp_path, monkeypatch, precision, compiled):
    settings = SETTINGS.model_copy(update={"precision": precision})
    _train(run, tmp_path / "whole", settings, compile=compiled)
    part = tmp_path / "part"
    assert _stop_and_go_on(run, part, monkeypatch, settings, compile=compiled) == [3, 4]
    for file in ("model.safetensors", "model.json"):
        assert (tmp_path / "part" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_loaded_optimizer_has_its_weights_memory_order():
    weights = torch.nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
    optimizer = torch.optim.Adam([weights])
    weights.sum().backward()
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    means = state["state"][0]["exp_avg"].contiguous()
    state["state"][0]["exp_avg"] = means
    optimizer.load_state_dict(state)
    loop_module._lay_out(optimizer)
    loaded = optimizer.state[weights]["exp_avg"]
    assert loaded.stride() == weights.stride() != means.stride()
    assert torch.equal(loaded, means)


def _facts(folder):
    return json.loads((folder / "model.json").read_text())["training"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_fast_as_it_trains_as_written(run, tmp_path, monkeypatch):
    """Compiled, on blocks and replayed; with ragged batches; resumed."""
    settings = Vae(
        latent=4, channels=[16, 8, 8], epochs=4, batch_size=10, learning_rate=3e-3, kl_weight=0.1
    )
    _train(run, tmp_path / "written", settings, device="cuda", compile="never")
    _train(run, tmp_path / "fast", settings, device="cuda")
    part = tmp_path / "part"
    assert _stop_and_go_on(run, part, monkeypatch, settings, device="cuda") == [3, 4]
    written, fast, resumed = (_facts(tmp_path / n) for n in ("written", "fast", "part"))
    assert not any(written["modes"].values())
    assert all(fast["modes"].values())
    assert fast["validation_loss"] == pytest.approx(written["validation_loss"], rel=0.03)
    assert resumed["validation_loss"] == pytest.approx(fast["validation_loss"], rel=0.01)


def test_checkpoint_of_other_settings_or_code_is_not_taken_up(run, tmp_path, monkeypatch):
    def save_and_stop(checkpoints, state):
        raise InterruptionError(checkpoints.fingerprint)

    monkeypatch.setattr(loop_module.Checkpoints, "save", save_and_stop)
    keys = set()
    for changes in (
        {},
        {"seed": 2},
        {"code": "x"},
        {"settings": Vae(**{**SETTINGS.model_dump(), "kl_weight": 0.5})},
    ):
        with pytest.raises(InterruptionError) as stopped:
            _train(run, tmp_path, **changes)
        keys.add(str(stopped.value))
    assert len(keys) == 4


def test_training_ends_when_nothing_gets_better_and_keeps_the_best(run, tmp_path):
    settings = Vae(**{**SETTINGS.model_dump(), "epochs": 60, "patience": 2, "learning_rate": 0.05})
    _train(run, tmp_path, settings)
    history = pd.read_csv(tmp_path / "history.csv")
    best = history["epoch"][history["validation_loss"].idxmin()]
    assert len(history) == best + 2 < 60


def test_divergence_is_named(run, tmp_path, monkeypatch):
    diverged = {"validation_loss": float("nan")}
    monkeypatch.setattr("mgsflow.training.train_vae.VaeEpochs.validate", lambda self: diverged)
    with pytest.raises(UserError, match="learning_rate"):
        _train(run, tmp_path)


def test_too_large_a_batch_is_the_users(run, tmp_path, monkeypatch):
    def full(epochs, epoch):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB.")

    monkeypatch.setattr("mgsflow.training.train_vae.VaeEpochs.train", full)
    with pytest.raises(UserError, match=r"vae\.batch_size = 16: CUDA out of memory"):
        _train(run, tmp_path)


def test_jpeg_stamps_train_too(tmp_path):
    layout = Layout("files", ("g", "r", "i"), 16, 0.396, "uint8")
    paths, truth = write_run(tmp_path, count=16, layout=layout)
    _train((tmp_path, paths, truth), tmp_path, SETTINGS.model_copy(update={"epochs": 1}))
    assert (
        json.loads((tmp_path / "model.json").read_text())["standardisation"]["formula"]
        == "pixel / 255"
    )
    assert load_tensors(tmp_path / "model.safetensors")


def test_stamps_resident_on_the_device_equal_those_read_through_the_map(run):
    folder, paths, _ = run
    stamps = StampSet(paths, pd.read_parquet(folder / "index.parquet"), Stretch(0.1, 5.0))
    rows, order = np.arange(10, 40), np.random.default_rng(0).permutation(30)
    mapped, resident = (
        list(Batches(stamps, rows, torch.device("cpu"), resident=r).read(order, 8))
        for r in (False, True)
    )
    assert [len(batch) for batch in mapped] == [8, 8, 8, 6]
    for one, other in zip(mapped, resident, strict=True):
        assert other.dtype == torch.float16
        assert torch.allclose(one, stretch_tensor(other, stamps.stretch), atol=1e-6)
        assert one.is_contiguous(memory_format=torch.channels_last)
    jpeg = torch.tensor([0, 255], dtype=torch.uint8)
    assert stretch_tensor(jpeg, stamps.stretch).tolist() == [0, 1]


def test_sets_and_stamps_that_do_not_fit_are_the_users(run, tmp_path):
    with pytest.raises(UserError, match="the settings say 160"):
        _train(run, tmp_path, size=160)
    paths, truth = write_run(tmp_path, count=2, shards=1)
    with pytest.raises(UserError, match="no galaxy of the set vae_validation"):
        _train((tmp_path, paths, truth), tmp_path / "out")
