"""Sizes, bulges, disks and inclinations, and their measurement in SDSS's circular apertures."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from scipy.interpolate import RegularGridInterpolator
from scipy.special import gammainc

from mgsflow.sky.simulated.relations import Array, radius_early, radius_late, radius_scatter

BULGE_INDICES = np.array([1.0, 2.0, 3.0, 4.0])  # a grid, since galsim makes tables for each index
DISK_THICKNESS = 0.2  # axis ratio of a disk seen edge-on, Unterborn & Ryden 2008
BULGE_THICKNESS = 0.65
RADIUS_RATIOS = np.geomspace(0.05, 2.0, 14)  # half-light radii, bulge to disk
FIBRE_RADIUS = 1.5  # arcsec, SDSS's 3 arcsec fibres
PSF_HALF_LIGHT = 0.55  # half-light radius of the seeing, in units of its FWHM


def draw_shapes(
    log_mass: Array, quenched: Array, sequence_offset: Array, random: np.random.Generator
) -> pd.DataFrame:
    """Bulges and inclinations of n galaxies.

    Bulges increase with mass, dominate quenched galaxies, and are larger below the main sequence
    (`sequence_offset`, dex): the trends of Bluck et al. 2014, in round numbers.
    """
    n = len(log_mass)
    active = 0.06 + 0.13 * np.maximum(log_mass - 9.5, 0) - 0.15 * np.minimum(sequence_offset, 0)
    active = active + np.abs(random.normal(0, 0.10, n))
    passive = 0.58 + 0.12 * (log_mass - 10.5) + random.normal(0, 0.17, n)
    bulge_mass_share = np.clip(np.where(quenched, passive, active), 0.0, 0.95)
    steepness = 1.6 + 1.0 * (log_mass - 9.5) + 1.2 * quenched + random.normal(0, 0.5, n)
    ratio = np.where(quenched, 0.65, 0.28) * 10 ** random.normal(0, 0.13, n)
    cosine = random.uniform(0, 1, n)
    return pd.DataFrame(
        {
            "bulge_mass_share": bulge_mass_share,
            "bulge_sersic": np.clip(np.round(steepness), 1, 4),
            "radius_ratio": np.clip(ratio, RADIUS_RATIOS[0], RADIUS_RATIOS[-1]),
            "cos_inclination": cosine,
            "disk_axis_ratio": _axis_ratio(cosine, DISK_THICKNESS),
            "bulge_axis_ratio": _axis_ratio(cosine, BULGE_THICKNESS),
            "position_angle": random.uniform(0, 180, n),
        }
    )


def _axis_ratio(cosine: Array, thickness: float) -> Array:
    """Apparent axis ratio of an oblate spheroid (Hubble 1926)."""
    return np.sqrt(thickness**2 + (1 - thickness**2) * cosine**2)


def draw_radii(log_mass: Array, quenched: Array, random: np.random.Generator) -> pd.DataFrame:
    """Half-light radii in kpc, and their offsets from the mean of their type, in dex."""
    mean = np.where(quenched, radius_early(log_mass), radius_late(log_mass))
    offset = radius_scatter(log_mass) * random.normal(0, 1, len(log_mass))
    return pd.DataFrame({"radius_kpc": 10 ** (mean + offset), "radius_offset": offset})


def measure_sizes(
    shapes: pd.DataFrame, radius: Array, bulge_share: Array, fwhm: float
) -> pd.DataFrame:
    """Component radii and SDSS's Petrosian quantities.

    `radius` is the half-light radius in arcsec, `bulge_share` the bulge's fraction of the r light,
    `fwhm` the seeing in arcsec. Returns, in arcsec, the half-light radii `bulge_radius` and
    `disk_radius` along the major axis, and `petro_r50` and `petro_r90` with the seeing added in
    quadrature; and `petro_share`, the ratio of Petrosian to total flux.
    """
    points = np.column_stack([shapes["bulge_sersic"], bulge_share, np.log(shapes["radius_ratio"])])
    total, r50, r90, share = _aperture_table()(points).T
    ratio = shapes["disk_axis_ratio"].to_numpy()
    disk = radius / total / flattening(ratio)  # Shen et al.'s radii are those of round apertures
    return pd.DataFrame(
        {
            "disk_radius": disk,
            "bulge_radius": disk * shapes["radius_ratio"].to_numpy(),
            "petro_r50": np.hypot(r50 * disk * flattening(ratio), PSF_HALF_LIGHT * fwhm),
            "petro_r90": np.hypot(r90 * disk * _outer(ratio), 2 * PSF_HALF_LIGHT * fwhm),
            "petro_share": share,
        }
    )


def flattening(axis_ratio: Array) -> Array:
    """Ratio of a flat galaxy's circular half-light radius to the half-light ellipse's major axis.

    Accurate to 1% for Sersic indices of 1 and 4 and any axis ratio.
    """
    return (1 + axis_ratio) / 2


def _outer(axis_ratio: Array) -> Array:
    """The same for 90% of the light, where a flat galaxy's radius is closer to its major axis."""
    return np.sqrt((1 + axis_ratio**2) / 2)


