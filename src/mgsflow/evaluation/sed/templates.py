"""kcorrect's fit of a few templates (Blanton & Roweis 2007): the fast point estimate of a mass."""

from __future__ import annotations

import numpy as np

from mgsflow.core.quantities import BANDS
from mgsflow.sample.kcorrection import LEAST_REDSHIFT, REDSHIFT_STEP
from mgsflow.sky.simulated.relations import COSMOLOGY


class TemplateFitter:
    """kcorrect's five templates, each of which has a mass; the redshift must be known.

    The templates have Chabrier's initial mass function. The cosmology is the simulated sky's.
    """

    def __init__(self, redshift_max: float) -> None:
        import kcorrect.kcorrect  # only where it is needed: it reads its templates

        steps = int(np.ceil(redshift_max / REDSHIFT_STEP)) + 1
        self._kcorrect = kcorrect.kcorrect.Kcorrect(
            responses=[f"sdss_{band}0" for band in BANDS],
            redshift_range=[0.0, steps * REDSHIFT_STEP],
            nredshift=steps + 1,
            cosmo=COSMOLOGY,
        )

    def masses(self, redshift: np.ndarray, maggies: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """log10 of the present stellar masses (n,), in Msun; NaN where no template fits.

        `redshift` is (n,); `maggies` and `errors`, AB, are (n, 5).
        """
        z = np.maximum(redshift, LEAST_REDSHIFT)
        weights = self._kcorrect.fit_coeffs(redshift=z, maggies=maggies, ivar=errors**-2.0)
        mass = self._kcorrect.derived(redshift=z, coeffs=weights)["mremain"]
        with np.errstate(divide="ignore"):
            return np.where(mass > 0, np.log10(mass), np.nan)
