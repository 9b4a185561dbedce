"""What a user may get wrong, and what a machine may: said in words, and nothing is lost."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline import SELECTION, Run
from test_killed import query_command, settings, stamps_command

from mgsflow.config import Sdss, Stamps, validate
from mgsflow.core.errors import UserError
from mgsflow.sky.query_sdss import query_sdss

MOUNT = 'mount -t tmpfs -o size={size} tmpfs "{folder}" && exec "$@"'


def ask(run: Run, **addresses) -> None:
    sdss = run.server.settings().model_copy(update=addresses)
    query_sdss(
        sdss=sdss,
        network=run.server.network(),
        selection=SELECTION,
        partial=run.folder / "partial/query",
        out=run.folder / "reply",
    )


def cut(run: Run, provider: str = "frames", **addresses) -> None:
    class Elsewhere:
        def __getattr__(self, name: str):
            return getattr(run.server, name)

        def settings(self) -> Sdss:
            return run.server.settings().model_copy(update=addresses)

    Run(run.folder, Elsewhere()).stamps(settings(provider))


@pytest.mark.parametrize("release", [7, 18, "seventeen"])
def test_an_unknown_release_is_refused(release):
    with pytest.raises(UserError, match=r"sdss\.data_release"):
        validate({"sdss": {"data_release": release}})


def test_a_server_without_the_release_is_named(server, run):
    server.sdss.missing.add("/dr9/")
    with pytest.raises(UserError, match=r"no SQL service for data release 9.*sdss\.skyserver_url"):
        ask(run, data_release=9)
    with pytest.raises(UserError, match=r"no frames of data release 9 at all.*sdss\.sas_url"):
        cut(run, data_release=9)
    assert not run.shard(0).exists()


@pytest.mark.parametrize("release", range(8, 18))
def test_every_release_is_asked_at_its_own_address(server, run, release):
    ask(run, data_release=release)
    cut(run, data_release=release)
    assert all(f"/dr{release}/" in request.path for request in server.requests)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://no.such.host.invalid", "sdss"])
def test_an_address_that_does_not_answer_is_named(server, run, address):
    with pytest.raises(UserError, match=rf"{address}.*Check sdss\.skyserver_url"):
        ask(run, skyserver_url=address)
    with pytest.raises(UserError, match=rf"{address}.*Check sdss\.sas_url"):
        cut(run, sas_url=address)
    for provider in ("legacy", "jpeg"):
        with pytest.raises(UserError, match=rf"{address}.*Check sdss\.{provider}_url"):
            cut(run, provider, **{f"{provider}_url": address})


@pytest.mark.parametrize("provider", ["legacy", "jpeg"])
def test_a_wrong_path_of_cutouts_does_not_drop_every_galaxy(server, run, provider):
    with pytest.raises(UserError, match=rf"not one image.*404.*sdss\.{provider}_url"):
        cut(run, provider, **{f"{provider}_url": f"{server.url}/elsewhere"})


def test_half_written_files_are_not_taken_for_complete(server, run, tmp_path):
    """As a crash may leave them: under the final name, but cut off or of another run."""
    undisturbed = Run(tmp_path / "undisturbed", server)
    shutil.copytree(run.folder, undisturbed.folder, ignore=shutil.ignore_patterns("undisturbed"))
    undisturbed.stamps(settings("frames"))

    process = subprocess.Popen(
        [sys.executable, "-m", "mgsflow.cli", *map(str, stamps_command(run, "frames"))]
    )
    server.on_request = lambda request: process.kill() if len(server.requests) > 7 else None
    process.wait()
    server.on_request = lambda request: None
    partial = run.folder / "partial/stamps-0"
    for path in (path for path in partial.rglob("*") if path.is_file()):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    run.stamps(settings("frames"))
    assert run.digest() == undisturbed.digest()


def test_what_was_begun_with_other_settings_is_not_taken(server, run):
    process = subprocess.Popen(
        [sys.executable, "-m", "mgsflow.cli", *map(str, stamps_command(run, "frames"))]
    )
    server.on_request = lambda request: process.kill() if len(server.requests) > 9 else None
    process.wait()
    server.on_request = lambda request: None
    larger = run.stamps(Stamps(provider="frames", size=96, shards=1))
    assert larger.stamps.shape[1:] == (3, 96, 96)
    table = run.table
    assert len(larger) == len(table)


def run_where_space_is_short(command: list, run: Run, size: str) -> subprocess.CompletedProcess:
    """The command with a small file system of its own below the run's folder."""
    script = MOUNT.format(size=size, folder=run.folder / "partial")
    (run.folder / "partial").mkdir(exist_ok=True)
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", "mgsflow.cli"]
        + [str(part) for part in command],
        text=True,
        capture_output=True,
    )


def _may_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    script = MOUNT.format(size="1m", folder=folder)
    return subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", "true"]).returncode == 0


@pytest.mark.parametrize("size", ["64k", "800k", "2m"])
@pytest.mark.parametrize("stage", ["query-sdss", "stamps"])
def test_a_full_disk_is_said_and_nothing_is_lost(server, run, tmp_path, stage, size):
    if not _may_mount(tmp_path):
        pytest.skip("mounting a small file system needs root's rights and unshare")
    command = {"query-sdss": query_command(run), "stamps": stamps_command(run, "frames")}[stage]
    done = run_where_space_is_short(command, run, size if stage == "stamps" else "4k")
    assert done.returncode == 2, done.stderr
    assert "the disk is full" in done.stderr and "Traceback" not in done.stderr
    assert "partial" in done.stderr and "MB free" in done.stderr
    assert not run.shard(0).exists() and not (run.folder / "reply").exists()
    with_room = [sys.executable, "-m", "mgsflow.cli", *map(str, command)]
    assert subprocess.run(with_room, capture_output=True).returncode == 0


@pytest.mark.parametrize("kilobytes", [1, 100, 400])
def test_a_limit_of_file_size_is_said(server, run, kilobytes):
    """The shard itself, the spool or a frame is the file that cannot be written."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kilobytes,) * 2)

    done = subprocess.run(
        [sys.executable, "-m", "mgsflow.cli", *map(str, stamps_command(run, "frames"))],
        preexec_fn=limit,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 2, done.stderr
    assert "limit of file size" in done.stderr and "Traceback" not in done.stderr
    assert not run.shard(0).exists()
    run.stamps(settings("frames"))
    assert run.shard(0).exists()
