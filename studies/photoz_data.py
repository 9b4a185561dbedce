"""The galaxies of studies/photometric_redshift.py: SkyServer's export, read by the package.

The stages select, targets, photometry and splits run as in tests/real/skyserver.yaml, in a
temporary folder. Their own account gives the galaxies that were dropped, with the reasons.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Settings
from mgsflow.config.read import read_settings
from mgsflow.core.seeds import generator
from mgsflow.core.tables import read_table
from mgsflow.models.inputs import input_columns
from mgsflow.sample.photometry import photometry
from mgsflow.sample.select import select
from mgsflow.sample.splits import splits
from mgsflow.sample.targets import targets

ROOT = Path(__file__).resolve().parent.parent
EXPORT = "skyserver_dr14_ugriz_redshift.csv"
VARIANT = "photometry-observed"
FOLDS = 5


@dataclass(frozen=True)
class Galaxies:
    """Colours and magnitudes, (n, 9) float64 with their names, and redshifts (n,)."""

    inputs: np.ndarray
    names: list[str]
    redshift: np.ndarray
    left: dict[str, int]  # number of dropped rows of the export by reason

    def __len__(self) -> int:
        return len(self.redshift)

    def columns(self, prefix: str) -> list[int]:
        """The columns whose names begin with `prefix`: `mag_` or `colour_`."""
        return [i for i, name in enumerate(self.names) if name.startswith(prefix)]


def skyserver_settings() -> Settings:
    return read_settings(ROOT / "config.yaml", [ROOT / "tests/real/skyserver.yaml"])


def read_galaxies(folder: Path, most: int | None, seed: int) -> Galaxies:
    """All galaxies of the export in `folder`, or at most `most` of them at random."""
    with tempfile.TemporaryDirectory() as name:
        table, left = _run_stages(folder / EXPORT, Path(name))
    names = input_columns(VARIANT, skyserver_settings().photometry.bands, table.columns)
    if most is not None and most < len(table):
        left = left | {f"beyond {most} (--galaxies)": len(table) - most}
        chosen = generator(seed, "galaxies").choice(len(table), most, replace=False)
        table = table.iloc[np.sort(chosen)]
    values, redshift = table[names].to_numpy(np.float64), table["redshift"].to_numpy(np.float64)
    return Galaxies(values, names, redshift, left)


def _run_stages(export: Path, folder: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """Inputs and redshift of the galaxies that pass all stages, and the dropped ones by reason."""
    settings = skyserver_settings()

    def files(stage: str) -> dict[str, Path]:
        return {"out": folder / f"{stage}.parquet", "dropped": folder / f"{stage}-dropped.parquet"}

    found = {stage: files(stage) for stage in ("select", "targets", "photometry", "splits")}
    selected = found["select"]["out"]
    select(source=export, sky=settings.sky, catalogue=settings.catalogue,
           selection=settings.selection, seed=settings.seed, **found["select"])  # fmt: skip
    targets(selected=selected, targets=settings.targets, **found["targets"])
    photometry(selected=selected, photometry=settings.photometry, rest_frame=False,
               **found["photometry"])  # fmt: skip
    splits(targets_table=found["targets"]["out"], photometry_table=found["photometry"]["out"],
           selected=selected, targets=settings.targets, photometry=settings.photometry,
           splits=settings.splits, seed=settings.seed, **found["splits"])  # fmt: skip
    table = read_table(found["splits"]["out"])[["objid"]]
    for stage in ("photometry", "targets"):
        table = table.merge(read_table(found[stage]["out"]), on="objid", validate="one_to_one")
    dropped = pd.concat([read_table(each["dropped"]) for each in found.values()])
    counts = dropped["reason"].value_counts()
    return table.sort_values("objid"), {str(name): int(n) for name, n in counts.items()}


def outer_folds(count: int, seed: int) -> list[np.ndarray]:
    """The rows of each outer test fold: disjoint, random, with sizes that differ by at most one."""
    return np.array_split(generator(seed, "outer folds").permutation(count), FOLDS)


def halve(rows: np.ndarray, share: float, seed: int, *names: object) -> tuple[np.ndarray, ...]:
    """`rows` divided at random into two parts, the second with the fraction `share` of them."""
    shuffled = generator(seed, *names).permutation(rows)
    held = round(share * len(rows))
    return shuffled[held:], shuffled[:held]
