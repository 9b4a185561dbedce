"""What a run on SDSS's services will ask for, before it starts: requests, bytes, hours.

Arithmetic on the settings and on measured sizes and rates, each with its source; `docs/scale.md`
is made of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mgsflow.config import Settings
from mgsflow.core.surveys import SDSS

GALAXIES_OF_SAMPLE = 700_000  # the Main Galaxy Sample in the legacy spectra, about
SQUARE_DEGREES = 8000.0  # of the legacy spectra (Abazajian et al. 2009)
# deg2 that a field does not share with the next
FIELD_AREA = 1361 * 2048 * (SDSS.pixel_scale / 3600) ** 2
FIELDS = SQUARE_DEGREES / FIELD_AREA
CROSSING = 0.056  # share of stamps of 160 pixels that cross the first or last row of their field
FIELDS_OF_IMAGING = 938_046  # rerun 301: all fields of all runs, overlaps included

# Bytes of a file. Frames and FITS cutouts: those of the simulated sky, whose pixels have the real
# ones' rounding. JPEG: 352 real ones of 128 x 128 pixels take 0.113 bytes a pixel.
FRAME_BYTES = 4.4e6
JPEG_BYTES_OF_PIXEL = 0.113
ROW_BYTES = 530  # of a reply, simulated with 4-byte reals as SkyServer serves them

# Seconds of one core: unpacking a frame (0.44 to 0.53 by benchmarks/frames.py on an Intel Xeon);
# cutting a stamp of three bands, rounded up from 2.4 ms a band for the splines alone
FRAME_SECONDS = 0.50
STAMP_SECONDS = 0.015
# The paper's hours, section 2.3: its VAE on an A100, its flows on a T4
VAE_HOURS, VAE_GALAXIES = 1.5, 100_000
FLOW_HOURS, FLOW_GALAXIES = 0.5, 125_000


@dataclass(frozen=True)
class Estimate:
    """Of one run. Times in hours, sizes in bytes."""

    galaxies: int
    queries: int
    query_bytes: float
    images: float  # files, each one request
    image_bytes: float
    disk_bytes: float  # of downloads: of one job at most at a time, or of all if they are kept
    stamp_bytes: float
    cpu_hours: float  # of one core, to make stamps of what was downloaded
    vae_hours: float  # of an A100
    flow_hours: float  # of a T4
    judged: float  # galaxies of the validation and test sets, of which joint draws are kept


def estimate(settings: Settings) -> Estimate:
    """What the run of these settings takes, if its galaxies come from SDSS's services."""
    galaxies = settings.selection.sample_size or GALAXIES_OF_SAMPLE
    stamps, bands = settings.stamps, len(settings.stamps.bands)
    fields = _frames_of_fields(galaxies, settings)
    pixels = bands * stamps.size**2
    images, size, held, pixel_bytes, seconds = {
        "frames": (
            bands * fields,
            FRAME_BYTES,
            # fields in work, and the neighbours that their stamps may need
            bands * (settings.network.downloads + 3),
            2,
            bands * fields * FRAME_SECONDS + galaxies * STAMP_SECONDS,
        ),
        "legacy": (galaxies, 4 * pixels + 5760, 8 * settings.network.downloads, 2, 0.0),
        "jpeg": (
            galaxies,
            JPEG_BYTES_OF_PIXEL * stamps.size**2,
            8 * settings.network.downloads,
            1,
            0.0,
        ),
    }.get(stamps.provider, (0, 0, 0, 0, 0.0))
    kept = settings.network.keep_downloads
    rows, replied = GALAXIES_OF_SAMPLE, settings.sdss.reply_file
    share = settings.splits.vae if stamps.provider != "none" else 0.0
    models = len(settings.flows.variants) * settings.flows.members
    return Estimate(
        galaxies=galaxies,
        queries=0 if replied else 1 + math.ceil(rows / settings.sdss.chunk_rows),
        query_bytes=0 if replied else rows * ROW_BYTES,
        images=images,
        image_bytes=images * size,
        disk_bytes=(images if kept else held) * size,
        stamp_bytes=galaxies * pixels * pixel_bytes,
        cpu_hours=seconds / 3600,
        vae_hours=VAE_HOURS * share * galaxies / VAE_GALAXIES,
        flow_hours=FLOW_HOURS * (1 - share) * galaxies / FLOW_GALAXIES * models,
        judged=galaxies * (1 - settings.splits.train) * (1 - share),
    )


def _frames_of_fields(galaxies: float, settings: Settings) -> float:
    """Fields whose frames are read, the neighbours that mosaics need among them."""
    fields = _fields(galaxies, settings.selection.sample_by == "field")
    if settings.stamps.edge == "mask":
        return fields
    crossing = galaxies * CROSSING * settings.stamps.size / 160
    return fields + crossing * max(0.0, 1 - fields / FIELDS)


def _fields(galaxies: float, whole: bool) -> float:
    """Fields that hold this many galaxies of the sample, which lie on the sky as Poisson's law."""
    if whole:
        mean = GALAXIES_OF_SAMPLE / FIELDS
        return galaxies / mean * -math.expm1(-mean)
    return FIELDS * -math.expm1(-galaxies / FIELDS)


def describe(settings: Settings) -> str:
    """The estimate in words, for whoever plans a run."""
    e = estimate(settings)
    held = "stay" if settings.network.keep_downloads else "a job at a time"
    asked = f"{e.queries} queries, {human(e.query_bytes)}"
    if settings.sdss.reply_file:
        asked = f"is not asked: its reply is {settings.sdss.reply_file}"
    lines = [
        f"Estimate of run {settings.run}: {e.galaxies:,} galaxies of SDSS DR"
        f"{settings.sdss.data_release} (docs/scale.md)",
        f"  SkyServer  {asked}",
    ]
    if e.images:
        lines += [
            f"  images     {e.images:,.0f} files of provider {settings.stamps.provider}, "
            f"{human(e.image_bytes)} to download in {settings.stamps.shards} jobs",
            f"  disk       {human(e.disk_bytes)} of downloads {held}, {human(e.stamp_bytes)} of "
            "stamps",
            f"  CPU        {e.cpu_hours:,.0f} core hours to cut the stamps",
        ]
    lines.append(
        f"  GPU        {e.vae_hours:.1f} h of an A100 for the VAE, {e.flow_hours:.1f} h of a T4 "
        "for the flows, at the paper's rates"
    )
    return "\n".join(lines)


def human(size: float) -> str:
    """A size in bytes, in the decimal unit that suits it."""
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if size < 1000 or unit == "PB":
            return f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError
