"""The table that the baselines write: a row a method, galaxy and target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mgsflow.core.quantities import Quantity

CONDITIONAL_VAE = "conditional_vae"  # the method that sees the stamps, trained by its own stage
SETS = ("train", "validation", "test")
NO_BLOCK = -1  # of a galaxy in a split by galaxy
LEAST_MEASURED = 10  # training galaxies with a target, below which nothing is trained on it

QUANTITIES = (
    Quantity("method", "", "Baseline, as in the setting baselines.methods"),
    Quantity("set", "", "Set of the galaxy: validation or test"),
    Quantity("target", "", "Predicted quantity; its unit is that of core.quantities"),
    Quantity("prediction", "", "Prediction in the unit of the target"),
    Quantity("split", "", "How the sets were divided: the run's own split, or by blocks of sky"),
    Quantity("block", "", f"Block of sky in a split by sky, {NO_BLOCK} in the run's own"),
)


def long(
    objid: pd.Series, method: str, set: str, names: list[str], values: np.ndarray
) -> Iterator[pd.DataFrame]:
    """A table a target of the predictions `values` (n, targets), without split and block."""
    for name, column in zip(names, values.T, strict=True):
        yield pd.DataFrame(
            {
                "method": method,
                "objid": objid.to_numpy(np.int64),
                "set": set,
                "target": name,
                "prediction": column.astype(np.float64),
            }
        )


def empty() -> pd.DataFrame:
    """No predictions, so that a run without any method still has its table."""
    return pd.DataFrame(
        {
            "method": pd.Series(dtype=str),
            "objid": np.empty(0, np.int64),
            "set": pd.Series(dtype=str),
            "target": pd.Series(dtype=str),
            "prediction": np.empty(0, np.float64),
            "split": pd.Series(dtype=str),
            "block": np.empty(0, np.int64),
        }
    )
