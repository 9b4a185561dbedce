"""Contaminants in SkyServer's reply: stars, quasars, bad spectra, faults of the table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.photometry import (
    error_columns,
    magnitude_column,
    magnitude_columns,
    magnitudes_of_colours,
)
from mgsflow.sky.columns import MEDIANS, SERVED
from mgsflow.sky.simulated.camera import BANDS
from mgsflow.sky.simulated.spectra import DISPERSION_CAP, LINES, MISSING
from mgsflow.sky.simulated.structure import PSF_HALF_LIGHT

GALAXY = "galaxy"
POINT_SOURCES = ("star", "quasar")
# The share of each kind is its number of entries here; a duplicate is a second spectrum of a
# galaxy, not another object.
KINDS = (
    "star",
    "quasar",
    "redshift_warning",
    "unreliable",
    "duplicate",
    "too_faint",
    "bad_dispersion",
    "absurd_flux",
    "missing_photometry",
    "not_primary",
    "star",
    "redshift_warning",
)
# u-g, g-r, r-i, i-z of main-sequence stars from F to M (Covey et al. 2007, Table 3), and quasars'
STELLAR_LOCUS = np.array(
    [
        [1.05, 0.30, 0.10, 0.02],
        [1.25, 0.50, 0.18, 0.06],
        [1.90, 0.85, 0.33, 0.18],
        [2.55, 1.40, 0.75, 0.40],
    ]
)
QUASAR_COLOURS = np.array([0.20, 0.15, 0.12, 0.05])
LOST_BANDS = ("u", "z")  # missing bands of objects with missing photometry


def contaminant_kinds(count: int, fraction: float) -> np.ndarray:
    """Kinds of the contaminants that are `fraction` of all rows, beside `count` good ones."""
    return np.resize(np.array(KINDS), round(count * fraction / (1 - fraction)))


def disguise(
    objects: pd.DataFrame, limit: float, fwhm: float, random: np.random.Generator
) -> pd.DataFrame:
    """Turn simulated galaxies into stars, quasars or fainter galaxies according to their `kind`.

    `limit` is the flux limit in r, `fwhm` the seeing in arcsec.
    """
    objects = objects.copy()
    fading = np.where(objects["kind"] == "too_faint", random.uniform(0.02, 0.4, len(objects)), 0.0)
    fading += np.where(objects["kind"] == "too_faint", limit - objects["petro_mag_r"], 0.0)
    for name in ("petro_mag_r", *magnitude_columns(BANDS)):
        objects[name] += fading
    stars = (objects["kind"] == "star").to_numpy()
    quasars = (objects["kind"] == "quasar").to_numpy()
    objects.loc[stars, "redshift"] = random.normal(0, 2e-4, stars.sum())
    objects.loc[quasars, "redshift"] = random.uniform(0.15, 2.2, quasars.sum())
    _recolour(objects, stars, _stellar_colours(stars.sum(), random))
    _recolour(objects, quasars, QUASAR_COLOURS + random.normal(0, 0.1, (quasars.sum(), 4)))
    points = stars | quasars
    objects.loc[points, "petro_r50"] = PSF_HALF_LIGHT * fwhm
    objects.loc[points, "petro_r90"] = 2 * PSF_HALF_LIGHT * fwhm
    return objects


def _stellar_colours(count: int, random: np.random.Generator) -> np.ndarray:
    place = random.uniform(0, len(STELLAR_LOCUS) - 1, count)
    steps = np.arange(len(STELLAR_LOCUS))
    return np.stack([np.interp(place, steps, colour) for colour in STELLAR_LOCUS.T], axis=1)


def _recolour(objects: pd.DataFrame, chosen: np.ndarray, colours: np.ndarray) -> None:
    """Give the chosen rows colours (n, 4) and a total r equal to their Petrosian r."""
    r = objects.loc[chosen, "petro_mag_r"].to_numpy()
    for band, magnitude in magnitudes_of_colours(colours.T, BANDS, "r", r).items():
        objects.loc[chosen, magnitude_column(band)] = magnitude


def spoil(reply: pd.DataFrame, kind: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
    """Mark or damage the reply's rows according to their `kind`, with values as in SkyServer."""
    reply = reply.copy()
    points = np.isin(kind, POINT_SOURCES)
    reply.loc[points, _SPECTRAL] = MISSING
    reply.loc[points, "bptclass"] = int(MISSING)
    reply.loc[points | (kind == "unreliable"), "reliable"] = 0
    reply.loc[kind == "star", "class"] = "STAR"
    reply.loc[kind == "quasar", "class"] = "QSO"
    reply.loc[kind == "redshift_warning", "zWarning"] = 4
    reply.loc[kind == "not_primary", "legacyPrimary"] = 0
    _break_dispersions(reply, kind == "bad_dispersion")
    absurd = kind == "absurd_flux"
    reply.loc[absurd, "h_alpha_flux"] = 10 ** random.uniform(5.5, 10, absurd.sum())
    missing = kind == "missing_photometry"
    lost = [*magnitude_columns(LOST_BANDS), *error_columns(LOST_BANDS)]
    reply.loc[missing, [SERVED[name] for name in lost]] = MISSING
    reply.loc[missing, "clean"] = 0
    return reply


_SPECTRAL = [
    "v_disp",
    "v_disp_err",
    *(f"{name}_p{percent}" for name in MEDIANS for percent in (50, 16, 84)),
    *(f"{line}_flux{end}" for line in LINES for end in ("", "_err")),
]


def _break_dispersions(reply: pd.DataFrame, chosen: np.ndarray) -> None:
    """Failed fits: half at the cap of 850 km/s, half at 0 with a negative error."""
    rows = np.flatnonzero(chosen)
    reply.loc[rows[::2], "v_disp"] = DISPERSION_CAP
    reply.loc[rows[1::2], ["v_disp", "v_disp_err"]] = [0.0, -4.0]
