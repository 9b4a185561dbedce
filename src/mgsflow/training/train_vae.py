"""The stage that trains the VAE."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mgsflow.config import Compute, Stamps, Vae
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tables import read_table
from mgsflow.models.encoders.vae import VariationalAutoencoder, describe
from mgsflow.models.storage import fingerprint, software_versions
from mgsflow.sample.shards import StampSet
from mgsflow.sample.stretch import Stretch
from mgsflow.training.batches import Batches
from mgsflow.training.checkpoints import Checkpoints
from mgsflow.training.epochs import NAME, VaeEpochs, make_optimizer
from mgsflow.training.folder import write_training
from mgsflow.training.loop import Fit, Loop, choose_device
from mgsflow.training.steps import Modes, libraries
from mgsflow.training.telemetry import Telemetry


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
    code: str = "",
) -> None:
    """Train the VAE on the sets vae_train and vae_validation of the splits (paper, section 2.2).

    --out is the folder of the model: weights and description, history.csv with the losses of every
    epoch, and telemetry.json with the cost of the training. The weights with the lowest validation
    loss are kept. An interrupted training continues from the last epoch's checkpoint in the folder
    `checkpoints`, if settings, data and `code` (a digest of the program) are the same; the result
    has the same bits.
    """
    torch.set_num_threads(compute.vae_threads)
    device = choose_device(compute)
    data = _open(shards, index, splits, vae, stamps)
    torch.manual_seed(derive_seed(seed, NAME, "weights"))
    layout = data.stamps.layout
    network = VariationalAutoencoder(len(layout.bands), layout.size, vae.latent, vae.channels)
    network = network.to(device, memory_format=torch.channels_last)
    modes = Modes.of(compute, device, vae.epochs * len(data.train))
    machine = {"device": device.type, "threads": compute.vae_threads, **software_versions()}
    machine |= asdict(modes)
    key = fingerprint(vae.model_dump(), machine, seed, data.key, code)
    kept = Checkpoints(checkpoints, key)
    with Telemetry(NAME, device, stamps=len(data.train) + len(data.validation)) as cost:
        fit = _fit(network, data, vae, seed, device, modes, kept, cost)
    cost.note(epochs=fit.epoch, parameters=sum(p.numel() for p in network.parameters()))
    facts = describe(network, data.stamps.stretch, layout) | _facts(fit, data, vae, compute, modes)
    write_training(out, network.state_dict(), facts, pd.DataFrame(fit.history), cost)
    kept.clear()


@dataclass(frozen=True)
class _Data:
    """The stamps, and the rows of the index for training and for validation."""

    stamps: StampSet
    train: np.ndarray
    validation: np.ndarray

    @property
    def key(self) -> str:
        """Fingerprint of the training and validation galaxies, and of all pixels."""
        objid = self.stamps.objid
        return fingerprint(objid[self.train], objid[self.validation], self.stamps.digests)


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
    for name, members in rows.items():
        if not len(members):
            raise UserError(
                f"{splits}: no galaxy of the set {name} has a stamp. Raise splits.vae or "
                "splits.vae_validation, or use a larger sample."
            )
    say(
        f"{NAME}: {len(rows['vae_train'])} stamps for training, "
        f"{len(rows['vae_validation'])} for validation"
    )
    return _Data(opened, rows["vae_train"], rows["vae_validation"])


def _fit(
    network: VariationalAutoencoder,
    data: _Data,
    vae: Vae,
    seed: int,
    device: torch.device,
    modes: Modes,
    kept: Checkpoints,
    cost: Telemetry,
) -> Fit:
    optimizer = make_optimizer(network, vae, device)
    sets = (Batches(data.stamps, r, device, modes.blocks) for r in (data.train, data.validation))
    epochs = VaeEpochs(network, optimizer, *sets, vae, seed, device, modes)
    loop = Loop(NAME, network, optimizer, vae.epochs, vae.patience, kept, cost)
    try:
        with libraries(modes):
            return loop.run(epochs.train, epochs.validate)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{NAME}: the memory of {device} is too small for vae.batch_size = {vae.batch_size}: "
            f"{str(error).splitlines()[0]} Lower vae.batch_size, or take a larger GPU."
        ) from None


def _facts(fit: Fit, data: _Data, vae: Vae, compute: Compute, modes: Modes) -> dict[str, Any]:
    return {
        "loss": "sum over pixels of the squared error + kl_weight * KL divergence, mean of stamps",
        "settings": vae.model_dump(),
        "training": {
            "epochs": fit.epoch,
            "best_epoch": fit.best_epoch,
            "validation_loss": fit.best_loss,
            "threads": compute.vae_threads,
            "modes": asdict(modes),
        },
        "data": {
            "fingerprint": data.key,
            "vae_train": len(data.train),
            "vae_validation": len(data.validation),
        },
    }
