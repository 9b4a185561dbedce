"""Measure coverage and width of the posteriors with larger errors, and without a band.

    python studies/widening.py results/oracle 1000

The run must be on the simulated sky with the variant photometry-observed. In each case the noise of
the magnitudes of its test galaxies is increased to three times its size, or a band is removed. The
observed magnitudes are plugged into the flows unchanged (a missing one is computed from its
neighbour's by the mean colour of the training set), and then used through Posterior.widen(). Prints
a table in Markdown, which docs/posterior.md summarises.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow import Posterior
from mgsflow.core.photometry import error_columns, magnitude_columns
from mgsflow.core.quantities import short_name
from mgsflow.core.surveys import SDSS
from mgsflow.core.tables import read_table
from mgsflow.models.embedding import with_colours

VARIANT, DRAWS, SEED = "photometry-observed", 300, 1
TIMES, MISSING = 3.0, "ug"  # errors relative to the sky's own; missing bands, one at a time
COLUMNS = magnitude_columns(SDSS.bands)


def main(run: Path, galaxies: int) -> None:
    features = read_table(run / "flows" / "features.parquet")
    test = features[features["set"] == "test"].iloc[:galaxies].reset_index(drop=True)
    train = features.loc[features["set"] == "train", COLUMNS].to_numpy()
    names = error_columns(SDSS.bands)
    selected = read_table(run / "catalogue" / "selected.parquet", ["objid", *names])
    errors = selected.set_index("objid").loc[test["objid"], names].to_numpy()
    posterior = Posterior.load(run / "flows", variant=VARIANT)
    print(
        "| case | use | quantity | 68% coverage | 95% coverage | width | rms error |\n|"
        + "---|" * 7
    )
    for case, way, inputs in cases(test[COLUMNS].to_numpy(), errors, train):
        chosen = posterior.widen() if way == "widened" else posterior
        draws = chosen.sample(inputs, DRAWS, SEED)
        for column, name in enumerate(posterior.targets):
            truth = test[name].to_numpy()
            known = np.isfinite(truth)
            numbers = summary(draws[known][:, :, column].astype(float), truth[known])
            print(f"| {case} | {way} | {short_name(name)} | {numbers} |", flush=True)


def cases(
    magnitudes: np.ndarray, errors: np.ndarray, train: np.ndarray
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Each case: what is observed, how it is used, and the inputs."""
    none = np.zeros_like(errors)
    yield "as trained", "plugged in", table(magnitudes, none)
    extra = errors * np.sqrt(TIMES**2 - 1)
    noise = np.random.default_rng(7).standard_normal(errors.shape)
    for way in ("plugged in", "widened"):
        yield f"errors × {TIMES:g}", way, table(magnitudes + extra * noise, extra)
    for band in MISSING:
        i = SDSS.bands.index(band)
        beside = i + 1 if i + 1 < len(SDSS.bands) else i - 1
        filled, missing = magnitudes.copy(), magnitudes.copy()
        filled[:, i] = magnitudes[:, beside] + (train[:, i] - train[:, beside]).mean()
        missing[:, i] = np.nan
        yield f"no {band}", "plugged in", table(filled, none)
        yield f"no {band}", "widened", table(missing, none)


def table(magnitudes: np.ndarray, extra: np.ndarray) -> pd.DataFrame:
    """The inputs for both uses: magnitudes, colours, extra errors."""
    found = with_colours(pd.DataFrame(magnitudes, columns=COLUMNS), SDSS.bands)
    return found.assign(**{f"extra_error_{band}": extra[:, i] for i, band in enumerate(SDSS.bands)})


def summary(draws: np.ndarray, truth: np.ndarray) -> str:
    """Coverage in %, the median standard deviation, and the rms error of the mean, as cells."""
    cells = []
    for level in (0.68, 0.95):
        tails = [(1 - level) / 2, (1 + level) / 2]
        low, high = np.quantile(draws, tails, axis=1, method="weibull")
        cells.append(f"{100 * ((low <= truth) & (truth <= high)).mean():.1f}")
    width, error = np.median(draws.std(axis=1)), np.sqrt(np.mean((draws.mean(axis=1) - truth) ** 2))
    return " | ".join([*cells, f"{width:.3g}", f"{error:.3g}"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
