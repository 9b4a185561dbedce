"""The stage that trains the VAE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgsflow.config import Compute, Stamps, Vae
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.core.seeds import derive_seed, generator
from mgsflow.core.tables import read_table
from mgsflow.models.storage import fingerprint, save_model, software_versions
from mgsflow.models.vae import (
    VariationalAutoencoder,
    autocast,
    describe,
    kl_divergence,
    reconstruction_error,
)
from mgsflow.sample.shards import StampSet
from mgsflow.sample.stretch import Stretch
from mgsflow.training.checkpoints import Checkpoints
from mgsflow.training.loop import Fit, Loop, Losses, choose_device, write_history
from mgsflow.training.telemetry import Telemetry

NAME = "train-vae"
_RESIDENT_SHARE = 0.6  # of the GPU's free memory that the stamps may take


def train_vae(
    *,
    shards: list[Path],
    index: Path,
    splits: Path,
    vae: Vae,
    stamps: Stamps,
    compute: Compute,
    seed: int,
    checkpoints: Path,
    out: Path,
    description: Path,
    history: Path,
    telemetry: Path,
    code: str = "",
) -> None:
    """Train the VAE on the sets vae_train and vae_validation of the splits (paper, section 2.2).

    The weights with the least validation loss are kept. Interrupted, it goes on from the last
    epoch's checkpoint below the folder `checkpoints`, if settings, data and `code` (a digest of
    the program) are the same; the result has the same bits.
    """
    torch.set_num_threads(compute.vae_threads)
    device = choose_device(compute)
    data = _open(shards, index, splits, vae, stamps)
    torch.manual_seed(derive_seed(seed, NAME, "weights"))
    layout = data.stamps.layout
    network = VariationalAutoencoder(len(layout.bands), layout.size, vae.latent, vae.channels)
    network = network.to(device, memory_format=torch.channels_last)
    machine = {"device": device.type, "threads": compute.vae_threads, **software_versions()}
    key = fingerprint(vae.model_dump(), machine, seed, data.key, code)
    kept = Checkpoints(checkpoints, key)
    with Telemetry(NAME, device, stamps=len(data.train) + len(data.validation)) as cost:
        fit = _fit(network, data, vae, seed, device, kept, cost)
    cost.note(epochs=fit.epoch, parameters=sum(p.numel() for p in network.parameters()))
    facts = describe(network, data.stamps.stretch, layout) | _facts(fit, data, vae, compute)
    save_model(out, description, network.state_dict(), facts)
    write_history(history, fit.history)
    cost.write(telemetry)
    kept.clear()


@dataclass(frozen=True)
class _Data:
    """The stamps, and the rows of the index that train and validate."""

    stamps: StampSet
    train: np.ndarray
    validation: np.ndarray

    @property
    def key(self) -> str:
        """Fingerprint of which galaxies train and validate, and of all pixels."""
        objid = self.stamps.objid
        digests = {str(number): digest for number, digest in self.stamps.digests.items()}
        return fingerprint(objid[self.train], objid[self.validation], digests)


def _open(shards: list[Path], index: Path, splits: Path, vae: Vae, stamps: Stamps) -> _Data:
    table = read_table(index, ["objid", "shard", "row"])
    sets = read_table(splits, ["objid", "set"]).set_index("objid")["set"]
    of = sets.reindex(table["objid"]).to_numpy()
    opened = StampSet(shards, table, Stretch(vae.softening, vae.stretch_scale))
    layout = opened.layout
    if list(layout.bands) != list(stamps.bands) or layout.size != stamps.size:
        raise UserError(
            f"{shards[0]} holds stamps of {layout.size} pixels in {', '.join(layout.bands)}; the "
            f"settings say {stamps.size} in {', '.join(stamps.bands)}. Rerun the stage stamps."
        )
    rows = {name: np.flatnonzero(of == name) for name in ("vae_train", "vae_validation")}
    for name, found in rows.items():
        if not len(found):
            raise UserError(
                f"{splits}: no galaxy of the set {name} has a stamp. Raise splits.vae or "
                "splits.vae_validation, or use a larger sample."
            )
    say(f"{NAME}: {len(rows['vae_train'])} stamps train, {len(rows['vae_validation'])} validate")
    return _Data(opened, rows["vae_train"], rows["vae_validation"])


def _fit(
    network: VariationalAutoencoder,
    data: _Data,
    vae: Vae,
    seed: int,
    device: torch.device,
    kept: Checkpoints,
    cost: Telemetry,
) -> Fit:
    optimizer = torch.optim.Adam(
        network.parameters(), vae.learning_rate, fused=device.type == "cuda"
    )
    work = _Work(network, optimizer, vae, seed, device)
    train, validation = (Batches(data.stamps, r, device) for r in (data.train, data.validation))
    loop = Loop(NAME, network, optimizer, vae.epochs, vae.patience, kept, cost)
    return loop.run(
        lambda epoch: work.train(train, epoch),
        lambda: {"validation_loss": work.validate(validation)},
    )


@dataclass(frozen=True)
class _Work:
    """One epoch's work."""

    network: VariationalAutoencoder
    optimizer: torch.optim.Optimizer
    vae: Vae
    seed: int
    device: torch.device

    def train(self, batches: Batches, epoch: int) -> Losses:
        """Every stamp once, in an order and with a noise that the epoch's number fixes."""
        order = generator(self.seed, NAME, "order", epoch).permutation(len(batches))
        noise = self._generator("noise", epoch)
        self.network.train()
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for stamps in batches.read(order, self.vae.batch_size):
            self.optimizer.zero_grad(set_to_none=True)
            reconstruction, kl = self._losses(stamps, noise)
            (reconstruction.mean() + self.vae.kl_weight * kl.mean()).backward()
            self.optimizer.step()
            # summed on the device: reading a number would make the GPU wait at every step
            totals += torch.stack([reconstruction.detach().sum(), kl.detach().sum()])
        reconstruction, kl = (totals / len(batches)).tolist()
        loss = reconstruction + self.vae.kl_weight * kl
        return {"train_loss": loss, "reconstruction": reconstruction, "kl": kl}

    @torch.inference_mode()
    def validate(self, batches: Batches) -> float:
        """The loss of the validation set, with the same noise at every epoch."""
        noise = self._generator("validation")
        self.network.eval()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for stamps in batches.read(np.arange(len(batches)), self.vae.batch_size):
            reconstruction, kl = self._losses(stamps, noise)
            total += (reconstruction + self.vae.kl_weight * kl).sum()
        return float(total / len(batches))

    def _losses(self, stamps: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
        """Reconstruction error and KL divergence of each stamp, both (n,) in float32."""
        shape = (len(stamps), self.vae.latent)
        drawn = torch.randn(shape, generator=noise, device=self.device)
        with autocast(self.device, self.vae.precision):
            reconstruction, mean, log_variance = self.network(stamps, drawn)
        return reconstruction_error(stamps, reconstruction), kl_divergence(mean, log_variance)

    def _generator(self, *names: object) -> torch.Generator:
        drawn = torch.Generator(self.device)
        return drawn.manual_seed(derive_seed(self.seed, NAME, *names))


class Batches:
    """Stretched stamps of some rows of the index, batch by batch on the device.

    On a GPU the stored pixels stay in its memory, if they fit, and are stretched there; otherwise
    they are read through the shards' maps and stretched through a table.
    """

    def __init__(
        self,
        stamps: StampSet,
        rows: np.ndarray,
        device: torch.device,
        resident: bool | None = None,
    ) -> None:
        self._stamps = stamps
        self._rows = rows
        self._device = device
        if resident is None:
            resident = device.type == "cuda" and self._fits()
        self._resident = torch.from_numpy(stamps.raw(rows)).to(device) if resident else None

    def __len__(self) -> int:
        return len(self._rows)

    def _fits(self) -> bool:
        layout = self._stamps.layout
        size = len(self) * int(np.prod(layout.shape)) * np.dtype(layout.dtype).itemsize
        return size < _RESIDENT_SHARE * torch.cuda.mem_get_info(self._device)[0]

    def read(self, order: np.ndarray, batch_size: int) -> Iterator[Tensor]:
        """The stamps at positions `order`, (n, bands, size, size) float32, channels last."""
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield self._batch(chosen).contiguous(memory_format=torch.channels_last)

    def _batch(self, chosen: np.ndarray) -> Tensor:
        if self._resident is None:
            pixels = torch.from_numpy(self._stamps.read(self._rows[chosen]))
            return pixels.to(self._device, non_blocking=True)
        raw = self._resident[torch.from_numpy(chosen).to(self._device)]
        return stretch_tensor(raw, self._stamps.stretch)


def stretch_tensor(raw: Tensor, stretch: Stretch) -> Tensor:
    """What `stretch` does, on the device that holds `raw`."""
    if raw.dtype == torch.uint8:
        return raw.float() / 255
    return torch.asinh(raw.float() / stretch.softening) / stretch.scale


def _facts(fit: Fit, data: _Data, vae: Vae, compute: Compute) -> dict[str, Any]:
    return {
        "loss": "sum over pixels of the squared error + kl_weight * KL divergence, mean of stamps",
        "settings": vae.model_dump(),
        "training": {
            "epochs": fit.epoch,
            "best_epoch": fit.best_epoch,
            "validation_loss": fit.best_loss,
            "threads": compute.vae_threads,
        },
        "data": {
            "fingerprint": data.key,
            "vae_train": len(data.train),
            "vae_validation": len(data.validation),
        },
    }
