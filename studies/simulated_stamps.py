"""Draw simulated stamps for inspection: six kinds of galaxy, four of each, in colour.

    python studies/simulated_stamps.py --out docs/simulated-stamps.png

With --real FOLDER of SkyServer's JPEGs (128 pixels of 0.396 arcsec) some of them are added in the
rows below, for visual comparison; SDSS's stretch of its JPEGs differs a little from ours.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from astropy.visualization import make_lupton_rgb
from matplotlib import pyplot as plt
from PIL import Image

from mgsflow.config import Simulated
from mgsflow.sample.resample import Grid, place, resample
from mgsflow.sky.fields import FIELD_COLUMNS
from mgsflow.sky.simulated.camera import PIXEL_SCALE
from mgsflow.sky.simulated.drawing import draw_field
from mgsflow.sky.simulated.scene import FieldName, Sky
from mgsflow.sky.simulated.simulate_catalogue import make_objects, make_reply
from mgsflow.sky.simulated.simulate_frames import observed

SETTINGS = Simulated(galaxies=1200, galaxies_per_field=15)
SEED, EACH, SIZE, COLUMNS = 4, 4, 128, 8
BANDS = "gri"
AGN = 4  # class in MPA-JHU's bptclass
STRETCH, SOFTENING = 0.35, 8.0  # nanomaggies, Q of Lupton et al. 2004
BALANCE = {"i": 0.86, "r": 1.0, "g": 1.37}  # as in SkyServer's pictures: 4.9, 5.7, 7.8 over r's


def kinds(galaxies: pd.DataFrame, sky: Sky) -> dict[str, pd.DataFrame]:
    """Example galaxies of each kind, by title, in the order of the table."""
    late = ~galaxies["quenched"].astype(bool)
    disky = late & (galaxies["bulge_share_r"] < 0.35) & galaxies["petro_r50"].between(3, 7)
    near, star = neighbours(galaxies, sky)
    alone, round_ = near > 20, galaxies["disk_axis_ratio"] > 0.5
    return {
        "disk, face-on": galaxies[disky & alone & (galaxies["disk_axis_ratio"] > 0.85)],
        "disk, edge-on": galaxies[disky & alone & (galaxies["disk_axis_ratio"] < 0.26)],
        "elliptical": galaxies[~late & alone & round_ & (galaxies["bulge_share_r"] > 0.75)],
        "AGN": galaxies[alone & (galaxies["bptclass"] == AGN) & (galaxies["petro_r50"] > 2.5)],
        "blend": galaxies[(near < 9) & (near > 4)],
        "star nearby": galaxies[(star < 20) & (star > 6)],
    }


def neighbours(galaxies: pd.DataFrame, sky: Sky) -> tuple[np.ndarray, np.ndarray]:
    """Distances in arcsec to the nearest galaxy of r < 19 and the nearest star of r < 18.5."""
    distances = np.full((2, len(galaxies)), np.inf)
    for name, rows in galaxies.groupby(FIELD_COLUMNS).indices.items():
        for kind, (objects, faintest) in enumerate(zip(sky.sources(name), (19, 18.5), strict=True)):
            bright = objects[objects["nanomaggies_r"] > 10 ** (0.4 * (22.5 - faintest))]
            for row in rows:
                apart = bright[["x", "y"]] - galaxies.iloc[row][["x", "y"]].astype(float)
                length = np.hypot(apart["x"], apart["y"]) * PIXEL_SCALE
                distances[kind, row] = length[length > 0.01].min()
    return distances[0], distances[1]


def cut(sky: Sky, galaxy: pd.Series) -> np.ndarray:
    """The galaxy's stamp from noisy frames, nanomaggies, shape (3, SIZE, SIZE), north up."""
    run, camcol, field = (int(galaxy[key]) for key in FIELD_COLUMNS)
    name: FieldName = (run, camcol, field)
    views = {band: sky.view(name, band) for band in BANDS}
    grid, stamp = Grid(SIZE, PIXEL_SCALE), []
    for band, light in draw_field(*sky.sources(name), sky.wcs(name, "r"), views).items():
        pixels = observed(sky, name, band, light)[0]
        at = place(views[band].wcs, *np.array([[galaxy["ra"]], [galaxy["dec"]]]), grid)[0]
        stamp.append(resample([(pixels, at)], grid)[0])
    return np.stack(stamp)


def simulated() -> list[tuple[str, np.ndarray]]:
    objects = make_objects(SETTINGS, SEED)
    sky = Sky(objects, SETTINGS, SEED)
    classes = make_reply(objects, SETTINGS, SEED).drop_duplicates("objid")[["objid", "bptclass"]]
    galaxies = objects[objects["kind"] == "galaxy"].merge(classes, on="objid")
    inside = galaxies["x"].between(100, 1948) & galaxies["y"].between(100, 1389)
    galaxies = galaxies[inside & (galaxies["petro_mag_r"] < 17.2)].reset_index(drop=True)
    panels = []
    for title, chosen in kinds(galaxies, sky).items():
        for _, galaxy in chosen.head(EACH).iterrows():
            stamp = dict(zip(BANDS, cut(sky, galaxy), strict=True))
            colours = [stamp[band] * factor for band, factor in BALANCE.items()]
            picture = make_lupton_rgb(*colours, stretch=STRETCH, Q=SOFTENING)
            panels.append((f"{title}, z = {galaxy['redshift']:.2f}", picture))
    return panels


def real(folder: Path, count: int) -> list[tuple[str, np.ndarray]]:
    paths = sorted(folder.glob("*.jpg"))[:: max(len(list(folder.glob("*.jpg"))) // count, 1)]
    return [("SDSS", np.asarray(Image.open(path))[::-1]) for path in paths[:count]]


def draw(panels: list[tuple[str, np.ndarray]], out: Path) -> None:
    mpl.rcParams.update({"font.size": 5, "font.family": "DejaVu Sans"})
    rows = -(-len(panels) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(7.6, 1.11 * rows), layout="constrained")
    for axis, (title, picture) in zip(axes.flat, panels, strict=True):
        axis.imshow(picture, origin="lower", interpolation="nearest")
        axis.set_title(title, fontsize=5, pad=2)
        axis.set_axis_off()
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=140)
    # noise in 24-bit colour does not compress; beside it, steps of 8 in 256 are invisible
    coarse = np.asarray(Image.open(buffer).convert("RGB")).astype(float) / 8
    Image.fromarray(np.minimum(np.round(coarse) * 8, 255).astype(np.uint8)).save(out, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/simulated-stamps.png"))
    parser.add_argument("--real", type=Path)
    options = parser.parse_args()
    panels = simulated()
    draw(panels + (real(options.real, 24) if options.real else []), options.out)


if __name__ == "__main__":
    main()
