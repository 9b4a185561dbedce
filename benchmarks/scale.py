"""Print the tables of docs/scale.md, by the arithmetic that estimates a run: `mgsflow.estimate`.

python benchmarks/scale.py
"""

from __future__ import annotations

from mgsflow.config import Settings, validate
from mgsflow.estimate import (
    FIELDS_OF_IMAGING,
    FRAME_BYTES,
    FRAME_SECONDS,
    JPEG_BYTES_OF_PIXEL,
    STAMP_SECONDS,
    describe,
    estimate,
    human,
)

JOBS = 16  # jobs that download at the same time: `downloads` in profiles/slurm
LINES = {"100 Mbit/s": 1e8 / 8, "1 Gbit/s": 1e9 / 8}
BILLION = 10**9
PIXELS = 160 * 160
LATENTS_BYTES = 2 * 32 * 4


def settings(provider: str, by: str = "galaxy") -> Settings:
    return validate({"stamps": {"provider": provider}, "selection": {"sample_by": by}})


def of_the_paper() -> str:
    """The cost of the images of 250,000 galaxies, by provider."""
    ways = {
        "`frames`": settings("frames"),
        "`frames`, `sample_by: field`": settings("frames", "field"),
        "`legacy`": settings("legacy"),
        "`jpeg`": settings("jpeg"),
    }
    rows = [
        "| provider | files (one request each) | download size | "
        + " | ".join(f"hours at {line}" for line in LINES)
        + f" | hours for {JOBS} jobs at one request per second each | core hours to cut stamps | "
        "downloads on disk per job | stamps on disk |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, setting in ways.items():
        e = estimate(setting)
        polite = "–" if "frames" in name else f"{e.images / JOBS / 3600:.1f}"
        hours = " | ".join(f"{e.image_bytes / rate / 3600:,.1f}" for rate in LINES.values())
        rows.append(
            f"| {name} | {e.images:,.0f} | {human(e.image_bytes)} | {hours} | {polite} | "
            f"{e.cpu_hours:,.0f} | {human(e.disk_bytes)} | {human(e.stamp_bytes)} |"
        )
    return "\n".join(rows)


def of_a_billion() -> str:
    """The cost of 10^9 galaxies in all of SDSS's imaging."""
    frames = 3 * FIELDS_OF_IMAGING
    seconds = frames * FRAME_SECONDS + BILLION * STAMP_SECONDS
    years = BILLION / JOBS / 86400 / 365
    rows = [
        "| | `frames` | `legacy` | `jpeg` |",
        "|---|---|---|---|",
        f"| files (one request each) | {frames:,} | {BILLION:,} | {BILLION:,} |",
        f"| download size | {human(frames * FRAME_BYTES)} | {human(BILLION * 3 * PIXELS * 4)} | "
        f"{human(BILLION * PIXELS * JPEG_BYTES_OF_PIXEL)} |",
        f"| time | {frames * FRAME_BYTES / LINES['1 Gbit/s'] / 3600:,.0f} h at 1 Gbit/s | "
        f"{years:.1f} years for {JOBS} jobs at one request per second each | the same |",
        f"| core hours to cut stamps | {seconds / 3600:,.0f} | – | – |",
        f"| stamps, float16 or uint8 | {human(BILLION * 3 * PIXELS * 2)} | "
        f"{human(BILLION * 3 * PIXELS * 2)} | {human(BILLION * 3 * PIXELS)} |",
        f"| latents instead of stamps | {human(BILLION * LATENTS_BYTES)} | "
        f"{human(BILLION * LATENTS_BYTES)} | {human(BILLION * LATENTS_BYTES)} |",
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    print(of_the_paper(), of_a_billion(), describe(validate({})), sep="\n\n")
