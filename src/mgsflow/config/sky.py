"""Settings of the source of the galaxies: SDSS's services, your own files or a simulated sky."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mgsflow.config.base import Section, setting
from mgsflow.core.quantities import QUANTITIES, READABLE
from mgsflow.core.surveys import SDSS


class Sdss(Section):
    """SDSS's services, used where `sky` is `sdss` and where stamps come from one of them."""

    data_release: int = setting(17, "SDSS data release", ge=8, le=17)
    skyserver_url: str = setting(
        "https://skyserver.sdss.org", "Base URL of SkyServer, the SQL service of the catalogue"
    )
    sas_url: str = setting(
        "https://data.sdss.org/sas",
        "Base URL of the Science Archive Server (SAS), which has the frames",
    )
    legacy_url: str = setting(
        "https://www.legacysurvey.org/viewer/fits-cutout",
        "URL of the Legacy Surveys' FITS cutouts, for `stamps.provider: legacy`",
    )
    jpeg_url: str = setting(
        "https://skyserver.sdss.org/dr17/SkyServerWS/ImgCutout/getjpeg",
        "URL of SkyServer's colour cutouts, for `stamps.provider: jpeg`",
    )
    chunk_rows: int = setting(
        50_000,
        "Number of rows requested per query; SkyServer's own limit is 500,000",
        ge=1,
        le=500_000,
    )
    reply_file: str = setting(
        "",
        "Result of the query, if you have downloaded it yourself (CSV or FITS, for instance from "
        "CasJobs). SkyServer is then not queried. `mgsflow sql` prints the query",
    )


class Network(Section):
    """Access to SDSS's services. These settings cannot change a result; a change reruns nothing."""

    downloads: int = setting(4, "Number of images that a job downloads at once", ge=1, le=64)
    request_interval: float = setting(
        1.0,
        "Minimum time between two requests of a job to SkyServer or to a cutout service. Frames "
        "are files and are requested without delay",
        "s",
        ge=0,
    )
    query_timeout: float = setting(
        600.0, "Maximum time without a response from SkyServer during a query", "s", gt=0
    )
    image_timeout: float = setting(
        60.0, "Maximum time without a response from an image server", "s", gt=0
    )
    attempts: int = setting(8, "Number of attempts at a request before the job stops", ge=1)
    backoff: float = setting(
        2.0, "Waiting time after a failed request; it doubles each time, up to 300 s", "s", ge=0
    )
    keep_downloads: bool = setting(
        False,
        "Keep frames and cutouts in results/RUN/downloads after the stamps are cut: over 1 TB for "
        "the paper's run. Otherwise a job deletes each file as soon as it no longer needs it",
    )


class Catalogue(Section):
    """Your own files, used where `sky` is `catalogue`."""

    path: str = setting(
        "", "Path of the catalogue, relative to the folder in which the run is started"
    )
    format: Literal["fits", "csv", "parquet"] = setting("parquet", "Format of the catalogue")
    columns: dict[str, str | None] = setting(
        {},
        "Columns of the file, as NAME: COLUMN, where NAME is mgsflow's name of the quantity. For "
        "a catalogue without a usable identifier, `objid: null` numbers the rows",
    )
    units: dict[str, str] = setting(
        {},
        "Units of the file's columns, as NAME: UNIT in astropy's notation, where they differ from "
        "mgsflow's. A linear unit is converted to the logarithm (`log_sfr: Msun / yr`), km / s to "
        "redshift and nanomaggies to magnitudes, and their errors likewise",
    )
    missing: list[float] = setting(
        [-9999.0, -1000.0, -99.9, -99.0], "Numbers that represent a missing value in the file"
    )
    where: dict[str, list[str] | list[float]] = setting(
        {},
        "Rows to use, as COLUMN: VALUES, where VALUES are the permitted texts, or the minimum and "
        "maximum of a number. Other rows are dropped and counted",
    )
    stamp_folder: str = setting(
        "",
        "Folder of image files, which are named by objid; empty if there are none. If you change "
        "files in place, touch the folder (`touch FOLDER`) so that their stamps are cut again",
    )
    stamp_format: Literal["fits", "jpeg"] = setting(
        "fits",
        "Format of the images: FITS (bands, y, x) in nanomaggies, or JPEG with channels i, r, g",
    )

    @model_validator(mode="after")
    def _names_are_ours(self) -> Catalogue:
        for key in (*self.columns, *self.units):
            if key not in QUANTITIES:
                raise ValueError(f"{key} is not one of mgsflow's quantities: {', '.join(READABLE)}")
        return self


