"""Names of photometric columns for any band, and the colours that follow from magnitudes."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mgsflow.core.surveys import known_bands

MAGNITUDE, MAGNITUDE_ERROR, EXTINCTION = "mag_", "mag_err_", "extinction_"
COLOUR, REST_COLOUR = "colour_", "rest_colour_"


def magnitude_column(band: str) -> str:
    """The column of the magnitude in `band`, such as mag_r."""
    return f"{MAGNITUDE}{band}"


def error_column(band: str) -> str:
    """The column of the magnitude's error, such as mag_err_r."""
    return f"{MAGNITUDE_ERROR}{band}"


def extinction_column(band: str) -> str:
    """The column of the Galaxy's extinction, such as extinction_r."""
    return f"{EXTINCTION}{band}"


def colour_column(blue: str, red: str, prefix: str = COLOUR) -> str:
    """The column of a colour, such as colour_g_r; rest-frame with the prefix REST_COLOUR."""
    return f"{prefix}{blue}_{red}"


def magnitude_columns(bands: Iterable[str]) -> list[str]:
    """The columns of the magnitudes in `bands`."""
    return [magnitude_column(band) for band in bands]


def error_columns(bands: Iterable[str]) -> list[str]:
    """The columns of the magnitudes' errors."""
    return [error_column(band) for band in bands]


def extinction_columns(bands: Iterable[str]) -> list[str]:
    """The columns of the Galaxy's extinction."""
    return [extinction_column(band) for band in bands]


def colour_columns(bands: Iterable[str]) -> list[str]:
    """Observed colours of adjacent bands: ["u", "g", "r"] gives colour_u_g, colour_g_r."""
    return [colour_column(blue, red) for blue, red in pairwise(bands)]


def rest_colour_columns(bands: Iterable[str]) -> list[str]:
    """Rest-frame colours of adjacent bands. They contain the redshift: see docs/decisions.md."""
    return [colour_column(blue, red, REST_COLOUR) for blue, red in pairwise(bands)]


def colours(
    magnitudes: Mapping[str, Any], bands: Sequence[str], prefix: str = COLOUR
) -> dict[str, Any]:
    """Colours of adjacent `bands`, the bluer minus the redder magnitude, by column name.

    `magnitudes` has the magnitudes by band, as arrays of one shape: a mapping, or a table whose
    columns are bands.
    """
    return {
        colour_column(blue, red, prefix): magnitudes[blue] - magnitudes[red]
        for blue, red in pairwise(bands)
    }


def magnitudes_of_colours(
    colours: Sequence[Any], bands: Sequence[str], reference: str, magnitude: Any
) -> dict[str, Any]:
    """Magnitudes by band, from the `magnitude` in the band `reference` and adjacent colours.

    `colours` has one entry fewer than `bands`: the colour of each band with the next.
    """
    middle = bands.index(reference)
    magnitudes = {reference: magnitude}
    for i in range(middle - 1, -1, -1):
        magnitudes[bands[i]] = magnitudes[bands[i + 1]] + colours[i]
    for i in range(middle + 1, len(bands)):
        magnitudes[bands[i]] = magnitudes[bands[i - 1]] - colours[i - 1]
    return {band: magnitudes[band] for band in bands}


def bands_in(columns: Container[str]) -> list[str]:
    """The bands of any survey whose magnitude is among `columns`, ordered by wavelength."""
    return [band for band in known_bands() if magnitude_column(band) in columns]


def bands_of_colour(column: str) -> tuple[str, str]:
    """The bands (blue, red) of a colour's column, observed or rest-frame."""
    blue, red = column.removeprefix(REST_COLOUR).removeprefix(COLOUR).split("_")
    return blue, red
