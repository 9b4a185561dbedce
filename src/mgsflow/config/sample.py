"""Settings of the sample: selection, targets, photometry, stamps and splits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from mgsflow.config.base import Section, setting
from mgsflow.core.quantities import LINES, PROPERTIES, QUANTITIES
from mgsflow.core.surveys import SDSS, Survey

SURVEY = SDSS  # of every run: the settings accept its bands
_SHIFTED = " and ".join(band.name for band in SURVEY.passbands if band.ab_shift)
_SHIFTS = " and ".join(f"{band.ab_shift:+g}" for band in SURVEY.passbands if band.ab_shift)


def _is_a_band(band: str) -> str:
    if band not in SURVEY.bands:
        raise ValueError(f"{SURVEY.name} has the bands {', '.join(SURVEY.bands)}")
    return band


Band = Annotated[
    str,
    AfterValidator(_is_a_band),
    WithJsonSchema({"type": "string", "enum": list(SURVEY.bands)}),
]
Property = Literal[PROPERTIES]
Line = Literal[LINES]
Range = Annotated[list[float], Field(min_length=2, max_length=2)]


class Selection(Section):
    """Selection of the sample. A cut on a column that the catalogue lacks is skipped."""

    spectral_class: str | None = setting(
        "GALAXY", "Required class of the spectrum (`class` in SpecObj); null: any class"
    )
    good_redshift: bool = setting(True, "Require a redshift without warnings (zWarning = 0)")
    legacy_primary: bool = setting(
        True,
        "Require the best spectrum of the legacy survey (legacyPrimary = 1). A later BOSS spectrum "
        "has no MPA-JHU measurements",
    )
    target_bits: list[int] = setting(
        [64, 128, 256],
        "Bits of legacy_target1, of which at least one must be set. GALAXY, GALAXY_BIG and "
        "GALAXY_BRIGHT_CORE define the Main Galaxy Sample (Strauss et al. 2002). An empty list "
        "disables this cut",
    )
    reliable: bool = setting(True, "Require reliable MPA-JHU measurements (reliable = 1)")
    clean_photometry: bool = setting(True, "Require clean photometry (clean = 1)")
    match_radius: float | None = setting(
        3.0,
        "Maximum separation between the photometric object and the spectroscopic fibre; null: no "
        "limit",
        "arcsec",
        gt=0,
    )
    redshift_min: float = setting(
        0.002, "Minimum redshift; below it, velocities do not measure distances", ge=-1
    )
    redshift_max: float = setting(0.3, "Maximum redshift (paper, section 2.1)", gt=0)
    petro_mag_r_max: float | None = setting(
        17.77,
        "Maximum Petrosian r magnitude, corrected for extinction. The default is the limit of the "
        "Main Galaxy Sample; null: no limit",
        "mag",
    )
    surface_brightness_max: float | None = setting(
        24.5,
        "Maximum (faintest) mean r surface brightness within the half-light radius; null: no limit",
        "mag / arcsec2",
    )
    sample_size: int | None = setting(
        250_000, "Number of galaxies to keep, chosen by a seeded hash; null: all galaxies", ge=1
    )
    sample_by: Literal["galaxy", "field"] = setting(
        "galaxy",
        "What the hash is computed from: `galaxy` uses the objid; `field` uses the field, so that "
        "whole fields are kept and half as many frames are read",
    )

    @model_validator(mode="after")
    def _leaves_galaxies(self) -> Selection:
        if self.redshift_min >= self.redshift_max:
            raise ValueError("redshift_min must be below redshift_max")
        wrong = [bit for bit in self.target_bits if bit <= 0 or bit & (bit - 1) or bit > 2**30]
        if wrong:
            raise ValueError(f"target_bits: {wrong} are not single bits (64, 128, 256, ...)")
        return self


class BlackHole(Section):
    """The black-hole mass implied by the velocity dispersion."""

    relation: Literal["mcconnell_ma_2013", "kormendy_ho_2013", "gultekin_2009"] = setting(
        "mcconnell_ma_2013", "M_BH-sigma relation"
    )
    velocity_dispersion_min: float = setting(
        0.0,
        "Velocity dispersions at or below this value are treated as missing. SDSS's are reliable "
        "from 70 km/s",
        "km / s",
        ge=0,
    )
    velocity_dispersion_max: float = setting(
        850.0,
        "Velocity dispersions above this value are treated as missing. SDSS caps them at 850 km/s; "
        "they are reliable up to 420 km/s",
        "km / s",
        gt=0,
    )


class Targets(Section):
    """Quantities to infer, and the limits outside which a measurement is treated as missing."""

    properties: list[Property] = setting(
        [name for name in PROPERTIES if QUANTITIES[name].in_paper],
        "Properties inferred by the first flow, in this order. Omit those that the catalogue lacks",
    )
    lines: list[Line] = setting(
        [name for name in LINES if QUANTITIES[name].in_paper],
        "Emission lines inferred by the second flow; an empty list omits this flow",
    )
    metallicity: Literal["catalogue", "O3N2", "N2"] = setting(
        "catalogue",
        "Source of 12 + log(O/H): the catalogue, or the emission lines by one of the calibrations "
        "of Pettini & Pagel (2004)",
    )
    line_signal_to_noise: float = setting(
        3.0,
        "Minimum signal-to-noise ratio of the lines from which a metallicity is derived",
        ge=0,
    )
    flux_max: float = setting(
        1.0e5,
        "Line fluxes above this value are implausible and treated as missing",
        "1e-17 erg / (s cm2)",
        gt=0,
    )
    negative_flux: Literal["clip", "missing"] = setting(
        "clip",
        "Treatment of negative line fluxes: `clip` sets them to 0 and counts them, `missing` "
        "treats them as missing",
    )
    plausible: dict[Property, Range] = setting(
        {
            name: list(QUANTITIES[name].plausible)
            for name in PROPERTIES
            if QUANTITIES[name].plausible
        },
        "Minimum and maximum plausible value of a property. Values outside are treated as missing "
        "and counted",
    )
    black_hole: BlackHole = BlackHole()

    @model_validator(mode="after")
    def _consistent(self) -> Targets:
        for name, values in (("properties", self.properties), ("lines", self.lines)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} lists a quantity twice: {', '.join(values)}")
        if not self.properties and not self.lines:
            raise ValueError("properties and lines are both empty, so nothing would be inferred")
        return self


class Photometry(Section):
    """Magnitudes and colours, which are inputs in addition to the images."""

    bands: list[Band] = setting(
        list(SURVEY.bands),
        "Bands whose magnitudes are inputs, in order of wavelength; an empty list: no photometry",
    )
    deredden: bool = setting(True, "Subtract the Galactic extinction, if the catalogue has it")
    magnitude_range: Range = setting(
        [5.0, 28.0],
        "Range of valid magnitudes. Values outside (0, 99, -9999) are treated as missing",
        "mag",
    )
    asinh_to_ab: bool = setting(
        True, f"Shift {_SHIFTED} to the AB system ({_SHIFTS} mag) for the K-corrections"
    )

    @property
    def survey(self) -> Survey:
        """The survey whose bands these are."""
        return SURVEY


class Stamps(Section):
    """Images of the galaxies (stamps)."""

    provider: Literal["none", "frames", "legacy", "jpeg", "files"] = setting(
        "frames",
        "Source of the stamps. `frames`: corrected frames of the SAS. `legacy`: FITS cutouts of "
        "the Legacy Surveys' layer sdss. `jpeg`: SkyServer's JPEG cutouts. `files`: image files "
        "in `catalogue.stamp_folder`. `none`: no stamps, photometry alone",
    )
    bands: list[Band] = setting(
        list(SURVEY.picture_bands), "Bands of a stamp, in this order", min_length=1
    )
    size: int = setting(160, "Side length of a stamp", "pixels", ge=16, multiple_of=8)
    pixel_scale: float = setting(
        SURVEY.pixel_scale, "Pixel scale of a stamp", "arcsec / pixel", gt=0
    )
    shards: int = setting(
        200,
        "Number of files among which the stamps are divided, by contiguous groups of fields; one "
        "job makes one file",
        ge=1,
    )
    edge: Literal["mosaic", "mask"] = setting(
        "mosaic",
        "Treatment of stamps that cross the edge of their field: `mosaic` fills them from the "
        "adjacent field of the same scan, `mask` does not. Pixels that no frame covers are masked, "
        "which means that they are set to 0 (the level of the sky) and counted",
    )
    masked_max: float = setting(
        0.1,
        "Maximum masked fraction of a stamp. Galaxies above it are dropped and counted",
        "fraction",
        ge=0,
        le=1,
    )


class Splits(Section):
    """Division into sets. The VAE and the flows never share a galaxy (paper, section 2.1)."""

    by: Literal["galaxy", "sky"] = setting(
        "galaxy",
        "Unit of the division: single galaxies, or blocks of sky with all their galaxies",
    )
    block: float = setting(
        3.0,
        "Side length of a block of sky. At redshift 0.1 the default is about 20 Mpc, larger than "
        "any cluster",
        "deg",
        gt=0,
        le=60,
    )

    vae: float = setting(0.4, "Fraction of the sample for the VAE", "fraction", ge=0, lt=1)
    vae_validation: float = setting(
        0.1, "Fraction of the VAE's galaxies for validation", "fraction", gt=0, lt=1
    )
    train: float = setting(
        0.70, "Fraction of the flows' galaxies for training", "fraction", gt=0, lt=1
    )
    validation: float = setting(
        0.15,
        "Fraction of the flows' galaxies for validation; the remainder is the test set",
        "fraction",
        gt=0,
        lt=1,
    )

    @model_validator(mode="after")
    def _leaves_a_test_set(self) -> Splits:
        if self.train + self.validation >= 1:
            raise ValueError("train and validation leave no test set; their sum must be below 1")
        return self