# Number of fields that SDSS's numbers of run, camera column and field can distinguish on the whole
# circle
FIELDS = 230_000

# Advice in the error message of each key
ADVICE = {
    "galaxies": "4000 take seconds; 2,000,000 take about 6 GB of memory",
    "galaxies_per_field": "the real sky has about 3; 80 need fewer frames, with little crowding",
    "redshift_min": "0.01 excludes galaxies larger than a stamp",
    "redshift_max": "SDSS's galaxies reach about 0.3",
    "petro_mag_r_max": "SDSS's limit is 17.77 mag; the sky's relations hold to about 20 mag",
    "contaminants": "0.04 is like SDSS; 0 means none",
    "stamps": "write true or false",
    "psf_fwhm": f"SDSS's median is 1.3 arcsec; its pixels of {SDSS.pixel_scale} arcsec sample no "
    "less than 1.1",
}


class Simulated(Section):
    """The simulated sky, used where `sky` is `simulated`."""

    # a default can be invalid in combination with another key
    model_config = ConfigDict(validate_default=True)

    galaxies: int = setting(
        4000, "Number of galaxies brighter than the flux limit", ge=1, le=2_000_000
    )
    galaxies_per_field: int = setting(
        80,
        "Number of galaxies per field of 13.5 x 9.8 arcmin; the real sky has about three",
        ge=1,
        le=150,
    )
    redshift_min: float = setting(0.01, "Minimum redshift of a galaxy", ge=0.001, lt=1)
    redshift_max: float = setting(0.3, "Maximum redshift of a galaxy", gt=0, lt=1)
    petro_mag_r_max: float = setting(
        17.77,
        "Flux limit of the spectroscopic targets, corrected for extinction",
        "mag",
        ge=5,
        le=20,
    )
    contaminants: float = setting(
        0.04,
        "Fraction of stars, quasars and bad spectra among the rows of the catalogue",
        "fraction",
        ge=0,
        le=0.5,
    )
    stamps: bool = setting(True, "Render images; without them the sky is only a catalogue")
    psf_fwhm: float = setting(
        1.3, "Seeing in r (full width at half maximum)", "arcsec", ge=1.1, le=3
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _with_advice(
        cls, value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        try:
            return check(value)
        except ValidationError as error:
            first = error.errors()[0]
            words = f"{first['msg']} ({ADVICE[str(info.field_name)]})"
            raise PydanticCustomError(first["type"], words) from None

    @field_validator("redshift_max")
    @classmethod
    def _behind_the_nearest(cls, value: float, info: ValidationInfo) -> float:
        nearest = info.data.get("redshift_min", 0.0)
        if value <= nearest:
            raise ValueError(
                f"Input should be greater than redshift_min, which is {nearest:g} "
                "(raise redshift_max or lower redshift_min)"
            )
        return value

    @field_validator("galaxies_per_field")
    @classmethod
    def _in_the_fields_there_are(cls, value: int, info: ValidationInfo) -> int:
        galaxies = info.data.get("galaxies", 0)
        if galaxies > FIELDS * value:
            raise ValueError(
                f"Input should be greater than or equal to {-(-galaxies // FIELDS)} for "
                f"{galaxies} galaxies (there are {FIELDS} fields; alternatively, lower galaxies)"
            )
        return value
