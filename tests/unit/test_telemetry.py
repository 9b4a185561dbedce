"""Telemetry measures what there is, and no fault of NVML ever ends a training."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import pynvml
import pytest
import torch

from mgsflow.training import telemetry as module
from mgsflow.training.telemetry import Telemetry


def _busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_without_gpu_it_says_why_and_measures_the_rest(tmp_path):
    with Telemetry("train-vae", galaxies=7) as telemetry:
        _busy(0.05)
    telemetry.note(epochs=2)
    telemetry.write(tmp_path / "telemetry.json")
    facts = json.loads((tmp_path / "telemetry.json").read_text())
    assert facts["gpu"] is None
    assert "not on a GPU" in facts["reason"]
    assert facts["stage"] == "train-vae"
    assert (facts["galaxies"], facts["epochs"]) == (7, 2)
    assert facts["device"]
    assert 0.05 <= facts["cpu_seconds"] < 5
    assert facts["wall_seconds"] > 0  # less than the CPU's, where other threads work too
    assert facts["peak_memory_bytes"] > 50e6  # torch alone is more


def test_time_stops_with_the_block():
    with Telemetry("x") as telemetry:
        pass
    before = telemetry.so_far()
    time.sleep(0.02)
    assert telemetry.so_far() == before


def test_resumed_training_costs_what_both_parts_cost():
    with Telemetry("x") as telemetry:
        telemetry.resume({"wall_seconds": 100.0, "cpu_seconds": 50.0, "energy_joules": 9.0})
    facts = telemetry.summary()
    assert 100 <= facts["wall_seconds"] < 101
    assert 50 <= facts["cpu_seconds"] < 51


@pytest.fixture
def fake_gpu(monkeypatch):
    """A GPU as NVML reports it: 200 W, 50% busy, no energy counter."""

    def no_counter(handle):
        raise pynvml.NVMLError_NotSupported

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda name: name)
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetUtilizationRates", lambda handle: SimpleNamespace(gpu=50)
    )
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: SimpleNamespace(used=2**30)
    )
    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", lambda handle: 200_000)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", no_counter)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="abc")
    )
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda index: 2**20)
    monkeypatch.setattr(module, "_device_name", lambda device: "fake")
    return pynvml


def test_gpu_is_sampled_and_power_integrated_to_energy(fake_gpu):
    with Telemetry("train-vae", "cuda:0", interval=0.01) as telemetry:
        time.sleep(0.15)
    facts = telemetry.summary()
    assert facts["reason"] is None
    assert facts["gpu"]["samples"] > 3
    assert facts["gpu"]["utilisation_mean_percent"] == 50
    assert facts["gpu"]["memory_max_bytes"] == 2**30
    assert facts["gpu"]["power_mean_watts"] == pytest.approx(200)
    assert facts["gpu"]["energy_joules"] == pytest.approx(200 * facts["wall_seconds"], rel=0.2)


def test_energy_counter_of_the_card_is_preferred(fake_gpu, monkeypatch):
    counter = iter((5_000, 8_000))  # mJ
    monkeypatch.setattr(
        fake_gpu, "nvmlDeviceGetTotalEnergyConsumption", lambda handle: next(counter)
    )
    with Telemetry("train-vae", "cuda:0") as telemetry:
        pass
    assert telemetry.summary()["gpu"]["energy_joules"] == 3


def test_fault_of_nvml_is_a_remark(fake_gpu, monkeypatch):
    def fault(handle):
        raise pynvml.NVMLError_GpuIsLost

    monkeypatch.setattr(fake_gpu, "nvmlDeviceGetPowerUsage", fault)
    with Telemetry("train-vae", "cuda:0", interval=0.01) as telemetry:
        time.sleep(0.03)
    facts = telemetry.summary()
    assert "NVML failed" in facts["reason"]
    assert facts["gpu"]["power_mean_watts"] is None and facts["gpu"]["energy_joules"] is None
    assert facts["gpu"]["utilisation_mean_percent"] == 50  # a fault of one is none of another


def test_energy_is_that_of_the_block(fake_gpu, monkeypatch):
    """The counter goes on after it; an earlier part whose energy was not known stays unknown."""
    joules = [0]
    monkeypatch.setattr(
        fake_gpu, "nvmlDeviceGetTotalEnergyConsumption", lambda handle: 1000 * joules[0]
    )
    with Telemetry("train-vae", "cuda:0") as telemetry:
        joules[0] = 30
    joules[0] = 70
    assert telemetry.summary()["gpu"]["energy_joules"] == 30
    telemetry.resume({"wall_seconds": 1.0, "cpu_seconds": 1.0, "energy_joules": 12.0})
    assert telemetry.summary()["gpu"]["energy_joules"] == 42
    telemetry.resume({"wall_seconds": 1.0, "cpu_seconds": 1.0, "energy_joules": None})
    assert telemetry.summary()["gpu"]["energy_joules"] is None


def test_the_work_of_a_child_counts():
    with Telemetry("x") as telemetry:
        subprocess.run([sys.executable, "-c", "sum(range(5_000_000))"], check=True)
    assert telemetry.so_far()["cpu_seconds"] > 0.05


def test_gpu_without_nvml_is_a_remark(fake_gpu, monkeypatch):
    def absent():
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(fake_gpu, "nvmlInit", absent)
    with Telemetry("train-vae", "cuda:0") as telemetry:
        pass
    facts = telemetry.summary()
    assert facts["gpu"] is None
    assert "NVML cannot monitor cuda:0" in facts["reason"]


def test_error_in_the_block_is_not_swallowed():
    with pytest.raises(ZeroDivisionError), Telemetry("x"):
        1 / 0  # noqa: B018
