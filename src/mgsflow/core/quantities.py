"""The vocabulary: each quantity once, with its unit, names, role, plausible range and origin.

Settings, catalogues, tables and figures derive from it. A new property to infer is one entry of
`_PROPERTIES`; a new band is one of its survey's record (core/surveys), from which the quantities of
the band are made here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from mgsflow.core.photometry import (
    COLOUR,
    REST_COLOUR,
    colour_column,
    error_column,
    extinction_column,
    magnitude_column,
)
from mgsflow.core.surveys import SURVEYS, known_bands

MISSING_IDENTIFIER = -1  # an objid for rows that came without one; never a galaxy's
FLUX_UNIT = "1e-17 erg / (s cm2)"
METALLICITY = "metallicity"
_MAG = r"\mathrm{mag}"


class Role(StrEnum):
    """What a quantity is in a run. Targets stand in tables in the order of these roles."""

    CORE = "core property"  # joint in one flow
    METALLICITY = "metallicity"  # by the chain rule, given the core (paper, section 2.3)
    LINE = "line"  # of the second flow
    FLUX = "line flux"  # that a line is made of
    ERROR = "error"  # of another quantity
    IDENTIFIER = "identifier"
    MEASUREMENT = "measurement"  # that cuts and targets are made of
    INPUT = "input"  # of the flows
    OTHER = "other"  # a column of a single table


@dataclass(frozen=True)
class Notation:
    """A symbol in plain text, in LaTeX (and mathtext), and in HTML."""

    plain: str
    latex: str
    html: str


@dataclass(frozen=True)
class Quantity:
    """A column: what it is, and what settings, tables and figures call it.

    Attributes
    ----------
    name : of the column
    unit : astropy's spelling, or empty
    description : what it is, stored with the column
    role : what it is in a run
    symbol : mathtext, without unit: `$...$`
    unit_symbol : the unit in mathtext, without dollars, where an axis shows it
    words : what an axis says before the symbol
    short : the name in a table's head and in a panel's title, plain text
    notation : of the symbol in `short` that is typeset otherwise
    plausible : least and greatest plausible value, in its unit; the default of targets.plausible
    in_paper : one of the paper's nine, and inferred by default
    leads : stands before the others of its role in tables
    derived_from : the catalogue's quantities that it is made of; none: it is read as it is
    error : what its error is, where the description does not say enough
    error_unit : unit of its error, where it is neither dex nor its own
    error_of : the quantity whose error this is
    """

    name: str
    unit: str
    description: str
    role: Role = Role.OTHER
    symbol: str = ""
    unit_symbol: str = ""
    words: str = ""
    short: str = ""
    notation: Notation | None = None
    plausible: tuple[float, float] | None = None
    in_paper: bool = False
    leads: bool = False
    derived_from: tuple[str, ...] = ()
    error: str = ""
    error_unit: str | None = None
    error_of: str | None = None

    @property
    def label(self) -> str:
        """What an axis says: words, symbol and unit; the name where there is no symbol."""
        if not self.symbol:
            return self.name
        if not self.unit_symbol:
            return self.words + self.symbol
        return rf"{self.words}{self.symbol.removesuffix('$')}\ [{self.unit_symbol}]$"

    @property
    def is_logarithmic(self) -> bool:
        """Whether it is a magnitude or a decimal logarithm, so that a linear value converts."""
        return self.unit == "mag" or self.unit.startswith("dex(")


def _error(of: Quantity) -> Quantity:
    """The error of a quantity: of a logarithm in dex, else in its unit."""
    unit = of.error_unit or ("dex" if of.unit.startswith("dex(") else of.unit)
    text = of.error or f"Error of {of.name}"
    return Quantity(f"{of.name}_err", unit, text, Role.ERROR, error_of=of.name)


_OBJECTS = (
    Quantity("objid", "", "SDSS photometric object identifier, int64", Role.IDENTIFIER),
    Quantity("ra", "deg", "Right ascension, J2000", Role.MEASUREMENT),
    Quantity("dec", "deg", "Declination, J2000", Role.MEASUREMENT),
    Quantity("run", "", "SDSS imaging run", Role.IDENTIFIER),
    Quantity("rerun", "", "SDSS processing rerun", Role.IDENTIFIER),
    Quantity("camcol", "", "SDSS camera column, 1 to 6", Role.IDENTIFIER),
    Quantity("field", "", "SDSS field number within the run", Role.IDENTIFIER),
    Quantity(
        "petro_mag_r", "mag", "Petrosian r magnitude, not corrected for extinction",
        Role.MEASUREMENT,
    ),
    Quantity("petro_r50_r", "arcsec", "Radius of half the Petrosian r flux", Role.MEASUREMENT),
    Quantity("petro_r90_r", "arcsec", "Radius of 90% of the Petrosian r flux", Role.MEASUREMENT),
)  # fmt: skip

_DISPERSION = Quantity(
    "velocity_dispersion",
    "km / s",
    "Stellar velocity dispersion",
    Role.MEASUREMENT,
    error="Error of the velocity dispersion",
)

# What the first flow infers, in the order of the default settings. A property of your own
# catalogue is one entry here; targets.properties then accepts its name, and so does
# catalogue.columns, with the name and _err for its error.
_PROPERTIES = (
    Quantity(
        "log_stellar_mass",
        "dex(Msun)",
        "Stellar mass",
        Role.CORE,
        symbol=r"$\log\,M_\bigstar$",
        unit_symbol=r"\mathrm{M}_\odot",
        short="log M⋆",
        notation=Notation("M⋆", r"$M_\star$", "M<sub>★</sub>"),
        plausible=(5.0, 13.0),
        in_paper=True,
        error="Error of the stellar mass's logarithm",
    ),
    Quantity(
        "log_sfr",
        "dex(Msun / yr)",
        "Star formation rate",
        Role.CORE,
        symbol=r"$\log\,\mathrm{SFR}$",
        unit_symbol=r"\mathrm{M}_\odot\,\mathrm{yr}^{-1}",
        short="log SFR",
        plausible=(-6.0, 4.0),
        in_paper=True,
        error="Error of the star formation rate's logarithm",
    ),
    Quantity(
        "redshift",
        "",
        "Spectroscopic redshift",
        Role.CORE,
        symbol="$z$",
        words="Redshift ",
        short="z",
        in_paper=True,
        leads=True,
        error="Error of the spectroscopic redshift",
    ),
    Quantity(
        "log_black_hole_mass",
        "dex(Msun)",
        "Central black-hole mass implied by the velocity dispersion (not measured)",
        Role.CORE,
        symbol=r"$\log\,M_\mathrm{BH}(\sigma)$",
        unit_symbol=r"\mathrm{M}_\odot",
        short="log M_BH",
        notation=Notation("M_BH", r"$M_\mathrm{BH}$", "M<sub>BH</sub>"),
        in_paper=True,
        derived_from=(_DISPERSION.name,),
    ),
    Quantity(
        METALLICITY,
        "",
        "Gas-phase oxygen abundance 12 + log(O/H)",
        Role.METALLICITY,
        symbol=r"$12+\log(\mathrm{O/H})$",
        short="12+log(O/H)",
        plausible=(6.5, 10.0),
        in_paper=True,
        error="Error of the oxygen abundance",
        error_unit="dex",
    ),
)

# The lines of the second flow: name, what a flux is of, symbol, short name.
_LINES = (
    ("h_alpha", "H alpha 6563", r"H$\alpha$", "Hα"),
    ("h_beta", "H beta 4861", r"H$\beta$", "Hβ"),
    ("nii_6584", "[N II] 6584", r"[N II] $\lambda6584$", "[N II] 6584"),
    ("oiii_5007", "[O III] 5007", r"[O III] $\lambda5007$", "[O III] 5007"),
)


def _line_quantities() -> list[Quantity]:
    """Fluxes, their errors, and ln(1 + flux), which is inferred."""
    fluxes, lines = [], []
    for name, text, symbol, short in _LINES:
        described = f"Flux of {text} in the 3 arcsec fibre"
        fluxes.append(Quantity(f"flux_{name}", FLUX_UNIT, described, Role.FLUX, symbol))
        line = Quantity(
            f"log1p_{name}",
            "",
            f"ln(1 + F) of flux_{name}, F in {FLUX_UNIT}",
            Role.LINE,
            symbol=symbol,
            words=r"$\ln(1+F)$, ",
            short=short,
            in_paper=True,
            derived_from=(f"flux_{name}",),
        )
        lines.append(line)
    return [*fluxes, *map(_error, fluxes), *lines]


def _band_quantities() -> list[Quantity]:
    """Magnitudes, their errors, extinctions and colours, of the bands of all surveys."""
    magnitudes, errors, extinctions = [], [], []
    for band in known_bands():
        name, text = magnitude_column(band), f"Model magnitude in {band}"
        magnitudes.append(Quantity(name, "mag", text, Role.INPUT, f"${band}$", _MAG))
        text = f"Error of the model magnitude in {band}"
        errors.append(Quantity(error_column(band), "mag", text, Role.ERROR, error_of=name))
        text = f"Galactic extinction in {band}"
        extinctions.append(Quantity(extinction_column(band), "mag", text, Role.MEASUREMENT))
    pairs = dict.fromkeys(pair for survey in SURVEYS for pair in combinations(survey.bands, 2))
    observed = [_colour(*pair, COLOUR, "Observed", "${}-{}$") for pair in pairs]
    rest = [_colour(*pair, REST_COLOUR, "Rest-frame", "$({}-{})_0$") for pair in pairs]
    return [*magnitudes, *errors, *extinctions, *observed, *rest]


def _colour(blue: str, red: str, prefix: str, kind: str, symbol: str) -> Quantity:
    return Quantity(
        colour_column(blue, red, prefix),
        "mag",
        f"{kind} colour {blue} - {red}",
        Role.INPUT,
        symbol=symbol.format(blue, red),
        unit_symbol=_MAG,
        derived_from=(magnitude_column(blue), magnitude_column(red)),
    )


def _table_order(quantity: Quantity) -> tuple[int, bool]:
    return list(Role).index(quantity.role), not quantity.leads


def _all() -> list[Quantity]:
    """Every quantity, in the order of the columns of the selected catalogue."""
    measured = [p for p in sorted(_PROPERTIES, key=_table_order) if not p.derived_from]
    errors = [_error(quantity) for quantity in (_DISPERSION, *measured)]
    properties = (_DISPERSION, *errors, *_PROPERTIES)
    return [*_OBJECTS, *properties, *_line_quantities(), *_band_quantities()]


QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _all()}


def _with_role(*roles: Role) -> tuple[str, ...]:
    return tuple(name for name, quantity in QUANTITIES.items() if quantity.role in roles)


CORE_PROPERTIES = _with_role(Role.CORE)
PROPERTIES = _with_role(Role.CORE, Role.METALLICITY)
LINES = _with_role(Role.LINE)
LINE_FLUXES = _with_role(Role.FLUX)
FLUX_OF_LINE = {line: QUANTITIES[line].derived_from[0] for line in LINES}
NOTATIONS = tuple(quantity.notation for quantity in QUANTITIES.values() if quantity.notation)
READABLE = tuple(name for name, quantity in QUANTITIES.items() if not quantity.derived_from)


def in_table_order(names: Iterable[str]) -> list[str]:
    """Targets, each once, in the order of tables: properties, metallicity, lines.

    Names that the vocabulary does not have come last, in the order given: none is left out.
    """
    given = list(dict.fromkeys(names))
    known = sorted((QUANTITIES[name] for name in QUANTITIES if name in given), key=_table_order)
    return [*(quantity.name for quantity in known), *(n for n in given if n not in QUANTITIES)]


def label(name: str) -> str:
    """The label of a quantity on an axis: its symbol with its unit, or its name."""
    quantity = QUANTITIES.get(name)
    return quantity.label if quantity else name


def symbol(name: str) -> str:
    """The symbol of a quantity in mathtext, without its unit, or its name."""
    quantity = QUANTITIES.get(name)
    return quantity.symbol if quantity and quantity.symbol else name


def short_name(name: str) -> str:
    """The name of a quantity in a table, as plain text."""
    quantity = QUANTITIES.get(name)
    return quantity.short if quantity and quantity.short else name


def math_name(name: str) -> str:
    """The name of a quantity in a panel's title, in mathtext where it has symbols."""
    quantity, short = QUANTITIES.get(name), short_name(name)
    if not quantity or not quantity.notation:
        return short
    return short.replace(quantity.notation.plain, quantity.notation.latex)
