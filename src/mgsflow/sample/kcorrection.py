"""Rest-frame colours by kcorrect's template fits (Blanton & Roweis 2007)."""

from __future__ import annotations

import numpy as np

from mgsflow.core.progress import track

# Errors added in quadrature, u to z: the photometric calibration's (Blanton & Roweis 2007).
CALIBRATION_ERROR = np.array([0.05, 0.02, 0.02, 0.02, 0.03])
AB_SHIFT = np.array([-0.04, 0.0, 0.0, 0.0, 0.02])  # AB = SDSS + shift
LEAST_REDSHIFT = 1e-3  # below it a K-correction is nought and the templates' grid ends
# Step of the templates' grid, whose making costs 10 ms a point: 1e-4 mag rms off a step of 5e-4.
# The grid's points do not depend on the sample, lest a galaxy's colours depend on the others.
REDSHIFT_STEP = 0.0025
ROWS = 10_000  # fitted at once, to bound the memory


def rest_frame_magnitudes(
    magnitudes: np.ndarray, errors: np.ndarray, redshift: np.ndarray, asinh_to_ab: bool
) -> np.ndarray:
    """Apparent magnitudes less their K-corrections to the same bands at redshift 0.

    Parameters
    ----------
    magnitudes, errors : ugriz, mag, shape (n, 5), without the Galaxy's extinction, finite
    redshift : shape (n,), finite
    asinh_to_ab : shift u and z to AB for the fit

    Returns magnitudes of shape (n, 5) that differ from absolute ones by the distance modulus only:
    their colours are rest-frame colours. NaN where no template fits at all. They know the
    redshift: see docs/decisions.md.
    """
    if not len(redshift):
        return np.empty((0, 5))
    ab = magnitudes + (AB_SHIFT if asinh_to_ab else 0.0)
    maggies = 10 ** (-0.4 * ab)
    sigma = np.hypot(errors, CALIBRATION_ERROR)
    inverse_variance = (0.4 * np.log(10) * maggies * sigma) ** -2
    z = np.maximum(redshift, LEAST_REDSHIFT)
    fitter = _fitter(float(z.max()))
    shifts = [
        _k_corrections(fitter, z[rows], maggies[rows], inverse_variance[rows])
        for rows in track(_chunks(len(z)), "K-corrections")
    ]
    return magnitudes - np.concatenate(shifts)


def _chunks(n: int) -> list[slice]:
    return [slice(start, start + ROWS) for start in range(0, n, ROWS)]


def _k_corrections(
    fitter: object, z: np.ndarray, maggies: np.ndarray, inverse_variance: np.ndarray
) -> np.ndarray:
    coefficients = fitter.fit_coeffs(redshift=z, maggies=maggies, ivar=inverse_variance)
    shifts = np.asarray(fitter.kcorrect(redshift=z, coeffs=coefficients), dtype=np.float64)
    fitted = coefficients.sum(axis=1) > 0
    return np.where(fitted[:, None], shifts, np.nan)  # kcorrect itself says 0 there


def _fitter(redshift_max: float) -> object:
    import kcorrect.kcorrect  # only where it is needed: it reads its templates

    responses = [f"sdss_{band}0" for band in "ugriz"]
    # Its defaults reach to redshift 2 in 4000 steps, which takes half a minute to set up.
    steps = int(np.ceil(redshift_max / REDSHIFT_STEP)) + 1
    return kcorrect.kcorrect.Kcorrect(
        responses=responses, redshift_range=[0.0, steps * REDSHIFT_STEP], nredshift=steps + 1
    )
