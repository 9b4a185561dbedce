"""Emission lines in the fibre, and the spectroscopic catalogue that MPA-JHU would measure.

Lines are the sum of three sources: H II regions, an active nucleus, and the hot old stars of
retired galaxies. Their mixtures populate the BPT diagram.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.core.surveys import SDSS
from mgsflow.sky.columns import MEDIANS
from mgsflow.sky.simulated import relations as rel
from mgsflow.sky.simulated.relations import CASE_B_HALPHA_HBETA, Array
from mgsflow.sky.simulated.structure import fibre_share

LINES = ("h_alpha", "h_beta", "nii_6584", "oiii_5007")
WAVELENGTHS = np.array([6562.8, 4861.3, 6583.5, 5006.8])  # Angstrom
# 1e-17 erg/s/cm2: error of a line without continuum, in the ratios of MPA-JHU's medians
FAINT_LINE_ERROR = np.array([1.7, 1.6, 1.2, 2.0])
MISSING = -9999.0
DISPERSION_CAP = 850.0  # km/s, the upper limit of SDSS's fit


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
    inside = bulge * fibre_share(
        *(galaxies[f"bulge_{name}"].to_numpy() for name in ("radius", "axis_ratio", "sersic")), fwhm
    )
    inside = inside + (1 - bulge) * _disk_share(galaxies, fwhm)
    wavelength = SDSS.passband("r").wavelength
    maggies = 10 ** (-0.4 * galaxies["mag_r"].to_numpy())
    return inside * maggies * 3631e-23 * 2.998e18 / wavelength**2 / 1e-17


def _disk_share(galaxies: pd.DataFrame, fwhm: float) -> Array:
    """Fraction of the disk's light within the fibre."""
    radius, axis_ratio = (galaxies[f"disk_{name}"].to_numpy() for name in ("radius", "axis_ratio"))
    return fibre_share(radius, axis_ratio, 1.0, fwhm)


def _star_forming(
    galaxies: pd.DataFrame, modulus: Array, fwhm: float, random: np.random.Generator
) -> Array:
    """Fluxes (n, 4) of H II regions, which follow the disk, attenuated by the galaxy's dust.

    The dust is set by A(H alpha) and changes the Balmer decrement. Fibre losses scatter by 0.06 dex
    (clumps, gradients). The ionisation parameter moves galaxies of the same abundance along and
    across the BPT sequence, which is why [O III] is the hardest line to predict.
    """
    n = len(galaxies)
    inside = _disk_share(galaxies, fwhm) * 10 ** random.normal(0, 0.06, n)
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
    """Fluxes of narrow-line regions, which occur in some galaxies, more often in massive ones.

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
    """Fluxes excited by hot evolved stars: H alpha of about 1 Angstrom, relative to old stars.

    From Cid Fernandes et al. 2011, with the line ratios of LINERs.
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


