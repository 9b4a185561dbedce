"""The benchmarks of training and sampling: they run, count rightly, and fill a page."""

import importlib
import json
import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mgsflow.config import Vae
from mgsflow.models.encoders.vae import VariationalAutoencoder


@pytest.fixture
def load(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    return importlib.import_module


def _run(repository, name, *arguments):
    script = repository / "benchmarks" / name
    subprocess.run([sys.executable, script, "--tiny", *arguments], check=True, cwd=script.parent)


@pytest.mark.slow
def test_training_benchmark_runs(repository, tmp_path):
    out = tmp_path / "training.json"
    arguments = ("--epochs", "2", "--stage-epochs", "2", "--threads", "1", "--out", out)
    _run(repository, "vae_training.py", *arguments)
    result = json.loads(out.read_text())
    rows = {row["name"]: row for row in result["rows"]}
    measured = {name: row for name, row in rows.items() if "not_measured" not in row}
    assert len(measured) >= 5
    for row in measured.values():
        assert row["images_per_second"] == pytest.approx(70 / row["epoch_seconds"][1])
        assert row["paper_seconds"] == pytest.approx(1e7 / row["images_per_second"])
        assert 0 < row["of_roofline"] < 1
    losses = [row["losses"]["train_loss"] for row in measured.values()]
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-3)
    if not torch.cuda.is_available():
        assert rows["+ CUDA graph"]["not_measured"] == "needs a GPU"
    assert result["stage"]["galaxies"] == {"train": 120, "validation": 20}
    assert result["stage"]["paper_seconds"] > 0


@pytest.mark.slow
def test_sampling_benchmark_runs_and_keeps_other_devices(repository, tmp_path):
    out = tmp_path / "sampling.json"
    out.write_text('{"other": 1}')
    _run(repository, "sampling.py", "--out", out)
    result = json.loads(out.read_text())
    assert result["other"] == 1
    assert len(result["cpu"]["rows"]) == 7
    assert all(row["seconds"] > 0 for row in result["cpu"]["rows"] if "zuko" not in row["name"])


@pytest.mark.slow
def test_flow_benchmark_runs(repository, tmp_path):
    out = tmp_path / "flows.json"
    _run(repository, "flow_training.py", "--device", "cpu", "--out", out)
    result = json.loads(out.read_text())["cpu"]
    assert [row["members"] for row in result["rows"]] == [5, 1, 1, 5]
    for package, plain in ((1, 2), (0, 3)):
        both = [result["rows"][i]["losses"] for i in (package, plain)]
        assert both[0] == pytest.approx(both[1], rel=0.02)
    assert result["stages"][0]["seconds"] > 0


@pytest.mark.slow
def test_benchmark_of_the_vae_on_a_cpu_runs(repository, tmp_path):
    out = tmp_path / "cpu.json"
    _run(repository, "vae_cpu.py", "--out", out)
    rows = json.loads(out.read_text())["rows"]
    losses = [row["train_loss"] for row in rows]
    assert losses == pytest.approx([losses[0]] * len(losses), rel=2e-3)
    assert all(row["ratio"] > 0 for row in rows)


def test_stock_flow_is_as_large_as_ours(load):
    sampling, flows = load("sampling"), importlib.import_module("mgsflow.models.flows")
    settings = sampling.Flows()
    ours = flows.joint_flow(4, settings.encoding, settings)
    stock = sampling.stock_flow(4, settings)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in stock.parameters())


def test_operations_are_those_that_torch_counts(load):
    bench, vae = load("vae_roofline"), Vae(channels=[4, 6, 8], latent=5)
    network = VariationalAutoencoder(3, 32, vae.latent, vae.channels)
    stamps, noise = torch.randn(2, 3, 32, 32), torch.randn(2, 5)
    with FlopCounterMode(display=False) as counter:
        sum(part.sum() for part in network(stamps, noise)).backward()
    bound = bench.of_network(vae, 32, 2, bench.Card(1e12, 1e12))
    assert bound.flop == counter.get_total_flops()


def test_bytes_and_bound_of_a_layer(load):
    bench = load("vae_roofline")
    first, second = bench.Layer("a", 100, 6, 4, first=True), bench.Layer("b", 300, 4, 1)
    card = bench.Card(flops=10.0, bandwidth=2.0)
    bound = bench.roofline([first, second], parameters=1, pixels=6, batch=2, card=card)
    assert bound.flop == 2 * (2 * 100 + 3 * 300)
    assert bound.bytes == 2 * (2 * 20 + 3 * 10 + 36) + 28
    seconds = 2 * (2 * max(10, 20 / 2) + 3 * max(30, 10 / 2) + 36 / 2) + 28 / 2
    assert bound.seconds == pytest.approx(seconds)
    assert bound.images_per_second == pytest.approx(2 / seconds)


def test_page_has_the_tables_of_the_results(repository, load):
    page = (repository / "docs/performance.md").read_text()
    performance = load("performance")
    assert performance.renew(page, performance.tables()) == page, (
        "run: python benchmarks/performance.py"
    )