def fibre_share(radius: Array, axis_ratio: Array, index: Array | float, fwhm: float) -> Array:
    """Fraction of a flat Sérsic profile's light within SDSS's fibre.

    `radius` is the half-light radius in arcsec along the major axis, blurred by seeing of `fwhm`.
    """
    blurred = np.hypot(radius * flattening(axis_ratio), PSF_HALF_LIGHT * fwhm)
    return _enclosed(FIBRE_RADIUS / blurred, index)


def _enclosed(radius: Array, index: Array | float) -> Array:
    """Fraction of a Sérsic profile's light within `radius`, in half-light radii.

    Graham & Driver 2005; b_n after Ciotti & Bertin 1999.
    """
    n = np.asarray(index, dtype=float)
    b = 2 * n - 1 / 3 + 4 / (405 * n) + 46 / (25515 * n**2)
    return gammainc(2 * n, b * radius ** (1 / n))


@cache
def _aperture_table() -> RegularGridInterpolator:
    """Half-light radius, Petrosian R50, R90 (in disk radii) and flux fraction of bulge and disk."""
    shares = np.linspace(0, 1, 21)
    values = np.array(
        [
            [[_apertures(n, share, ratio) for ratio in RADIUS_RATIOS] for share in shares]
            for n in BULGE_INDICES
        ]
    )
    axes = (BULGE_INDICES, shares, np.log(RADIUS_RATIOS))
    return RegularGridInterpolator(axes, values, bounds_error=False, fill_value=None)


def _apertures(index: float, share: float, ratio: float) -> tuple[float, float, float, float]:
    """Half-light radius, R50, R90 in disk radii, and Petrosian flux fraction of a round galaxy.

    At the Petrosian radius the mean surface brightness of the annulus 0.8 to 1.25 r falls to 0.2 of
    that within r; the flux is that within twice this radius (Blanton et al. 2001; SDSS's values).
    """
    radius = np.geomspace(1e-2, 40.0, 400)
    inside = _composite(radius, index, share, ratio)
    outer = _composite(1.25 * radius, index, share, ratio)
    inner = _composite(0.8 * radius, index, share, ratio)
    ratio_of_brightness = (outer - inner) / (1.25**2 - 0.8**2) / inside
    petrosian = radius[np.argmax(ratio_of_brightness < 0.2)]
    flux = np.interp(2 * petrosian, radius, inside)
    return (*np.interp([0.5, 0.5 * flux, 0.9 * flux], inside, radius), flux)


def _composite(radius: Array, index: float, share: float, ratio: float) -> Array:
    return share * _enclosed(radius / ratio, index) + (1 - share) * _enclosed(radius, 1.0)
