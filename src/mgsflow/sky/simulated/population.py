"""The galaxies: causes are drawn before their effects, down to total magnitudes and line fluxes.

In order: volume and stellar mass; environment; quenching; star formation; oxygen and dust; size and
shape; starlight through SDSS's filters; velocity dispersion. Only the flux limit selects.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from mgsflow.config import Simulated
from mgsflow.core.errors import UserError
from mgsflow.core.photometry import magnitude_columns
from mgsflow.sky.simulated import relations as rel
from mgsflow.sky.simulated.camera import BANDS
from mgsflow.sky.simulated.relations import Array
from mgsflow.sky.simulated.seds import (
    AB_OFFSET,
    OLD_RICH,
    OLD_SOLAR,
    R_BAND,
    SED_DIVERSITY,
    TEMPLATE_OFFSET,
    population_masses,
    sed_grid,
)
from mgsflow.sky.simulated.structure import draw_radii, draw_shapes, measure_sizes

COSMOLOGY = rel.COSMOLOGY
MASS_RANGE = (7.0, 12.2)
# Brightest possible r at 10 pc of one solar mass: nearly all of it young and dust-free, at the
# largest redshift (the brightest in a sky of 4000 has 3.2, the median is 5.6). It limits the
# distance at which a mass can be seen, so that galaxies without a chance are not drawn at all.
BRIGHTEST_UNIT_MASS = 2.9
# Fraction of the dust that reddens stars that is not already in kcorrect's young template
DUST_BESIDE_TEMPLATES = 0.50
BATCH = 200_000  # galaxies drawn at once, to limit memory
# Numbers of galaxies drawn to test how many pass the flux limit; mostly the first is enough
TRIALS = (20_000, 100_000, 100_000, 100_000, 100_000)
SURE, LEAST_SHARE = 20, 1e-4  # passing galaxies that end the test; the minimum fraction that passes
MAGNITUDE_TO_PETROSIAN_SCATTER = 0.03  # mag, noise of Petrosian relative to total flux


def draw_population(count: int, simulated: Simulated, random: np.random.Generator) -> pd.DataFrame:
    """`count` galaxies brighter than the flux limit, one per row, in random order.

    Raises UserError if hardly any galaxy passes the limits.
    """
    _check_limits(simulated, random)
    parts: list[pd.DataFrame] = []
    count_bright = trials = 0
    while count_bright < count:
        share = max(count_bright / trials, LEAST_SHARE) if count_bright else 0.1
        batch = int(np.clip(1.1 * (count - count_bright) / share, 2000, BATCH))
        parts.append(_draw_batch(batch, simulated, random))
        count_bright, trials = count_bright + len(parts[-1]), trials + batch
    galaxies = pd.concat(parts, ignore_index=True).iloc[:count].reset_index(drop=True)
    return add_dispersions(galaxies, random)


def _check_limits(simulated: Simulated, random: np.random.Generator) -> None:
    """Reject limits that hardly any galaxy passes, rather than draw for ever."""
    passed = trials = 0
    for count in TRIALS:
        passed += len(_draw_batch(count, simulated, random))
        trials += count
        if passed >= SURE:
            return
    if passed < LEAST_SHARE * trials:
        raise UserError(
            f"simulated: of {trials} galaxies drawn with {simulated.redshift_min:g} <= z <= "
            f"{simulated.redshift_max:g}, {passed} are brighter than petro_mag_r_max = "
            f"{simulated.petro_mag_r_max:g}: too few to continue. Raise petro_mag_r_max or lower "
            "redshift_min."
        )


def _draw_batch(count: int, simulated: Simulated, random: np.random.Generator) -> pd.DataFrame:
    """Those of `count` drawn galaxies that pass the flux limit."""
    galaxies = draw_unselected(count, simulated, random)
    deviations = SED_DIVERSITY * random.normal(0, 1, (len(galaxies), len(BANDS)))
    galaxies = diversify(galaxies, deviations, random)
    return galaxies[galaxies["petro_mag_r"] <= simulated.petro_mag_r_max]


def draw_unselected(count: int, simulated: Simulated, random: np.random.Generator) -> pd.DataFrame:
    """Galaxies before the flux limit and before their deviations from the templates.

    `count` galaxies are drawn; those that could never pass the limit are left out, so fewer are
    returned. Their `mag_*` are those of the templates; `diversify` adds the deviations.
    """
    galaxies = _stars(_volume(count, simulated, random), random)
    galaxies = _dust(galaxies, random)
    masses = _populations(galaxies, random)
    bright = _bright_enough(galaxies, masses, simulated)
    galaxies, masses = galaxies[bright].reset_index(drop=True), masses[bright]
    galaxies = _light(galaxies, masses, simulated)
    return _sizes(galaxies, simulated, random)


def diversify(
    galaxies: pd.DataFrame, deviations: Array, random: np.random.Generator
) -> pd.DataFrame:
    """The galaxies with `deviations` (n, bands) added to `mag_*`, and a noisy `petro_mag_r`.

    The deviations have the standard deviations SED_DIVERSITY. The flux limit is in `petro_mag_r`.
    """
    magnitudes = {
        name: galaxies[name] + deviations[:, i] for i, name in enumerate(magnitude_columns(BANDS))
    }
    noise = random.normal(0, MAGNITUDE_TO_PETROSIAN_SCATTER, len(galaxies))
    petrosian = magnitudes["mag_r"] - 2.5 * np.log10(galaxies["petro_share"]) + noise
    return galaxies.assign(**magnitudes, petro_mag_r=petrosian)


# ---------------------------------------------------------------- distance and mass


@cache
def _distances(redshift_max: float) -> tuple[Array, Array, Array]:
    """Redshift, comoving volume (relative) and distance modulus on a grid."""
    redshift = np.linspace(1e-4, redshift_max, 2000)
    volume = COSMOLOGY.comoving_volume(redshift).value
    return redshift, volume / volume[-1], COSMOLOGY.distmod(redshift).value


def distance_modulus(redshift: Array, redshift_max: float) -> Array:
    grid, _, modulus = _distances(redshift_max)
    # nearly linear in ln z: linear interpolation is accurate to 1e-4 mag
    return np.interp(np.log(redshift), np.log(grid), modulus)


def _volume(count: int, simulated: Simulated, random: np.random.Generator) -> pd.DataFrame:
    """Masses from the mass function, and redshifts from the volume in which each can be seen.

    Omitting the volume beyond only saves time: no galaxy of that mass passes the limit there.
    """
    grid, volume, modulus = _distances(simulated.redshift_max)
    masses = np.linspace(*MASS_RANGE, 1041)
    reach = simulated.petro_mag_r_max - BRIGHTEST_UNIT_MASS + 2.5 * masses
    nearest = np.interp(simulated.redshift_min, grid, volume)
    seen = np.maximum(np.interp(reach, modulus, volume) - nearest, 0.0)
    cumulative = np.cumsum(rel.mass_function(masses) * seen)
    if cumulative[-1] == 0:
        return pd.DataFrame({"redshift": [], "log_stellar_mass": []}, dtype=float)
    log_mass = np.interp(random.uniform(0, cumulative[-1], count), cumulative, masses)
    chosen = nearest + random.uniform(0, 1, count) * np.interp(log_mass, masses, seen)
    return pd.DataFrame({"redshift": np.interp(chosen, volume, grid), "log_stellar_mass": log_mass})


# ---------------------------------------------------------------- stars, gas, dust


def _stars(galaxies: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Environment, quenching, star-formation rate, oxygen abundance, shape."""
    n = len(galaxies)
    log_mass, redshift = galaxies["log_stellar_mass"].to_numpy(), galaxies["redshift"].to_numpy()
    overdensity = random.normal(0.2, 0.55, n)  # Peng et al. 2010, Fig. 2
    quenched = random.uniform(0, 1, n) < rel.quenched_fraction(log_mass, overdensity)
    offset = random.normal(0, 0.30, n)  # Renzini & Peng 2015: scatter 0.3 dex about the ridge
    # a tenth of quenched galaxies are in transition, in the green valley (Schawinski et al. 2014)
    ageing = np.where(random.uniform(0, 1, n) < 0.1, random.uniform(0, 1.2, n), 0.0)
    active = rel.main_sequence(log_mass, redshift) + offset
    passive = rel.quiescent_sequence(log_mass) + random.normal(0, 0.20, n) + ageing
    log_sfr = np.where(quenched, np.minimum(passive, active), active)
    # Mannucci et al. 2010: scatter 0.05 dex about the relation
    abundance = rel.oxygen_abundance(log_mass, log_sfr) + random.normal(0, 0.06, n)
    galaxies = galaxies.assign(
        log_overdensity=overdensity, quenched=quenched, log_sfr=log_sfr, metallicity=abundance
    )
    shapes = draw_shapes(log_mass, quenched, np.where(quenched, 0.0, offset), random)
    return pd.concat([galaxies, shapes], axis=1)


