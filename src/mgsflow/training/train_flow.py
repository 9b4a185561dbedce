"""The stage that trains one branch's ensemble on one variant's inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from mgsflow.config.models import Compute, Flows
from mgsflow.config.sample import Photometry, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.latents import latent_columns
from mgsflow.core.quantities import METALLICITY, QUANTITIES
from mgsflow.core.seeds import derive_seed
from mgsflow.core.tables import read_table
from mgsflow.core.variants import inputs_of
from mgsflow.models.branch import Architecture
from mgsflow.models.flows import of_variant
from mgsflow.models.input_density import InputDensity
from mgsflow.models.inputs import input_columns, variant_label
from mgsflow.models.standardise import Standardiser
from mgsflow.models.storage import fingerprint
from mgsflow.training.checkpoints import Checkpoints
from mgsflow.training.descent import Curve
from mgsflow.training.folder import write_training
from mgsflow.training.heads import Rows
from mgsflow.training.input_density import fit_input_density
from mgsflow.training.loop import choose_device
from mgsflow.training.members import fit_members
from mgsflow.training.telemetry import Telemetry

# Settings of the flows that do not affect the training of a single variant.
_OTHER = {"variants"}
HISTORY_COLUMNS = ["member", "phase", "epoch", "train", "validation"]


def train_flow(
    *,
    features: Path,
    flow: str,
    variant: str,
    flows: Flows,
    targets: Targets,
    photometry: Photometry,
    compute: Compute,
    seed: int,
    checkpoints: Path,
    out: Path,
    code: str = "",
) -> None:
    """Train all members of one flow (property or line) on one variant's inputs.

    --out is the folder of the model: the members' weights and their description, history.csv with
    the losses of every epoch (member, phase, epoch, train, validation), and telemetry.json with the
    cost of the training. An interrupted training resumes after its last complete phase.
    """
    torch.set_num_threads(compute.flow_threads)
    device = choose_device(compute)
    goals, flows = _goals(flow, targets), of_variant(variant, flows)
    data = _read(features, variant, goals, flows, photometry, device)
    digest = fingerprint(*data.arrays())
    settings = flows.model_dump(mode="json", exclude=_OTHER)
    # threads and device change the last bits, so a training is not resumed across them
    place = [compute.flow_threads, device.type]
    identity = fingerprint(flow, variant, goals, settings, seed, code, place, digest)
    with Telemetry("train-flow", device, flow=flow, variant=variant) as meter:
        keep = Checkpoints(checkpoints, identity)
        # families of flows on the same inputs share seeds, and therefore their encoder and heads
        own_seed = derive_seed(seed, "train-flow", flow, inputs_of(variant))
        tensors, rows = _train(data, flows, own_seed, keep, meter)
        meter.note(galaxies=len(data.train), members=flows.members, epochs=len(rows))
        density = _density(data, variant, compute, seed)
    described = _describe(data, flow, variant, flows, seed, digest)
    described["input_density"] = density.to_json()
    history = pd.DataFrame(rows, columns=HISTORY_COLUMNS)
    write_training(out, tensors | density.to_tensors(), described, history, meter)
    keep.clear()


def _density(data: _Data, variant: str, compute: Compute, seed: int) -> InputDensity:
    """The density of the inputs, which is the same for both flows and all families."""
    density_seed = derive_seed(seed, "train-flow", "input-density", inputs_of(variant))
    # torch's number of threads does not apply to scikit-learn's linear algebra
    with threadpool_limits(limits=compute.flow_threads):
        return fit_input_density(
            data.train.inputs.cpu().numpy(),
            data.validation.inputs.cpu().numpy(),
            len(latent_columns(data.inputs)),
            density_seed,
        )


@dataclass(frozen=True)
class _Data:
    """Standardised rows on the device, with their inputs, architecture and scales."""

    train: Rows
    validation: Rows
    inputs: list[str]
    architecture: Architecture
    input_scale: Standardiser
    target_scale: Standardiser

    def arrays(self) -> list[Tensor]:
        return [t for part in (self.train, self.validation) for t in (part.inputs, part.targets)]


def _goals(flow: str, targets: Targets) -> list[str]:
    goals = {"property": targets.properties, "line": targets.lines}.get(flow)
    if goals is None:
        raise UserError(f"train-flow --flow {flow}: expected property or line")
    if not goals:
        raise UserError(
            f"train-flow --flow {flow}: the settings have no {flow} among the targets. Do not "
            "train this flow."
        )
    return list(goals)


def _read(
    path: Path,
    variant: str,
    goals: list[str],
    flows: Flows,
    photometry: Photometry,
    device: torch.device,
) -> _Data:
    table = read_table(path)
    inputs = input_columns(variant, photometry.bands, table.columns)
    absent = [name for name in goals if name not in table]
    if absent:
        raise UserError(f"{path}: no column {', '.join(absent)}. Rerun the stage features.")
    parts = {name: table[table["set"] == name] for name in ("train", "validation")}
    _check_rows(path, parts, goals, flows)
    # the statistics come from the training rows alone (paper, section 2.1)
    input_scale = Standardiser.fit(parts["train"][inputs].to_numpy())
    target_scale = Standardiser.fit(parts["train"][goals].to_numpy())
    rows = {
        name: Rows(
            torch.from_numpy(input_scale.apply(part[inputs].to_numpy())).to(device),
            torch.from_numpy(target_scale.apply(part[goals].to_numpy())).to(device),
        )
        for name, part in parts.items()
    }
    detects = _detects(parts["train"], goals)
    architecture = Architecture.of(len(inputs), goals, detects, flows)
    return _Data(rows["train"], rows["validation"], inputs, architecture, input_scale, target_scale)


def _check_rows(path: Path, parts: dict[str, pd.DataFrame], goals: list[str], flows: Flows) -> None:
    least = {"train": 2 * flows.folds, "validation": 2}
    for name, part in parts.items():
        if len(part) < least[name]:
            raise UserError(
                f"{path}: {len(part)} galaxies in the set {name}; at least {least[name]} are "
                "needed. Enlarge the sample, or change the shares in `splits`."
            )
        if METALLICITY in goals and part[METALLICITY].notna().sum() < 2:
            raise UserError(
                f"{path}: fewer than 2 galaxies of the set {name} have a metallicity. Remove it "
                "from targets.properties, or enlarge the sample."
            )


def _detects(train: pd.DataFrame, goals: list[str]) -> bool:
    """Whether detectability can be learnt: some, but not all, metallicities are missing."""
    return METALLICITY in goals and len(goals) > 1 and bool(train[METALLICITY].isna().any())


def _train(
    data: _Data, flows: Flows, seed: int, keep: Checkpoints, meter: Telemetry
) -> tuple[dict[str, Tensor], list[list[Any]]]:
    """Tensors of all members, named MEMBER.NAME, and the rows of the history."""
    seeds = [derive_seed(seed, member) for member in range(flows.members)]
    state = keep.load()
    if state is not None:
        meter.resume(state["cost"])
    branches, curves = fit_members(
        data.train,
        data.validation,
        data.architecture,
        flows,
        seeds,
        state,
        lambda phase: keep.save(phase | {"cost": meter.so_far()}),
    )
    tensors = {
        f"{member}.{name}": tensor
        for member, branch in enumerate(branches)
        for name, tensor in branch.state_dict().items()
    }
    return tensors, [row for i, own in enumerate(curves) for row in _history_rows(i, own)]


def _history_rows(member: int, curves: dict[str, Curve]) -> list[list[Any]]:
    return [[member, phase, *point] for phase, curve in curves.items() for point in curve]


def _describe(
    data: _Data, flow: str, variant: str, flows: Flows, seed: int, digest: str
) -> dict[str, Any]:
    """The model's description: all that a loader needs beside the weights, and their origin."""
    goals = data.architecture.targets
    measured = (~torch.isnan(data.train.targets)).sum(0).tolist()
    return {
        "flow": flow,
        "variant": variant,
        "label": variant_label(variant),
        "members": flows.members,
        "inputs": data.inputs,
        "targets": goals,
        "units": {name: QUANTITIES[name].unit for name in goals},
        "architecture": data.architecture.to_json(),
        "standardisation": {
            "inputs": data.input_scale.to_json(),
            "targets": data.target_scale.to_json(),
        },
        "training": {
            "settings": flows.model_dump(mode="json", exclude=_OTHER),
            "seed": seed,
            "galaxies": {"train": len(data.train), "validation": len(data.validation)},
            "measured": dict(zip(goals, np.asarray(measured).tolist(), strict=True)),
        },
        "data_fingerprint": digest,
    }
