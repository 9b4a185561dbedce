"""The ways to run a step of the VAE's training: the same work, recorded once, or refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic_stamps import write_run

from mgsflow.config import Compute, Vae
from mgsflow.core.errors import UserError
from mgsflow.models.encoders.vae import VariationalAutoencoder
from mgsflow.sample.shards import Layout, StampSet
from mgsflow.sample.stretch import Stretch
from mgsflow.training import batches as batches_module
from mgsflow.training import epochs as epochs_module
from mgsflow.training import steps
from mgsflow.training.batches import Batches
from mgsflow.training.epochs import VaeEpochs, make_optimizer
from mgsflow.training.replay import WARM_UP
from mgsflow.training.steps import COMPILED_FROM, FixedStep, Modes

CPU = torch.device("cpu")
SETTINGS = Vae(
    latent=4, channels=[8, 8, 8], batch_size=10, learning_rate=3e-3, precision="float32"
)  # 72 stamps: seven full batches and a ragged one


def _stamps(folder, layout=None):
    paths, _ = write_run(folder, **({"layout": layout} if layout else {}))
    return StampSet(paths, pd.read_parquet(folder / "index.parquet"), Stretch(0.1, 5.0))


@pytest.fixture(scope="module")
def stamps(tmp_path_factory):
    return _stamps(tmp_path_factory.mktemp("stamps"))


def _train(stamps, modes, epochs=3, resident=None):
    """History and final weights of a training in `modes`."""
    torch.manual_seed(1)
    network = VariationalAutoencoder(3, 16, SETTINGS.latent, SETTINGS.channels)
    network = network.to(memory_format=torch.channels_last)
    sets = [
        Batches(stamps, rows, CPU, modes.blocks, resident)
        for rows in (np.arange(72), np.arange(72, 96))
    ]
    optimizer = make_optimizer(network, SETTINGS, CPU)
    work = VaeEpochs(network, optimizer, *sets, SETTINGS, 1, CPU, modes)
    history = [work.train(epoch) | work.validate() for epoch in range(1, epochs + 1)]
    return history, network.state_dict()


@pytest.mark.slow
def test_replayed_steps_are_the_steps_as_written(stamps, monkeypatch):
    """All but the CUDA graph itself: buffers, noise, the warm-up's steps, the ragged batch."""
    recorded = []
    monkeypatch.setattr(epochs_module, "record_graph", lambda w: recorded.append(w) or w)
    monkeypatch.setattr(epochs_module, "on_side_stream", lambda work: work())
    written, weights = _train(stamps, Modes())
    replayed, same = _train(stamps, Modes(captured=True))
    assert len(recorded) == 1
    assert replayed == written
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_a_step_is_recorded_after_the_warm_up_and_only_replayed_then():
    done = []
    pixels, noise = torch.zeros(2), torch.ones(2)

    def record(work):
        done.append("record")
        return lambda: done.append("replay")

    step = FixedStep(lambda p, n: done.append((p, n)), pixels, noise, record)
    for _ in range(WARM_UP + 2):
        step()
    assert done[WARM_UP:] == ["record", "replay", "replay"]
    assert all(p is pixels and n is noise for p, n in done[:WARM_UP])


class RoundedStretch(Stretch):
    """Stretched pixels as blocks hold them: in float16."""

    def __call__(self, raw):
        return super().__call__(raw).astype(np.float16).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float16", "uint8"])
def test_training_on_blocks_comes_to_the_same_losses(tmp_path, kind):
    stamps = _stamps(tmp_path, Layout("files", ("g", "r", "i"), 16, 0.396, kind))
    found = [_train(stamps, Modes(blocks=True), resident=held)[0] for held in (False, True)]
    assert found[0] == found[1]
    if kind == "float16":
        stamps.stretch = RoundedStretch(0.1, 5.0)
    expected, _ = _train(stamps, Modes())
    for one, other in zip(found[0], expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
def test_compiled_steps_come_to_the_same_losses(stamps):
    expected, _ = _train(stamps, Modes(), epochs=2)
    found, _ = _train(stamps, Modes(compiled=True), epochs=2)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_modes_follow_setting_device_work_and_compiler(monkeypatch):
    gpu, few, many = torch.device("cuda"), COMPILED_FROM - 1, COMPILED_FROM
    on_gpu = {"blocks": True, "captured": True, "tuned": True}
    monkeypatch.setattr(steps, "why_not_compiled", lambda device: None)
    assert Modes.of(Compute(), CPU, few) == Modes()
    assert Modes.of(Compute(), CPU, many) == Modes(compiled=True)
    assert Modes.of(Compute(compile="always"), CPU, few) == Modes(compiled=True)
    assert Modes.of(Compute(), gpu, few) == Modes(compiled=True, **on_gpu)
    for device in (CPU, gpu):
        assert Modes.of(Compute(compile="never"), device, many) == Modes()
    monkeypatch.setattr(steps, "why_not_compiled", lambda device: "no compiler")
    assert Modes.of(Compute(), gpu, few) == Modes(**on_gpu)
    assert Modes.of(Compute(), CPU, many) == Modes()
    with pytest.raises(UserError, match=r"compute\.compile.*no compiler"):
        Modes.of(Compute(compile="always"), CPU, few)


def test_reason_why_compilation_fails_is_one_line(monkeypatch):
    def fail(function):
        raise RuntimeError("no C++ compiler\nwas found")

    monkeypatch.setattr(torch, "compile", fail)
    assert steps.why_not_compiled(CPU) == "RuntimeError: no C++ compiler"


def test_libraries_are_left_as_they_were():
    before = (torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision())
    with steps.libraries(Modes(tuned=True)):
        assert torch.backends.cudnn.benchmark
        assert torch.get_float32_matmul_precision() == "high"
    assert (torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()) == before


def test_a_set_too_large_for_the_device_is_read_batch_by_batch(stamps, monkeypatch):
    def full(*shape, **options):
        raise torch.OutOfMemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(batches_module.torch, "empty", full)
        read = Batches(stamps, np.arange(20), CPU, blocks=True, resident=True)
    assert not read.resident
    held = Batches(stamps, np.arange(20), CPU, blocks=True, resident=True)
    assert held.resident
    order = np.random.default_rng(0).permutation(20)
    for one, other in zip(read.read(order, 8), held.read(order, 8), strict=True):
        assert torch.equal(one, other)
