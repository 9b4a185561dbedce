"""A table as SkyServer would serve it, for the tests of what reads it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.surveys import SDSS
from mgsflow.sky.columns import COLUMNS, FIRST_LINE

FIRST_OBJID = 1237648674532688079
FIRST_SPECOBJID = 299489676941617152


def served_rows(n: int) -> pd.DataFrame:
    """`n` good galaxies of the main sample, in SkyServer's names, all alike but for their ids."""
    rows = pd.DataFrame(index=range(n))
    rows["objid"] = FIRST_OBJID + np.arange(n, dtype=np.int64)
    rows["specobjid"] = FIRST_SPECOBJID + 1024 * np.arange(n, dtype=np.int64)
    integers = {"run": 752, "rerun": 301, "camcol": 4, "field": 268, "bptclass": 1}
    flags = {"zWarning": 0, "legacyPrimary": 1, "legacy_target1": 64, "clean": 1, "reliable": 1}
    shape = {"petroMag_r": 17.0, "petroR50_r": 2.0, "petroR90_r": 5.0}
    galspec = {"lgm_tot_p50": 10.5, "sfr_tot_p50": 0.2, "oh_p50": 8.9}
    galspec |= {"lgm_tot_p16": 10.4, "lgm_tot_p84": 10.62, "sfr_tot_p16": 0.0, "sfr_tot_p84": 0.5}
    galspec |= {"oh_p16": 8.85, "oh_p84": 8.95}
    values = integers | flags | shape | galspec
    values |= {"ra": 183.7, "dec": 0.1, "fiber_ra": 183.7, "fiber_dec": 0.1}
    values |= {"z": 0.1, "zErr": 1e-5, "v_disp": 120.0, "v_disp_err": 8.0}
    for line, flux in (
        ("h_alpha", 90.0),
        ("h_beta", 30.0),
        ("nii_6584", 30.0),
        ("oiii_5007", 20.0),
    ):
        values |= {f"{line}_flux": flux, f"{line}_flux_err": 1.5}
    for band, magnitude in zip(SDSS.bands, (19.0, 17.6, 16.9, 16.5, 16.2), strict=True):
        values[f"modelMag_{band}"] = magnitude
        values |= {f"modelMagErr_{band}": 0.02, f"extinction_{band}": 0.1}
    rows = rows.assign(**values)
    rows["class"] = "GALAXY"
    return rows[list(COLUMNS)]


def reply_text(rows: pd.DataFrame) -> str:
    """The CSV that SkyServer answers with."""
    return f"{FIRST_LINE}\n{rows.to_csv(index=False, lineterminator=chr(10))}"


def write_reply(folder, *parts: pd.DataFrame):
    """A reply of one chunk a part, below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(parts):
        (folder / f"chunk-{number:04d}.csv").write_text(reply_text(rows))
    return folder
