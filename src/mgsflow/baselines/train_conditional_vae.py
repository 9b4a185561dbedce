"""The stage that trains the conditional VAE, a baseline, on this run's stamps and split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mgsflow.baselines.conditional_vae_fitting import (
    NAME,
    ConditionalVaeEpochs,
    predict,
    read_middles,
)
from mgsflow.baselines.predictions import (
    CONDITIONAL_VAE,
    LEAST_MEASURED,
    NO_BLOCK,
    QUANTITIES,
    SETS,
    long,
)
from mgsflow.config import Baselines, Compute, Targets, Vae
from mgsflow.config.evaluation import ConditionalVae
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tables import read_table, write_table
from mgsflow.models.conditional_vae import ConditionalVaeNetwork
from mgsflow.models.encoders.base import describe_encoder
from mgsflow.models.standardise import Standardiser
from mgsflow.models.storage import fingerprint, software_versions
from mgsflow.sample.shards import StampSet
from mgsflow.sample.sky_blocks import BY_GALAXY
from mgsflow.sample.stretch import Stretch
from mgsflow.training.checkpoints import Checkpoints
from mgsflow.training.folder import write_training
from mgsflow.training.loop import Fit, Loop, choose_device
from mgsflow.training.telemetry import Telemetry


def train_conditional_vae(
    *,
    shards: list[Path],
    index: Path,
    features: Path,
    vae: Vae,
    baselines: Baselines,
    targets: Targets,
    compute: Compute,
    seed: int,
    checkpoints: Path,
    out: Path,
    predictions: Path,
    code: str = "",
) -> None:
    """Train the conditional VAE on the flows' training stamps and predict the other two sets.

    Of the settings `vae` it has the convolutions' channels and the stretch; all else stands in
    `baselines.conditional_vae`. The weights with the least error on the validation set are kept.
    --out is the folder of the model, as that of train-vae. The table --predictions has the columns
    of the stage baselines. Interrupted, it goes on from the
    last epoch's checkpoint, as train-vae does. Raises UserError where a galaxy has no stamp, or its
    stamp a pixel that is no number.
    """
    torch.set_num_threads(compute.vae_threads)
    settings, device = baselines.conditional_vae, choose_device(compute)
    data = _open(shards, index, features, [*targets.properties, *targets.lines], vae)
    machine = {"device": device.type, "threads": compute.vae_threads, **software_versions()}
    kept = Checkpoints(
        checkpoints,
        fingerprint(
            settings.model_dump(),
            vae.channels,
            data.stamps.stretch.as_dict(),
            machine,
            seed,
            data.key,
            code,
        ),
    )
    with Telemetry(NAME, device, stamps=len(data.rows["train"])) as cost:
        pixels = {
            name: read_middles(data.stamps, data.rows[name], settings).to(device) for name in SETS
        }
        torch.manual_seed(derive_seed(seed, NAME, "weights"))
        bands, side = pixels["train"].shape[1:3]
        network = ConditionalVaeNetwork(bands, side, len(data.names), settings.free, vae.channels)
        network = network.to(device, memory_format=torch.channels_last)
        fit = _fit(network, pixels, data, settings, seed, kept, cost)
    cost.note(epochs=fit.epoch, parameters=sum(p.numel() for p in network.parameters()))
    tables = [_predictions(network, pixels[name], data, name, settings) for name in SETS[1:]]
    write_table(predictions, pd.concat(tables, ignore_index=True), QUANTITIES)
    facts = _facts(network, fit, data, settings, vae, compute)
    write_training(out, network.state_dict(), facts, pd.DataFrame(fit.history), cost)
    kept.clear()


@dataclass(frozen=True)
class _Data:
    """The stamps, and for each set the rows of the index and the targets, standardised."""

    stamps: StampSet
    names: list[str]
    rows: dict[str, np.ndarray]
    objid: dict[str, pd.Series]
    wanted: dict[str, np.ndarray]
    scale: Standardiser

    @property
    def key(self) -> str:
        """Fingerprint of which galaxies are in which set, of their targets, and of all pixels."""
        sets = [(self.objid[name].to_numpy(), self.wanted[name]) for name in SETS]
        return fingerprint(
            self.names, *(part for pair in sets for part in pair), self.stamps.digests
        )


def _open(shards: list[Path], index: Path, features: Path, names: list[str], vae: Vae) -> _Data:
    table = read_table(features, ["objid", "set", *names])
    places = read_table(index, ["objid", "shard", "row"])
    row_of = pd.Series(np.arange(len(places)), places["objid"])
    absent = table.loc[~table["objid"].isin(row_of.index), "objid"]
    if len(absent):
        raise UserError(
            f"{index}: no stamp of {len(absent)} of the {len(table)} galaxies of {features}, such "
            f"as objid {absent.iloc[0]}. Rerun the stage splits, and those after it."
        )
    sets = {name: table[table["set"] == name] for name in SETS}
    names = _measured(sets, names, features)
    scale = Standardiser.fit(sets["train"][names].to_numpy(np.float64))
    say(f"{NAME}: " + ", ".join(f"{len(sets[name])} {name}" for name in SETS))
    return _Data(
        StampSet(shards, places, Stretch(vae.softening, vae.stretch_scale)),
        names,
        {name: row_of.loc[part["objid"]].to_numpy() for name, part in sets.items()},
        {name: part["objid"] for name, part in sets.items()},
        {name: scale.apply(part[names].to_numpy(np.float64)) for name, part in sets.items()},
        scale,
    )


def _measured(sets: dict[str, pd.DataFrame], names: list[str], features: Path) -> list[str]:
    """The targets that enough galaxies have for any method to be trained on them."""
    counts = {name: [int(sets[s][name].notna().sum()) for s in SETS[:2]] for name in names}
    enough = [name for name, (train, other) in counts.items() if train >= LEAST_MEASURED and other]
    if few := sorted(set(names) - set(enough)):
        say(f"{NAME}: too few galaxies to train on {', '.join(few)}")
    if not enough:
        raise UserError(
            f"{features}: no target is measured in {LEAST_MEASURED} training galaxies and one for "
            "validation. Give a larger sample, or leave conditional_vae out of baselines.methods."
        )
    return enough


def _fit(
    network: ConditionalVaeNetwork,
    pixels: dict[str, Tensor],
    data: _Data,
    settings: ConditionalVae,
    seed: int,
    kept: Checkpoints,
    cost: Telemetry,
) -> Fit:
    device = pixels["train"].device
    wanted = {name: torch.from_numpy(data.wanted[name]).to(device) for name in SETS[:2]}
    training, validation = ((pixels[name], wanted[name]) for name in SETS[:2])
    on_gpu = device.type == "cuda"
    optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate, fused=on_gpu or None)
    epochs = ConditionalVaeEpochs(network, optimizer, training, validation, settings, seed)
    loop = Loop(NAME, network, optimizer, settings.epochs, settings.patience, kept, cost)
    return loop.run(epochs.train, epochs.validate)


def _predictions(
    network: ConditionalVaeNetwork, pixels: Tensor, data: _Data, name: str, settings: ConditionalVae
) -> pd.DataFrame:
    values = data.scale.invert(predict(network, pixels, settings))
    table = pd.concat(long(data.objid[name], CONDITIONAL_VAE, name, data.names, values))
    return table.assign(split=BY_GALAXY, block=NO_BLOCK)


def _facts(
    network: ConditionalVaeNetwork,
    fit: Fit,
    data: _Data,
    settings: ConditionalVae,
    vae: Vae,
    compute: Compute,
) -> dict[str, Any]:
    layout, stretch = data.stamps.layout, data.stamps.stretch
    facts = describe_encoder(CONDITIONAL_VAE, network.architecture, layout, stretch)
    return facts | {
        "standardisation": facts["standardisation"] | {"targets": data.scale.to_json()},
        "targets": data.names,
        "loss": "squared error of the targets + reconstruction_weight * (sum over pixels of the "
        "squared error + kl_weight * KL divergence of the free latents), mean of stamps",
        "settings": settings.model_dump() | {"channels": vae.channels},
        "training": {
            "epochs": fit.epoch,
            "best_epoch": fit.best_epoch,
            "validation_loss": fit.best_loss,
            "threads": compute.vae_threads,
        },
        "data": {"fingerprint": data.key, **{name: len(data.rows[name]) for name in SETS}},
    }
