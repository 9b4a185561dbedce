"""SkyServer's reply, as the service or the simulated sky gave it, in our names."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import BANDS, LINE_FLUXES

FIRST_LINE = "#Table1"
MISSING = (-9999.0, -1000.0)  # galSpec's and the photometry's

# SkyServer's column: ours. Columns without a quantity of ours serve the selection only.
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
    "reliable": "reliable",
    "bptclass": "bpt_class",
}
REALS = {
    "ra": "ra",
    "dec": "dec",
    "z": "redshift",
    "zErr": "redshift_err",
    "petroMag_r": "petro_mag_r",
    "petroR50_r": "petro_r50_r",
    "petroR90_r": "petro_r90_r",
    **{f"modelMag_{band}": f"mag_{band}" for band in BANDS},
    **{f"modelMagErr_{band}": f"mag_err_{band}" for band in BANDS},
    **{f"extinction_{band}": f"extinction_{band}" for band in BANDS},
    "v_disp": "velocity_dispersion",
    "v_disp_err": "velocity_dispersion_err",
    "lgm_tot_p50": "log_stellar_mass",
    "sfr_tot_p50": "log_sfr",
    "oh_p50": "metallicity",
}
for _flux, _line in zip(
    LINE_FLUXES, ("h_alpha", "h_beta", "nii_6584", "oiii_5007"), strict=True
):
    REALS |= {f"{_line}_flux": _flux, f"{_line}_flux_err": f"{_flux}_err"}
TEXTS = {"class": "class"}
COLUMNS = IDENTIFIERS | INTEGERS | REALS | TEXTS


def read_reply(folder: Path) -> pd.DataFrame:
    """All chunks of a reply in one table with our names; a missing value is NaN.

    Identifiers are int64, never through a float. Raises UserError where a file is not a reply of
    SkyServer (an HTML or error page, for instance), or where it lacks a column.
    """
    chunks = sorted(folder.glob("chunk-*.csv"))
    if not chunks:
        raise UserError(f"{folder}: holds no chunk-*.csv. Remove the folder and query again.")
    table = pd.concat([parse_reply(path.read_text(), str(path)) for path in chunks])
    return table.reset_index(drop=True)


def parse_reply(text: str, source: str) -> pd.DataFrame:
    """One reply of SkyServer, from its text; `source` names it in errors."""
    first, _, body = text.partition("\n")
    if first.strip() != FIRST_LINE:
        raise UserError(
            f"{source}: not a reply of SkyServer's SQL service: it begins with {first[:60]!r}, "
            f"not with {FIRST_LINE}. It may be an error page: open it, remove it, query again."
        )
    try:
        raw = pd.read_csv(io.StringIO(body), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{source}: broken CSV ({error}). Remove it and query again.") from None
    absent = sorted(COLUMNS.keys() - set(raw.columns))
    if absent:
        raise UserError(f"{source}: no column {', '.join(absent)}; it has {list(raw.columns)}.")
    return pd.DataFrame({ours: _convert(raw[theirs], source) for theirs, ours in COLUMNS.items()})


def _convert(column: pd.Series, source: str) -> pd.Series:
    if column.name in TEXTS:
        return column.str.strip()
    if column.name in IDENTIFIERS:
        return parse_identifiers(column, source)
    try:
        values = pd.to_numeric(column.replace("", "nan")).astype(np.float64)
    except ValueError as error:
        raise UserError(f"{source}: column {column.name}: {error}.") from None
    return values.mask(values.isin(MISSING))


def parse_identifiers(column: pd.Series, source: str) -> pd.Series:
    """int64 identifiers from text, digit by digit.

    Raises UserError for text that is no integer, such as 1.23765E+18, which a spreadsheet wrote:
    its last digits are lost, and many objects share what is left.
    """
    text = column.astype(str).str.strip()
    good = text.str.fullmatch(r"-?\d{1,19}")
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise UserError(
            f"{source}: column {column.name}, row {row + 1}: {text.iloc[row]!r} is not an integer "
            "identifier. If a spreadsheet or a float lost its digits, they cannot be had back: "
            "export the catalogue again with the identifier as text or integer, or give "
            "`objid: null` in catalogue.columns to number the rows instead."
        )
    try:
        return text.map(int).astype(np.int64)
    except OverflowError:
        raise UserError(f"{source}: column {column.name} has numbers beyond int64.") from None
