"""Corrected frames of SDSS's Science Archive Server (SAS): location, download, reading.

A frame is a bz2-compressed FITS file. HDU 0 holds the sky-subtracted image, float32 nanomaggies,
with a gnomonic WCS; the other HDUs (calibration, sky, astrometry) are not needed here.
"""

from __future__ import annotations

import bz2
import gzip
import io
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from mgsflow.config import Network, Sdss
from mgsflow.core.errors import UserError
from mgsflow.sky.addresses import release_folder
from mgsflow.sky.client import BadReplyError, Client, MissingError
from mgsflow.sky.downloads import Downloads
from mgsflow.sky.fields import frame_path

_FILTERS = threading.Lock()  # warning filters belong to the process, not to a thread


class MissingFrameError(Exception):
    """The frame does not exist, and never will: its galaxies are dropped."""

    def __init__(self, name: FrameName) -> None:
        super().__init__(str(name))
        self.band = name.band


@dataclass(frozen=True)
class Frame:
    """An image, float32 nanomaggies (rows, columns), and its WCS."""

    pixels: np.ndarray
    wcs: WCS


@dataclass(frozen=True, order=True)
class FrameName:
    """The identification of a frame. All imaging of DR8 and later is of rerun 301."""

    run: int
    camcol: int
    field: int
    band: str

    def path(self, root: Path) -> Path:
        return frame_path(root, self.run, self.camcol, self.field, self.band)

    def __str__(self) -> str:
        return f"frame {self.band} of run {self.run}, camcol {self.camcol}, field {self.field}"

    def contradicts(self, header: fits.Header) -> bool:
        """Whether the header belongs to another frame.

        FRAME is not compared, because it also depends on the row of the camera: in g it is
        field + 8.
        """
        cards = {"RUN": self.run, "CAMCOL": self.camcol, "FILTER": self.band}
        return any(card in header and header[card] != value for card, value in cards.items())


def read_frame(data: bytes, name: FrameName | None = None) -> Frame:
    """A frame from the bytes of its file, compressed or not.

    Raises BadReplyError if it is not complete, or not the frame `name`.
    """
    try:
        image, header = _first_hdu(data)
        pixels = np.asarray(image, dtype=np.float32)
        wcs = quiet_wcs(header)
    except Exception as error:  # bz2, FITS and WCS fail on damaged bytes in many ways
        raise BadReplyError(f"not a whole frame ({error})") from None
    if pixels.ndim != 2 or not wcs.has_celestial:
        raise BadReplyError("its first HDU is not an image with a celestial WCS")
    if name is not None and name.contradicts(header):
        raise BadReplyError(f"its header is not that of {name}")
    return Frame(pixels, wcs)


def _first_hdu(data: bytes) -> tuple[np.ndarray, fits.Header]:
    """Image and header; the unpacked file is freed before the image is copied again."""
    with fits.open(io.BytesIO(unpack(data)), memmap=False) as hdus:
        return hdus[0].data, hdus[0].header


def unpack(data: bytes) -> bytes:
    """The bytes of a file, unpacked if they are bz2 or gzip. Raises OSError or EOFError."""
    if data.startswith(b"BZh"):
        return bz2.decompress(data)
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def quiet_wcs(header: fits.Header) -> WCS:
    """The WCS of a header, without astropy's warnings about obsolete keywords."""
    with _FILTERS, warnings.catch_warnings():
        # every frame has the obsolete keyword RADECSYS and an obsolete format of its date
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header)


class LocalFrames:
    """Frames in a folder with the layout of SAS's photoObj/frames."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def read(self, name: FrameName) -> Frame:
        """The frame. Raises MissingFrameError, or UserError if the file is not a whole frame."""
        path = name.path(self.root)
        try:
            return read_frame(path.read_bytes(), name)
        except FileNotFoundError:
            raise MissingFrameError(name) from None
        except BadReplyError as error:
            raise UserError(f"{path}: {error}. Remove it and get it again.") from None

    def drop(self, name: FrameName) -> None:
        """Remove nothing: the folder belongs to the user."""

    def stop(self) -> None:
        """Do nothing: reading a local file does not wait."""


class SasFrames:
    """Frames of the Science Archive Server, kept on disk from download until they are dropped.

    `working` is held while bytes are unpacked, so that there can be more downloads than processors.
    """

    def __init__(
        self,
        sdss: Sdss,
        client: Client,
        downloads: Downloads,
        working: AbstractContextManager = nullcontext(),  # noqa: B008
    ) -> None:
        self._release = sdss.data_release
        self._base = f"{sdss.sas_url.rstrip('/')}/{release_folder(sdss.data_release)}"
        self._client = client
        self._downloads = downloads
        self._working = working

    def read(self, name: FrameName) -> Frame:
        """The frame, after as many attempts as the settings allow.

        Raises MissingFrameError if the server says that there is no such frame (404 or 410), and
        UserError if it did not deliver: then no galaxy is dropped, but the run stops.
        """
        url = f"{self._base}/{name.path(Path()).as_posix()}"
        try:
            return self._downloads.fetch(
                url, self._file(name), self._reader(name), self_checking=True
            )
        except MissingError:
            self._check_base()
            raise MissingFrameError(name) from None

    def drop(self, name: FrameName) -> None:
        """Drop the frame: no galaxy needs it any more."""
        self._downloads.drop(self._file(name))

    def stop(self) -> None:
        """Stop all waiting for the server."""
        self._downloads.stop()

    def _file(self, name: FrameName) -> Path:
        return name.path(Path(f"frames-dr{self._release}"))

    def _reader(self, name: FrameName) -> Callable[[bytes], Frame]:
        def read(data: bytes) -> Frame:
            with self._working:
                return read_frame(data, name)

        return read

    def _check_base(self) -> None:
        """Raises UserError if the server has no frames at all: every galaxy would be dropped."""
        try:
            self._client.get(f"{self._base}/301/", bytes, self_checking=True)
        except MissingError:
            raise UserError(
                f"{self._base}/301/: the server has no such folder, so it has no frames of data "
                f"release {self._release} at all. Check sdss.sas_url and sdss.data_release, or "
                "run again when the server works."
            ) from None


def sas_frames(
    sdss: Sdss,
    network: Network,
    folder: Path,
    job: str,
    working: AbstractContextManager = nullcontext(),  # noqa: B008
) -> SasFrames:
    """The frames of SAS according to the settings; downloads lie in `folder`."""
    client = Client(network, "sdss.sas_url and sdss.data_release")
    downloads = Downloads(client, folder, job, network.keep_downloads)
    return SasFrames(sdss, client, downloads, working)
