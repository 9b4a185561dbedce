"""The stage `simulate-catalogue`: a simulated sky and SkyServer's reply for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from mgsflow.config import Simulated
from mgsflow.core.files import atomic_path
from mgsflow.core.photometry import (
    error_columns,
    extinction_columns,
    magnitude_column,
    magnitude_columns,
)
from mgsflow.core.progress import say
from mgsflow.core.quantities import FLUX_UNIT, Quantity
from mgsflow.core.seeds import generator
from mgsflow.core.tables import write_table
from mgsflow.sky.columns import MEDIANS, SERVED
from mgsflow.sky.simulated.camera import BANDS
from mgsflow.sky.simulated.contaminants import (
    GALAXY,
    contaminant_kinds,
    disguise,
    spoil,
)
from mgsflow.sky.simulated.photometry import add_fluxes, measure_photometry
from mgsflow.sky.simulated.placement import (
    RERUN,
    draw_fields,
    object_identifiers,
    place,
    spectrum_identifiers,
)
from mgsflow.sky.simulated.population import (
    distance_modulus,
    draw_population,
)
from mgsflow.sky.simulated.spectra import LINES, add_lines, measure_spectra

CHUNK_ROWS = 50_000
MAIN_GALAXY_TARGET = 64  # bit of legacy_target1
FIBRE_SCATTER = 0.1  # arcsec, scatter of a fibre about its object in each direction
_PHOTOMETRY = (*magnitude_columns(BANDS), *error_columns(BANDS), *extinction_columns(BANDS))
REPLY_COLUMNS = [
    *("objid", "specobjid", "ra", "dec", "fiber_ra", "fiber_dec"),
    *("run", "rerun", "camcol", "field", "class"),
    *("z", "zErr", "zWarning", "legacyPrimary", "legacy_target1", "clean"),
    *("petroMag_r", "petroR50_r", "petroR90_r"),
    *(SERVED[name] for name in _PHOTOMETRY),
    *("v_disp", "v_disp_err", "reliable"),
    *(f"{name}_p{percent}" for name in MEDIANS for percent in (50, 16, 84)),
    "bptclass",
    *(f"{line}_flux{end}" for line in LINES for end in ("", "_err")),
]

TRUTH = (
    Quantity("kind", "", "galaxy, or which contaminant"),
    Quantity("log_overdensity", "", "log10(1 + delta) of the environment"),
    Quantity("quenched", "", "Whether star formation has ended"),
    Quantity("metallicity", "", "True gas-phase 12 + log(O/H), measurable or not"),
    Quantity("attenuation_h_alpha", "mag", "The galaxy's own attenuation of H alpha"),
    Quantity("attenuation_v", "mag", "The galaxy's own attenuation of stars in V"),
    Quantity("bulge_mass_share", "", "Bulge's share of the stellar mass"),
    Quantity("bulge_sersic", "", "Sersic index of the bulge; the disk is exponential"),
    Quantity("bulge_radius", "arcsec", "Half-light radius of the bulge along its major axis"),
    Quantity("disk_radius", "arcsec", "Half-light radius of the disk along its major axis"),
    Quantity("radius_kpc", "kpc", "Half-light radius of the galaxy"),
    Quantity("radius_offset", "dex", "Radius over the mean of its mass and type"),
    Quantity("radius_ratio", "", "Half-light radii, bulge to disk"),
    Quantity("cos_inclination", "", "Cosine of the inclination; 1 is face-on"),
    Quantity("disk_axis_ratio", "", "Apparent axis ratio of the disk"),
    Quantity("bulge_axis_ratio", "", "Apparent axis ratio of the bulge"),
    Quantity("position_angle", "deg", "Position angle of the major axis, north through east"),
    Quantity("petro_mag_r", "mag", "Petrosian r with its noise, without the Galaxy's dust"),
    Quantity("petro_r50", "arcsec", "Petrosian half-light radius with seeing"),
    Quantity("petro_r90", "arcsec", "Petrosian 90% radius with seeing"),
    Quantity("petro_share", "", "Petrosian flux over total flux"),
    Quantity("old_share", "", "Share of the stellar mass in old stars"),
    Quantity("fibre_continuum", f"{FLUX_UNIT} / Angstrom", "Continuum in r in the fibre"),
    *(
        Quantity(magnitude_column(b), "mag", f"True total {b}, without the Galaxy's dust")
        for b in BANDS
    ),
    *(Quantity(f"bulge_share_{b}", "", f"Bulge's share of the light in {b}") for b in BANDS),
    *(
        Quantity(f"nanomaggies_{b}", "nanomaggy", f"True flux in {b}, behind the Galaxy")
        for b in BANDS
    ),
    *(
        Quantity(f"true_flux_{line}", FLUX_UNIT, f"True flux of {line} in the fibre")
        for line in LINES
    ),
    Quantity("reddening", "mag", "E(B-V) of the Galaxy"),
    Quantity("x", "pixel", "Column in the field's r frame, FITS convention"),
    Quantity("y", "pixel", "Row in the field's r frame, FITS convention"),
    Quantity("field_ra", "deg", "Right ascension of the field's centre"),
    Quantity("field_dec", "deg", "Declination of the field's centre"),
    Quantity("field_angle", "deg", "Angle of the frame's rows, from east towards north"),
    Quantity("mu", "deg", "Great-circle longitude of the field's centre"),
    Quantity("nu", "deg", "Great-circle latitude of the field's centre"),
    Quantity("inclination", "deg", "Inclination of the run's great circle"),
)


def simulate_catalogue(*, out: Path, truth: Path, simulated: Simulated, seed: int) -> None:
    """Make a simulated sky and SkyServer's reply for it.

    `out` is the folder of the reply, `chunk-0000.csv` and so on, in SkyServer's form: missing
    values are -9999, magnitudes are reddened, and stars, quasars and bad spectra are among the
    galaxies. `truth` receives every object with its true properties, for the images and for tests.
    """
    objects = make_objects(simulated, seed)
    reply = make_reply(objects, simulated, seed)
    write_table(truth, objects, TRUTH, {"seed": seed, "simulated": simulated.model_dump()})
    with atomic_path(out) as folder:
        folder.mkdir()
        for number, start in enumerate(range(0, len(reply), CHUNK_ROWS)):
            write_reply(folder / f"chunk-{number:04d}.csv", reply.iloc[start : start + CHUNK_ROWS])
    fields = len(objects[["run", "camcol", "field"]].drop_duplicates())
    say(
        f"simulate-catalogue: {len(reply)} rows, of which {simulated.galaxies} good galaxies, "
        f"in {fields} fields"
    )


def make_objects(simulated: Simulated, seed: int) -> pd.DataFrame:
    """Every object of the sky, one per row, with its true properties, position and `kind`.

    Raises UserError if hardly any galaxy passes the limits.
    """
    random = generator(seed, "simulate-catalogue", "objects")
    kinds = contaminant_kinds(simulated.galaxies, simulated.contaminants)
    kinds = np.concatenate([np.full(simulated.galaxies, GALAXY), kinds[kinds != "duplicate"]])
    objects = draw_population(len(kinds), simulated, random)
    modulus = distance_modulus(objects["redshift"].to_numpy(), simulated.redshift_max)
    objects = add_lines(objects, modulus, simulated.psf_fwhm, random).assign(kind=kinds)
    objects = disguise(objects, simulated.petro_mag_r_max, simulated.psf_fwhm, random)
    objects = objects.iloc[random.permutation(len(objects))].reset_index(drop=True)
    fields = draw_fields(-(-simulated.galaxies // simulated.galaxies_per_field), random)
    return add_fluxes(_placed(objects, fields, random))


def _placed(
    objects: pd.DataFrame, fields: pd.DataFrame, random: np.random.Generator
) -> pd.DataFrame:
    """The objects with positions, fields and identifiers, ordered by identifier."""
    placed = place(len(objects), fields, random)
    of_field = fields.loc[placed["field_index"]].reset_index(drop=True)
    objects = pd.concat([objects, placed.drop(columns=["field_index", "obj"]), of_field], axis=1)
    names = [objects[name] for name in ("run", "camcol", "field")]
    objects.insert(0, "objid", object_identifiers(*names, placed["obj"]))
    return objects.sort_values("objid", ignore_index=True)


def make_reply(objects: pd.DataFrame, simulated: Simulated, seed: int) -> pd.DataFrame:
    """SkyServer's rows for the objects, and second spectra of some; columns REPLY_COLUMNS."""
    random = generator(seed, "simulate-catalogue", "reply")
    objects = pd.concat([objects, _duplicates(objects, simulated, random)], ignore_index=True)
    objects = objects.iloc[random.permutation(len(objects))].reset_index(drop=True)
    reply = pd.concat(
        [
            objects[["objid", "ra", "dec", "run", "camcol", "field"]],
            measure_photometry(objects, random),
            measure_spectra(objects, random),
            _place_fibres(objects, seed),
        ],
        axis=1,
    ).assign(
        specobjid=spectrum_identifiers(len(objects)),
        rerun=RERUN,
        zWarning=0,
        legacyPrimary=1,
        legacy_target1=MAIN_GALAXY_TARGET,
        clean=1,
        reliable=1,
    )
    reply["class"] = "GALAXY"
    return spoil(reply, objects["kind"].to_numpy(), random)[REPLY_COLUMNS]


