"""What a training is called in tables and figures."""

from __future__ import annotations

from mgsflow.models.inputs import LABELS

_BRANCHES = {"property": "Properties", "line": "Lines"}


def training_name(flow: str, variant: str) -> str:
    """The name of a flow's training: `Lines: photometry (observed colours)`."""
    inputs = LABELS.get(variant, variant).replace(" + NF", "").replace("ours, ", "")
    return f"{_BRANCHES.get(flow, flow)}: {inputs.replace(' (ours)', '').lower()}"
