"""A job that is killed loses nothing that was complete, and asks for none of it again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pipeline import SELECTION, Run

from mgsflow.config import Catalogue, Stamps
from mgsflow.sky.reply import read_reply

PROVIDERS = ("frames", "legacy", "jpeg")
EARLIEST = {"frames": 10, "legacy": 20, "jpeg": 20}  # requests before a kill, of some 30 and 60


def settings(provider: str) -> Stamps:
    return Stamps(provider=provider, size=64, shards=1)


def start(*arguments: str | Path) -> subprocess.Popen:
    """The product's command, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mgsflow.cli", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
    )


def stamps_command(run: Run, provider: str) -> list[str | Path]:
    sections = {
        "--stamps": settings(provider),
        "--sdss": run.server.settings(),
        # one thing at a time, so that some batches are done when others are not begun
        "--network": run.server.network(downloads=1),
        "--catalogue": Catalogue(),
    }
    named = [part for key, section in sections.items() for part in (key, section.model_dump_json())]
    paths = {
        "--selected": run.folder / "selected.parquet",
        "--partial": run.folder / "partial/stamps-0",
        "--downloads": run.folder / "downloads",
        "--out": run.shard(0),
        "--dropped": run.dropped(0),
    }
    named += [part for pair in paths.items() for part in pair]
    return ["stamps", "--shard", "0", "--sky", "sdss", *named, "--threads", "1"]


def query_command(run: Run) -> list[str | Path]:
    named = {
        "--sdss": run.server.settings().model_dump_json(),
        "--network": run.server.network().model_dump_json(),
        "--selection": SELECTION.model_dump_json(),
        "--partial": run.folder / "partial/query",
        "--out": run.folder / "reply",
    }
    return ["query-sdss", *(part for pair in named.items() for part in pair)]


def kill_at(server, process: subprocess.Popen, number: int) -> int:
    """Kill -9 when the `number`-th request from now arrives. Returns the exit code."""
    left = [number]

    def count(_) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(process.pid, signal.SIGKILL)

    server.on_request = count
    process.communicate(timeout=60)
    server.on_request = lambda request: None
    return process.returncode


def complete(run: Run) -> set[str]:
    """What was complete on disk: the names of files, and of fields and galaxies in the journal."""
    partial = run.folder / "partial/stamps-0"
    files = {path.name for path in (partial / "downloads").rglob("*") if path.is_file()}
    for journal in partial.glob("*/journal.jsonl"):
        for line in journal.read_text().splitlines():
            entry = json.loads(line)
            files |= {str(cut[0]) for cut in entry["cuts"]} | {f"field-{entry['batch']}"}
    return files


def is_among(path: str, done: set[str], run: Run) -> bool:
    """Whether a request is for something that was complete."""
    address = urlsplit(path)
    name = re.fullmatch(r"frame-[gri]-(\d+)-(\d)-(\d+)\.fits\.bz2", Path(address.path).name)
    if name:
        field = "-".join(str(int(part)) for part in name.groups())
        return name[0] in done or f"field-{field}" in done
    asked = parse_qs(address.query)
    if "ra" not in asked:  # the folder of frames, to see that it is there
        return False
    table = run.table
    near = (table["ra"] - float(asked["ra"][0])).abs() + (
        table["dec"] - float(asked["dec"][0])
    ).abs()
    objid = str(table["objid"][near.idxmin()])
    return any(name.split("-")[0] == objid for name in done)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_stamps_survive_kill_9_again_and_again(server, run, tmp_path_factory, provider):
    undisturbed = Run(tmp_path_factory.mktemp("undisturbed"), server)
    for name in ("selected.parquet", "dropped-select.parquet"):
        (undisturbed.folder / name).write_bytes((run.folder / name).read_bytes())
    undisturbed.stamps(settings(provider))

    kills, journaled, done = 0, 0, set()
    for attempt in range(30):
        server.forget()
        process = start(*stamps_command(run, provider))
        # a little later each time, so that the kill meets every phase of the work
        code = kill_at(server, process, EARLIEST[provider] + 4 * (attempt % 3))
        asked_again = [r.path for r in server.requests if is_among(r.path, done, run)]
        assert not asked_again
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert not run.shard(0).exists() and not run.dropped(0).exists()
        kills, done = kills + 1, complete(run)
        journaled += any(path.stat().st_size for path in run.folder.rglob("journal.jsonl"))
    assert code == 0 and kills >= 2 and journaled >= 1
    assert run.digest() == undisturbed.digest()
    assert not (run.folder / "partial/stamps-0").exists()


def test_the_query_survives_kill_9_again_and_again(server, run, tmp_path):
    Run(tmp_path / "undisturbed", server).query()
    chunks = run.folder / "partial/query"
    code, kills = None, 0
    while code != 0:
        server.forget()
        had = sorted(path.name for path in chunks.rglob("*.sha256"))
        code = kill_at(server, start(*query_command(run)), 3)
        asked = [parse_qs(urlsplit(request.path).query)["cmd"][0] for request in server.requests]
        # each reply comes twice without TLS: three requests are one chunk and a half
        assert len({sql for sql in asked if "TOP" in sql}) <= 2
        assert not (had and any("COUNT" in sql for sql in asked))
        assert code in (0, -signal.SIGKILL) and (code == 0) == (run.folder / "reply").exists()
        assert len(sorted(chunks.rglob("*.sha256"))) >= len(had)
        kills += code != 0
    assert 2 <= kills < 12
    found, expected = (
        read_reply(folder / "reply") for folder in (run.folder, tmp_path / "undisturbed")
    )
    assert found.equals(expected)


@pytest.mark.parametrize("end, code", [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_polite_end_leaves_what_is_complete(server, run, end, code):
    """Ctrl-C, and SLURM's signal before the time is up."""
    process, sent = start(*stamps_command(run, "frames")), []

    def interrupt(request) -> None:
        if len(server.requests) > 7 and not sent:  # every field has a frame by then
            sent.append(process.send_signal(end))

    server.on_request = interrupt
    _, error = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in error
    assert "interrupted" in error or end == signal.SIGTERM
    done = complete(run)
    assert done
    server.forget()
    assert start(*stamps_command(run, "frames")).wait(60) == 0
    assert not [r.path for r in server.requests if is_among(r.path, done, run)]
