"""Stamps from cutout services: one request per galaxy; images come north up and east left."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from mgsflow.config import Network, Sdss, Stamps
from mgsflow.core.errors import UserError
from mgsflow.core.fingerprint import fingerprint
from mgsflow.sample.image_formats import (
    NoImageError,
    RefusedError,
    UnreadableError,
    read_fits,
    read_jpeg,
)
from mgsflow.sample.provider import Batch, Cut, batches_of, finite_cut
from mgsflow.sample.shards import Layout
from mgsflow.sky.client import BadReplyError, Client, MissingError
from mgsflow.sky.downloads import Downloads

_NO_IMAGE = "the cutout service has no image there"
# Share of black pixels above which a JPEG is empty: at most 0.11 in 352 real ones, 0.9 in an empty
# tile
_BLACK = 0.3
_SUSPICIOUS = 4  # if the first so many galaxies have no image, the address is wrong


class Service(Protocol):
    """The requests and replies of a cutout service."""

    layout: Layout
    url: str
    suffix: str

    def parameters(self, ra: float, dec: float) -> dict[str, object]:
        """Parameters of the request for the stamp at `ra`, `dec` (deg)."""
        ...

    def read(self, data: bytes) -> np.ndarray:
        """Pixels (bands, size, size); all 0 if the service has no image."""
        ...

    def is_empty(self, pixels: np.ndarray) -> bool:
        """Whether the service has no image at the position."""
        ...

    def cut(self, objid: int, pixels: np.ndarray) -> Cut: ...


class LegacyCutouts:
    """FITS cutouts of the Legacy Surveys' viewer, layer sdss: coadded frames, in nanomaggies.

    A reply is a cube (bands, y, x) with a gnomonic WCS centred on the galaxy (legacysurvey/imagine,
    `MapLayer.write_cutout`). Pixels that no frame covers are 0.
    """

    suffix = ".fits"

    def __init__(self, sdss: Sdss, stamps: Stamps) -> None:
        self.url = sdss.legacy_url
        self.layout = Layout(
            "legacy", tuple(stamps.bands), stamps.size, stamps.pixel_scale, "float16"
        )

    def parameters(self, ra: float, dec: float) -> dict[str, object]:
        layout = self.layout
        return {
            "ra": f"{ra:.7f}",
            "dec": f"{dec:.7f}",
            "layer": "sdss",
            "pixscale": layout.pixel_scale,
            "bands": "".join(layout.bands),
            "size": layout.size,
        }

    def read(self, data: bytes) -> np.ndarray:
        try:
            return _of_size(read_fits(data, self.layout), self.layout)
        except NoImageError:
            return np.zeros(self.layout.shape, np.float32)

    def is_empty(self, pixels: np.ndarray) -> bool:
        return not pixels.any()

    def cut(self, objid: int, pixels: np.ndarray) -> Cut:
        # pixels without an image are exactly 0, pixels with noise never are
        return finite_cut(objid, pixels, float((pixels == 0).any(axis=0).mean()))


class JpegCutouts:
    """SkyServer's colour cutouts: 8 bits, the SDSS colour map, first row north."""

    suffix = ".jpg"

    def __init__(self, sdss: Sdss, stamps: Stamps) -> None:
        self.url = sdss.jpeg_url
        self.layout = Layout("jpeg", tuple(stamps.bands), stamps.size, stamps.pixel_scale, "uint8")

    def parameters(self, ra: float, dec: float) -> dict[str, object]:
        size = self.layout.size
        return {
            "ra": f"{ra:.7f}",
            "dec": f"{dec:.7f}",
            "scale": self.layout.pixel_scale,
            "width": size,
            "height": size,
        }

    def read(self, data: bytes) -> np.ndarray:
        return _of_size(read_jpeg(data, self.layout), self.layout)

    def is_empty(self, pixels: np.ndarray) -> bool:
        """Whether most pixels are black: outside the footprint SkyServer draws a black tile."""
        return float((pixels == 0).all(axis=0).mean()) > _BLACK

    def cut(self, objid: int, pixels: np.ndarray) -> Cut:
        return Cut(objid, np.ascontiguousarray(pixels))


class CutoutProvider:
    """Stamps from a cutout service; each downloaded file is kept until its stamp is saved."""

    def __init__(self, service: Service, network: Network, folder: Path, job: str) -> None:
        self._client = Client(
            network, f"sdss.{service.layout.provider}_url", interval=network.request_interval
        )
        self._service = service
        self._known: dict[str, object] | None = None  # parameters that returned an image
        self._downloads = Downloads(self._client, folder, job, network.keep_downloads)
        self.layout = service.layout

    def batches(self, galaxies: pd.DataFrame) -> list[Batch]:
        """Galaxies (columns objid, ra, dec) in order of objid."""
        return batches_of(galaxies)

    def expect(self, batches: list[Batch]) -> None: ...

    def cut(self, batch: Batch) -> list[Cut]:
        """Fetch the stamps of a batch."""
        columns = (batch.galaxies[name] for name in ("objid", "ra", "dec"))
        rows = zip(*columns, strict=True)
        cuts = [self._cut_galaxy(int(o), float(ra), float(dec)) for o, ra, dec in rows]
        if self._known is None and len(cuts) >= _SUSPICIOUS:
            raise UserError(
                f"{self._service.url}: not one image of {len(cuts)} galaxies, but status 404. "
                f"Check sdss.{self.layout.provider}_url."
            )
        return cuts

    def done(self, batch: Batch) -> None:
        for galaxy in batch.galaxies.itertuples():
            parameters = self._service.parameters(galaxy.ra, galaxy.dec)
            self._downloads.drop(self._name(int(galaxy.objid), parameters))

    def stop(self) -> None:
        self._downloads.stop()

    def _cut_galaxy(self, objid: int, ra: float, dec: float) -> Cut:
        parameters = self._service.parameters(ra, dec)
        try:
            pixels = self._downloads.fetch(
                self._service.url, self._name(objid, parameters), self._read, parameters
            )
        except MissingError:
            self._check_service()
            return Cut(objid, None, _NO_IMAGE)
        self._known = parameters
        if self._service.is_empty(pixels):
            return Cut(objid, None, _NO_IMAGE)
        return self._service.cut(objid, pixels)

    def _check_service(self) -> None:
        """Raises UserError if the service no longer has an earlier image: all would be dropped."""
        if self._known is None:
            return
        try:
            self._client.get(self._service.url, self._read, self._known)
        except MissingError:
            raise UserError(
                f"{self._service.url}: the server answers 404 to a request that succeeded before. "
                "Run again when it works: what is complete is kept."
            ) from None

    def _read(self, data: bytes) -> np.ndarray:
        try:
            return self._service.read(data)
        except (UnreadableError, RefusedError) as error:
            raise BadReplyError(str(error)) from None

    def _name(self, objid: int, parameters: dict[str, object]) -> Path:
        """The file's name. It contains the request, so that no reply to another one is used."""
        request = fingerprint(self._service.url, parameters)[:16]
        return Path(self.layout.provider, f"{objid}-{request}{self._service.suffix}")


def _of_size(pixels: np.ndarray, layout: Layout) -> np.ndarray:
    if pixels.shape != layout.shape:
        raise BadReplyError(f"an image of {pixels.shape}, not of {layout.shape} as asked for")
    return pixels
