"""The user's data: named columns of numbers, as a table or an array, read block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError

_CHECKED_AT_ONCE = 65_536
_NAMED_ROWS = 10


def blocks(rows: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` of `rows` rows."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


class Tabular:
    """The columns `names` of `values`, (n, len(names)); rows are returned as float64.

    `values` is a DataFrame that includes these columns, or an array of exactly these columns in
    this order; `what` is its name in error messages. The whole is never copied.
    """

    def __init__(self, values: pd.DataFrame | np.ndarray, names: list[str], what: str) -> None:
        self._values, self._names, self._what = values, names, what
        if isinstance(values, pd.DataFrame):
            absent = [name for name in names if name not in values]
            if absent:
                raise UserError(
                    f"{what}: no column {', '.join(absent)}; expected {', '.join(names)}"
                )
        else:
            self._values = np.asanyarray(values)
            if self._values.ndim != 2 or self._values.shape[1] != len(names):
                raise UserError(
                    f"{what}: an array of shape {self._values.shape}; expected (n, {len(names)}), "
                    f"the columns {', '.join(names)}"
                )

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """The values of `rows`; missing or masked ones are NaN."""
        try:
            if isinstance(self._values, pd.DataFrame):
                part = self._values.iloc[rows][self._names]
                return part.to_numpy(np.float64, na_value=np.nan)
            part = np.ma.asarray(self._values[rows]).astype(np.float64)
            return part.filled(np.nan)
        except (TypeError, ValueError) as error:
            raise UserError(f"{self._what}: values that are not numbers ({error})") from None

    def refuse_missing(self, allowed: str | None = None) -> Tabular:
        """Raise UserError with the numbers of the rows that have a NaN or infinite value.

        In the column `allowed` NaN is permitted.
        """
        bad_rows: list[int] = []
        bad_columns = np.zeros(len(self._names), bool)
        may_be_nan = np.array([name == allowed for name in self._names])
        for part in blocks(len(self), _CHECKED_AT_ONCE):
            values = self[part]
            bad = ~np.isfinite(values) & ~(np.isnan(values) & may_be_nan)
            bad_columns |= bad.any(axis=0)
            bad_rows += (part.start + np.flatnonzero(bad.any(axis=1))).tolist()
        if bad_rows:
            columns = ", ".join(np.array(self._names)[bad_columns])
            first = ", ".join(map(str, bad_rows[:_NAMED_ROWS]))
            more = ", ..." if len(bad_rows) > _NAMED_ROWS else ""
            raise UserError(
                f"{self._what}: {len(bad_rows)} of {len(self)} rows have a NaN or an infinity in "
                f"{columns}: rows {first}{more}. Leave them out."
            )
        return self
