"""Zero mean and unit variance, with the statistics of the training rows (paper, section 2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Standardiser:
    """Mean and standard deviation of each column, float64, shape (columns,)."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> Standardiser:
        """Fit to the training rows, shape (n, columns). NaN is missing and is ignored.

        A constant column carries no information; it gets the scale 1 to avoid division by zero.
        """
        values = np.asarray(values, dtype=np.float64)
        mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        constant = std <= 1e-12 * np.maximum(1.0, np.abs(mean))
        return cls(mean, np.where(constant, 1.0, std))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Standardised values, float32; the subtraction is in float64."""
        return ((np.asarray(values, dtype=np.float64) - self.mean) / self.std).astype(np.float32)

    def invert(self, values: np.ndarray) -> np.ndarray:
        """From standardised values (last axis: columns) back to the columns' own units, float32."""
        # float32 throughout: the draws are many, and their rounding is far below their width
        return values * self.std.astype(np.float32) + self.mean.astype(np.float32)

    def to_json(self) -> dict[str, list[float]]:
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Standardiser:
        return cls(np.asarray(value["mean"], float), np.asarray(value["std"], float))
