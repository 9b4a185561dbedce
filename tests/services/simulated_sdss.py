"""What SDSS's services hold, out of a simulated sky: a data base, frames, cutouts.

Cutouts are made by reproject through astropy's WCS, not by the product's own resampling, so that
orientation, position and flux are checked against something else.
"""

from __future__ import annotations

import bz2
import io
import threading
from functools import cached_property
from unittest.mock import patch

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image
from reproject import reproject_interp
from skyserver_database import database_of

from mgsflow.config import Simulated
from mgsflow.sample.frames import Frame, read_frame
from mgsflow.sky.fields import FIELD_COLUMNS
from mgsflow.sky.simulated import scene
from mgsflow.sky.simulated.background import background_objects
from mgsflow.sky.simulated.placement import field_wcs
from mgsflow.sky.simulated.scene import FieldName, Sky
from mgsflow.sky.simulated.simulate_catalogue import make_objects, make_reply
from mgsflow.sky.simulated.simulate_frames import frame_bytes, noiseless_frame

SEED = 11
BANDS = "gri"
# x, y in the r frame: near the first and last rows, where stamps go on in the next field
EDGE_PLACES = ((1000.0, 18.0), (1075.0, 1462.0), (960.0, 70.0))
CONTAMINANTS = 0.2  # of the rows: each of the cuts has something to drop


