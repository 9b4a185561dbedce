"""Magnitudes of a star-formation history, metallicity and dust through SDSS's filters.

The spectra are kcorrect's templates (Blanton & Roweis 2007), of known mass, age and metallicity.
They are reddened and redshifted once, on a grid, which is interpolated for each galaxy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import kcorrect
import numpy as np
from kcorrect.fitter import Fitter
from kcorrect.template import SED, Template

from mgsflow.core.surveys import SDSS
from mgsflow.sky.simulated.camera import BANDS
from mgsflow.sky.simulated.relations import (
    STAR_TO_GAS_REDDENING,
    Array,
    attenuation_curve,
    passive_brightening,
)

# The stellar populations of a galaxy, and the template of each. Index 0 of kcorrect's default set
# is not used: it is so dusty that dust would be counted twice.
OLD_SOLAR, OLD_RICH, INTERMEDIATE, YOUNG, NEBULAR = range(5)
_DEFAULT_TEMPLATES = {OLD_SOLAR: 3, INTERMEDIATE: 2, YOUNG: 4, NEBULAR: 1}

ALL_BANDS = slice(0, len(BANDS))
R_BAND = slice(BANDS.index("r"), BANDS.index("r") + 1)
REDSHIFT_STEP = 0.0025
# Fraction of the stars of the last Gyr with the template of stars older than 0.3 Gyr. That template
# has lines that such stars no longer excite, so a small fraction fits SDSS's colours best.
INTERMEDIATE_SHARE = 0.25
NEBULAR_YEARS = 2.0e6
ATTENUATION_MAX = 4.0  # maximum A_V of the stars, mag
WAVELENGTHS = (1500.0, 13000.0)  # Angstrom, rest frame: the full range of the five filters
# SDSS's magnitudes minus AB
AB_OFFSET = -np.array([SDSS.passband(band).ab_shift for band in BANDS])
# Scatter of single galaxies about any mixture of the templates, mag: ages, abundances and dust that
# five spectra cannot represent, mainly in u. The values make redshifts as hard to predict as
# SDSS's.
SED_DIVERSITY = np.array([0.06, 0.012, 0.01, 0.01, 0.015])
# Mean offset of SDSS's galaxies from the templates in each band, mag, relative to r: the zero-point
# corrections that template fits to real colours require (as in Ilbert et al. 2006).
TEMPLATE_OFFSET = np.array([0.10, -0.016, 0.0, -0.031, -0.005])


@dataclass(frozen=True)
class SedGrid:
    """ln of the flux of one solar mass at 10 pc, as a cubic in A_V at each redshift of the grid.

    `coefficients` has shape (redshifts, cubic terms, bands, populations); fluxes in maggies.
    """

    coefficients: Array

    def flux(
        self, redshift: Array, attenuation: Array, masses: Array, bands: slice = ALL_BANDS
    ) -> Array:
        """Maggies at 10 pc, shape (n, bands), of populations `masses` (n, 5) in solar masses.

        `attenuation` is A_V of the stars (n,); the youngest stars, in their birth clouds, have the
        attenuation of the gas (Charlot & Fall 2000; Calzetti et al. 2000).
        """
        each = [
            (self.unit_flux(redshift, attenuation, band) * masses).sum(axis=1)
            for band in range(len(BANDS))[bands]
        ]
        return np.stack(each, axis=1)

    def unit_flux(self, redshift: Array, attenuation: Array, band: int) -> Array:
        """Maggies at 10 pc of one solar mass of each population, in one band, shape (n, 5)."""
        table = self.coefficients[:, :, band]
        position = np.clip(redshift / REDSHIFT_STEP, 0, len(table) - 1.001)
        lower = position.astype(int)
        share = (position - lower)[:, None, None]
        terms = table[lower] * (1 - share) + table[lower + 1] * share
        dust = np.repeat(attenuation[:, None], 5, axis=1)
        dust[:, NEBULAR] /= STAR_TO_GAS_REDDENING
        dust = np.minimum(dust, ATTENUATION_MAX / STAR_TO_GAS_REDDENING)
        return np.exp(
            terms[:, 0] + dust * (terms[:, 1] + dust * (terms[:, 2] + dust * terms[:, 3]))
        )


@cache
def sed_grid(redshift_max: float) -> SedGrid:
    """The grid up to `redshift_max`; computed once per process, in one or two seconds."""
    wave, spectra = _spectra()
    attenuations = np.linspace(0.0, ATTENUATION_MAX / STAR_TO_GAS_REDDENING, 9)
    steps = int(np.ceil(redshift_max / REDSHIFT_STEP)) + 2
    curve = attenuation_curve(wave) / attenuation_curve(np.array(5500.0))
    reddened = [spectra * 10 ** (-0.4 * a * curve) for a in attenuations]
    sed = SED(wave=wave, flux=np.concatenate(reddened), interpolate=True)
    fitter = Fitter(
        responses=[SDSS.passband(band).response for band in BANDS],
        templates=sed,
        redshift_range=[0.0, (steps - 1) * REDSHIFT_STEP],
        nredshift=steps,
    )
    fitter.set_Amatrix()
    flux = fitter.Amatrix.y.reshape(steps, len(BANDS), len(attenuations), 5)
    # the templates' old stars have today's age; at higher redshift they were younger
    younger = passive_brightening(REDSHIFT_STEP * np.arange(steps))
    flux[..., [OLD_SOLAR, OLD_RICH]] *= younger[:, :, None, None]
    return SedGrid(_cubic(attenuations, np.log(np.maximum(flux, 1e-300))))


def _cubic(attenuations: Array, log_flux: Array) -> Array:
    """Coefficients (redshifts, 4, bands, populations) of ln flux against attenuation."""
    steps, bands, count, populations = log_flux.shape
    columns = np.moveaxis(log_flux, 2, 0).reshape(count, -1)
    terms = np.polynomial.polynomial.polyfit(attenuations, columns, 3)
    return np.moveaxis(terms.reshape(4, steps, bands, populations), 0, 1).copy()


def _spectra() -> tuple[Array, Array]:
    """Wavelengths and the populations' spectra (5, wavelengths) of one present solar mass."""
    folder = Path(kcorrect.KCORRECT_DIR) / "data" / "templates"
    default = Template(str(folder / "kcorrect-default-v4.fits"))
    rich = Template(str(folder / "kcorrect-lrg1-v4.fits"))
    wave = default.restframe_wave.astype(float)
    seen = (wave > WAVELENGTHS[0]) & (wave < WAVELENGTHS[1])
    spectra = np.empty((5, seen.sum()))
    for population, row in _DEFAULT_TEMPLATES.items():
        spectra[population] = default.restframe_flux[row, seen] / default.mremain[row]
    on_grid = np.interp(wave[seen], rich.restframe_wave, rich.restframe_flux[0])
    spectra[OLD_RICH] = on_grid / rich.mremain[0]
    return wave[seen], spectra


