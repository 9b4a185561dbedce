"""Measure the simulated sky: stamps and catalogue rows per second of one core, and memory.

    python benchmarks/sky.py --out benchmarks/results/sky.json

A gri stamp is a galaxy of the catalogue rendered in g, r and i in its field: with its neighbours,
the faint stars and galaxies behind it, sky and noise. Each field is rendered several times and the
median time counts. Times are CPU times of one thread.
"""

from __future__ import annotations

import os

# before NumPy is imported
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import argparse
import bz2
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import galsim
import numpy as np
import pandas as pd

from mgsflow.config import Simulated
from mgsflow.core.files import write_json
from mgsflow.sky.fields import FIELD_COLUMNS
from mgsflow.sky.simulated.camera import PIXEL_SCALE
from mgsflow.sky.simulated.drawing import draw_field, galaxy_profile, point_spread
from mgsflow.sky.simulated.frame_file import BLOCKS, frame_file
from mgsflow.sky.simulated.scene import FieldName, Sky
from mgsflow.sky.simulated.simulate_catalogue import make_objects
from mgsflow.sky.simulated.simulate_frames import observed

BANDS = "gri"
SEED = 3
DENSITIES = (3, 80, 100)  # galaxies per field: of the real sky, of config.yaml, of the demo
FIELDS = 3
STAMP = 160


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Median CPU time of some work, after one pass in which its tables are built."""
    work()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def rendering(density: int, rounds: int) -> dict[str, float]:
    """CPU seconds of the parts of a field, summed over g, r and i, and stamps per second."""
    settings = Simulated(galaxies=density * FIELDS, galaxies_per_field=density)
    objects = make_objects(settings, SEED)
    sky = Sky(objects, settings, SEED)
    names = [tuple(map(int, row)) for row in objects[FIELD_COLUMNS].drop_duplicates().to_numpy()]
    parts = [field_parts(sky, name, rounds) for name in names]
    spent = {key: statistics.mean(part[key] for part in parts) for key in parts[0]}
    galaxies = int((objects["kind"] == "galaxy").sum()) / len(names)
    before = spent["light"] + spent["noise"]
    rendered = before + spent["file"]
    return {
        "galaxies_in_a_field": galaxies,
        **{f"seconds_{key}": value for key, value in spent.items()},
        "stamps_per_second_without_noise": galaxies / spent["light"],
        "stamps_per_second_to_the_pixels": galaxies / before,
        "stamps_per_second_without_bz2": galaxies / rendered,
        "stamps_per_second_with_bz2": galaxies / (rendered + spent["bz2"]),
        "stamps_per_second_bz2_alone": galaxies / spent["bz2"],
        "bz2_share": spent["bz2"] / (rendered + spent["bz2"]),
    }


def field_parts(sky: Sky, name: FieldName, rounds: int) -> dict[str, float]:
    """Seconds for a field in its bands: light, sky and noise, the file, its compression."""
    views = {band: sky.view(name, band) for band in BANDS}

    def light() -> dict[str, np.ndarray]:
        return draw_field(*sky.sources(name), sky.wcs(name, "r"), views)

    def noisy() -> dict[str, tuple]:
        return {band: observed(sky, name, band, drawn[band]) for band in BANDS}

    def files() -> list[bytes]:
        return [frame_file(sky.field(name), band, *frames[band]) for band in BANDS]

    drawn, frames = light(), None
    frames = noisy()
    plain = [bz2.decompress(file) for file in files()]
    compress = seconds(lambda: [bz2.compress(file, BLOCKS) for file in plain], rounds)
    return {
        "light": seconds(light, rounds),
        "noise": seconds(noisy, rounds),
        "file": max(seconds(files, rounds) - compress, 0.0),
        "bz2": compress,
    }


def peak_memory() -> float:
    """Peak memory of this process in MB."""
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(peak) * 1024 / 1e6


def levels() -> list[dict[str, float]]:
    """Time and size of one frame by bzip2 level, to write and to read."""
    settings = Simulated(galaxies=80)
    objects = make_objects(settings, SEED)
    sky = Sky(objects, settings, SEED)
    name = tuple(map(int, objects[FIELD_COLUMNS].iloc[0]))
    light = draw_field(*sky.sources(name), sky.wcs(name, "r"), {"r": sky.view(name, "r")})["r"]
    plain = bz2.decompress(frame_file(sky.field(name), "r", *observed(sky, name, "r", light)))
    rows = []
    for level in (1, 2, 3, 5, 9):
        packed = bz2.compress(plain, level)
        rows.append(
            {
                "level": level,
                "bytes": len(packed),
                "write_seconds": seconds(lambda level=level: bz2.compress(plain, level), 3),
                "read_seconds": seconds(lambda packed=packed: bz2.decompress(packed), 3),
            }
        )
    return rows


def bare_galsim(count: int) -> dict[str, float]:
    """galsim alone on the same profiles: 160 x 160 pixels in three bands, with nothing else."""
    objects = make_objects(Simulated(galaxies=count, contaminants=0.0), SEED)
    seeing = point_spread(1.3)

    def draw(galaxy: pd.Series) -> None:
        for band in BANDS:
            seen = galsim.Convolve([galaxy_profile(galaxy, band), seeing])
            seen.drawImage(nx=STAMP, ny=STAMP, scale=PIXEL_SCALE)

    galaxies = [galaxy for _, galaxy in objects.iterrows()]
    spent = seconds(lambda: [draw(galaxy) for galaxy in galaxies], 1)
    return {"galaxies": count, "stamps_per_second": count / spent}


def catalogue(rows: int) -> dict[str, float]:
    """The stage in a separate process: rows of the reply per second, and peak memory."""
    contaminants = Simulated().contaminants
    settings = Simulated(galaxies=round(rows * (1 - contaminants)), stamps=False)
    program = f"""
import json, sys, time
from pathlib import Path
from mgsflow.config import Simulated
from mgsflow.sky.simulated.simulate_catalogue import simulate_catalogue
folder = Path(sys.argv[1])
wall, start = time.perf_counter(), time.process_time()
simulate_catalogue(out=folder / "reply", truth=folder / "truth.parquet", seed={SEED},
                   simulated=Simulated.model_validate_json({settings.model_dump_json()!r}))
spent, waited = time.process_time() - start, time.perf_counter() - wall
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) * 1024 / 1e6
print(json.dumps({{"seconds": spent, "wall_seconds": waited, "peak_mb": peak}}))
"""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", program, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        lines = sum(sum(1 for _ in path.open()) - 2 for path in Path(folder, "reply").glob("*.csv"))
    result = json.loads(done.stdout.splitlines()[-1])
    return {"rows": lines, **result, "rows_per_second": lines / result["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
    packages = ("numpy", "scipy", "galsim", "astropy", "pandas", "pyarrow")
    result = {
        "machine": {"processor": processor, "cores": os.cpu_count()},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "rendering": [rendering(density, options.rounds) for density in DENSITIES],
        "rendering_peak_mb": peak_memory(),
        "bare_galsim_160": bare_galsim(60),
        "bz2_levels": levels(),
        "catalogue": catalogue(options.rows),
    }
    print(json.dumps(result, indent=2))
    if options.out:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