def measurement_errors(galaxies: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Widths of the Gaussian noise of the quantities of measure_spectra, in each one's unit.

    Columns: redshift, log_stellar_mass, log_sfr, metallicity, velocity_dispersion, and the lines.
    """
    n = len(galaxies)
    return pd.DataFrame(
        {
            "redshift": 1.2e-5 * 10 ** random.normal(0, 0.15, n),
            # Brinchmann et al. 2004: 0.2 dex, and 0.5 without clear lines; but a posterior's median
            # stays close to its prior, so its scatter is smaller than the posterior's width
            "log_stellar_mass": 0.10,
            "log_sfr": np.where(galaxies["quenched"], 0.28, 0.2),
            "metallicity": 0.05,
            "velocity_dispersion": _dispersion_errors(galaxies, random),
        }
        | _line_errors(galaxies, random),
        index=galaxies.index,
    )


def _dispersion_errors(galaxies: pd.DataFrame, random: np.random.Generator) -> Array:
    """Errors, km/s: larger for faint continua and below SDSS's resolution of 70 km/s."""
    true = galaxies["velocity_dispersion"].to_numpy()
    error = np.hypot(4.0, 17.0 * _faintness(galaxies) ** 0.8) * (1 + 15.0 / np.maximum(true, 15.0))
    return np.clip(error * 10 ** random.normal(0, 0.08, len(galaxies)), 2.0, 150.0)


def _line_errors(galaxies: pd.DataFrame, random: np.random.Generator) -> dict[str, Array]:
    """Errors of fluxes, 1e-17 erg/s/cm2: the continuum's noise and 2% from calibration."""
    noise = np.sqrt(1 + galaxies["fibre_continuum"].to_numpy() / 8.0)
    return {
        line: np.hypot(faint * noise, 0.02 * galaxies[f"true_flux_{line}"].to_numpy())
        * 10 ** random.normal(0, 0.08, len(galaxies))
        for line, faint in zip(LINES, FAINT_LINE_ERROR, strict=True)
    }


def _faintness(galaxies: pd.DataFrame) -> Array:
    """The ratio of 5e-17 erg/s/cm2/Angstrom to the continuum in the fibre."""
    return 5.0 / np.maximum(galaxies["fibre_continuum"].to_numpy(), 0.3)


def measure_spectra(galaxies: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """SpecObj's and MPA-JHU's columns, with SkyServer's names and missing values (-9999)."""
    errors = measurement_errors(galaxies, random)
    measured = observe_spectra(galaxies, errors, random)
    return measured.assign(**_percentiles(measured, errors))


def _percentiles(measured: pd.DataFrame, errors: pd.DataFrame) -> dict[str, Array]:
    """The 16th and 84th percentiles about each median: one error below and above it."""
    columns = {}
    for served, name in MEDIANS.items():
        median, error = measured[f"{served}_p50"].to_numpy(), errors[name].to_numpy()
        for percent, sign in ((16, -1), (84, 1)):
            value = np.where(median == MISSING, MISSING, median + sign * error)
            columns[f"{served}_p{percent}"] = value
    return columns


def observe_spectra(
    galaxies: pd.DataFrame, errors: pd.DataFrame, random: np.random.Generator
) -> pd.DataFrame:
    """The measurements of `galaxies` with noise of the widths `errors`: see measure_spectra."""
    size = len(galaxies)

    def noisy(name: str, truth: str) -> Array:
        noise = random.normal(0, 1, size)
        return galaxies[truth].to_numpy() + errors[name].to_numpy() * noise

    measured = {"z": noisy("redshift", "redshift"), "zErr": errors["redshift"].to_numpy()}
    measured |= _fitted_dispersion(
        galaxies, noisy("velocity_dispersion", "velocity_dispersion"), errors, random
    )
    measured["lgm_tot_p50"] = noisy("log_stellar_mass", "log_stellar_mass")
    measured["sfr_tot_p50"] = noisy("log_sfr", "log_sfr")
    lines: dict[str, Array] = {}
    for line in LINES:
        lines[f"{line}_flux"] = noisy(line, f"true_flux_{line}")
        lines[f"{line}_flux_err"] = errors[line].to_numpy()
    kind = bpt_class(lines)
    measured["oh_p50"] = np.where(kind == 1, noisy("metallicity", "metallicity"), MISSING)
    measured["bptclass"] = kind
    return pd.DataFrame(measured | lines)


def _fitted_dispersion(
    galaxies: pd.DataFrame, value: Array, errors: pd.DataFrame, random: np.random.Generator
) -> dict[str, Array]:
    """v_disp and its error, including failed fits.

    A failed fit has the value 0 or the cap of 850 km/s, and is more likely for faint galaxies.
    Below SDSS's resolution a dispersion is hardly larger than its error.
    """
    n = len(galaxies)
    failed = random.uniform(0, 1, n) < np.minimum(0.006 * _faintness(galaxies), 0.05)
    capped = random.uniform(0, 1, n) < 0.3
    value = np.clip(value, 0.0, DISPERSION_CAP)
    value = np.where(failed, np.where(capped, DISPERSION_CAP, 0.0), value)
    error = errors["velocity_dispersion"].to_numpy()
    return {"v_disp": value, "v_disp_err": np.where(failed & ~capped, -4.0, error)}


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
