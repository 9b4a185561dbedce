"""The stage that derives magnitudes and colours, the inputs beside the images."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Photometry
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.quantities import BANDS, Quantity
from mgsflow.core.tables import read_table, write_table
from mgsflow.sample.kcorrection import rest_frame_magnitudes

DEFAULT_ERROR = 0.03  # mag, for the K-corrections of catalogues without errors


def photometry(
    *, selected: Path, photometry: Photometry, rest_frame: bool, out: Path, dropped: Path
) -> None:
    """Derive dereddened magnitudes, observed colours and, with `rest_frame`, rest-frame ones.

    One row a galaxy; a missing magnitude is NaN, and so are its colours. Rest-frame colours need
    all five bands and a redshift.
    """
    table = read_table(selected)
    ledger = Ledger("photometry", len(table))
    magnitudes = _magnitudes(table, photometry, ledger, selected)
    result = {"objid": table["objid"]}
    result |= {f"mag_{band}": magnitudes[band] for band in photometry.bands}
    result |= _colours("colour", magnitudes, photometry.bands)
    if rest_frame:
        rest = _rest_frame(table, magnitudes, photometry, ledger)
        result |= _colours("rest_colour", rest, photometry.bands)
    ledger.write(dropped, len(table))
    write_table(out, pd.DataFrame(result), _quantities(photometry.bands))


def _quantities(bands: list[str]) -> list[Quantity]:
    """What the columns are: magnitudes as inputs, and colours of bands not adjacent in ugriz."""
    described = [
        Quantity(
            f"mag_{band}", "mag", f"Apparent model magnitude in {band}, dereddened where known"
        )
        for band in bands
    ]
    for a, b in pairwise(bands):
        described.append(Quantity(f"colour_{a}_{b}", "mag", f"Observed colour {a} - {b}"))
        described.append(Quantity(f"rest_colour_{a}_{b}", "mag", f"Rest-frame colour {a} - {b}"))
    return described


def _magnitudes(
    table: pd.DataFrame, settings: Photometry, ledger: Ledger, path: Path
) -> pd.DataFrame:
    """Magnitudes, a column a band; NaN where they are implausible."""
    absent = [band for band in settings.bands if f"mag_{band}" not in table]
    if absent:
        raise UserError(
            f"{path}: no magnitudes in {', '.join(absent)}. Leave these bands out of "
            "photometry.bands, or map their columns in catalogue.columns."
        )
    low, high = settings.magnitude_range
    magnitudes = pd.DataFrame(index=table.index)
    for band in settings.bands:
        values = table[f"mag_{band}"].astype(float)
        bad = ~values.between(low, high)
        ledger.note(f"mag_{band} missing or outside {low} to {high}", int(bad.sum()))
        magnitudes[band] = values.mask(bad) - _extinction(table, band, settings, ledger)
    return magnitudes


def _extinction(
    table: pd.DataFrame, band: str, settings: Photometry, ledger: Ledger
) -> pd.Series | float:
    if not settings.deredden:
        return 0.0
    if f"extinction_{band}" not in table:
        ledger.note(f"mag_{band} not dereddened, since there is no extinction_{band}", len(table))
        return 0.0
    extinction = table[f"extinction_{band}"].astype(float)
    ledger.note(f"mag_{band} missing, since extinction_{band} is", int(extinction.isna().sum()))
    return extinction


def _colours(prefix: str, magnitudes: pd.DataFrame, bands: list[str]) -> dict[str, pd.Series]:
    return {f"{prefix}_{a}_{b}": magnitudes[a] - magnitudes[b] for a, b in pairwise(bands)}


def _rest_frame(
    table: pd.DataFrame, magnitudes: pd.DataFrame, settings: Photometry, ledger: Ledger
) -> pd.DataFrame:
    """Rest-frame magnitudes, but for the distance modulus; NaN where they cannot be had."""
    if list(settings.bands) != list(BANDS):
        raise UserError(
            "photometry.bands: rest-frame colours are fitted to all of u, g, r, i, z; name them "
            "all, or leave the rest-frame variants out of flows.variants."
        )
    if "redshift" not in table:
        raise UserError(
            "flows.variants: rest-frame colours need the redshift, which the catalogue lacks. "
            "Use the observed variants."
        )
    good = (magnitudes.notna().all(axis=1) & table["redshift"].notna()).to_numpy()
    ledger.note("no rest-frame colours: a band or the redshift is missing", int((~good).sum()))
    if not all(f"mag_err_{band}" in table for band in BANDS):
        ledger.note(f"rest-frame fits with errors of {DEFAULT_ERROR} mag", int(good.sum()))
    errors = np.column_stack([_errors(table, band) for band in BANDS])
    rest = np.full(magnitudes.shape, np.nan)
    rest[good] = rest_frame_magnitudes(
        magnitudes.to_numpy()[good],
        errors[good],
        table["redshift"].to_numpy(float)[good],
        settings.asinh_to_ab,
    )
    unfitted = good & np.isnan(rest).any(axis=1)
    ledger.note("no rest-frame colours: no template fits", int(unfitted.sum()))
    return pd.DataFrame(rest, columns=list(BANDS), index=table.index)


def _errors(table: pd.DataFrame, band: str) -> np.ndarray:
    if f"mag_err_{band}" not in table:
        return np.full(len(table), DEFAULT_ERROR)
    errors = table[f"mag_err_{band}"].to_numpy(float)
    return np.where(np.isfinite(errors) & (errors > 0), errors, DEFAULT_ERROR)
