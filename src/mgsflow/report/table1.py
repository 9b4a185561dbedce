"""Table 1: R2 by method and property, published values beside ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import in_table_order, short_name
from mgsflow.core.tables import read_table
from mgsflow.core.variants import family_of, inputs_of
from mgsflow.models.inputs import LABELS, MEAN_HEAD_LABELS
from mgsflow.report.published import TABLE1
from mgsflow.report.writing import MISSING, show_interval, write_tables

BASELINES = {
    "photometry_mlp": "(r, g, z) photometry + MLP (same split)",
    "image_mlp": "Image embedding + MLP (same split)",
    "image_knn": "Image embedding + kNN (same split)",
    "conditional_vae": "Conditional VAE on the stamps ([29], same split)",
    "photometry_boosting": "Photometry + gradient boosting (same split)",
    "photometry_boosting_sky": "Photometry + gradient boosting (split by sky)",
}
_GAINS = {
    "images_photometry-rest_frame": "Gain by rest-frame colours, images + photometry",
    "photometry-rest_frame": "Gain by rest-frame colours, photometry",
}
GAINS = {
    variant: ", ".join(filter(None, (_GAINS[inputs_of(variant)], family_of(variant))))
    for variant in LABELS
    if inputs_of(variant) in _GAINS
}
CEILING = {"ceiling": "Ceiling by the catalogue's errors"}
PUBLISHED = "published"


def table1(*, scores: Path, out: Path) -> None:
    """Table 1: R2 on the test set by method and quantity, after the published values.

    Published values are of other galaxies (of SDSS, also where this run's sky is another); those of
    this run share one split. A variant's mean head alone has a row below the variants; then comes
    the ceiling that the catalogue's own errors put on R2, and last what rest-frame colours bring
    over observed ones, the difference of two R2. `out` is the
    .csv with every R2 and its 95% bootstrap interval; .json, .md and .tex beside it show its arms.
    """
    ours = read_table(scores)
    targets = in_table_order(ours["target"])
    numbers = pd.concat([published(targets), run(ours)], ignore_index=True)
    write_tables(out, numbers, shown(numbers, targets))


def published(targets: list[str]) -> pd.DataFrame:
    """The published rows, one a method and target; a range is an interval without a value."""
    rows = []
    for method, values in TABLE1.items():
        for target in (name for name in targets if name in values):
            value = values[target]
            low, high = value if isinstance(value, tuple) else (np.nan, np.nan)
            point = np.nan if isinstance(value, tuple) else value
            rows.append((method, PUBLISHED, target, point, low, high, np.nan))
    return pd.DataFrame(
        rows, columns=["method", "source", "target", "r2", "r2_low", "r2_high", "n"]
    )


def run(scores: pd.DataFrame) -> pd.DataFrame:
    """This run's rows: baselines in the paper's order, our variants, their mean heads alone, the
    ceiling by the catalogue's errors, gains.

    Raises UserError for a method that has no name here: no row may be left out in silence.
    """
    names = BASELINES | LABELS | CEILING
    unnamed = sorted(set(scores["method"]) - set(names))
    if unnamed:
        raise UserError(
            f"--scores: Table 1 has no name for {', '.join(unnamed)}. The scores are another "
            "version's: rerun the stage scores."
        )
    rows = scores.copy()
    rows["order"] = rows["method"].map(list(names).index)
    rows = rows.sort_values("order", kind="stable").drop(columns="order")
    limit = rows["method"].isin(CEILING)
    parts = [
        _part(rows[~limit], "r2", names, "this run"),
        _part(rows, "r2_mean_head", MEAN_HEAD_LABELS, "this run"),
        _part(rows[limit], "r2", names, "this run, limit"),
        _part(rows, "r2_gain", GAINS, "this run, difference"),
    ]
    return pd.concat(parts, ignore_index=True)


def _part(rows: pd.DataFrame, score: str, names: dict[str, str], source: str) -> pd.DataFrame:
    """The rows that have this `score`, which becomes their R2, under their `names`."""
    rows = rows[rows[score].notna() if score != "r2" else slice(None)]
    columns = {"target": rows["target"], "r2": rows[score]}
    columns |= {f"r2_{end}": rows[f"{score}_{end}"] for end in ("low", "high")}
    part = pd.DataFrame({"method": rows["method"].map(names), "source": source, **columns})
    return part.assign(n=rows["n"])


def shown(numbers: pd.DataFrame, targets: list[str]) -> pd.DataFrame:
    """The table as it is read: a row a method, a column a quantity."""
    digits = _digits(numbers)
    cells = {
        (row.method, row.target): _cell(row.r2, row.r2_low, row.r2_high, digits)
        for row in numbers.itertuples()
    }
    rows = [
        [method, *(cells.get((method, target), MISSING) for target in targets)]
        for method in dict.fromkeys(numbers["method"])
    ]
    return pd.DataFrame(rows, columns=["Method", *map(short_name, targets)])


def _digits(numbers: pd.DataFrame) -> int:
    """Two, as published, or three where the intervals are so narrow that two would hide them."""
    ours = numbers[numbers["source"] != PUBLISHED]
    return 3 if (ours["r2_high"] - ours["r2_low"]).median() < 0.02 else 2


def _cell(r2: float, low: float, high: float, digits: int) -> str:
    if np.isnan(r2):  # published as a range
        return MISSING if np.isnan(low) else f"{low:.2f}–{high:.2f}"
    return show_interval(r2, low, high, 2 if np.isnan(low) else digits)
