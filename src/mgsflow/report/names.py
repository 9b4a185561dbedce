"""What a training and a variant's inputs are called in tables and figures."""

from __future__ import annotations

from mgsflow.models.inputs import LABELS

_BRANCHES = {"property": "Properties", "line": "Lines"}


def inputs_name(variant: str) -> str:
    """The label of a variant in short: `Photometry (observed colours, spline)`."""
    label = LABELS.get(variant, variant).replace(" + NF", "").replace(" (ours)", "")
    return label.replace("(ours, ", "(")


def training_name(flow: str, variant: str) -> str:
    """The name of a flow's training: `Lines: photometry (observed colours)`."""
    return f"{_BRANCHES.get(flow, flow)}: {inputs_name(variant).lower()}"
