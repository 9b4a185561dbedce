"""SkyServer's reply, as the service or the simulated sky gave it, in our names."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import BANDS, FLUX_OF_LINE
from mgsflow.sky.identifiers import read_identifiers, refuse_rounded

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
for _line, _flux in FLUX_OF_LINE.items():
    _served = _line.removeprefix("log1p_") + "_flux"
    REALS |= {_served: _flux, f"{_served}_err": f"{_flux}_err"}
TEXTS = {"class": "class"}
COLUMNS = IDENTIFIERS | INTEGERS | REALS | TEXTS


def read_reply(folder: Path) -> pd.DataFrame:
    """All chunks of a reply in one table with our names; a missing value is NaN.

    Identifiers are int64, never through a float; those of galaxies that have none are -1. Raises
    UserError where a file is not a reply of SkyServer (an HTML or error page, for instance), is
    cut off, or lacks a column.
    """
    chunks = sorted(Path(folder).glob("chunk-*.csv"))
    if not chunks:
        raise UserError(f"{folder}: holds no chunk-*.csv. Remove the folder and query again.")
    parts = [parse_reply(path.read_text(encoding="utf-8"), str(path)) for path in chunks]
    table = pd.concat(parts, ignore_index=True)
    refuse_rounded(table["objid"].to_numpy(), f"{folder}: column objid")
    return table


def parse_reply(text: str, source: str) -> pd.DataFrame:
    """One reply of SkyServer to our query, from its text; `source` names it in errors."""
    body = reply_body(text, source)
    theirs = {name.lower(): name for name in COLUMNS}  # SQL does not mind the case
    header = [name.strip() for name in body.partition("\n")[0].split(",")]
    header = [theirs.get(name.lower(), name) for name in header]
    absent = [name for name in COLUMNS if name not in header]
    if absent:
        raise UserError(f"{source}: no column {', '.join(absent)}; it has {', '.join(header)}.")
    raw = _read_csv(body, header, source)
    return pd.DataFrame({ours: _convert(raw[name], source) for name, ours in COLUMNS.items()})


def _read_csv(body: str, header: list[str], source: str) -> pd.DataFrame:
    """The table, its numbers float64 (integers below 2**53 are exact) and all else text."""
    numbers = INTEGERS | REALS
    text = {name: str for name in header if name not in numbers}
    options = {"names": header, "header": 0, "index_col": False}
    try:
        return pd.read_csv(io.StringIO(body), dtype=text | dict.fromkeys(numbers, float), **options)
    except ValueError:
        pass  # some text that is no number: read it as such, and name it
    raw = pd.read_csv(io.StringIO(body), dtype=str, **options)
    for name in numbers:
        wrong = raw[name].notna() & pd.to_numeric(raw[name], errors="coerce").isna()
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise UserError(
                f"{source}: column {name}, row {row + 1}: {raw[name].iloc[row]!r} is no number. "
                "Remove the file and query again."
            )
    raise UserError(f"{source}: broken CSV. Remove it and query again.")


def reply_body(text: str, source: str) -> str:
    """The CSV below the first line, every row of as many fields as the header. Or UserError."""
    first, _, body = text.partition("\n")
    if first.strip() != FIRST_LINE:
        raise UserError(
            f"{source}: not a reply of SkyServer's SQL service: it begins with "
            f"{first.strip()[:80]!r}, not with {FIRST_LINE}. It may be an error page: open it, "
            "remove it and query again."
        )
    lines = body.splitlines()
    fields = lines[0].count(",") if lines else 0
    for number, line in enumerate(lines, start=2):
        # a row with too few fields is one that was cut off; pandas would fill it up in silence
        if line and line.count(",") != fields:
            raise UserError(
                f"{source}, line {number}: {line.count(',') + 1} fields, not {fields + 1} as in "
                "its header: the reply was cut off. Remove it and query again."
            )
    return body


def _convert(column: pd.Series, source: str) -> pd.Series | np.ndarray:
    name = column.name
    if name in TEXTS:
        return column.str.strip()
    if name in IDENTIFIERS:
        return read_identifiers(column, source)
    if name in REALS:
        return column.mask(column.isin(MISSING))
    wrong = column % 1 != 0  # true of NaN as well
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise UserError(f"{source}: column {name}, row {row + 1}: {column[row]} is no integer.")
    return column.astype(np.int64)
