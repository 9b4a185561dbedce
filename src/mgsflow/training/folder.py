"""What a training leaves in the folder of its model: see `core.contract.Model.written`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from mgsflow.core.contract import HISTORY, TELEMETRY
from mgsflow.core.files import atomic_path
from mgsflow.models.storage import save_model
from mgsflow.training.telemetry import Telemetry


def write_training(
    out: Path,
    tensors: Mapping[str, Tensor],
    description: dict[str, Any],
    history: pd.DataFrame,
    cost: Telemetry,
) -> None:
    """Write into `out` the model, its description, its history (one row per epoch) and its cost."""
    save_model(out, tensors, description)
    with atomic_path(out / HISTORY) as temporary:
        history.to_csv(temporary, index=False)
    cost.write(out / TELEMETRY)
