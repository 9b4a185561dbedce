"""The sources of light on a frame: objects of its field, and others whose light crosses its edge.

SDSS's frames overlap: the last 128 rows of a field are the first rows of the next field of the same
run and camera column, the same pixels of the same scan.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from astropy.wcs import WCS

from mgsflow.config import Simulated
from mgsflow.core.seeds import generator
from mgsflow.sky.fields import FIELD_COLUMNS
from mgsflow.sky.simulated.background import background_objects
from mgsflow.sky.simulated.camera import BANDS, CAMERA, FRAME_SHAPE, LARGEST_OFFSET
from mgsflow.sky.simulated.contaminants import POINT_SOURCES
from mgsflow.sky.simulated.drawing import POINT_SIDE, View, stamp_sides
from mgsflow.sky.simulated.placement import field_wcs, on_frame
from mgsflow.sky.simulated.relations import Array

SEEING_SCATTER = 0.06  # relative scatter of a field's FWHM

# Columns of an object that is drawn on a frame. Without objid: the faint objects have none, and
# missing values would turn it into a float.
DRAWN = (
    *("x", "y", "position_angle", "disk_radius", "disk_axis_ratio"),
    *("bulge_radius", "bulge_axis_ratio", "bulge_sersic"),
    *(f"{name}_{band}" for name in ("bulge_share", "nanomaggies") for band in BANDS),
)

FieldName = tuple[int, int, int]  # run, camcol, field


class Sky:
    """A simulated sky's objects (rows of its truth) by field, with faint objects added."""

    def __init__(self, objects: pd.DataFrame, simulated: Simulated, seed: int) -> None:
        self.seed = seed
        self._objects = objects
        self._rows = objects.groupby(FIELD_COLUMNS).indices
        self._fwhm = simulated.psf_fwhm

    def __contains__(self, name: FieldName) -> bool:
        return name in self._rows

    def field(self, name: FieldName) -> pd.Series:
        """The field's position: a row of the truth. Raises KeyError if there is no such field."""
        return self._objects.iloc[self._rows[name][0]]

    def wcs(self, name: FieldName, band: str) -> WCS:
        """The projection of a field's frame."""
        return field_wcs(self.field(name), band)

    def fwhm(self, name: FieldName) -> float:
        """The seeing in r, arcsec: one value per field."""
        scatter = np.clip(self._random(name).normal(), -2, 2)
        return self._fwhm * (1 + SEEING_SCATTER * scatter)

    def view(self, name: FieldName, band: str) -> View:
        """The view of the field in a band."""
        return View(self.wcs(name, band), self.fwhm(name) * CAMERA[band].seeing)

    def sources(self, name: FieldName) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Galaxies and point sources that reach the field's frames: columns DRAWN, in its r frame.

        The field's own objects come first, then those of the fields before and after it, each in a
        fixed order.
        """
        run, camcol, field = name
        galaxies, points = ([part] for part in self._of_field(name))
        for neighbour in ((run, camcol, field - 1), (run, camcol, field + 1)):
            if neighbour in self:
                theirs = self._of_field(neighbour)
                moved = [self._moved(objects, neighbour, name) for objects in theirs]
                galaxies.append(_reaching(moved[0], stamp_sides(moved[0])))
                points.append(_reaching(moved[1], np.full(len(moved[1]), POINT_SIDE)))
        return pd.concat(galaxies, ignore_index=True), pd.concat(points, ignore_index=True)

    def _of_field(self, name: FieldName) -> tuple[pd.DataFrame, pd.DataFrame]:
        objects = self._objects.iloc[self._rows[name]]
        sources = objects[list(DRAWN)]
        is_point = objects["kind"].isin(POINT_SOURCES)
        stars, faint = background_objects(self._random(name, "background"))
        return pd.concat([sources[~is_point], faint]), pd.concat([sources[is_point], stars])

    def _moved(self, objects: pd.DataFrame, origin: FieldName, target: FieldName) -> pd.DataFrame:
        x, y = on_frame(objects, self.wcs(origin, "r"), self.wcs(target, "r")).T
        return objects.assign(x=x, y=y)

    def _random(self, name: FieldName, *purpose: str) -> np.random.Generator:
        return generator(self.seed, "simulate-frames", *name, *purpose)


def _reaching(objects: pd.DataFrame, sides: Array) -> pd.DataFrame:
    """The objects whose squares, with `sides` in pixels, overlap a frame's rows in some band."""
    reach = sides / 2 + LARGEST_OFFSET + 1
    return objects[(objects["y"] > -reach) & (objects["y"] < FRAME_SHAPE[0] + reach)]
