"""What is timed, step by step: real stamps, a VAE and flows of little size."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_vae import LATENT, LAYOUT, save_small_vae

from mgsflow.config import Compute, Evaluation, Flows
from mgsflow.core.errors import UserError
from mgsflow.core.files import read_json, write_json
from mgsflow.core.tables import write_table
from mgsflow.evaluation.speed import _Work, speed
from mgsflow.models.branch import Architecture, Branch
from mgsflow.models.encoders.vae import TrainedVae, load_vae
from mgsflow.models.standardise import Standardiser
from mgsflow.models.storage import save_model
from mgsflow.posterior.posterior import Posterior
from mgsflow.sample.index_stamps import index_stamps
from mgsflow.sample.shards import create_shard

IMAGES, PHOTOMETRY = "images_photometry-observed", "photometry-observed"
FLOWS = Flows(encoding=8, encoder_hidden=[8], head_hidden=8, couplings=2, coupling_hidden=8)
MAGNITUDES = ["colour_g_r", "mag_g", "mag_r"]
LATENTS = [f"latent_{kind}_{k:02d}" for kind in ("mean", "std") for k in range(LATENT)]
N, GALAXIES, DRAWS = 30, 6, 10


def _save_flow(folder: Path, targets: list[str], variant: str) -> Path:
    inputs = [*(LATENTS if variant == IMAGES else []), *MAGNITUDES]
    architecture = Architecture.of(len(inputs), targets, False, FLOWS)
    tensors = {
        f"{i}.{name}": tensor
        for i in range(2)
        for name, tensor in Branch(architecture).state_dict().items()
    }
    scales = {
        key: Standardiser(np.zeros(size), np.ones(size)).to_json()
        for key, size in (("inputs", len(inputs)), ("targets", len(targets)))
    }
    folder.mkdir(parents=True)
    description = {
        "variant": variant,
        "members": 2,
        "inputs": inputs,
        "architecture": architecture.to_json(),
        "standardisation": scales,
    }
    save_model(folder, tensors, description)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Two shards of stamps, in no order; features of all but the first five galaxies."""
    folder = tmp_path_factory.mktemp("speed")
    random = np.random.default_rng(0)
    objid = 1237648720000000000 + random.permutation(N)
    stamps = random.normal(0, 2, (N, *LAYOUT.shape)).astype(np.float16)
    np.save(folder / "stamps.npy", stamps[np.argsort(objid)])
    for number, rows in enumerate(np.array_split(np.arange(N), 2)):
        with create_shard(folder / f"shard-{number:03d}.h5", LAYOUT, len(rows)) as shard:
            for row in rows:
                shard.add(objid[row], stamps[row])
    index_stamps(
        shards=sorted(folder.glob("shard-*.h5")),
        masked_max=1.0,
        out=folder / "index.parquet",
        dropped=folder / "dropped-index.parquet",
    )
    save_small_vae(folder / "vae")
    features = pd.DataFrame({"objid": np.sort(objid), "set": "test"})
    features.loc[:9, "set"] = "train"
    features[MAGNITUDES] = random.normal(size=(N, len(MAGNITUDES)))
    write_table(folder / "features.parquet", features[5:])
    torch.manual_seed(0)
    for variant in (IMAGES, PHOTOMETRY):
        for flow, targets in (("property", ["log_sfr", "redshift"]), ("line", ["log1p_h_beta"])):
            _save_flow(folder / flow / variant, targets, variant)
            facts = {"stage": "train-flow", "device": "a card", "threads": 3}
            facts |= {"wall_seconds": 7.5, "cpu_seconds": 20.0}
            write_json(folder / flow / variant / "telemetry.json", facts | {"epochs": 9})
    facts = {"stage": "train-vae", "device": "a card", "threads": 8}
    facts |= {"wall_seconds": 99.0, "cpu_seconds": 500.0}
    write_json(folder / "vae" / "telemetry.json", facts)
    return folder


def _time(run: Path, out: Path, variant: str = IMAGES, **changes) -> dict:
    arguments = {
        "features": run / "features.parquet",
        "shards": sorted(run.glob("shard-*.h5")),
        "index": run / "index.parquet",
        "encoder": run / "vae",
        "property_model": run / "property" / variant,
        "line_model": run / "line" / variant,
        "evaluation": Evaluation(speed_galaxies=GALAXIES, speed_draws=DRAWS),
        "compute": Compute(device="cpu", flow_threads=1),
        "seed": 1,
        "out": out / "speed.json",
    }
    speed(**arguments | changes)
    return read_json(out / "speed.json")


def test_each_step_is_timed_and_training_stands_apart(run, tmp_path):
    result = _time(run, tmp_path)
    for name, galaxies in (("batch", GALAXIES), ("single", 1)):
        timed = result[name]
        steps = [timed[step] for step in ("reading", "encoding", "sampling")]
        assert timed["galaxies"] == galaxies
        assert min(steps) > 0
        assert timed["total"] == pytest.approx(sum(steps))
    assert (result["threads"], result["draws"], result["members"]) == (1, DRAWS, 2)
    assert result["targets"] == ["log_sfr", "redshift", "log1p_h_beta"]
    assert result["device"] and result["device_type"] == "cpu"
    facts = {"wall_seconds": 7.5, "cpu_seconds": 20.0, "device": "a card", "threads": 3}
    assert result["training"] == {
        "vae": {"wall_seconds": 99.0, "cpu_seconds": 500.0, "device": "a card", "threads": 8},
        f"property/{IMAGES}": facts,
        f"line/{IMAGES}": facts,
    }


