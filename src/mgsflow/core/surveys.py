"""Surveys as data: bands, pixel scale, magnitude system and columns of the catalogue.

A new survey is a record in `SURVEYS`; a new band is a line in the record of its survey. The
quantities of each band (magnitude, error, extinction, colours) are derived from it in
core/quantities.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Passband:
    """One band of a survey.

    Attributes
    ----------
    name : name in columns, without underscores
    wavelength : effective wavelength, Angstrom
    ab_shift : AB magnitude minus the survey's own magnitude, mag
    extinction : A / E(B-V) for the dust of the Milky Way
    softening : softening parameter of asinh magnitudes, maggies
    calibration_error : mag, added in quadrature when templates are fitted to the magnitudes
    response : kcorrect's name of the filter curve; None: templates cannot be fitted in this band
    picture_weight : factor on the fluxes in a colour picture, so that a typical galaxy is neither
        red nor blue
    """

    name: str
    wavelength: float
    ab_shift: float = 0.0
    extinction: float | None = None
    softening: float | None = None
    calibration_error: float = 0.0
    response: str | None = None
    picture_weight: float = 1.0


@dataclass(frozen=True)
class PhotometryColumns:
    """Columns of the survey's catalogue service; `{band}` is replaced by the name of a band."""

    magnitude: str
    error: str
    extinction: str


@dataclass(frozen=True)
class Survey:
    """A photometric survey.

    Attributes
    ----------
    name : name in messages
    citation : reference for the survey and for the values of its bands
    passbands : bands in order of wavelength
    pixel_scale : pixel scale of its images, arcsec
    zero_point : AB magnitude of one unit of flux in its images
    columns : columns of its catalogue service
    picture_bands : the bands for blue, green and red of its colour pictures and of the services
        that cut out images, from short to long wavelengths
    brightness_bands : the bands whose magnitudes measure a galaxy's brightness, preferred first
    colour_pairs : the pairs (blue, red) whose colour measures how red a galaxy is, preferred first
    """

    name: str
    citation: str
    passbands: tuple[Passband, ...]
    pixel_scale: float
    zero_point: float
    columns: PhotometryColumns
    picture_bands: tuple[str, str, str]
    brightness_bands: tuple[str, ...]
    colour_pairs: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        wavelengths = [band.wavelength for band in self.passbands]
        if wavelengths != sorted(wavelengths) or len(set(self.bands)) != len(self.bands):
            raise ValueError(f"{self.name}: list each band once, in order of wavelength")
        if any("_" in band for band in self.bands):
            raise ValueError(f"{self.name}: an underscore separates the bands of a colour's column")
        named = {*self.picture_bands, *self.brightness_bands, *sum(self.colour_pairs, ())}
        absent = sorted(named - set(self.bands))
        if absent:
            raise ValueError(f"{self.name} has no band {', '.join(absent)}")

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in order of wavelength."""
        return tuple(band.name for band in self.passbands)

    @property
    def fitted_bands(self) -> tuple[Passband, ...]:
        """The bands in which templates can be fitted: kcorrect has their filter curves."""
        return tuple(band for band in self.passbands if band.response is not None)

    @property
    def picture_channels(self) -> tuple[str, ...]:
        """The bands for red, green and blue of a colour picture."""
        return self.picture_bands[::-1]

    def passband(self, name: str) -> Passband:
        """The band of this name. Raises KeyError if there is none."""
        return {band.name: band for band in self.passbands}[name]


# Wavelengths: SDSS's description of its camera in the releases up to DR7. Extinction: Stoughton et
# al. 2002, after Schlegel et al. 1998. Softening: Lupton et al. 1999; Stoughton et al. 2002.
# Calibration errors: Blanton & Roweis 2007. Picture weights: approximately the ratios in SDSS's own
# colour pictures (Lupton et al. 2004, PASP 116, 133).
SDSS = Survey(
    name="SDSS",
    citation="York et al. 2000 (AJ 120, 1579); Stoughton et al. 2002 (AJ 123, 485)",
    passbands=(
        Passband("u", 3551.0, -0.04, 5.155, 1.4e-10, 0.05, "sdss_u0"),
        Passband("g", 4686.0, 0.0, 3.793, 0.9e-10, 0.02, "sdss_g0", 1.4),
        Passband("r", 6165.0, 0.0, 2.751, 1.2e-10, 0.02, "sdss_r0"),
        Passband("i", 7481.0, 0.0, 2.086, 1.8e-10, 0.02, "sdss_i0", 0.85),
        Passband("z", 8931.0, 0.02, 1.479, 7.4e-10, 0.03, "sdss_z0"),
    ),
    pixel_scale=0.396,
    zero_point=22.5,
    columns=PhotometryColumns("modelMag_{band}", "modelMagErr_{band}", "extinction_{band}"),
    picture_bands=("g", "r", "i"),
    brightness_bands=("r", "i", "g", "z", "u"),
    colour_pairs=(("u", "r"), ("g", "r"), ("g", "i")),
)

SURVEYS = (SDSS,)


def known_bands() -> tuple[str, ...]:
    """Unique names of the bands of all surveys, in order of wavelength."""
    wavelengths: dict[str, float] = {}
    for survey in SURVEYS:
        for band in survey.passbands:
            wavelengths.setdefault(band.name, band.wavelength)
    return tuple(sorted(wavelengths, key=lambda name: wavelengths[name]))


def survey_with(bands: tuple[str, ...] | list[str]) -> Survey:
    """The first survey that has all of `bands`. Raises LookupError if there is none."""
    for survey in SURVEYS:
        if set(bands) <= set(survey.bands):
            return survey
    known = "; ".join(f"{survey.name}: {', '.join(survey.bands)}" for survey in SURVEYS)
    raise LookupError(f"no survey has the bands {', '.join(bands)} ({known})")
