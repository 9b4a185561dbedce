"""The SQL query of SDSS's database for the Main Galaxy Sample, with the cuts of the settings."""

from __future__ import annotations

import re
from importlib.resources import files

from mgsflow.config import Selection
from mgsflow.sky.columns import EXTINCTIONS, MAGNITUDE_ERRORS, MAGNITUDES

QUERY = files("mgsflow.sky").joinpath("main_galaxy_sample.sql")


def whole_query(selection: Selection) -> str:
    """The SQL for all rows, in no order."""
    photometry = {
        "magnitudes": MAGNITUDES,
        "magnitude_errors": MAGNITUDE_ERRORS,
        "extinctions": EXTINCTIONS,
    }
    values: dict[str, object] = {
        name: ", ".join(f"p.{column}" for column in columns) for name, columns in photometry.items()
    }
    values |= {
        "redshift_min": selection.redshift_min,
        "redshift_max": selection.redshift_max,
        "legacy_primary": int(selection.legacy_primary),
        "target_bits": sum(set(selection.target_bits)),
        "reliable": int(selection.reliable),
    }
    return re.sub(r"@(\w+)", lambda name: str(values[name[1]]), QUERY.read_text(encoding="utf-8"))


def query(selection: Selection, rows: int, after: int) -> str:
    """The SQL for one chunk: at most `rows` rows in order of specobjid, all above `after`."""
    whole = re.sub(r"^SELECT$", f"SELECT TOP {rows}", whole_query(selection), flags=re.MULTILINE)
    return f"{whole}AND s.specobjid > {after}\nORDER BY s.specobjid"


def count_query(selection: Selection) -> str:
    """The SQL that counts the rows of all chunks, with the same joins and cuts."""
    whole = whole_query(selection)
    return "SELECT COUNT(*) AS n" + whole[whole.index("\nFROM ") :]