class SimulatedSdss:
    """A sky of a few neighbouring fields, three galaxies of each at the places `edges`.

    With `columns` each frame is cut to its central columns, and only galaxies well within them are
    in the data base: frames are then quickly unpacked. With `noiseless` they hold the light of the
    catalogue's objects and nothing else.
    """

    def __init__(
        self,
        galaxies: int,
        per_field: int,
        columns: int | None = None,
        noiseless: bool = False,
        edges: tuple[tuple[float, float], ...] = EDGE_PLACES,
        contaminants: float = CONTAMINANTS,
    ) -> None:
        simulated = Simulated(
            galaxies=galaxies, galaxies_per_field=per_field, contaminants=contaminants
        )
        self.objects = _some_to(edges, make_objects(simulated, SEED))
        self.sky = Sky(self.objects, simulated, SEED)
        self.columns = slice(None)
        reply = make_reply(self.objects, simulated, SEED)
        if columns is not None:
            self.columns = slice(1024 - columns // 2, 1024 + columns // 2)
            x = self.objects.set_index("objid")["x"].loc[reply["objid"]].to_numpy()
            inside = np.abs(x - 1024) < columns / 2 - 60
            reply = reply[inside].reset_index(drop=True)
        self.reply = reply
        self.missing: set[str] = set()  # frames and cutouts that are not there: parts of addresses
        self._cutouts: dict[tuple, np.ndarray] = {}
        self._lock = threading.Lock()
        # rendered beforehand: a server that is slow to answer would meet impatient clients
        self._files = {
            (name, band): self._file(name, band, noiseless)
            for name in self.fields
            for band in BANDS
        }
        self._frames = {key: read_frame(file) for key, file in self._files.items()}

    @cached_property
    def database(self):
        return database_of(self.reply)

    @cached_property
    def fields(self) -> list[FieldName]:
        rows = self.objects[FIELD_COLUMNS].drop_duplicates()
        return [tuple(map(int, row)) for row in rows.itertuples(index=False)]

    def frame_file(self, name: FieldName, band: str) -> bytes | None:
        """A frame as SAS keeps it; None where the sky has no such field."""
        return self._files.get((name, band))

    def frame(self, name: FieldName, band: str) -> Frame:
        """Its pixels and WCS."""
        return self._frames[name, band]

    def cutout(self, ra: float, dec: float, scale: float, size: int, bands: str) -> np.ndarray:
        """Nanomaggies (bands, size, size), first row south, first column east, 0 without frames."""
        key = (round(ra, 6), round(dec, 6), scale, size, bands)
        with self._lock:
            known = self._cutouts.get(key)
        if known is None:
            known = self._make_cutout(ra, dec, scale, size, bands)
            with self._lock:
                self._cutouts[key] = known
        return known

    def _make_cutout(
        self, ra: float, dec: float, scale: float, size: int, bands: str
    ) -> np.ndarray:
        run, camcol, field = self._field_at(ra, dec)
        names = [(run, camcol, field + step) for step in (0, -1, 1)]
        target = stamp_wcs(ra, dec, scale, size)
        cube = np.zeros((len(bands), size, size), np.float32)
        for plane, band in zip(cube, bands, strict=True):
            for name in (name for name in names if name in self.sky):
                frame = self.frame(name, band)
                values, covered = reproject_interp(
                    (frame.pixels, frame.wcs), target, (size, size), order=3
                )
                open_ = (plane == 0) & (covered > 0) & np.isfinite(values)
                plane[open_] = values[open_]
        return cube

    def _field_at(self, ra: float, dec: float) -> FieldName:
        apart = np.hypot(
            (self.objects["ra"] - ra) * np.cos(np.deg2rad(dec)), self.objects["dec"] - dec
        )
        nearest = self.objects.loc[apart.idxmin()]
        return tuple(int(nearest[name]) for name in FIELD_COLUMNS)

    def _file(self, name: FieldName, band: str, noiseless: bool) -> bytes:
        file = frame_bytes(self.sky, name, band)
        if self.columns == slice(None) and not noiseless:
            return file
        with fits.open(io.BytesIO(bz2.decompress(file))) as hdus:
            header, pixels = hdus[0].header.copy(), hdus[0].data
        if noiseless:
            with patch.object(scene, "background_objects", _nothing_behind):
                # exactly 0 would mean that there is no image
                pixels = noiseless_frame(self.sky, name, band) + np.float32(1e-6)
        header["CRPIX1"] -= self.columns.start or 0
        stream = io.BytesIO()
        fits.PrimaryHDU(pixels[:, self.columns], header).writeto(stream)
        return bz2.compress(stream.getvalue(), 9)


def _some_to(places: tuple[tuple[float, float], ...], objects: pd.DataFrame) -> pd.DataFrame:
    """Galaxies of each field moved to `places`, x and y in its r frame."""
    objects = objects.copy()
    for _, rows in objects[objects["kind"] == "galaxy"].groupby(FIELD_COLUMNS).groups.items():
        for row, (x, y) in zip(rows, places, strict=False):
            ra, dec = field_wcs(objects.loc[row], "r").wcs_pix2world(x, y, 1)
            objects.loc[row, ["x", "y", "ra", "dec"]] = x, y, float(ra), float(dec)
    return objects


def _nothing_behind(random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """In place of a field's faint stars and galaxies: tables of none."""
    stars, galaxies = background_objects(random)
    return stars.iloc[:0], galaxies.iloc[:0]


def stamp_wcs(ra: float, dec: float, scale: float, size: int) -> WCS:
    """North up, east left, centred on the position."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(size + 1) / 2] * 2
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    return wcs


def legacy_file(cube: np.ndarray, ra: float, dec: float, scale: float, bands: str) -> bytes:
    """A cutout as the Legacy Surveys' viewer writes it (legacysurvey/imagine, map/views.py)."""
    size = cube.shape[-1]
    header = fits.Header({"SURVEY": "SDSS", "BANDS": bands})
    header.update({f"BAND{number}": band for number, band in enumerate(bands)})
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec}
    cards |= {"CRPIX1": (size + 1) / 2, "CRPIX2": (size + 1) / 2}
    cards |= {"CD1_1": -scale / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": scale / 3600}
    cards |= {"IMAGEW": size, "IMAGEH": size}
    if not cube.any():
        cards["OVERLAP"] = False
    header.update(cards)
    header["IMAGETYP"] = "IMAGE"
    stream = io.BytesIO()
    fits.PrimaryHDU(cube if cube.any() else None, header).writeto(stream)
    return stream.getvalue()


def jpeg_file(cube: np.ndarray) -> bytes:
    """A colour picture as SkyServer draws it: first row north, red i, green r, blue g."""
    stretched = np.arcsinh(np.clip(cube[::-1], -0.02, None) / 0.1) / 4  # i, r, g
    channels = np.clip(255 * (stretched + 0.06), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    picture = channels[:, ::-1].transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "JPEG", quality=95, subsampling=0)
    return stream.getvalue()


def rows_of(sdss: SimulatedSdss) -> pd.DataFrame:
    """The rows that the data base serves, each objid once."""
    return sdss.reply.drop_duplicates("objid").set_index("objid")