def test_core_seconds_are_the_mean_of_the_passes_after_the_first(run, tmp_path, monkeypatch):
    """By a clock that passes take 5, 40, 30, 20 and, alone, 6, 8, 2, 4 seconds of."""
    now, lengths, passes = [0.0], iter((5.0, 40.0, 30.0, 20.0, 6.0, 8.0, 2.0, 4.0)), _Work._pass

    def timed(work: _Work, count: int) -> dict[str, float]:
        now[0] += next(lengths)
        return passes(work, count)

    monkeypatch.setattr(_Work, "_pass", timed)
    monkeypatch.setattr(time, "process_time", lambda: now[0])
    result = _time(run, tmp_path)
    assert result["batch"]["core_seconds"] == pytest.approx((40 + 30 + 20) / 3 / GALAXIES)
    assert result["single"]["core_seconds"] == pytest.approx((8 + 2 + 4) / 3)


@pytest.fixture
def sampled(monkeypatch) -> list[pd.DataFrame]:
    """The inputs of every call of Posterior.sample."""
    calls, sample = [], Posterior.sample

    def watched(self, inputs: pd.DataFrame, draws: int, seed: int) -> np.ndarray:
        calls.append(inputs)
        result = sample(self, inputs, draws, seed)
        assert result.shape[:2] == (len(inputs), DRAWS)
        return result

    monkeypatch.setattr(Posterior, "sample", watched)
    return calls


def test_what_is_timed_is_the_real_way_of_test_galaxies(run, tmp_path, sampled):
    """Their own stamps, encoded, go into the flows: no step could be left out unseen."""
    _time(run, tmp_path)
    inputs = sampled[0]
    assert [len(call) for call in sampled] == [GALAXIES] * 4 + [1] * 4
    assert (inputs["set"] == "test").all()
    assert inputs["objid"].is_unique
    rows = (inputs["objid"] - 1237648720000000000).to_numpy()
    vae = load_vae(run / "vae")
    expected = vae.encode(np.load(run / "stamps.npy")[rows])
    np.testing.assert_allclose(inputs[LATENTS], expected, rtol=1e-4, atol=1e-5)


def test_the_seconds_are_those_of_the_slow_step_in_the_fastest_pass(run, tmp_path, monkeypatch):
    """By a clock that only encoding moves, so that the machine's load changes nothing."""
    now, steps, encode = [0.0], iter([0.3, 0.08, 0.03, 0.08] * 2), TrainedVae.encode

    def slow(self, raw: np.ndarray) -> np.ndarray:
        now[0] += next(steps)
        return encode(self, raw)

    monkeypatch.setattr(TrainedVae, "encode", slow)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    batch = _time(run, tmp_path)["batch"]
    assert batch["encoding"] * GALAXIES == pytest.approx(0.03)
    assert batch["sampling"] == batch["reading"] == 0


def test_a_variant_without_images_only_samples(run, tmp_path, sampled):
    nothing = {"shards": [], "index": None, "encoder": None}
    result = _time(run, tmp_path, PHOTOMETRY, **nothing)
    assert result["batch"]["reading"] is result["batch"]["encoding"] is None
    assert result["batch"]["total"] == result["batch"]["sampling"] > 0
    assert set(result["training"]) == {f"{flow}/{PHOTOMETRY}" for flow in ("property", "line")}


def test_an_encoder_without_training_has_no_time_of_it(run, tmp_path, capsys):
    encoder = tmp_path / "own"
    encoder.mkdir()
    for name in ("model.json", "model.safetensors"):
        (encoder / name).write_bytes((run / "vae" / name).read_bytes())
    result = _time(run, tmp_path, encoder=encoder)
    assert set(result["training"]) == {f"{flow}/{IMAGES}" for flow in ("property", "line")}
    assert result["batch"]["encoding"] > 0
    assert "own has no telemetry.json" in capsys.readouterr().err


def test_one_branch_alone(run, tmp_path):
    result = _time(run, tmp_path, PHOTOMETRY, property_model=None)
    assert result["targets"] == ["log1p_h_beta"]


def test_fewer_test_galaxies_than_asked_for_are_counted_as_they_are(run, tmp_path):
    result = _time(run, tmp_path, evaluation=Evaluation(speed_galaxies=1000, speed_draws=4))
    assert result["batch"]["galaxies"] == 20


def test_what_cannot_be_timed_is_said(run, tmp_path):
    with pytest.raises(UserError, match=r"uses images: give --shards"):
        _time(run, tmp_path, shards=[])
    with pytest.raises(UserError, match="no flow to time"):
        _time(run, tmp_path, property_model=None, line_model=None)
    other = run / "property" / PHOTOMETRY
    with pytest.raises(UserError, match="two models of the same variant"):
        _time(run, tmp_path, property_model=other)
