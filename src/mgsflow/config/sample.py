"""Settings of the sample: selection, targets, photometry, stamps, splits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from mgsflow.config.base import Section, setting
from mgsflow.core.quantities import LINES, PROPERTIES, QUANTITIES
from mgsflow.core.surveys import SDSS, Survey

SURVEY = SDSS  # of every run: the settings accept its bands


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
    """Which galaxies belong to the sample. A cut on a column that a catalogue lacks is skipped."""

    spectral_class: str | None = setting(
        "GALAXY", "Class of the spectrum (SpecObj's class); null: any"
    )
    good_redshift: bool = setting(True, "Redshifts without a warning only (zWarning = 0)")
    legacy_primary: bool = setting(
        True,
        "The legacy survey's best spectrum only (legacyPrimary = 1): a later one by BOSS has no "
        "MPA-JHU measurements",
    )
    target_bits: list[int] = setting(
        [64, 128, 256],
        "Bits of legacy_target1, of which a target has one or more: GALAXY, GALAXY_BIG and "
        "GALAXY_BRIGHT_CORE are the Main Galaxy Sample (Strauss et al. 2002); empty: any target",
    )
    reliable: bool = setting(True, "Reliable MPA-JHU measurements only (reliable = 1)")
    clean_photometry: bool = setting(True, "Clean photometry only (clean = 1)")
    match_radius: float | None = setting(
        3.0,
        "Farthest that the photometric object may lie from the spectrum's fibre; null: anywhere",
        "arcsec",
        gt=0,
    )
    redshift_min: float = setting(
        0.002, "Least redshift; below it velocities are not distances", ge=-1
    )
    redshift_max: float = setting(0.3, "Greatest redshift (paper, section 2.1)", gt=0)
    petro_mag_r_max: float | None = setting(
        17.77,
        "Faintest Petrosian r, extinction-corrected: the Main Galaxy Sample's limit; null: none",
        "mag",
    )
    surface_brightness_max: float | None = setting(
        24.5,
        "Faintest mean r surface brightness within the half-light radius; null: none",
        "mag / arcsec2",
    )
    sample_size: int | None = setting(
        250_000, "Galaxies to keep, chosen by a seeded hash; null: all", ge=1
    )
    sample_by: Literal["galaxy", "field"] = setting(
        "galaxy",
        "What the hash is of: objid, or the field, which keeps whole fields and halves the "
        "frames to read",
    )

    @model_validator(mode="after")
    def _leaves_galaxies(self) -> Selection:
        if self.redshift_min >= self.redshift_max:
            raise ValueError("redshift_min must be below redshift_max")
        wrong = [bit for bit in self.target_bits if bit <= 0 or bit & (bit - 1) or bit > 2**30]
        if wrong:
            raise ValueError(f"target_bits: {wrong} are no single bits (64, 128, 256, ...)")
        return self


class BlackHole(Section):
    """The black-hole mass that the velocity dispersion implies."""

    relation: Literal["mcconnell_ma_2013", "kormendy_ho_2013", "gultekin_2009"] = setting(
        "mcconnell_ma_2013", "The M_BH-sigma relation"
    )
    velocity_dispersion_min: float = setting(
        0.0,
        "Dispersions at or below it are missing; 70 is where SDSS's become trustworthy",
        "km / s",
        ge=0,
    )
    velocity_dispersion_max: float = setting(
        850.0,
        "Dispersions above it are missing; SDSS caps at 850, trustworthy to 420",
        "km / s",
        gt=0,
    )


class Targets(Section):
    """What is inferred, and what makes a measurement missing."""

    properties: list[Property] = setting(
        [name for name in PROPERTIES if QUANTITIES[name].in_paper],
        "Properties of the first flow, in this order; leave out what the catalogue lacks",
    )
    lines: list[Line] = setting(
        [name for name in LINES if QUANTITIES[name].in_paper],
        "Lines of the second flow; an empty list leaves the flow out",
    )
    metallicity: Literal["catalogue", "O3N2", "N2"] = setting(
        "catalogue",
        "12 + log(O/H) from the catalogue, or from the lines (Pettini & Pagel 2004)",
    )
    line_signal_to_noise: float = setting(
        3.0, "Least signal-to-noise of the lines that a metallicity is derived from", ge=0
    )
    flux_max: float = setting(
        1.0e5, "Line fluxes above it are implausible and missing", "1e-17 erg / (s cm2)", gt=0
    )
    negative_flux: Literal["clip", "missing"] = setting(
        "clip", "A negative line flux is set to 0 and counted, or is missing"
    )
    plausible: dict[Property, Range] = setting(
        {
            name: list(QUANTITIES[name].plausible)
            for name in PROPERTIES
            if QUANTITIES[name].plausible
        },
        "Least and greatest plausible value of a property; others are missing and counted",
    )
    black_hole: BlackHole = BlackHole()

    @model_validator(mode="after")
    def _consistent(self) -> Targets:
        for name, values in (("properties", self.properties), ("lines", self.lines)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} names a quantity twice: {values}")
        if not self.properties and not self.lines:
            raise ValueError("properties and lines are both empty: nothing would be inferred")
        return self


class Photometry(Section):
    """Magnitudes and colours, the inputs beside the images."""

    bands: list[Band] = setting(
        list(SURVEY.bands),
        "Bands whose magnitudes are inputs, in order of wavelength; an empty list: no photometry",
    )
    deredden: bool = setting(True, "Subtract the catalogue's Galactic extinction, where it has it")
    magnitude_range: Range = setting(
        [5.0, 28.0], "Magnitudes outside it (0, 99, -9999) are missing", "mag"
    )
    asinh_to_ab: bool = setting(
        True, "Shift u and z to AB (-0.04, +0.02 mag) for the k-corrections"
    )

    @property
    def survey(self) -> Survey:
        """The survey whose bands these are."""
        return SURVEY


class Stamps(Section):
    """The images of the galaxies."""

    provider: Literal["none", "frames", "legacy", "jpeg", "files"] = setting(
        "frames",
        "SAS corrected frames; FITS cutouts of the Legacy Surveys' layer sdss; SkyServer's JPEG "
        "cutouts; image files of `catalogue.stamp_folder`; or none, photometry alone",
    )
    bands: list[Band] = setting(
        list(SURVEY.picture_bands), "Bands of a stamp, in order", min_length=1
    )
    size: int = setting(160, "Side of a stamp", "pixels", ge=16, multiple_of=8)
    pixel_scale: float = setting(SURVEY.pixel_scale, "Pixel scale", "arcsec / pixel", gt=0)
    shards: int = setting(
        200, "Files that the stamps are divided among, by runs of fields; each is one job", ge=1
    )
    edge: Literal["mosaic", "mask"] = setting(
        "mosaic",
        "A stamp across its field's edge: filled from the next field of the same scan, or not. "
        "What no frame covers is masked: set to 0, the level of the sky, and counted",
    )
    masked_max: float = setting(
        0.1,
        "Largest masked share of a stamp; galaxies above it are dropped and counted",
        "fraction",
        ge=0,
        le=1,
    )


class Splits(Section):
    """Which galaxy trains what. The VAE's galaxies are never the flows' (paper, section 2.1)."""

    by: Literal["galaxy", "sky"] = setting(
        "galaxy",
        "What is divided: galaxies, each by itself, or blocks of sky with all their galaxies",
    )
    block: float = setting(
        3.0,
        "Side of a block of sky; at a redshift of 0.1 some 20 Mpc, more than any cluster",
        "deg",
        gt=0,
        le=60,
    )

    vae: float = setting(0.4, "Share of the sample for the VAE", "fraction", ge=0, lt=1)
    vae_validation: float = setting(
        0.1, "Share of the VAE's galaxies to validate on", "fraction", gt=0, lt=1
    )
    train: float = setting(0.70, "Share of the flows' galaxies to train on", "fraction", gt=0, lt=1)
    validation: float = setting(
        0.15, "Share to validate on; the rest is the test set", "fraction", gt=0, lt=1
    )

    @model_validator(mode="after")
    def _leaves_a_test_set(self) -> Splits:
        if self.train + self.validation >= 1:
            raise ValueError("train and validation leave no test set: their sum must be below 1")
        return self
