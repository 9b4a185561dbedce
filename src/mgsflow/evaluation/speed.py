"""Time per galaxy from its stamp and magnitudes to joint draws of its posterior."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mgsflow.config import Compute, Evaluation
from mgsflow.core.contract import TELEMETRY
from mgsflow.core.errors import UserError
from mgsflow.core.files import read_json, write_json
from mgsflow.core.progress import say, track
from mgsflow.core.seeds import derive_seed, hash_order
from mgsflow.core.tables import read_table
from mgsflow.models.encoders.base import Encoder, latent_table
from mgsflow.models.encoders.registry import load_encoder
from mgsflow.posterior.posterior import Posterior
from mgsflow.sample.shards import StampSet
from mgsflow.training.loop import choose_device
from mgsflow.training.telemetry import Telemetry

_WARM_UP = 1  # passes that are not timed: they fill caches and let libraries choose kernels
_PASSES = 3  # timed passes; the fastest counts, as other work on the machine only slows a pass
_ENCODED_AT_ONCE = 256

Seconds = dict[str, float]


def speed(
    *,
    features: Path,
    shards: list[Path],
    property_model: Path | None = None,
    line_model: Path | None = None,
    index: Path | None = None,
    encoder: Path | None = None,
    evaluation: Evaluation,
    compute: Compute,
    seed: int,
    out: Path,
) -> None:
    """Time inference from stamps and magnitudes to `speed_draws` joint draws of every target.

    --property-model and --line-model are the folders of the two flows of one variant, --encoder is
    the folder of the encoder that computes their latents.

    Three steps are timed: reading the stamps from their shards (from the page cache, as the first
    pass has read them), encoding them, including the stretch, and sampling both flows. They are
    timed for a batch of `speed_galaxies` test galaxies and for a single galaxy. A variant without
    images has only the sampling step. Training times, from the telemetry beside the models, are
    reported separately, as training is done once.

    The output is JSON. `batch` and `single` each have `galaxies`; `reading`, `encoding`, `sampling`
    and `total` in seconds per galaxy, null where a step does not exist; and `core_seconds`, the CPU
    time of all steps per galaxy. Other keys are the device and its type ("cpu" or "cuda"), threads,
    draws, ensemble members, and `training` by model.
    """
    torch.set_num_threads(compute.flow_threads)
    device = choose_device(compute)
    with Telemetry("speed", device) as cost:
        posterior = _load_posterior(property_model, line_model).to(device)
        stamps, frozen = _open_images(posterior.variant, shards, index, encoder, device)
        galaxies = _choose(features, stamps, evaluation.speed_galaxies, seed)
        work = _Work(galaxies, posterior, stamps, frozen, device, evaluation.speed_draws, seed)
        batch, single = work.best(len(galaxies)), work.best(1)
    facts = cost.summary()
    result = {
        "variant": posterior.variant,
        "device": facts["device"],
        "device_type": device.type,
        "threads": facts["threads"],
        "draws": evaluation.speed_draws,
        "members": posterior.members,
        "targets": list(posterior.targets),
        "passes": _PASSES,
        "batch": batch,
        "single": single,
        "training": dict(_trainings(encoder, property_model, line_model)),
    }
    for name, timed in (("batch", batch), ("single", single)):
        say(f"speed: {name} of {timed['galaxies']}: {timed['total']:.3g} s per galaxy")
    write_json(out, result)


@dataclass(frozen=True)
class _Work:
    """The timed inference of `galaxies`; `stamps` and `encoder` are None without images."""

    galaxies: pd.DataFrame
    posterior: Posterior
    stamps: StampSet | None
    encoder: Encoder | None
    device: torch.device
    draws: int
    seed: int

    def best(self, count: int) -> dict[str, Any]:
        """Seconds per galaxy by step, from the fastest pass over the first `count` galaxies.

        `core_seconds` is the CPU time of all threads, the mean over the passes, because it is
        compared with the mean of SED fits that run once each.
        """
        timed, cores = [], []
        for _ in track(range(_WARM_UP + _PASSES), f"speed, passes over {count}"):
            began = time.process_time()
            timed.append(self._pass(count))
            cores.append(time.process_time() - began)
        fastest = min(timed[_WARM_UP:], key=lambda seconds: sum(seconds.values()))
        steps = {name: fastest.get(name) for name in ("reading", "encoding", "sampling")}
        per_galaxy = {name: s if s is None else s / count for name, s in steps.items()}
        return {
            "galaxies": count,
            **per_galaxy,
            "total": sum(fastest.values()) / count,
            "core_seconds": statistics.mean(cores[_WARM_UP:]) / count,
        }

    def _pass(self, count: int) -> Seconds:
        inputs, seconds = self.galaxies[:count], {}
        if self.stamps is not None and self.encoder is not None:
            inputs, seconds = self._encode(inputs, self.stamps, self.encoder)
        start = self._now()
        self.posterior.sample(inputs, self.draws, derive_seed(self.seed, "speed", "draws"))
        return seconds | {"sampling": self._now() - start}

    def _encode(
        self, galaxies: pd.DataFrame, stamps: StampSet, encoder: Encoder
    ) -> tuple[pd.DataFrame, Seconds]:
        """The galaxies with the latents of their stamps, and the seconds of each step."""
        seconds = {"reading": 0.0, "encoding": 0.0}
        rows, parts = galaxies["row_of_index"].to_numpy(), []
        for start in range(0, len(rows), _ENCODED_AT_ONCE):
            began = self._now()
            raw = stamps.raw(rows[start : start + _ENCODED_AT_ONCE])
            read = self._now()
            parts.append(encoder.encode(raw))
            seconds["reading"] += read - began
            seconds["encoding"] += self._now() - read
        latents = latent_table(encoder, np.concatenate(parts))
        return galaxies.assign(**latents), seconds

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # calls return before the GPU has finished
        return time.perf_counter()


def _open_images(
    variant: str,
    shards: list[Path],
    index: Path | None,
    encoder: Path | None,
    device: torch.device,
) -> tuple[StampSet | None, Encoder | None]:
    if not variant.startswith("images"):
        return None, None
    if not shards or index is None or encoder is None:
        raise UserError(f"{variant} uses images: give --shards, --index and --encoder.")
    frozen = load_encoder(encoder, device)
    stamps = StampSet(shards, read_table(index, ["objid", "shard", "row"]))
    frozen.check(stamps.layout)
    return stamps, frozen


def _choose(features: Path, stamps: StampSet | None, count: int, seed: int) -> pd.DataFrame:
    """At most `count` test galaxies, chosen by a hash of objid; `row_of_index` locates stamps."""
    table = read_table(features)
    table = table[table["set"] == "test"]
    if stamps is not None:
        rows = pd.Series(np.arange(len(stamps)), index=stamps.objid)
        table = table[table["objid"].isin(rows.index)]
        table = table.assign(row_of_index=rows.reindex(table["objid"]).to_numpy(np.int64))
    if table.empty:
        raise UserError(f"{features}: no test galaxy to time. Give a larger sample.")
    order = hash_order(table["objid"].to_numpy(np.int64), seed, "speed")
    return table.iloc[order[:count]].reset_index(drop=True)


def _load_posterior(property_model: Path | None, line_model: Path | None) -> Posterior:
    if property_model is None and line_model is None:
        raise UserError("There is no flow to time: give --property-model, --line-model or both.")
    return Posterior.load(property_model, line_model)


def _trainings(encoder: Path | None, *flows: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each model, `property/VARIANT` or the encoder's folder, and the cost of its training."""
    if encoder is not None:
        if (encoder / TELEMETRY).is_file():
            yield encoder.name, _cost(encoder)
        else:
            say(f"speed: {encoder} has no {TELEMETRY}: the encoder is assumed to need no training")
    for folder in filter(None, flows):
        yield f"{folder.parent.name}/{folder.name}", _cost(folder)


def _cost(folder: Path) -> dict[str, Any]:
    facts = read_json(folder / TELEMETRY)
    return {key: facts[key] for key in ("wall_seconds", "cpu_seconds", "device", "threads")}