def _place_fibres(objects: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Positions of the fibres near their objects, from a random generator of their own."""
    random = generator(seed, "simulate-catalogue", "fibres")
    east, north = random.normal(0.0, FIBRE_SCATTER / 3600, (2, len(objects)))
    dec = objects["dec"].to_numpy()
    ra = (objects["ra"].to_numpy() + east / np.cos(np.radians(dec))) % 360
    return pd.DataFrame({"fiber_ra": ra, "fiber_dec": dec + north})


def _duplicates(
    objects: pd.DataFrame, simulated: Simulated, random: np.random.Generator
) -> pd.DataFrame:
    """The galaxies that were observed twice."""
    kinds = contaminant_kinds(simulated.galaxies, simulated.contaminants)
    good = np.flatnonzero(objects["kind"] == GALAXY)
    count = min(int((kinds == "duplicate").sum()), len(good))
    return objects.iloc[np.sort(random.choice(good, count, replace=False))].assign(kind="duplicate")


def write_reply(path: Path, rows: pd.DataFrame) -> None:
    """Write a reply of SkyServer: `#Table1`, header, rows; reals except positions have 4 bytes."""
    double = ("ra", "dec", "fiber_ra", "fiber_dec")
    single = [n for n in rows if rows[n].dtype.kind == "f" and n not in double]
    rows = rows.astype(dict.fromkeys(single, "float32")).round(dict.fromkeys(double, 9))
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as stream:
        stream.write(f"#Table1\n{','.join(rows)}\n".encode())
        csv.write_csv(pa.Table.from_pandas(rows, preserve_index=False), stream, options)
