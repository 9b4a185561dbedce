"""SDSS's camera: gain, calibration, sky and seeing of each band, and the resulting errors.

The sky is simulated in the bands of the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgsflow.core.surveys import SDSS
from mgsflow.sky.simulated.relations import Array

PIXEL_SCALE = SDSS.pixel_scale  # arcsec
ZERO_POINT = SDSS.zero_point  # mag, of a nanomaggy
FRAME_SHAPE = (1489, 2048)  # rows along the scan, columns across


@dataclass(frozen=True)
class Band:
    """A band's typical values, camera column 1 (SAS data model of `frame`; Gunn et al. 1998)."""

    gain: float  # electrons per count
    dark_variance: float  # counts squared: dark current and read noise
    nanomaggies_per_count: float
    sky_brightness: float  # mag / arcsec2
    seeing: float  # FWHM relative to r
    offset: tuple[float, float]  # offset of its frame from r's, pixels (column, row)
    calibration: float  # mag, scatter of the zero-point, Padmanabhan et al. 2008

    @property
    def sky_counts(self) -> float:
        """Counts of the sky per pixel."""
        flux = 10 ** (0.4 * (ZERO_POINT - self.sky_brightness)) * PIXEL_SCALE**2
        return flux / self.nanomaggies_per_count

    @property
    def sky_noise(self) -> float:
        """Noise of a pixel of empty sky, in nanomaggies."""
        variance = self.sky_counts / self.gain + self.dark_variance
        return float(np.sqrt(variance)) * self.nanomaggies_per_count


CAMERA = {
    "u": Band(1.62, 9.61, 0.01068, 22.0, 1.10, (4.6, -3.3), 0.02),
    "g": Band(3.32, 15.60, 0.00374, 21.8, 1.06, (-3.7, 5.4), 0.01),
    "r": Band(4.71, 1.82, 0.00488, 20.9, 1.00, (0.0, 0.0), 0.01),
    "i": Band(5.165, 7.84, 0.00674, 20.2, 0.97, (5.8, 2.6), 0.01),
    "z": Band(4.745, 0.81, 0.0322, 18.9, 0.97, (-5.2, -4.4), 0.01),
}
BANDS = tuple(CAMERA)
LARGEST_OFFSET = max(max(map(abs, band.offset)) for band in CAMERA.values())  # pixels


def flux_error(flux: Array, half_light: Array, band: Band) -> Array:
    """Error of a model flux in nanomaggies, from the photons of galaxy and sky in its area.

    The effective area of an optimal fit is 4 pi sigma^2, that of a Gaussian with the same
    half-light radius (arcsec).
    """
    area = 4 * np.pi / (2 * np.log(2)) * (half_light / PIXEL_SCALE) ** 2
    counts = np.maximum(flux, 0.0) / band.nanomaggies_per_count
    sky = area * (band.sky_counts / band.gain + band.dark_variance)
    return np.sqrt(counts / band.gain + sky) * band.nanomaggies_per_count
