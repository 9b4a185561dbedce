"""The stretch applied to stamps on reading; the shards hold physical fluxes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Stretch:
    """Converts stored pixels to values of order unity, the input of the VAE.

    `softening` is in nanomaggies: fluxes well below it, such as the noise of the sky, stay linear;
    fluxes well above it become logarithmic. uint8 pixels were already stretched when the JPEG was
    made and are only divided by 255.
    """

    softening: float
    scale: float

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Stretch pixels of any shape: float16 nanomaggies or uint8, to float32."""
        if raw.dtype == np.uint8:
            return raw.astype(np.float32) / np.float32(255)
        if raw.dtype == np.float16:
            # float16 has 65,536 values: a lookup table is about ten times as fast as arcsinh
            return np.take(self._of_half, np.ascontiguousarray(raw).view(np.uint16))
        return self._asinh(raw)

    def inverse(self, stretched: np.ndarray) -> np.ndarray:
        """Convert stretched float pixels back to nanomaggies; not for stamps from JPEG."""
        return np.sinh(np.asarray(stretched, np.float64) * self.scale) * self.softening

    def as_dict(self) -> dict[str, float]:
        return asdict(self)

    def _asinh(self, flux: np.ndarray) -> np.ndarray:
        flux = np.asarray(flux, np.float64)
        return (np.arcsinh(flux / self.softening) / self.scale).astype(np.float32)

    @cached_property
    def _of_half(self) -> np.ndarray:
        halves = np.arange(65536, dtype=np.uint16).view(np.float16)
        with np.errstate(invalid="ignore"):  # some are signalling NaNs
            return self._asinh(halves)
