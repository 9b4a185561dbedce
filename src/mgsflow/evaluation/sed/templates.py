"""kcorrect's fit of a few templates (Blanton & Roweis 2007): a fast point estimate of the mass."""

from __future__ import annotations

import numpy as np

from mgsflow.core.surveys import SDSS
from mgsflow.sample.kcorrection import LEAST_REDSHIFT, redshift_grid
from mgsflow.sky.simulated.relations import COSMOLOGY


class TemplateFitter:
    """kcorrect's five templates, each of which has a mass; the redshift must be known.

    The templates have Chabrier's initial mass function. The cosmology is the simulated sky's.
    """

    def __init__(self, redshift_max: float) -> None:
        import kcorrect.kcorrect  # only when needed: the import reads its templates

        self._kcorrect = kcorrect.kcorrect.Kcorrect(
            responses=[band.response for band in SDSS.fitted_bands],
            **redshift_grid(redshift_max),
            cosmo=COSMOLOGY,
        )

    def masses(self, redshift: np.ndarray, maggies: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """log10 of the present stellar masses (n,), in Msun; NaN where no template fits.

        `redshift` is (n,); `maggies` and `errors`, AB, are (n, bands).
        """
        z = np.maximum(redshift, LEAST_REDSHIFT)
        weights = self._kcorrect.fit_coeffs(redshift=z, maggies=maggies, ivar=errors**-2.0)
        mass = self._kcorrect.derived(redshift=z, coeffs=weights)["mremain"]
        with np.errstate(divide="ignore"):
            return np.where(mass > 0, np.log10(mass), np.nan)
