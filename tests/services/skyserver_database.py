"""SDSS's data base in small: the tables that our query joins, asked by its own SQL.

It is an SQLite data base in memory which answers as SkyServer does: a line `#Table1`, the header,
the rows, at most 500,000 of them without a word about the others, or the text of an error.
"""

from __future__ import annotations

import csv
import io
import re
import sqlite3
import threading

import numpy as np
import pandas as pd

from mgsflow.sky.columns import FIRST_LINE

ROW_LIMIT = 500_000
VIEWS = {
    "SpecObj": ("SpecObjAll", "sciencePrimary = 1"),
    "PhotoObj": ("PhotoObjAll", "mode IN (1, 2)"),
    "PhotoPrimary": ("PhotoObjAll", "mode = 1"),
}
PHOTOMETRY = re.compile(r"ra|dec|run|rerun|camcol|field|clean|(petro|modelMag|extinction).*")
SPECTRUM = ("class", "z", "zErr", "zWarning", "legacyPrimary", "legacy_target1")
GALSPEC = {
    "galSpecInfo": re.compile(r"v_disp.*|reliable"),
    "galSpecExtra": re.compile(r".*_p(16|50|84)|bptclass"),
    "galSpecLine": re.compile(r".*_flux(_err)?"),
}
KEYS = ("objid", "specobjid", "bestObjID")


def database_of(rows: pd.DataFrame, row_limit: int = ROW_LIMIT) -> SkyServerDatabase:
    """The data base in which our query finds `rows`, whose columns are those of the reply."""
    return SkyServerDatabase(tables_of(rows), row_limit)


def tables_of(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables behind `rows` of the reply, one a spectrum.

    Objects are in PhotoObjAll once, as their first row has them; those without an objid are not.
    Spectra whose `reliable` is missing have no MPA-JHU measurements.
    """
    photometry = rows[["objid", *(name for name in rows if PHOTOMETRY.fullmatch(name))]]
    photometry = photometry[rows["objid"] > 0].drop_duplicates("objid").assign(mode=1)
    spectra = rows[["specobjid", *SPECTRUM]].assign(
        bestObjID=rows["objid"],
        ra=rows["fiber_ra"],
        dec=rows["fiber_dec"],
        sciencePrimary=rows["legacyPrimary"],
    )
    tables = {"SpecObjAll": spectra, "PhotoObjAll": photometry}
    measured = rows[rows["reliable"].notna()]
    for table, pattern in GALSPEC.items():
        names = [name for name in rows if pattern.fullmatch(name)]
        tables[table] = measured[["specobjid", *names]]
    return {name: table.reset_index(drop=True) for name, table in tables.items()}


class SkyServerDatabase:
    """The data base of `tables`, a frame each, and the views upon them; safe among threads."""

    def __init__(self, tables: dict[str, pd.DataFrame], row_limit: int = ROW_LIMIT) -> None:
        self._row_limit = row_limit
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._connection.create_collation("digits", _compare_digits)
        for name, table in tables.items():
            self._create(name, table)
        for view, (table, condition) in VIEWS.items():
            if table in tables:
                self._connection.execute(
                    f"CREATE VIEW {view} AS SELECT * FROM {table} WHERE {condition}"
                )

    def answer(self, sql: str) -> str:
        """The text that SkyServer answers `sql` with in CSV."""
        try:
            with self._lock:
                cursor = self._connection.execute(_dialect(sql, self._row_limit))
                rows = cursor.fetchall()
        except (sqlite3.Error, ValueError) as error:
            return (
                f"SQL returned the following error message:\n{_as_sql_server(error)}\n"
                f"Your SQL command was:\n{sql}\n"
            )
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(column[0] for column in cursor.description)
        writer.writerows(map(_printed, row) for row in rows)
        return f"{FIRST_LINE}\n{stream.getvalue()}"

    def _create(self, name: str, table: pd.DataFrame) -> None:
        columns = ", ".join(f"{column} {_sql_type(table[column])}" for column in table)
        self._connection.execute(f"CREATE TABLE {name} ({columns})")
        marks = ", ".join("?" * table.shape[1])
        values = zip(*(_stored(table[column]) for column in table), strict=True)
        self._connection.executemany(f"INSERT INTO {name} VALUES ({marks})", values)
        for key in KEYS:
            if key in table:
                self._connection.execute(f"CREATE INDEX {name}_{key} ON {name} ({key})")


def _dialect(sql: str, row_limit: int) -> str:
    """SQLite's way of saying what T-SQL says; what T-SQL does not know is an error here too."""
    sql = " ".join(line.split("--")[0] for line in sql.split("\n"))
    for word in (r"\bLIMIT\b", "==", ";"):
        if found := re.search(word, sql, re.IGNORECASE):
            raise ValueError(f"Incorrect syntax near '{found[0]}'.")
    # Beyond int64 a number is numeric(20,0) to T-SQL, a float to SQLite.
    sql = re.sub(r"(?<![\w.])\d{19,}(?![\w.])", lambda digits: f"'{digits[0]}'", sql)
    top = re.match(r"\s*SELECT\s+TOP\s+(\d+)\s", sql, re.IGNORECASE)
    if top is None:
        return f"{sql} LIMIT {row_limit}"
    return f"SELECT {sql[top.end() :]} LIMIT {min(int(top[1]), row_limit)}"


def _as_sql_server(error: Exception) -> str:
    for theirs, pattern in (
        ("Invalid object name '{}'.", r"no such table: (?:\w+\.)?(\w+)"),
        ("Invalid column name '{}'.", r"no such column: (?:\w+\.)?(\w+)"),
        ("Incorrect syntax near '{}'.", r'near "(.*)": syntax error'),
    ):
        if found := re.match(pattern, str(error)):
            return theirs.format(found[1])
    return str(error)


def _sql_type(column: pd.Series) -> str:
    if column.name == "specobjid":  # numeric(20,0) in releases whose plates are beyond 8191
        return "TEXT COLLATE digits"
    if column.dtype.kind in "iub":
        return "INTEGER"
    return "REAL" if column.dtype.kind == "f" else "TEXT COLLATE NOCASE"


def _compare_digits(a: str, b: str) -> int:
    x, y = int(a), int(b)
    return (x > y) - (x < y)


def _stored(column: pd.Series) -> list[object]:
    """The column's values as SQLite takes them: NULL where missing, reals of 4 bytes as printed."""
    if column.name == "specobjid":
        return [str(int(value)) for value in column]
    if column.dtype == np.float32:
        column = column.astype(str).astype(float)
    return [
        None if missing else value
        for value, missing in zip(column.tolist(), column.isna(), strict=True)
    ]


def _printed(value: object) -> str:
    """A value as .NET prints it: shortest, without a point where it is whole; identifiers plain."""
    if value is None:
        return "null"
    if not isinstance(value, float):
        return str(value)
    return repr(value).removesuffix(".0").replace("e", "E")
