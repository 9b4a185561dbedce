"""The names, units and labels of every quantity: the vocabulary of all tables and figures."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

MISSING_IDENTIFIER = -1  # an objid for rows that came without one; never a galaxy's


@dataclass(frozen=True)
class Quantity:
    """A column: its unit (astropy's spelling, or empty), its meaning, its label in a figure."""

    name: str
    unit: str
    description: str
    label: str = ""


FLUX_UNIT = "1e-17 erg / (s cm2)"
BANDS = ("u", "g", "r", "i", "z")

# What the first flow infers. The first four are the core, joint in one flow; metallicity follows
# by the chain rule (paper, section 2.3).
CORE_PROPERTIES = ("log_stellar_mass", "log_sfr", "redshift", "log_black_hole_mass")
METALLICITY = "metallicity"
PROPERTIES = (*CORE_PROPERTIES, METALLICITY)

# What the second flow infers: ln(1 + flux), and the flux columns they come from.
LINES = ("log1p_h_alpha", "log1p_h_beta", "log1p_nii_6584", "log1p_oiii_5007")
LINE_FLUXES = ("flux_h_alpha", "flux_h_beta", "flux_nii_6584", "flux_oiii_5007")
FLUX_OF_LINE = dict(zip(LINES, LINE_FLUXES, strict=True))

_QUANTITIES = (
    Quantity("objid", "", "SDSS photometric object identifier, int64"),
    Quantity("ra", "deg", "Right ascension, J2000"),
    Quantity("dec", "deg", "Declination, J2000"),
    Quantity("run", "", "SDSS imaging run"),
    Quantity("rerun", "", "SDSS processing rerun"),
    Quantity("camcol", "", "SDSS camera column, 1 to 6"),
    Quantity("field", "", "SDSS field number within the run"),
    Quantity("petro_mag_r", "mag", "Petrosian r magnitude, not corrected for extinction"),
    Quantity("petro_r50_r", "arcsec", "Radius of half the Petrosian r flux"),
    Quantity("petro_r90_r", "arcsec", "Radius of 90% of the Petrosian r flux"),
    Quantity("velocity_dispersion", "km / s", "Stellar velocity dispersion"),
    Quantity("velocity_dispersion_err", "km / s", "Error of the velocity dispersion"),
    Quantity("redshift_err", "", "Error of the spectroscopic redshift"),
    Quantity("log_stellar_mass_err", "dex", "Error of the stellar mass's logarithm"),
    Quantity("log_sfr_err", "dex", "Error of the star formation rate's logarithm"),
    Quantity("metallicity_err", "dex", "Error of the oxygen abundance"),
    Quantity(
        "log_stellar_mass",
        "dex(Msun)",
        "Stellar mass",
        r"$\log\,M_\bigstar\ [\mathrm{M}_\odot]$",
    ),
    Quantity(
        "log_sfr",
        "dex(Msun / yr)",
        "Star formation rate",
        r"$\log\,\mathrm{SFR}\ [\mathrm{M}_\odot\,\mathrm{yr}^{-1}]$",
    ),
    Quantity("redshift", "", "Spectroscopic redshift", r"Redshift $z$"),
    Quantity(
        "log_black_hole_mass",
        "dex(Msun)",
        "Central black-hole mass implied by the velocity dispersion (not measured)",
        r"$\log\,M_\mathrm{BH}(\sigma)\ [\mathrm{M}_\odot]$",
    ),
    Quantity(
        METALLICITY, "", "Gas-phase oxygen abundance 12 + log(O/H)", r"$12+\log(\mathrm{O/H})$"
    ),
    *(
        Quantity(flux, FLUX_UNIT, f"Flux of {text} in the 3 arcsec fibre", label)
        for flux, text, label in zip(
            LINE_FLUXES,
            ("H alpha 6563", "H beta 4861", "[N II] 6584", "[O III] 5007"),
            (r"H$\alpha$", r"H$\beta$", r"[N II] $\lambda6584$", r"[O III] $\lambda5007$"),
            strict=True,
        )
    ),
    *(Quantity(f"{flux}_err", FLUX_UNIT, f"Error of {flux}") for flux in LINE_FLUXES),
    *(
        Quantity(
            line,
            "",
            f"ln(1 + F) of {flux}, F in {FLUX_UNIT}",
            rf"$\ln(1+F)$, {label}",
        )
        for line, flux, label in zip(
            LINES,
            LINE_FLUXES,
            (r"H$\alpha$", r"H$\beta$", r"[N II] $\lambda6584$", r"[O III] $\lambda5007$"),
            strict=True,
        )
    ),
    *(Quantity(f"mag_{b}", "mag", f"Model magnitude in {b}", f"${b}$ [mag]") for b in BANDS),
    *(Quantity(f"mag_err_{b}", "mag", f"Error of the model magnitude in {b}") for b in BANDS),
    *(Quantity(f"extinction_{b}", "mag", f"Galactic extinction in {b}") for b in BANDS),
    *(
        Quantity(f"colour_{a}_{b}", "mag", f"Observed colour {a} - {b}", f"${a}-{b}$ [mag]")
        for a, b in pairwise(BANDS)
    ),
    *(
        Quantity(
            f"rest_colour_{a}_{b}", "mag", f"Rest-frame colour {a} - {b}", f"$({a}-{b})_0$ [mag]"
        )
        for a, b in pairwise(BANDS)
    ),
)

QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _QUANTITIES}


def label(name: str) -> str:
    """The label of a quantity on an axis: its symbol with its unit, or its name."""
    quantity = QUANTITIES.get(name)
    return quantity.label if quantity and quantity.label else name
