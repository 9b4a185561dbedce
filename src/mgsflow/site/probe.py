"""What a job sees on its node, as JSON.

    python -m mgsflow.site.probe OUT.json [SERVICE=URL ...]

It uses the standard library alone, since it runs in any environment; torch is tested where it is
installed. The output lies in the folder of the run's results: if it can be read on the login node,
the file system is shared.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from mgsflow import __version__
from mgsflow.core.job import job_record

SERVICE_SECONDS = 30
AGENT = f"mgsflow/{__version__} (doctor)"


def probe(services: Mapping[str, str]) -> dict[str, object]:
    """The job's record, its GPUs, the free space in its folder, and the services' answers."""
    record = job_record()
    record.pop("packages")
    return record | {
        "source": str(Path(__file__).resolve().parents[3]),
        "devices": sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*")),
        "driver": _driver(),
        "torch": _torch(),
        "processors": len(os.sched_getaffinity(0)),
        "free": shutil.disk_usage(".").free,
        "services": {name: ask_service(url) for name, url in services.items()},
    }


def _driver() -> dict[str, object]:
    """The GPUs according to nvidia-smi."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"gpus": [], "words": f"nvidia-smi: {error}"}
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        return {"gpus": [], "words": (done.stderr.strip() or "; ".join(lines))[:300]}
    return {"gpus": lines, "words": ""}


def _torch() -> dict[str, object] | None:
    """torch's build and whether it computes on the GPU; None if torch is not installed."""
    try:
        import torch
    except ImportError:
        return None
    record: dict[str, object] = {
        "version": torch.__version__,
        "cuda_build": torch.version.cuda,
        "available": torch.cuda.is_available(),
        "computes": False,
        "words": "",
    }
    if record["available"]:
        try:
            # the product fails on a GPU that this build does not support; the name would not
            square = torch.ones(64, 64, device="cuda")
            record["computes"] = float((square @ square)[0, 0]) == 64.0
            record["name"] = torch.cuda.get_device_name(0)
        except RuntimeError as error:
            record["words"] = str(error).splitlines()[0][:300]
    return record


def ask_service(url: str, seconds: float = SERVICE_SECONDS) -> dict[str, object]:
    """Send one small request. `status` is None if there was no answer."""
    started = time.monotonic()
    try:
        request = urllib.request.Request(url, headers={"User-Agent": AGENT})
        with urllib.request.urlopen(request, timeout=seconds) as reply:
            status, words = reply.status, reply.read(2000).decode("utf-8", errors="replace")
    except urllib.error.HTTPError as error:
        status, words = error.code, str(error.reason)
    except (OSError, ValueError) as error:
        status, words = None, str(getattr(error, "reason", error))
    return {
        "url": url.partition("?")[0],
        "status": status,
        "words": words[:300],
        "seconds": round(time.monotonic() - started, 2),
    }


def main(arguments: list[str]) -> None:
    out = Path(arguments[0])
    services = dict(argument.split("=", 1) for argument in arguments[1:])
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial")
    partial.write_text(json.dumps(probe(services)))
    with contextlib.suppress(FileNotFoundError):
        out.unlink()
    partial.rename(out)


if __name__ == "__main__":
    main(sys.argv[1:])
