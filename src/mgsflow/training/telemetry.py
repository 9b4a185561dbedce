"""The cost of a training: time, memory, and on a GPU utilisation, power and energy."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pynvml
import torch

from mgsflow.core.files import write_json
from mgsflow.core.machine import processor

INTERVAL = 1.0  # seconds between two samples
_COSTS = ("wall_seconds", "cpu_seconds", "energy_joules")
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, kB on Linux


class Telemetry:
    """Measures the cost of its block; a fault of NVML is reported as a remark, never an error.

        with Telemetry("train-vae", device) as telemetry:
            ...
            telemetry.note(epochs=12)
        telemetry.write(path)

    `device` is the training device: NVML monitors it if it is a GPU. Otherwise the summary has CPU
    time, wall time and peak memory, with the reason why GPU data are missing.
    """

    def __init__(
        self,
        stage: str,
        device: torch.device | str = "cpu",
        interval: float = INTERVAL,
        **extras: Any,
    ) -> None:
        self.stage = stage
        self.device = torch.device(device)
        self._interval = interval
        self._extras = extras
        self._earlier: dict[str, float | None] = dict.fromkeys(_COSTS, 0.0)
        self._start = (0.0, 0.0)
        self._end: dict[str, float | None] | None = None
        self._gpu: _Gpu | None = None
        self._reason: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Telemetry:
        self._gpu, self._reason = _watch(self.device)
        self._start = _clocks()
        if self._gpu is not None:
            self._thread = threading.Thread(target=self._sample, name="telemetry", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        clocks = _clocks()
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10 * self._interval + 1)
        if self._gpu is not None:
            self._gpu.sample()
        self._end = self._cost(*clocks)

    def _sample(self) -> None:
        assert self._gpu is not None
        while not self._stop.wait(self._interval):
            self._gpu.sample()

    def note(self, **extras: Any) -> None:
        """Add facts to the file: epochs, galaxies, parameters."""
        self._extras |= extras

    def so_far(self) -> dict[str, float | None]:
        """Seconds and energy so far, for a checkpoint; `resume` continues from them.

        After the block they are those at its end. The energy is None if a GPU's is unknown.
        """
        now = self._end or self._cost(*_clocks())
        parts = {key: (self._earlier[key], value) for key, value in now.items()}
        return {key: None if None in part else sum(part) for key, part in parts.items()}

    def _cost(self, wall: float, cpu: float) -> dict[str, float | None]:
        """The cost since the block began, for clocks that were just read."""
        energy = None if self.device.type == "cuda" else 0.0
        if self._gpu is not None:
            energy = self._gpu.energy_joules()
        return dict(zip(_COSTS, (wall - self._start[0], cpu - self._start[1], energy), strict=True))

    def resume(self, earlier: dict[str, float | None]) -> None:
        """Add the cost of the interrupted training that this one continues."""
        self._earlier = dict(earlier)

    def summary(self) -> dict[str, Any]:
        """The facts as JSON: times in s, memory in bytes, power in W, energy in J."""
        total = self.so_far()
        energy = total.pop("energy_joules")
        gpu, reason = None, self._reason
        if self._gpu is not None:
            gpu = self._gpu.summary() | {"energy_joules": energy}
            reason = self._gpu.fault
        return (
            self._extras
            | total
            | {
                "stage": self.stage,
                "device": _device_name(self.device),
                "on_gpu": self.device.type == "cuda",
                "gpu": gpu,
                "reason": reason,
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT,
                "threads": torch.get_num_threads(),
            }
        )

    def write(self, path: Path) -> None:
        """Write the summary as JSON."""
        write_json(path, self.summary())


class _Gpu:
    """Running sums over NVML's samples of one GPU. Some GPUs do not report all quantities."""

    def __init__(self, handle: Any, index: int) -> None:
        self._handle = handle
        self._index = index
        self.fault: str | None = None
        self._samples = 0
        self._utilisation = _Running()
        self._memory = _Running()
        self._power = _Running()
        self._last: tuple[float, float] | None = None  # time in s, power in W
        self._integrated: float | None = None
        self._counter_start = self._energy_counter()
        self.sample()

    def sample(self) -> None:
        handle = self._handle
        self._samples += 1
        self._add(self._utilisation, lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        self._add(self._memory, lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used)
        power = self._add(self._power, lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000.0)
        if power is not None:
            self._integrate(time.perf_counter(), power)

    def _add(self, running: _Running, ask: Callable[[], float]) -> float | None:
        try:
            value = ask()
        except Exception as error:  # NVML fails in many ways, and none may end a training
            self.fault = f"NVML failed while the stage ran: {error}"
            return None
        running.add(value)
        return value

    def _integrate(self, now: float, power: float) -> None:
        if self._last is not None:
            then, before = self._last
            self._integrated = (self._integrated or 0.0) + 0.5 * (power + before) * (now - then)
        self._last = (now, power)

    def _energy_counter(self) -> float | None:
        """The GPU's own energy counter, in J; GPUs before Volta have none."""
        try:
            return pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000.0
        except Exception:
            return None

    def energy_joules(self) -> float | None:
        """Energy so far, from the GPU's counter or the integral of power; None without either."""
        now = self._energy_counter()
        if now is None or self._counter_start is None:
            return self._integrated
        return now - self._counter_start

    def summary(self) -> dict[str, Any]:
        return {
            "samples": self._samples,
            "utilisation_mean_percent": self._utilisation.mean,
            "utilisation_max_percent": self._utilisation.max,
            "memory_max_bytes": self._memory.max,
            "memory_allocated_max_bytes": torch.cuda.max_memory_allocated(self._index),
            "power_mean_watts": self._power.mean,
            "power_max_watts": self._power.max,
        }


class _Running:
    """Running mean and maximum of numbers; None before the first."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0
        self.max: float | None = None

    def add(self, value: float) -> None:
        self._sum += value
        self._count += 1
        self.max = value if self.max is None else max(self.max, value)

    @property
    def mean(self) -> float | None:
        return self._sum / self._count if self._count else None


def _watch(device: torch.device) -> tuple[_Gpu | None, str | None]:
    """NVML's handle of the GPU `device`, or the reason why it cannot be monitored."""
    if device.type != "cuda":
        return None, f"the stage runs on {device.type}, not on a GPU"
    try:
        pynvml.nvmlInit()
        index = torch.cuda.current_device() if device.index is None else device.index
        # by UUID: CUDA_VISIBLE_DEVICES renumbers CUDA's devices, not NVML's
        uuid = str(torch.cuda.get_device_properties(index).uuid)
        name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        return _Gpu(pynvml.nvmlDeviceGetHandleByUUID(name), index), None
    except Exception as error:  # NVML fails in many ways, and none may end a training
        return None, f"NVML cannot monitor {device}: {error}"


def _clocks() -> tuple[float, float]:
    """Wall time and CPU time in s, including finished child processes such as a compiler."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor()
