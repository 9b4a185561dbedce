"""Draw docs/stamps.png: simulated stamps by each provider, and real SDSS images cut by our code.

    PYTHONPATH=tests/services:tests python studies/pictures.py --out docs/stamps.png

The real images are in the folder MGSFLOW_REAL_DATA (default ../shared/real).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
from loopback import serve
from matplotlib import pyplot as plt
from pipeline import Run
from simulated_sdss import SimulatedSdss

from mgsflow.config import Stamps
from mgsflow.sample.frames import read_frame
from mgsflow.sample.image_formats import read_jpeg
from mgsflow.sample.resample import Grid, place, resample
from mgsflow.sample.shards import Layout

REAL = Path(os.environ.get("MGSFLOW_REAL_DATA", "../shared/real"))
SIZE, SCALE = 160, 0.396
Panel = tuple[str, np.ndarray]  # title, picture (rows, columns, red green blue), first row south


def colours(stamp: np.ndarray, softening: float = 0.08, top: float = 12.0) -> np.ndarray:
    """Red, green, blue from i, r, g in nanomaggies, by an asinh stretch."""
    stretched = np.arcsinh(stamp[::-1].astype(float) / softening) / np.arcsinh(top / softening)
    return np.clip(stretched + 0.03, 0, 1).transpose(1, 2, 0)


def simulated() -> Iterator[Panel]:
    """One galaxy from each provider, and two stamps at the edge of their field."""
    sky = SimulatedSdss(18, 6, edges=((600.0, 30.0), (1400.0, 1440.0)), contaminants=0.0)
    with serve(sky, silence=60) as server, tempfile.TemporaryDirectory() as name:
        run = Run(Path(name), server)
        patient = server.network(image_timeout=60)
        run.query(patient)
        table = run.select()
        brightest = int(table.loc[table["petro_mag_r"].idxmin(), "objid"])
        shards = {}
        for provider in ("frames", "legacy", "jpeg"):
            settings = Stamps(provider=provider, shards=1)
            shard = shards[provider] = run.stamps(settings, network=patient)
            stamp = shard.stamps[shard.objid.tolist().index(brightest)]
            rgb = stamp[::-1].transpose(1, 2, 0) / 255 if provider == "jpeg" else colours(stamp)
            yield f"simulated, {provider}", rgb
        masked = run.stamps(Stamps(shards=1, edge="mask"), network=patient)
        filled = np.flatnonzero((masked.masked > 0.2) & (shards["frames"].masked == 0))[0]
        yield "edge: mask", colours(masked.stamps[filled])
        yield "edge: mosaic", colours(shards["frames"].stamps[filled])


def real() -> Iterator[Panel]:
    """NGC 6976's field resampled to our pixels, a star of a real frame, a real JPEG."""
    bands = [
        read_frame((REAL / f"ngc6976_gri_fits/reprojected_sdss_{band}.fits.bz2").read_bytes())
        for band in "gri"
    ]
    ra, dec = 313.1078, -5.7718
    yield "NGC 6976, g, r, i", colours(cut(bands, ra, dec, SIZE), 0.01, 0.6)
    frame = read_frame((REAL / "sas_frame/frame-r-001000-1-0100.fits.bz2").read_bytes())
    y, x = np.unravel_index(np.nanargmax(frame.pixels[20:80, 20:80]), (60, 60))
    ra, dec = frame.wcs.pixel_to_world_values(x + 20, y + 20)
    star = cut([frame] * 3, float(ra), float(dec), 48)
    yield "frame r of run 1000, 19 arcsec", colours(star, 0.08, 20.0)
    path = sorted((REAL / "gri_jpeg_128").glob("*.jpg"))[4]
    layout = Layout("jpeg", ("g", "r", "i"), 128, SCALE, "uint8")
    yield "SkyServer's JPEG, 128 px", read_jpeg(path.read_bytes(), layout)[::-1].transpose(1, 2, 0)


def cut(frames: list, ra: float, dec: float, size: int) -> np.ndarray:
    grid = Grid(size, SCALE)
    places = [place(frame.wcs, np.array([ra]), np.array([dec]), grid)[0] for frame in frames]
    return np.stack(
        [
            resample([(frame.pixels, placement)], grid)[0]
            for frame, placement in zip(frames, places, strict=True)
        ]
    )


def draw(panels: list[Panel], out: Path) -> None:
    mpl.rcParams.update({"font.size": 8, "font.family": "DejaVu Sans"})
    figure, axes = plt.subplots(2, 4, figsize=(7.2, 3.9), layout="constrained")
    for axis, (title, picture) in zip(axes.flat, panels, strict=True):
        axis.imshow(picture, origin="lower", interpolation="nearest")
        axis.set_title(title, fontsize=8)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(out, dpi=170)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/stamps.png"))
    draw([*simulated(), *real()], parser.parse_args().out)


if __name__ == "__main__":
    main()
