"""Emission lines in the fibre, and the spectroscopic catalogue that MPA-JHU would measure.

Lines have three sources that add up: H II regions, an active nucleus, and the hot old stars of
retired galaxies. Their mixture fills the BPT diagram.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.sky.simulated import relations as rel
from mgsflow.sky.simulated.relations import CASE_B_HALPHA_HBETA, Array
from mgsflow.sky.simulated.structure import fibre_share

LINES = ("h_alpha", "h_beta", "nii_6584", "oiii_5007")
WAVELENGTHS = np.array([6562.8, 4861.3, 6583.5, 5006.8])  # Angstrom
# 1e-17 erg/s/cm2: error of a line on no continuum, in the ratios of MPA-JHU's medians
FAINT_LINE_ERROR = np.array([1.7, 1.6, 1.2, 2.0])
MISSING = -9999.0
DISPERSION_CAP = 850.0  # km/s, where SDSS's fit gives up


def add_lines(
    galaxies: pd.DataFrame, modulus: Array, fwhm: float, random: np.random.Generator
) -> pd.DataFrame:
    """True line fluxes in the fibre, `true_flux_*` in 1e-17 erg/s/cm2.

    `modulus` is the distance modulus (n,), `fwhm` the seeing in arcsec.
    """
    continuum = _fibre_continuum(galaxies, fwhm)
    parts = (
        _star_forming(galaxies, modulus, fwhm, random),
        _active(galaxies, continuum, random),
        _retired(galaxies, continuum, random),
    )
    fluxes = sum(parts)
    return galaxies.assign(
        fibre_continuum=continuum,
        **{f"true_flux_{line}": fluxes[:, i] for i, line in enumerate(LINES)},
    )


def _fibre_continuum(galaxies: pd.DataFrame, fwhm: float) -> Array:
    """Continuum in r within the fibre, 1e-17 erg/s/cm2/Angstrom."""
    bulge = galaxies["bulge_share_r"].to_numpy()
    inside = bulge * fibre_share(galaxies["bulge_radius"], galaxies["bulge_sersic"], fwhm)
    inside = inside + (1 - bulge) * fibre_share(galaxies["disk_radius"].to_numpy(), 1.0, fwhm)
    maggies = 10 ** (-0.4 * galaxies["mag_r"].to_numpy())
    return inside * maggies * 3631e-23 * 2.998e18 / 6165.0**2 / 1e-17


def _star_forming(
    galaxies: pd.DataFrame, modulus: Array, fwhm: float, random: np.random.Generator
) -> Array:
    """Fluxes (n, 4) of H II regions, which follow the disk; A(H alpha) and the Balmer decrement.

    Fibre losses scatter by 0.06 dex (clumps, gradients). The ionisation parameter moves galaxies of
    one abundance along and across the BPT sequence: that is why [O III] is hardest to foresee.
    """
    n = len(galaxies)
    inside = fibre_share(galaxies["disk_radius"].to_numpy(), 1.0, fwhm) * 10 ** random.normal(
        0, 0.06, n
    )
    log_luminosity = rel.halpha_luminosity(galaxies["log_sfr"].to_numpy())
    log_area = np.log10(4 * np.pi) + 2 * (modulus / 5 + 1 + np.log10(3.0857e18))
    h_alpha = inside * 10 ** (log_luminosity - log_area + 17)
    abundance = galaxies["metallicity"].to_numpy()
    ionisation = random.normal(0, 0.20, n)
    nii = 10 ** (rel.log_nii_halpha(abundance) - 0.2 * ionisation + random.normal(0, 0.05, n))
    oiii = 10 ** (rel.log_oiii_hbeta(abundance) + ionisation + random.normal(0, 0.05, n))
    h_beta = h_alpha / CASE_B_HALPHA_HBETA
    emitted = np.stack([h_alpha, h_beta, h_alpha * nii, h_beta * oiii], axis=1)
    curve = rel.attenuation_curve(WAVELENGTHS) / rel.attenuation_curve(WAVELENGTHS[:1])
    return emitted * 10 ** (-0.4 * galaxies["attenuation_h_alpha"].to_numpy()[:, None] * curve)


def _active(galaxies: pd.DataFrame, continuum: Array, random: np.random.Generator) -> Array:
    """Fluxes of narrow-line regions: in some galaxies, more often massive ones.

    Line ratios are those of Seyfert galaxies in Kewley et al. 2006, Fig. 4.
    """
    n = len(galaxies)
    quenched = galaxies["quenched"].to_numpy()
    chance = rel.active_fraction(galaxies["log_stellar_mass"].to_numpy()) * np.where(
        quenched, 0.25, 1
    )
    width = np.where(random.uniform(0, 1, n) < chance, 10 ** random.normal(0.35, 0.22, n), 0.0)
    ratios = (random.normal(-0.03, 0.10, n), random.normal(0.50, 0.35, n))
    return _from_width(width * continuum, *ratios, decrement=3.5)


def _retired(galaxies: pd.DataFrame, continuum: Array, random: np.random.Generator) -> Array:
    """Fluxes that hot evolved stars light: an H alpha of about 1 Angstrom on old stars' light.

    Cid Fernandes et al. 2011, whose line ratios are those of LINERs.
    """
    n = len(galaxies)
    bulge, old = galaxies["bulge_share_r"].to_numpy(), galaxies["old_share"].to_numpy()
    light = np.where(galaxies["quenched"], old, np.maximum(0.5 * bulge, 0.15 * old))
    width = 10 ** random.normal(-0.05, 0.12, n) * light
    ratios = (random.normal(0.0, 0.10, n), random.normal(0.15, 0.25, n))
    return _from_width(width * continuum, *ratios, decrement=3.1)


def _from_width(h_alpha: Array, log_nii: Array, log_oiii: Array, decrement: float) -> Array:
    h_beta = h_alpha / decrement
    return np.stack([h_alpha, h_beta, h_alpha * 10**log_nii, h_beta * 10**log_oiii], axis=1)


def measure_spectra(galaxies: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """SpecObj's and MPA-JHU's columns, named and missing (-9999) as SkyServer serves them."""
    n = len(galaxies)
    z_err = 1.2e-5 * 10 ** random.normal(0, 0.15, n)
    measured = {
        "z": galaxies["redshift"].to_numpy() + z_err * random.normal(0, 1, n),
        "zErr": z_err,
    }
    measured |= _measured_dispersion(galaxies, random)
    # Brinchmann et al. 2004: 0.2 dex, and 0.5 without clear lines; but a posterior's median keeps
    # to its prior, so that it scatters less than the posterior is wide
    scatter = np.where(galaxies["quenched"], 0.28, 0.2)
    measured["lgm_tot_p50"] = galaxies["log_stellar_mass"].to_numpy() + random.normal(0, 0.10, n)
    measured["sfr_tot_p50"] = galaxies["log_sfr"].to_numpy() + scatter * random.normal(0, 1, n)
    lines = _measured_lines(galaxies, random)
    kind = bpt_class(lines)
    abundance = galaxies["metallicity"].to_numpy() + random.normal(0, 0.05, n)
    measured["oh_p50"] = np.where(kind == 1, abundance, MISSING)
    measured["bptclass"] = kind
    return pd.DataFrame(measured | lines)


def _measured_dispersion(galaxies: pd.DataFrame, random: np.random.Generator) -> dict[str, Array]:
    """v_disp with an error that grows on faint continua, and the fits that failed.

    A failed fit stands at 0 or at the cap of 850 km/s; the fainter, the likelier. Below SDSS's
    resolution (70 km/s) a dispersion is hardly more than its error.
    """
    n = len(galaxies)
    true = galaxies["velocity_dispersion"].to_numpy()
    faintness = 5.0 / np.maximum(galaxies["fibre_continuum"].to_numpy(), 0.3)
    error = np.hypot(4.0, 17.0 * faintness**0.8) * (1 + 15.0 / np.maximum(true, 15.0))
    error = np.clip(error * 10 ** random.normal(0, 0.08, n), 2.0, 150.0)
    value = np.clip(true + error * random.normal(0, 1, n), 0.0, DISPERSION_CAP)
    failed = random.uniform(0, 1, n) < np.minimum(0.006 * faintness, 0.05)
    capped = random.uniform(0, 1, n) < 0.3
    value = np.where(failed, np.where(capped, DISPERSION_CAP, 0.0), value)
    return {"v_disp": value, "v_disp_err": np.where(failed & ~capped, -4.0, error)}


def _measured_lines(galaxies: pd.DataFrame, random: np.random.Generator) -> dict[str, Array]:
    """Fluxes with errors from the continuum's noise and 2% of calibration."""
    noise = np.sqrt(1 + galaxies["fibre_continuum"].to_numpy() / 8.0)
    columns: dict[str, Array] = {}
    for line, faint in zip(LINES, FAINT_LINE_ERROR, strict=True):
        true = galaxies[f"true_flux_{line}"].to_numpy()
        error = np.hypot(faint * noise, 0.02 * true) * 10 ** random.normal(0, 0.08, len(true))
        columns[f"{line}_flux"] = true + error * random.normal(0, 1, len(true))
        columns[f"{line}_flux_err"] = error
    return columns


def bpt_class(lines: dict[str, Array]) -> Array:
    """MPA-JHU's class of measured lines (Brinchmann et al. 2004, section 3), int.

    1 star-forming, 2 star-forming of low signal-to-noise, 3 composite, 4 AGN, 5 low-ionisation AGN
    of low signal-to-noise, -1 unclassifiable. Classes 1, 3 and 4 have all four lines above 3 sigma.
    """
    flux = np.stack([lines[f"{line}_flux"] for line in LINES])
    clear = flux > 3 * np.stack([lines[f"{line}_flux_err"] for line in LINES])
    h_alpha, h_beta, nii, oiii = np.maximum(flux, 1e-6)
    x, y = np.log10(nii / h_alpha), np.log10(oiii / h_beta)
    by_lines = np.where(y < rel.kauffmann_2003(x), 1, np.where(y < rel.kewley_2001(x), 3, 4))
    weak_agn = clear[0] & clear[2] & (x > -0.2)
    otherwise = np.where(weak_agn, 5, np.where(clear[0], 2, -1))
    return np.where(clear.all(axis=0), by_lines, otherwise)
