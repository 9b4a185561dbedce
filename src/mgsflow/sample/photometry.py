"""The stage that derives magnitudes and colours, the inputs in addition to images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Photometry
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.photometry import (
    REST_COLOUR,
    colours,
    error_column,
    extinction_column,
    magnitude_column,
)
from mgsflow.core.quantities import Quantity
from mgsflow.core.tables import read_table, write_table
from mgsflow.sample.kcorrection import rest_frame_magnitudes

DEFAULT_ERROR = 0.03  # mag, for the K-corrections of catalogues without errors


def photometry(
    *, selected: Path, photometry: Photometry, rest_frame: bool, out: Path, dropped: Path
) -> None:
    """Derive dereddened magnitudes, observed colours and, with `rest_frame`, rest-frame colours.

    The output has one row per galaxy. A missing magnitude is NaN, and so are its colours.
    Rest-frame colours need all bands of the survey and a redshift.
    """
    table = read_table(selected)
    ledger = Ledger("photometry", len(table))
    magnitudes = _magnitudes(table, photometry, ledger, selected)
    result = {"objid": table["objid"]}
    result |= {magnitude_column(band): magnitudes[band] for band in photometry.bands}
    result |= colours(magnitudes, photometry.bands)
    if rest_frame:
        rest = _rest_frame(table, magnitudes, photometry, ledger)
        result |= colours(rest, photometry.bands, REST_COLOUR)
    ledger.write(dropped, len(table))
    write_table(out, pd.DataFrame(result), _quantities(photometry.bands))


def _quantities(bands: list[str]) -> list[Quantity]:
    """Descriptions of the magnitudes as inputs."""
    return [
        Quantity(
            magnitude_column(band),
            "mag",
            f"Apparent model magnitude in {band}, dereddened where known",
        )
        for band in bands
    ]


def _magnitudes(
    table: pd.DataFrame, settings: Photometry, ledger: Ledger, path: Path
) -> pd.DataFrame:
    """Magnitudes, one column per band; NaN where they are implausible."""
    absent = [band for band in settings.bands if magnitude_column(band) not in table]
    if absent:
        raise UserError(
            f"{path}: no magnitudes in {', '.join(absent)}. Leave these bands out of "
            "photometry.bands, or map their columns in catalogue.columns."
        )
    low, high = settings.magnitude_range
    magnitudes = pd.DataFrame(index=table.index)
    for band in settings.bands:
        name = magnitude_column(band)
        values = table[name].astype(float)
        bad = ~values.between(low, high)
        ledger.note(f"{name} missing or outside {low} to {high}", int(bad.sum()))
        magnitudes[band] = values.mask(bad) - _extinction(table, band, settings, ledger)
    return magnitudes


def _extinction(
    table: pd.DataFrame, band: str, settings: Photometry, ledger: Ledger
) -> pd.Series | float:
    if not settings.deredden:
        return 0.0
    magnitude, name = magnitude_column(band), extinction_column(band)
    if name not in table:
        ledger.note(f"{magnitude} not dereddened, since there is no {name}", len(table))
        return 0.0
    extinction = table[name].astype(float)
    ledger.note(f"{magnitude} missing, since {name} is", int(extinction.isna().sum()))
    return extinction


def _rest_frame(
    table: pd.DataFrame, magnitudes: pd.DataFrame, settings: Photometry, ledger: Ledger
) -> pd.DataFrame:
    """Rest-frame magnitudes plus the distance modulus; NaN where they cannot be derived."""
    fitted = settings.survey.fitted_bands
    if settings.bands != [band.name for band in fitted]:
        raise UserError(
            "photometry.bands: rest-frame colours are fitted to all of "
            f"{', '.join(band.name for band in fitted)}; name them all, or leave the rest-frame "
            "variants out of flows.variants."
        )
    if "redshift" not in table:
        raise UserError(
            "flows.variants: rest-frame colours need the redshift, which the catalogue lacks. "
            "Use the observed variants."
        )
    good = (magnitudes.notna().all(axis=1) & table["redshift"].notna()).to_numpy()
    ledger.note("no rest-frame colours: a band or the redshift is missing", int((~good).sum()))
    if not all(error_column(band) in table for band in settings.bands):
        ledger.note(f"rest-frame fits with errors of {DEFAULT_ERROR} mag", int(good.sum()))
    errors = np.column_stack([magnitude_errors(table, band) for band in settings.bands])
    rest = np.full(magnitudes.shape, np.nan)
    rest[good] = rest_frame_magnitudes(
        magnitudes.to_numpy()[good],
        errors[good],
        table["redshift"].to_numpy(float)[good],
        settings.asinh_to_ab,
        fitted,
    )
    unfitted = good & np.isnan(rest).any(axis=1)
    ledger.note("no rest-frame colours: no template fits", int(unfitted.sum()))
    return pd.DataFrame(rest, columns=settings.bands, index=table.index)


def magnitude_errors(table: pd.DataFrame, band: str) -> np.ndarray:
    """Errors (n,) of the magnitudes in `band`, mag; DEFAULT_ERROR where none is valid."""
    name = error_column(band)
    if name not in table:
        return np.full(len(table), DEFAULT_ERROR)
    errors = table[name].to_numpy(float)
    return np.where(np.isfinite(errors) & (errors > 0), errors, DEFAULT_ERROR)
