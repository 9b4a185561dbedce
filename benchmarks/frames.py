"""Compare cutting stamps from frames with bz2 decompression of the same frames alone.

    python benchmarks/frames.py --fields 40 --out benchmarks/results/frames.json

A server on 127.0.0.1 provides frames of the simulated sky, packed as SAS packs them; the stage
`stamps` downloads, unpacks and cuts them like SAS's. Each field has three galaxies of the sample,
as on the real sky. The stage and the decompression alone run in turns, so that both meet the same
state of the machine. Peak memory is that of the whole process that makes the stamps.
"""

from __future__ import annotations

import argparse
import bz2
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits

from mgsflow.config import Catalogue, Network, Sdss, Simulated, Stamps
from mgsflow.core.files import write_json
from mgsflow.core.tables import write_table
from mgsflow.sky.fields import FIELD_COLUMNS
from mgsflow.sky.simulated.scene import Sky
from mgsflow.sky.simulated.simulate_catalogue import make_objects
from mgsflow.sky.simulated.simulate_frames import frame_bytes

BANDS = "gri"
GALAXIES_PER_FIELD = 3
RENDERED = 10  # different fields; further fields are copies of them under other names


class Frames:
    """Frames of any number of fields: ten rendered ones, under as many run numbers as needed.

    A copy differs only in its header, which is a separate bz2 stream before that of the image.
    Therefore no frame is packed twice and none is on disk.
    """

    def __init__(self) -> None:
        simulated = Simulated(
            galaxies=GALAXIES_PER_FIELD * RENDERED, galaxies_per_field=GALAXIES_PER_FIELD
        )
        objects = make_objects(simulated, seed=3)
        good = objects["kind"] == "galaxy"
        self._galaxies = objects.loc[good, ["objid", "ra", "dec", *FIELD_COLUMNS]]
        self._first_run = int(objects["run"].iloc[0])
        sky = Sky(objects, simulated, seed=3)
        self._parts = {}
        for row in objects[FIELD_COLUMNS].drop_duplicates().to_numpy():
            name = tuple(map(int, row))
            for band in BANDS:
                plain = bz2.decompress(frame_bytes(sky, name, band))
                header = fits.Header.fromstring(plain[: 2880 * (plain.index(b"END ") // 2880 + 1)])
                length = len(header.tostring())
                # level 9, bzip2's default, as at SAS; the simulated sky packs for speed
                self._parts[name[1:], band] = header, bz2.compress(plain[length:], 9)

    def galaxies(self, fields: int) -> pd.DataFrame:
        """Three galaxies per field, in `fields` fields."""
        copies = [
            self._galaxies.assign(
                run=self._first_run + copy, objid=self._galaxies["objid"] + copy * 2**32
            )
            for copy in range(-(-fields // RENDERED))
        ]
        everything = pd.concat(copies, ignore_index=True)
        wanted = everything[FIELD_COLUMNS].drop_duplicates().iloc[:fields]
        return everything.merge(wanted, on=FIELD_COLUMNS)

    def file(self, run: int, camcol: int, field: int, band: str) -> bytes | None:
        """The bytes of a frame; None if there is no such frame."""
        if ((camcol, field), band) not in self._parts:
            return None
        header, image = self._parts[(camcol, field), band]
        copy = header.copy()
        copy["RUN"] = run
        return bz2.compress(copy.tostring().encode(), 9) + image


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    frames: Frames

    def do_GET(self) -> None:
        name = re.search(r"frame-([gri])-(\d{6})-(\d)-(\d{4})", self.path)
        band, numbers = (name[1], map(int, name.groups()[1:])) if name else ("", (0, 0, 0))
        file = self.frames.file(*numbers, band)
        self.send_response(200 if file else 404)
        self.send_header("Content-Length", str(len(file or b"")))
        self.end_headers()
        self.wfile.write(file or b"")

    def log_message(self, *_: object) -> None:
        """Log nothing: a line per request would be the slowest part."""


def decompress(files: list[bytes], threads: int) -> float:
    """Seconds to unpack the files with bz2 on `threads` threads, which bz2 lets run in parallel."""
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda file: len(bz2.decompress(file)), files):
            pass
    return time.perf_counter() - start


def cut(url: str, selected: Path, work: Path, threads: int) -> dict[str, float]:
    """Run the stage in a separate process; return seconds of its work and its peak memory in MB.

    The start of Python and its imports, which do not grow with the work, are timed apart.
    """
    sections = {
        "stamps": Stamps(shards=1),
        "sdss": Sdss(sas_url=url),
        "network": Network(attempts=1),
        "catalogue": Catalogue(),
    }
    program = f"""
import json, time
from pathlib import Path
import mgsflow.sample.stamps as module
from mgsflow.config import Catalogue, Network, Sdss, Stamps
start = time.perf_counter()
module.stamps(
    selected=Path({str(selected)!r}), shard=0, sky="sdss",
    stamps=Stamps.model_validate_json({sections["stamps"].model_dump_json()!r}),
    sdss=Sdss.model_validate_json({sections["sdss"].model_dump_json()!r}),
    network=Network(attempts=1), catalogue=Catalogue(),
    partial=Path({str(work / "partial")!r}), downloads=Path({str(work / "downloads")!r}),
    threads={threads}, out=Path({str(work / "shard-000.h5")!r}),
    dropped=Path({str(work / "dropped.parquet")!r}),
)
seconds = time.perf_counter() - start
# not ru_maxrss, which a process inherits from the one that started it
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) * 1024 / 1e6
print(json.dumps({{"seconds": seconds, "peak_mb": peak}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def speed(
    frames: Frames, folder: Path, url: str, fields: int, threads: int, rounds: int
) -> dict[str, object]:
    """Galaxies per second of the stage and of decompression alone, in turns."""
    galaxies = frames.galaxies(fields)
    selected = folder / "selected.parquet"
    write_table(selected, galaxies)
    names = galaxies[FIELD_COLUMNS].drop_duplicates().itertuples(index=False)
    files = [frames.file(*name, band) for name in names for band in BANDS]
    rows = []
    for number in range(rounds):
        bare = decompress(files, threads)
        stage = cut(url, selected, folder / f"work-{number}", threads)
        bare = (bare + decompress(files, threads)) / 2
        rows.append({"bare": len(galaxies) / bare, "stage": len(galaxies) / stage["seconds"]})
    ratios = [row["stage"] / row["bare"] for row in rows]
    return {
        "galaxies": len(galaxies),
        "fields": fields,
        "frames": len(files),
        "frame_bytes": float(np.mean([len(file) for file in files])),
        "threads": threads,
        "galaxies_per_second": rows,
        "stage_over_bare": {
            "median": statistics.median(ratios),
            "min": min(ratios),
            "max": max(ratios),
        },
    }


def memory(
    frames: Frames, folder: Path, url: str, counts: list[int], threads: int
) -> list[dict[str, float]]:
    """Peak memory of the stage by number of fields."""
    rows = []
    for fields in counts:
        galaxies = frames.galaxies(fields)
        write_table(folder / "selected.parquet", galaxies)
        work = folder / f"memory-{fields}"
        stage = cut(url, folder / "selected.parquet", work, threads)
        rows.append({"fields": fields, "galaxies": len(galaxies), **stage})
        shutil.rmtree(work)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fields", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-fields", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = Handler.frames = Frames()
        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}"
            result = {
                "machine": {"processor": _processor(), "cores": os.cpu_count()},
                "versions": {"python": platform.python_version(), "numpy": np.__version__},
                "speed": speed(
                    frames, folder, url, options.fields, options.threads, options.rounds
                ),
                "memory": memory(frames, folder, url, options.memory_fields, options.threads),
            }
            server.shutdown()
    print(json.dumps(result, indent=2))
    if options.out:
        write_json(options.out, result)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