def _dust(galaxies: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Attenuation of gas, A(H alpha), and of stars, A_V, in mag.

    Attenuation increases linearly with log(a/b) towards edge-on disks (Tully et al. 1998; Maller et
    al. 2009); the factor averages to 1 over random inclinations. Quenched galaxies have a tenth of
    the dust.
    """
    n = len(galaxies)
    flattening = -np.log10(galaxies["disk_axis_ratio"].to_numpy())
    inclined = 0.70 + 1.05 * flattening
    mean = rel.halpha_attenuation(galaxies["log_stellar_mass"].to_numpy())
    gas = np.maximum(mean * inclined + random.normal(0, 0.28, n), 0.0)  # Garn & Best 2010, scatter
    thinned = random.exponential(0.15, n)
    gas = np.where(galaxies["quenched"], gas * np.minimum(thinned, 1.0), gas)
    to_visual = (
        rel.attenuation_curve(np.array([5500.0]))[0] / rel.attenuation_curve(np.array([6563.0]))[0]
    )
    stars = DUST_BESIDE_TEMPLATES * rel.STAR_TO_GAS_REDDENING * to_visual * gas
    return galaxies.assign(attenuation_h_alpha=gas, attenuation_v=stars)


def _populations(galaxies: pd.DataFrame, random: np.random.Generator) -> Array:
    """Solar masses (n, 5) in each of the stellar populations.

    Past star formation was more intense in less massive quenched galaxies, and the metal-rich
    fraction of old stars rises with mass (Gallazzi et al. 2005, Figs 8 and 9). The constants of
    both are chosen so that kcorrect's templates give the colours of SDSS's galaxies.
    """
    n = len(galaxies)
    log_mass = galaxies["log_stellar_mass"].to_numpy()
    active = -0.17 - 0.20 * (log_mass - 10.0) + random.normal(0, 0.05, n)
    passive = 0.35 - 0.10 * (log_mass - 10.5) + random.normal(0, 0.25, n)
    past = np.where(galaxies["quenched"], passive, active)
    rich = np.clip(0.6 + 0.4 * (log_mass - 10.5) + random.normal(0, 0.25, n), 0, 1)
    shares = population_masses(galaxies["log_sfr"].to_numpy() - log_mass, past, rich)
    return shares * 10.0 ** log_mass[:, None]


# ---------------------------------------------------------------- light and size


def _bright_enough(galaxies: pd.DataFrame, masses: Array, simulated: Simulated) -> Array:
    """A fast cut on total r, before all bands are computed, which drops none that could pass.

    It is looser than the limit: Petrosian magnitudes are fainter than total ones, apart from noise
    and deviations of 0.03 mag.
    """
    redshift = galaxies["redshift"].to_numpy()
    grid = sed_grid(simulated.redshift_max)
    flux = grid.flux(redshift, galaxies["attenuation_v"].to_numpy(), masses, R_BAND)[:, 0]
    total = -2.5 * np.log10(flux) + distance_modulus(redshift, simulated.redshift_max)
    return total <= simulated.petro_mag_r_max + 0.25


def _light(galaxies: pd.DataFrame, masses: Array, simulated: Simulated) -> pd.DataFrame:
    """Total magnitudes `mag_*` on SDSS's system, without the Galaxy's dust, and bulge fractions.

    The bulge has only old stars, behind half of the dust, and is therefore redder than the disk.
    """
    grid = sed_grid(simulated.redshift_max)
    redshift, dust = galaxies["redshift"].to_numpy(), galaxies["attenuation_v"].to_numpy()
    modulus = distance_modulus(redshift, simulated.redshift_max)
    old = masses[:, [OLD_SOLAR, OLD_RICH]]
    whole = 10.0 ** galaxies["log_stellar_mass"].to_numpy()
    taken = np.minimum(galaxies["bulge_mass_share"].to_numpy() * whole / old.sum(axis=1), 0.95)
    bulge = np.zeros_like(masses)
    bulge[:, [OLD_SOLAR, OLD_RICH]] = old * taken[:, None]
    flux, bulge_flux = grid.flux(redshift, dust, masses), grid.flux(redshift, dust / 2, bulge)
    magnitude = -2.5 * np.log10(flux) + modulus[:, None] + AB_OFFSET + TEMPLATE_OFFSET
    share = np.minimum(bulge_flux / flux, 0.98)
    return galaxies.assign(
        **{name: magnitude[:, i] for i, name in enumerate(magnitude_columns(BANDS))},
        **{f"bulge_share_{band}": share[:, i] for i, band in enumerate(BANDS)},
        old_share=old.sum(axis=1) / whole,
    )


def _sizes(
    galaxies: pd.DataFrame, simulated: Simulated, random: np.random.Generator
) -> pd.DataFrame:
    """Radii in kpc and arcsec."""
    log_mass, redshift = galaxies["log_stellar_mass"].to_numpy(), galaxies["redshift"].to_numpy()
    radii = draw_radii(log_mass, galaxies["quenched"].to_numpy(), random)
    parsecs = (
        10 ** (distance_modulus(redshift, simulated.redshift_max) / 5 + 1) / (1 + redshift) ** 2
    )
    arcsec = radii["radius_kpc"].to_numpy() * 1e3 / parsecs * 206264.8
    sizes = measure_sizes(
        galaxies, arcsec, galaxies["bulge_share_r"].to_numpy(), simulated.psf_fwhm
    )
    return pd.concat([galaxies, radii, sizes], axis=1)


def add_dispersions(galaxies: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Velocity dispersions, km/s: larger for galaxies that are compact for their mass.

    The dependence is half of the virial theorem's -0.5 dex per dex of radius, as along the
    fundamental plane (Zahid & Geller 2017); galaxies with small bulges have lower values.
    """
    log_mass = galaxies["log_stellar_mass"].to_numpy()
    compact = -0.25 * galaxies["radius_offset"].to_numpy()
    bulgeless = -0.06 * (1 - galaxies["bulge_mass_share"].to_numpy())
    scatter = random.normal(0, 0.05, len(galaxies))
    log_dispersion = rel.velocity_dispersion(log_mass) + compact + bulgeless + scatter
    return galaxies.assign(velocity_dispersion=10**log_dispersion)
