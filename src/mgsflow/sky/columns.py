"""The columns of SkyServer's reply to our query, and our names for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from mgsflow.core.errors import UserError
from mgsflow.core.photometry import error_column, extinction_column, magnitude_column
from mgsflow.core.quantities import FLUX_OF_LINE
from mgsflow.core.surveys import SDSS

FIRST_LINE = "#Table1"  # above the header, from release 12 on


def _by_band(template: str, ours: Callable[[str], str]) -> dict[str, str]:
    return {template.format(band=band): ours(band) for band in SDSS.bands}


MAGNITUDES = _by_band(SDSS.columns.magnitude, magnitude_column)
MAGNITUDE_ERRORS = _by_band(SDSS.columns.error, error_column)
EXTINCTIONS = _by_band(SDSS.columns.extinction, extinction_column)

# SkyServer's column: ours. Columns that are not among our quantities serve only the selection.
IDENTIFIERS = {"objid": "objid", "specobjid": "specobjid"}
INTEGERS = {
    "run": "run",
    "rerun": "rerun",
    "camcol": "camcol",
    "field": "field",
    "zWarning": "z_warning",
    "legacyPrimary": "legacy_primary",
    "legacy_target1": "legacy_target1",
    "clean": "clean",
}
# Integers as well, but NaN for a spectrum without MPA-JHU measurements.
GAPPY_INTEGERS = {"reliable": "reliable", "bptclass": "bpt_class"}
REALS = {
    "ra": "ra",
    "dec": "dec",
    "fiber_ra": "fiber_ra",
    "fiber_dec": "fiber_dec",
    "z": "redshift",
    "zErr": "redshift_err",
    "petroMag_r": "petro_mag_r",
    "petroR50_r": "petro_r50_r",
    "petroR90_r": "petro_r90_r",
    **MAGNITUDES,
    **MAGNITUDE_ERRORS,
    **EXTINCTIONS,
    "v_disp": "velocity_dispersion",
    "v_disp_err": "velocity_dispersion_err",
    "lgm_tot_p50": "log_stellar_mass",
    "sfr_tot_p50": "log_sfr",
    "oh_p50": "metallicity",
}
for _line, _flux in FLUX_OF_LINE.items():
    _served = _line.removeprefix("log1p_") + "_flux"
    REALS |= {_served: _flux, f"{_served}_err": f"{_flux}_err"}
# The percentiles about a median, from which its error is derived. A reply may lack them.
MEDIANS = {"lgm_tot": "log_stellar_mass", "sfr_tot": "log_sfr", "oh": "metallicity"}
PERCENTILES = {
    f"{served}_p{percent}": f"{ours}_p{percent}"
    for served, ours in MEDIANS.items()
    for percent in (16, 84)
}
REALS |= PERCENTILES
TEXTS = {"class": "class"}
NUMBERS = INTEGERS | GAPPY_INTEGERS | REALS
COLUMNS = IDENTIFIERS | NUMBERS | TEXTS
SERVED = {ours: theirs for theirs, ours in COLUMNS.items()}


def spelled_as_ours(header: Iterable[str]) -> list[str]:
    """The header's names, those of COLUMNS in its spelling: SQL ignores the case."""
    known = {name.lower(): name for name in COLUMNS}
    return [known.get(name.strip().lower(), name.strip()) for name in header]


def check_header(header: list[str], source: str) -> None:
    """Raises UserError if a column of the query is missing or occurs twice."""
    absent = [name for name in COLUMNS if name not in header and name not in PERCENTILES]
    if absent:
        raise UserError(
            f"{source}: no column {', '.join(absent)}; it has {', '.join(header)}. It is not the "
            "result of the query that `mgsflow sql` prints, or part of it only."
        )
    count = Counter(header)
    twice = [name for name in COLUMNS if count[name] > 1]
    if twice:
        raise UserError(f"{source}: column {', '.join(twice)} is there twice.")
