"""What a training and a variant's inputs are called in tables and figures."""

from __future__ import annotations

from mgsflow.models.inputs import LABELS, inputs_label

_ENCODERS = {"vae": "VAE"}
_BRANCHES = {"property": "Properties", "line": "Lines"}
# Targets that are judged jointly (mgsflow.evaluation.calibration.assess)
GROUPS = {"core": "Core properties", "properties": "Properties with O/H", "lines": "Lines"}


def inputs_name(variant: str, short: bool = False) -> str:
    """What a variant sees: `Photometry (observed colours, spline)`; an unknown one by its name."""
    return inputs_label(variant, short) if variant in LABELS else variant


def training_name(flow: str, variant: str) -> str:
    """The name of a flow's training: `Lines: photometry (observed colours)`."""
    return f"{_BRANCHES.get(flow, flow)}: {inputs_name(variant).lower()}"


def encoder_name(folder: str) -> str:
    """The name of an encoder by that of its folder: `VAE`."""
    return _ENCODERS.get(folder, folder.replace("-", " ").capitalize())