def population_masses(log_specific_rate: Array, log_past_ratio: Array, rich: Array) -> Array:
    """Fractions (n, 5) of the present stellar mass in each population.

    `log_specific_rate` is log10(SFR / M*) in 1/yr today, `log_past_ratio` log10 of the ratio of the
    mean rate of the last Gyr to today's, `rich` the metal-rich fraction of the old stars. The young
    template formed 0.54 of its mass in the last Gyr; the intermediate one 0.46, none of it in the
    last 0.3 Gyr. The nebular one is the light of the last few million years.
    """
    rate = 10.0**log_specific_rate
    formed = rate * 10.0**log_past_ratio * 1.0e9
    shares = np.empty((len(rate), 5))
    shares[:, YOUNG] = (1 - INTERMEDIATE_SHARE) * formed * 0.764 / 0.542
    shares[:, INTERMEDIATE] = INTERMEDIATE_SHARE * formed * 0.607 / 0.462
    shares[:, NEBULAR] = rate * NEBULAR_YEARS
    recent = shares[:, [YOUNG, NEBULAR, INTERMEDIATE]].sum(axis=1)
    excess = np.maximum(recent / 0.95, 1.0)  # a galaxy cannot have formed more than its mass
    shares[:, [YOUNG, NEBULAR, INTERMEDIATE]] /= excess[:, None]
    old = 1 - recent / excess
    shares[:, OLD_RICH] = old * rich
    shares[:, OLD_SOLAR] = old * (1 - rich)
    return shares
