"""Corrected frames of SDSS's Science Archive Server: found, fetched, read.

A frame is a bz2-compressed FITS file. HDU 0 holds the sky-subtracted image, float32 nanomaggies,
with a gnomonic WCS; the other HDUs (calibration, sky, astrometry) are not needed here.
"""

from __future__ import annotations

import bz2
import http.client
import io
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from mgsflow.config import Sdss
from mgsflow.core.errors import UserError
from mgsflow.core.progress import say
from mgsflow.sky.fields import frame_path

_RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 300.0  # seconds


class MissingFrameError(Exception):
    """There is no such frame, and there never will be: its galaxies are dropped."""

    def __init__(self, name: FrameName) -> None:
        super().__init__(str(name))
        self.band = name.band


class BrokenFrameError(Exception):
    """The bytes are no whole frame: truncated, damaged, or a page in place of data."""


@dataclass(frozen=True)
class Frame:
    """An image, float32 nanomaggies (rows, columns), and its WCS."""

    pixels: np.ndarray
    wcs: WCS


@dataclass(frozen=True, order=True)
class FrameName:
    """What names a frame. All imaging of DR8 and later is of rerun 301."""

    run: int
    camcol: int
    field: int
    band: str

    def path(self, root: Path) -> Path:
        return frame_path(root, self.run, self.camcol, self.field, self.band)

    def __str__(self) -> str:
        return f"frame {self.band} of run {self.run}, camcol {self.camcol}, field {self.field}"


def read_frame(data: bytes) -> Frame:
    """A frame from the bytes of its file, compressed or not. Raises BrokenFrameError."""
    try:
        plain = bz2.decompress(data) if data[:3] == b"BZh" else data
        with fits.open(io.BytesIO(plain), memmap=False) as hdus:
            pixels = np.asarray(hdus[0].data, dtype=np.float32)
            header = hdus[0].header
            wcs = quiet_wcs(header)
    except Exception as error:  # bz2, FITS and WCS fail on damaged bytes in many ways
        raise BrokenFrameError(str(error)) from None
    if pixels.ndim != 2 or not wcs.has_celestial:
        raise BrokenFrameError("its first HDU is not an image with a celestial WCS")
    return Frame(pixels, wcs)


def quiet_wcs(header: fits.Header) -> WCS:
    """The WCS of a header, without astropy's remarks on its old spelling."""
    with warnings.catch_warnings():
        # every frame spells RADECSYS and its date the old way
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header)


class LocalFrames:
    """Frames below a folder that is laid out like SAS's photoObj/frames."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def read(self, name: FrameName) -> Frame:
        """The frame. Raises MissingFrameError, or UserError where the file is no whole frame."""
        path = name.path(self.root)
        try:
            return read_frame(path.read_bytes())
        except FileNotFoundError:
            raise MissingFrameError(name) from None
        except BrokenFrameError as error:
            raise UserError(
                f"{path}: not a whole frame ({error}). Remove it and get it again."
            ) from None


class SasFrames:
    """Frames of the Science Archive Server, held in memory for as long as they are cut."""

    def __init__(self, sdss: Sdss, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sdss = sdss
        self._base = f"{sdss.sas_url.rstrip('/')}/{release_folder(sdss.data_release)}"
        self._sleep = sleep

    def read(self, name: FrameName) -> Frame:
        """The frame, tried as often as the settings say.

        Raises MissingFrameError where the server says that there is none (404 or 410), and
        UserError where it did not deliver: such a galaxy is not dropped, the run stops.
        """
        url = f"{self._base}/{name.path(Path()).as_posix()}"
        for attempt in range(1, self._sdss.attempts + 1):
            try:
                return read_frame(self._fetch(url))
            except urllib.error.HTTPError as error:
                if error.code in (404, 410):
                    raise MissingFrameError(name) from None
                if error.code not in _RETRY_STATUS:
                    raise UserError(f"{url}: the server answers {error}. {_ADVICE}") from None
                fault, wait = error, _retry_after(error)
            except (OSError, http.client.HTTPException, BrokenFrameError) as error:
                fault, wait = error, None
            self._pause(url, attempt, fault, wait)
        raise UserError(
            f"{url}: no whole frame in {self._sdss.attempts} attempts ({fault}). {_ADVICE}"
        )

    def _fetch(self, url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=self._sdss.timeout) as reply:
            return reply.read()  # raises IncompleteRead where Content-Length is not met

    def _pause(self, url: str, attempt: int, fault: Exception, wait: float | None) -> None:
        if attempt == self._sdss.attempts:
            return
        wait = min(2.0**attempt if wait is None else wait, _LONGEST_WAIT)
        say(f"{url}: {fault}; attempt {attempt + 1} in {wait:.0f} s")
        self._sleep(wait)


_ADVICE = "Check sdss.sas_url and sdss.data_release, or run again later."


def release_folder(release: int) -> str:
    """Where SAS keeps the frames of a data release, DR8 to DR17."""
    if release == 8:
        return "dr8/groups/boss/photoObj/frames"
    instrument = "boss" if release <= 12 else "eboss"
    return f"dr{release}/{instrument}/photoObj/frames"


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    """Seconds that the server asks to wait, where it says so in seconds."""
    try:
        return max(0.0, float(error.headers.get("Retry-After", "")))
    except ValueError:
        return None
