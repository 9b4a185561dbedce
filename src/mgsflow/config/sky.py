"""Settings of where galaxies come from: SDSS's services, your own files, or a simulated sky."""

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

from mgsflow.config.base import Section, setting
from mgsflow.core.quantities import QUANTITIES, READABLE
from mgsflow.core.surveys import SDSS


class Sdss(Section):
    """SDSS's services, read where `sky` is `sdss` and where stamps come from one of them."""

    data_release: int = setting(17, "SDSS data release", ge=8, le=17)
    skyserver_url: str = setting(
        "https://skyserver.sdss.org", "Base address of SkyServer, the catalogue's SQL service"
    )
    sas_url: str = setting(
        "https://data.sdss.org/sas", "Base address of the Science Archive Server, for the frames"
    )
    legacy_url: str = setting(
        "https://www.legacysurvey.org/viewer/fits-cutout",
        "Address of the Legacy Surveys' FITS cutouts, for `stamps.provider: legacy`",
    )
    jpeg_url: str = setting(
        "https://skyserver.sdss.org/dr17/SkyServerWS/ImgCutout/getjpeg",
        "Address of SkyServer's colour cutouts, for `stamps.provider: jpeg`",
    )
    chunk_rows: int = setting(
        50_000, "Rows asked for in one query; SkyServer's own limit is 500,000", ge=1, le=500_000
    )
    reply_file: str = setting(
        "",
        "The query's result, where you downloaded it yourself (CSV or FITS, from CasJobs for "
        "instance): SkyServer is then not asked. `mgsflow sql` prints the query",
    )


class Network(Section):
    """How SDSS's services are asked. It cannot change a result: a change reruns nothing."""

    downloads: int = setting(4, "Images that a job downloads at once", ge=1, le=64)
    request_interval: float = setting(
        1.0,
        "Least time between two requests of a job to SkyServer or to a cutout service; frames, "
        "which are files, are not held back",
        "s",
        ge=0,
    )
    query_timeout: float = setting(600.0, "Longest silence of SkyServer in a query", "s", gt=0)
    image_timeout: float = setting(60.0, "Longest silence of a server of images", "s", gt=0)
    attempts: int = setting(8, "How often a request is tried before the job stops", ge=1)
    backoff: float = setting(
        2.0, "Wait after a request that failed; doubles each time, up to 300 s", "s", ge=0
    )
    keep_downloads: bool = setting(
        False,
        "Keep frames and cutouts in results/RUN/downloads once they are cut: over 1 TB for the "
        "paper's run. Without it a job deletes each of its own as soon as it is done with it",
    )


class Catalogue(Section):
    """Your own files, read where `sky` is `catalogue`."""

    path: str = setting("", "File of the catalogue, relative to the folder the run starts in")
    format: Literal["fits", "csv", "parquet"] = setting("parquet", "Its format")
    columns: dict[str, str | None] = setting(
        {},
        "Our name of a quantity: the file's column that holds it. `objid: null` numbers the rows, "
        "for catalogues without a usable identifier",
    )
    units: dict[str, str] = setting(
        {},
        "Our name of a quantity: the unit of the file's column (astropy's spelling), where it is "
        "not ours. A linear unit is turned into our logarithm (`log_sfr: Msun / yr`), km / s "
        "into a redshift, nanomaggies into magnitudes, errors likewise",
    )
    missing: list[float] = setting(
        [-9999.0, -1000.0, -99.9, -99.0], "Numbers that stand for a missing value in the file"
    )
    where: dict[str, list[str] | list[float]] = setting(
        {},
        "Column of the file: the texts it may hold, or its least and greatest number. Other rows "
        "are dropped and counted",
    )
    stamp_folder: str = setting(
        "",
        "Folder of image files named by objid; empty if there are none. Files that are changed in "
        "place are cut again once the folder is touched (`touch FOLDER`)",
    )
    stamp_format: Literal["fits", "jpeg"] = setting(
        "fits", "FITS (bands, y, x) in nanomaggies, or colour JPEG with channels i, r, g"
    )

    @model_validator(mode="after")
    def _names_are_ours(self) -> Catalogue:
        for key in (*self.columns, *self.units):
            if key not in QUANTITIES:
                raise ValueError(f"{key} is none of our quantities: {', '.join(READABLE)}")
        return self


FIELDS = 230_000  # that SDSS's numbers of runs, columns and fields tell apart on the whole circle

# What to write instead of a value that cannot be
ADVICE = {
    "galaxies": "4000 take seconds, 2,000,000 some 6 GB of memory",
    "galaxies_per_field": "3 are the real sky's; 80 save frames, at little crowding",
    "redshift_min": "0.01 leaves out galaxies larger than a stamp",
    "redshift_max": "SDSS's galaxies end near 0.3",
    "petro_mag_r_max": "SDSS's limit is 17.77 mag, and the sky's relations hold to about 20",
    "contaminants": "0.04 is like SDSS, 0 leaves them out",
    "stamps": "write true or false",
    "psf_fwhm": "SDSS's median is 1.3 arcsec; its pixels of "
    f"{SDSS.pixel_scale} arcsec hold no less than 1.1",
}


class Simulated(Section):
    """The simulated sky, made where `sky` is `simulated`."""

    # a default can be wrong beside another key
    model_config = ConfigDict(validate_default=True)

    galaxies: int = setting(4000, "Galaxies brighter than the limit", ge=1, le=2_000_000)
    galaxies_per_field: int = setting(
        80, "Galaxies in a field of 13.5 x 9.8 arcmin; the real sky has about three", ge=1, le=150
    )
    redshift_min: float = setting(0.01, "Nearest galaxy", ge=0.001, lt=1)
    redshift_max: float = setting(0.3, "Farthest galaxy", gt=0, lt=1)
    petro_mag_r_max: float = setting(
        17.77,
        "Flux limit of the spectroscopic targets, extinction-corrected",
        "mag",
        ge=5,
        le=20,
    )
    contaminants: float = setting(
        0.04, "Stars, quasars and bad spectra among the served rows", "fraction", ge=0, le=0.5
    )
    stamps: bool = setting(True, "Render images; without them the sky is a catalogue only")
    psf_fwhm: float = setting(
        1.3, "Seeing in r, full width at half maximum", "arcsec", ge=1.1, le=3
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _with_advice(
        cls, value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        try:
            return check(value)
        except ValidationError as error:
            words = f"{error.errors()[0]['msg']} ({ADVICE[str(info.field_name)]})"
            raise ValueError(words) from None

    @field_validator("redshift_max")
    @classmethod
    def _behind_the_nearest(cls, value: float, info: ValidationInfo) -> float:
        nearest = info.data.get("redshift_min", 0.0)
        if value <= nearest:
            raise ValueError(
                f"Input should be larger: redshift_min must be below it and is {nearest:g} "
                "(raise the one or lower the other)"
            )
        return value

    @field_validator("galaxies_per_field")
    @classmethod
    def _in_the_fields_there_are(cls, value: int, info: ValidationInfo) -> int:
        galaxies = info.data.get("galaxies", 0)
        if galaxies > FIELDS * value:
            raise ValueError(
                f"Input should be greater than or equal to {-(-galaxies // FIELDS)} for "
                f"{galaxies} galaxies (there are {FIELDS} fields; or lower galaxies)"
            )
        return value
