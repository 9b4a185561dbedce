"""The mean relations of the galaxy population, each with its source.

Masses are log10 of solar masses, star-formation rates log10 of solar masses per year, both for a
Chabrier or Kroupa initial mass function; all functions take and return arrays.
"""

from __future__ import annotations

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from numpy.typing import NDArray

Array = NDArray[np.float64]

COSMOLOGY = FlatLambdaCDM(H0=70.0, Om0=0.3)
SOLAR_ABUNDANCE = 8.69  # 12 + log(O/H) of the Sun, Allende Prieto et al. 2001
CASE_B_HALPHA_HBETA = 2.86  # Osterbrock & Ferland 2006, 10^4 K, 100 cm^-3
STAR_TO_GAS_REDDENING = 0.44  # E(B-V) of stars to that of the gas, Calzetti et al. 2000
LATE_TYPE_LOG_MASS = np.log10(3.98e10)  # M0 of Shen et al. 2003, Table 1
# Peng et al. 2010 count red galaxies, some of which are red because of dust and still form stars.
# This fraction gives the two peaks of SDSS's colours (docs/simulated-sky.md).
QUENCHED_SHARE_OF_RED = 0.8
# Median ratio, dex, of MPA-JHU's total rate to that within the fibre, for the galaxies of Mannucci
# et al. 2010, z > 0.07
LOG_SFR_OVER_FIBRE = 0.5
# Old stars formed at z = 2 and are 10.2 Gyr old today. With age they fade as t^-kappa (Tinsley &
# Gunn 1976). The values of kappa in u, g, r, i, z are round numbers for a single burst of solar
# abundance; in V kappa is near 0.9, and a doubling of age reddens u-g by 0.15 and g-r by 0.06 mag.
OLD_STARS_AGE = 10.2
FADING = np.array([1.10, 0.90, 0.82, 0.78, 0.75])


def mass_function(log_mass: Array) -> Array:
    """Galaxies per dex and Mpc^3 at z < 0.06 (Baldry et al. 2012, double Schechter, h = 0.7)."""
    x = 10.0 ** (log_mass - 10.66)
    schechter = 3.96e-3 * x ** (1 - 0.35) + 0.79e-3 * x ** (1 - 1.47)
    return np.log(10.0) * np.exp(-x) * schechter


def quenched_fraction(log_mass: Array, log_overdensity: Array) -> Array:
    """Fraction of galaxies without star formation: most of those with red colours."""
    return QUENCHED_SHARE_OF_RED * red_fraction(log_mass, log_overdensity)


def red_fraction(log_mass: Array, log_overdensity: Array) -> Array:
    """Fraction of galaxies on the red side in rest-frame colour (Peng et al. 2010).

    Mass and environment, log10(1 + delta), quench galaxies independently.
    """
    by_environment = 1 - np.exp(-(10.0 ** (0.60 * (log_overdensity - 1.84))))
    by_mass = 1 - np.exp(-(10.0 ** (0.80 * (log_mass - 10.56))))
    return by_environment + by_mass - by_environment * by_mass


def main_sequence(log_mass: Array, redshift: Array) -> Array:
    """log SFR of star-forming galaxies (Renzini & Peng 2015, section 2, for 0.02 < z < 0.085).

    Assumed to hold at z = 0.05; it evolves as (1 + z)^3 (Lilly et al. 2013).
    """
    return 0.76 * log_mass - 7.64 + 3.0 * np.log10((1 + redshift) / 1.05)


def passive_brightening(redshift: Array) -> Array:
    """Flux of old stars in u, g, r, i, z at `redshift` (n,) relative to today, shape (n, 5)."""
    age = OLD_STARS_AGE - COSMOLOGY.lookback_time(redshift).value
    return (age / OLD_STARS_AGE)[:, None] ** -FADING


def quiescent_sequence(log_mass: Array) -> Array:
    """log SFR of quenched galaxies: the ridge of low specific rates from fits to spectra and
    photometry (Brinchmann et al. 2004); an upper limit rather than a measurement."""
    return log_mass - 11.8 - 0.35 * (log_mass - 10.5)


def oxygen_abundance(log_mass: Array, log_sfr: Array) -> Array:
    """12 + log(O/H) on the scale of Maiolino et al. 2008 (Mannucci et al. 2010, eq. 2).

    Below mu = log M - 0.32 log SFR = 9.5 the extension of Mannucci et al. 2011 is used. `log_sfr`
    is a galaxy's total rate; theirs are within SDSS's fibre.
    """
    m, s = log_mass - 10.0, log_sfr - LOG_SFR_OVER_FIBRE
    quadratic = 8.90 + 0.37 * m - 0.14 * s - 0.19 * m**2 + 0.12 * m * s - 0.054 * s**2
    mu = log_mass - 0.32 * s
    return np.where(mu >= 9.5, quadratic, 8.93 + 0.51 * (mu - 10.0))


def log_nii_halpha(abundance: Array) -> Array:
    """log [N II] 6584 / H alpha of H II regions (Maiolino et al. 2008)."""
    return np.polyval([-0.3330, -0.7201, -0.2811, 1.2357, -0.7732], _from_solar(abundance))


def log_oiii_hbeta(abundance: Array) -> Array:
    """log [O III] 5007 / H beta of H II regions (Maiolino et al. 2008)."""
    return np.polyval([-0.0297, -0.9790, -1.5031, 0.1549], _from_solar(abundance))


def _from_solar(abundance: Array) -> Array:
    """The abundance relative to the Sun's, limited to the range of the calibrations."""
    return np.clip(abundance, 7.1, 9.2) - SOLAR_ABUNDANCE


def halpha_luminosity(log_sfr: Array) -> Array:
    """log10 of the intrinsic H alpha luminosity in erg/s (Kennicutt & Evans 2012, Table 1)."""
    return log_sfr + 41.27


def halpha_attenuation(log_mass: Array) -> Array:
    """A(H alpha) in mag of a star-forming galaxy of 8.5 < log M < 11.5 (Garn & Best 2010)."""
    x = np.clip(log_mass, 8.5, 11.5) - 10.0
    return 0.91 + 0.77 * x + 0.11 * x**2 - 0.09 * x**3


def attenuation_curve(wavelength: Array) -> Array:
    """k = A / E(B-V) at rest-frame wavelength in Angstrom (Calzetti et al. 2000)."""
    x = 1.0e4 / np.asarray(wavelength, dtype=float)
    blue = 2.659 * (-2.156 + 1.509 * x - 0.198 * x**2 + 0.011 * x**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 * x) + 4.05
    return np.maximum(np.where(x > 1 / 0.63, blue, red), 0.0)


def velocity_dispersion(log_mass: Array) -> Array:
    """log10 of the central stellar velocity dispersion in km/s (Zahid et al. 2016, eq. 5).

    Theirs are quiescent galaxies; callers lower the values of galaxies with small bulges.
    """
    x = log_mass - 10.26
    return np.log10(118.3) + np.where(x <= 0, 0.403, 0.293) * x


def radius_late(log_mass: Array) -> Array:
    """log10 of the half-light radius in kpc, late types (Shen et al. 2003, eq. 18, Table 1)."""
    beyond = np.log10(1 + 10.0 ** (log_mass - LATE_TYPE_LOG_MASS))
    return np.log10(0.10) + 0.14 * log_mass + (0.39 - 0.14) * beyond


def radius_early(log_mass: Array) -> Array:
    """log10 of the half-light radius in kpc, early types (Shen et al. 2003, eq. 17, erratum 2007).

    The power law was fitted above 2e10 Msun. Below, quenched galaxies do not shrink without limit:
    they follow the slope of late types with radii a third smaller, as Shen et al. 2003 find for
    dwarfs.
    """
    giant = np.log10(2.88e-6) + 0.56 * log_mass
    dwarf = radius_late(log_mass) - 0.2
    return np.maximum(giant, np.minimum(dwarf, radius_late(np.full_like(log_mass, 10.0)) - 0.2))


def radius_scatter(log_mass: Array) -> Array:
    """Scatter of the radius at a given mass, in dex (Shen et al. 2003, eq. 19, Table 1)."""
    fading = 1 + 10.0 ** (2 * (log_mass - LATE_TYPE_LOG_MASS))
    return (0.34 + (0.47 - 0.34) / fading) / np.log(10.0)


def active_fraction(log_mass: Array) -> Array:
    """Fraction of star-forming galaxies whose lines include those of an active nucleus.

    They are rare below 10^10 Msun and a quarter of massive galaxies (Kauffmann et al. 2003), in
    round numbers.
    """
    return 0.25 / (1 + 10.0 ** (-2.5 * (log_mass - 10.6)))


def kauffmann_2003(log_nii_halpha: Array) -> Array:
    """log [O III]/H beta above which stars are not enough (Kauffmann et al. 2003, eq. 1)."""
    return _demarcation(log_nii_halpha, 0.05, 1.30)


def kewley_2001(log_nii_halpha: Array) -> Array:
    """log [O III]/H beta above which a galaxy is an AGN (Kewley et al. 2001, eq. 5)."""
    return _demarcation(log_nii_halpha, 0.47, 1.19)


def _demarcation(x: Array, pole: float, height: float) -> Array:
    """0.61 / (x - pole) + height, and -inf to the right of the pole."""
    x = np.asarray(x, dtype=float)
    return np.where(x < pole, 0.61 / np.minimum(x - pole, -1e-6) + height, -np.inf)
