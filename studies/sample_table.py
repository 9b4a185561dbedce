"""Make inputs and targets from a catalogue by the stages of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mgsflow.config import Settings
from mgsflow.core.tables import read_table
from mgsflow.sample.photometry import photometry
from mgsflow.sample.select import select
from mgsflow.sample.targets import targets


def sample_table(folder: Path, settings: Settings, seed: int, **source: Any) -> pd.DataFrame:
    """Targets, magnitudes and observed colours of the selected galaxies, one row per galaxy.

    `source` has the source of the galaxies for the stage `select`: sky, and source or reply. The
    stages write to `folder`.
    """
    chosen, dropped = folder / "selected.parquet", folder / "dropped.parquet"
    select(
        catalogue=settings.catalogue,
        selection=settings.selection,
        seed=seed,
        out=chosen,
        dropped=dropped,
        **source,
    )
    parts = folder / "targets.parquet", folder / "photometry.parquet"
    targets(selected=chosen, targets=settings.targets, out=parts[0], dropped=dropped)
    photometry(
        selected=chosen,
        photometry=settings.photometry,
        rest_frame=False,
        out=parts[1],
        dropped=dropped,
    )
    return read_table(parts[0]).merge(read_table(parts[1]), on="objid", validate="one_to_one")
