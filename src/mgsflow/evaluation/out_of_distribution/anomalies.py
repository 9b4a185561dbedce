"""The stage that makes unusual galaxies of the test set's: photometry and stamps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from mgsflow.config import Evaluation, Photometry, Simulated
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path
from mgsflow.core.photometry import (
    REST_COLOUR,
    colours,
    extinction_column,
    magnitude_column,
)
from mgsflow.core.progress import say
from mgsflow.core.quantities import Quantity
from mgsflow.core.seeds import generator, hash_order
from mgsflow.core.tables import read_table, write_table
from mgsflow.evaluation.out_of_distribution import anomaly_names, kinds
from mgsflow.evaluation.out_of_distribution.kinds import Sample
from mgsflow.sample.kcorrection import rest_frame_magnitudes
from mgsflow.sample.photometry import magnitude_errors
from mgsflow.sample.shards import StampSet

SET = "test"
QUANTITIES = (
    Quantity("anomaly", "", "What was put in the galaxy's place"),
    Quantity("photometry", "", "Whether the photometry is that of what was put there"),
    Quantity("stamp", "", "Row of its stamp in anomalies.h5; -1 where it has none"),
)


def anomalies(
    *,
    features: Path,
    selected: Path,
    shards: list[Path],
    index: Path | None = None,
    photometry: Photometry,
    rest_frame: bool,
    simulated: Simulated | None = None,
    evaluation: Evaluation,
    seed: int,
    out: Path,
    stamps: Path,
) -> None:
    """Put unusual objects in the place of some of the test set's galaxies.

    As a control, the galaxy on a stamp with new sky at its border. Empty sky; g and i exchanged;
    stars; and, where --simulated is given, galaxies of the simulated
    sky at z = 0.5, with their own brightness and with the sample's. --out has their photometry, as
    the stage photometry would give it, a row an anomaly and galaxy; --stamps (HDF5) their stamps,
    as a shard holds them. An anomaly that the run's inputs or its sky do not allow is left out, and
    named in the log and in --out's notes (`left_out`).
    """
    sample = _choose(features, selected, shards, index, photometry, evaluation.anomalies, seed)
    fwhm = (simulated or Simulated()).psf_fwhm
    made = dict(_make(sample, simulated, fwhm, seed))
    left_out = [name for name in anomaly_names.ALL if name not in made]
    parts = [_rows(name, given, photometry, rest_frame) for name, given in made.items()]
    nothing = pd.DataFrame(columns=["anomaly", "objid", "photometry"])
    table = pd.concat(parts, ignore_index=True) if parts else nothing
    drawn = {name: given.stamps for name, given in made.items() if given.stamps is not None}
    table["stamp"] = _number(table["anomaly"], drawn)
    write_table(out, table, QUANTITIES, {"left_out": left_out})
    _write_stamps(stamps, list(drawn.values()))


def _choose(
    features: Path,
    selected: Path,
    shards: list[Path],
    index: Path | None,
    photometry: Photometry,
    count: int,
    seed: int,
) -> Sample:
    """The first test galaxies by a hash of their objid, as the run observed them."""
    table = read_table(features, ["objid", "set"])
    objid = table.loc[table["set"] == SET, "objid"].to_numpy(np.int64)
    if not len(objid):
        raise UserError(f"{features}: no galaxy in the test set. Enlarge the sample.")
    objid = objid[hash_order(objid, seed, "anomalies")[:count]]
    rows = read_table(selected).set_index("objid").reindex(objid).reset_index()
    pixels, bands, scale = None, (), float("nan")
    if index is not None:
        places = read_table(index, ["objid", "shard", "row"]).set_index("objid")
        stamps = StampSet(shards, places.loc[objid].reset_index())
        pixels, bands = stamps.raw(np.arange(len(stamps))), stamps.layout.bands
        scale = stamps.layout.pixel_scale
    magnitudes, extinction = _magnitudes(rows, photometry)
    errors = pd.DataFrame({band: magnitude_errors(rows, band) for band in magnitudes})
    redshift = rows.get("redshift", pd.Series(np.nan, rows.index)).to_numpy(np.float64)
    return Sample(objid, redshift, magnitudes, errors, extinction, pixels, bands, scale)


def _magnitudes(rows: pd.DataFrame, photometry: Photometry) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Magnitudes as the stage photometry gives them, and the extinction in all bands."""
    columns = {band: rows.get(extinction_column(band)) for band in photometry.survey.bands}
    extinction = pd.DataFrame(
        {
            band: 0.0 if column is None or not photometry.deredden else column.astype(float)
            for band, column in columns.items()
        },
        index=rows.index,
    )
    magnitudes = pd.DataFrame(
        {band: rows[magnitude_column(band)].astype(float) for band in photometry.bands},
        index=rows.index,
    )
    return magnitudes - extinction[list(magnitudes)], extinction


def _make(
    sample: Sample, simulated: Simulated | None, fwhm: float, seed: int
) -> Iterator[tuple[str, Sample]]:
    """Each anomaly that can be made, by name."""

    def random(name: str) -> np.random.Generator:
        return generator(seed, "anomalies", name)

    made = {
        anomaly_names.PATCHED: kinds.control(sample, random(anomaly_names.PATCHED)),
        anomaly_names.BLANK: kinds.blank(sample, random(anomaly_names.BLANK)),
        anomaly_names.SWAPPED: kinds.swapped(sample),
        anomaly_names.STAR: kinds.star(sample, fwhm, random(anomaly_names.STAR)),
    }
    for name, bright in ((anomaly_names.DISTANT, False), (anomaly_names.DISTANT_BRIGHT, True)):
        if simulated is None:
            say(f"anomalies: {name} is left out: its galaxies are drawn by a simulated sky")
        else:
            made[name] = kinds.distant(sample, simulated, bright, random(name))
    for name, given in made.items():
        if given is None:
            say(f"anomalies: {name} cannot be made of this run's inputs")
        else:
            yield name, given


def _rows(name: str, sample: Sample, photometry: Photometry, rest_frame: bool) -> pd.DataFrame:
    """The anomaly's photometry, in the columns of the stage photometry."""
    magnitudes, bands = sample.magnitudes, photometry.bands
    columns = {magnitude_column(band): magnitudes[band] for band in bands}
    columns |= colours(magnitudes, bands)
    if rest_frame:
        rest = rest_frame_magnitudes(
            magnitudes.to_numpy(),
            sample.errors.to_numpy(),
            sample.redshift,
            photometry.asinh_to_ab,
            photometry.survey.fitted_bands,
        )
        columns |= colours(dict(zip(bands, rest.T, strict=True)), bands, REST_COLOUR)
    changed = name not in (anomaly_names.PATCHED, anomaly_names.BLANK) and bool(bands)
    return pd.DataFrame({"anomaly": name, "objid": sample.objid, "photometry": changed, **columns})


def _number(anomaly: pd.Series, drawn: dict[str, np.ndarray]) -> np.ndarray:
    has = anomaly.isin(drawn).to_numpy()
    return np.where(has, np.cumsum(has) - 1, -1)


def _write_stamps(path: Path, drawn: list[np.ndarray]) -> None:
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        if drawn:
            file["stamps"] = np.concatenate(drawn)
