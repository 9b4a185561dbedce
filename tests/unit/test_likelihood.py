"""The photometry's likelihood is the density of what measure_photometry draws."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, kstest, multivariate_normal

from mgsflow.core.surveys import SDSS
from mgsflow.sky.simulated.likelihood import log_likelihood
from mgsflow.sky.simulated.photometry import (
    CALIBRATION,
    MODEL_SCATTER,
    PER_MAGNITUDE,
    add_fluxes,
    asinh_magnitude,
    flux_errors,
    flux_of_asinh,
    measure_photometry,
)

MAGNITUDES = np.array([19.4, 17.9, 17.2, 16.9, 16.6])
SHIFT = np.array([0.03, -0.01, 0.01, 0.0, 0.02])


def galaxies(count: int, magnitudes=MAGNITUDES, reddening=0.04, half_light=2.3):
    rows = {
        f"mag_{band}": np.full(count, m) for band, m in zip(SDSS.bands, magnitudes, strict=True)
    }
    sizes = {"petro_r50": half_light, "petro_r90": 5.0, "petro_mag_r": 17.3}
    return add_fluxes(pd.DataFrame(rows | {"reddening": reddening} | sizes))


def columns(table, name):
    return table[[f"{name}_{band}" for band in SDSS.bands]].to_numpy()


def measured(objects, seed):
    reply = measure_photometry(objects, np.random.default_rng(seed))
    return columns(reply, "modelMag") - columns(reply, "extinction")


def density(magnitude, objects):
    return log_likelihood(
        magnitude,
        columns(objects, "extinction"),
        columns(objects, "nanomaggies"),
        objects["petro_r50"].to_numpy(),
    )


def covariance(objects):
    """As a matrix, from the noise's three sources."""
    true = columns(objects, "nanomaggies")[0]
    error = flux_errors(true[None], objects["petro_r50"].to_numpy()[:1])[0]
    common = PER_MAGNITUDE * MODEL_SCATTER * true
    return np.diag(error**2 + (PER_MAGNITUDE * CALIBRATION * true) ** 2) + np.outer(common, common)


def test_it_is_a_gaussian_in_flux_with_the_magnitudes_jacobian():
    objects = galaxies(1)
    magnitude = MAGNITUDES[None] + SHIFT
    extinction = columns(objects, "extinction")
    flux = flux_of_asinh(magnitude + extinction)
    step = 1e-5
    slope = (flux_of_asinh(magnitude + extinction + step) - flux) / step
    gaussian = multivariate_normal(columns(objects, "nanomaggies")[0], covariance(objects))
    expected = gaussian.logpdf(flux[0]) + np.log(-slope).sum()
    assert density(magnitude, objects) == pytest.approx([expected], abs=1e-3)


def test_the_measured_fluxes_have_that_covariance():
    objects = galaxies(20_000)
    magnitude = measured(objects, 1)
    offset = flux_of_asinh(magnitude + columns(objects, "extinction"))
    offset = offset - columns(objects, "nanomaggies")
    distance = (offset @ np.linalg.inv(covariance(objects)) * offset).sum(axis=1)
    assert kstest(distance, chi2(5).cdf).pvalue > 1e-3


def test_its_ratio_for_two_galaxies_has_the_mean_of_a_density():
    """E[p(x | B) / p(x | A)] over x drawn from A is 1, if both are normalised."""
    count = 40_000
    one, other = galaxies(count), galaxies(count, MAGNITUDES + SHIFT / 2, half_light=2.4)
    magnitude = measured(one, 2)
    ratio = np.exp(density(magnitude, other) - density(magnitude, one))
    error = ratio.std() / np.sqrt(count)
    assert error < 0.02
    assert abs(ratio.mean() - 1) < 4 * error


def test_fluxes_and_magnitudes_invert():
    flux = np.array([[-0.2, 0.0, 0.5, 30.0, 4e3]])
    assert flux_of_asinh(asinh_magnitude(flux)) == pytest.approx(flux, abs=1e-9)
