"""Whatever the services do, the sample is the same, to the bit."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from faults import FAULTS, SERVICES, SQL
from loopback import at_random, once
from PIL import Image
from pipeline import Run

from mgsflow.config import Stamps
from mgsflow.core.errors import UserError
from mgsflow.sky.reply import read_reply

PROVIDERS = ("frames", "legacy", "jpeg")
CASES = [(fault, service) for fault, one in FAULTS.items() for service in one.services]
HIT = {SQL: 3, "frames": 4, "legacy": 9, "jpeg": 9}  # number of the request that fails


def settings(provider: str, shards: int = 1) -> Stamps:
    return Stamps(provider=provider, size=64, shards=shards)


@pytest.fixture(scope="session")
def faultless(_small_server, _selected, tmp_path_factory) -> dict[str, object]:
    """What each service gives when nothing goes wrong."""
    _small_server.forget()
    results: dict[str, object] = {SQL: read_reply(_selected / "reply")}
    for provider in PROVIDERS:
        run = Run(tmp_path_factory.mktemp(provider), _small_server)
        for name in ("selected.parquet", "dropped-select.parquet"):
            (run.folder / name).write_bytes((_selected / name).read_bytes())
        assert len(run.stamps(settings(provider))) > 20
        results[provider] = run.digest()
    return results


def test_there_are_faults_enough():
    assert len(FAULTS) >= 30
    assert {service for _, service in CASES} == set(SERVICES)


@pytest.mark.parametrize("fault, service", CASES, ids=[f"{s}: {f}" for f, s in CASES])
def test_a_fault_changes_nothing(server, run, faultless, fault, service):
    server.plan = once(fault, service, HIT[service])
    if service == SQL:
        run.query()
        assert read_reply(run.folder / "reply").equals(faultless[SQL])
    else:
        run.stamps(settings(service))
        assert run.digest() == faultless[service]
    assert [request.fault for request in server.asked(service)].count(fault) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_all_faults_at_random_change_nothing(server, tmp_path, faultless, provider):
    """One request in five fails, whatever is asked: from the query to the last stamp, six times."""
    met = []
    for seed in range(6):
        server.forget()
        server.plan = at_random(0.2, seed)
        run = Run(tmp_path / str(seed), server)
        run.query()
        assert read_reply(run.folder / "reply").equals(faultless[SQL])
        run.select()
        run.stamps(settings(provider))
        assert run.digest() == faultless[provider]
        met += [request.fault for request in server.requests if request.fault]
    assert len(met) >= 20 and len(set(met)) >= 10


def test_nothing_is_left_behind(server, run):
    server.plan = at_random(0.2, 5)
    run.stamps(settings("frames"))
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "dropped-000.parquet",
        "dropped-select.parquet",
        "partial",
        "selected.parquet",
        "shard-000.h5",
    ]
    assert not any((run.folder / "partial").rglob("*.*"))


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_the_stamps_do_not_depend_on_the_shards(server, run, faultless, shards):
    whole = run.stamps(settings("frames"))
    expected = dict(zip(whole.objid.tolist(), map(bytes, whole.stamps), strict=True))
    found = {}
    for shard in range(shards):
        part = run.stamps(settings("frames", shards), shard)
        found |= dict(zip(part.objid.tolist(), map(bytes, part.stamps), strict=True))
    assert found == expected


def whole_frames(server) -> list[str]:
    """The frames that were served."""
    return [r.path for r in server.asked("frames") if r.status == 200 and "frame-" in r.path]


def test_each_frame_is_asked_for_once_and_kept_only_if_asked(server, run):
    run.stamps(settings("frames"))
    paths = whole_frames(server)
    assert len(paths) == len(set(paths)) == 9
    assert not (run.folder / "downloads").exists()

    keeping = server.network(keep_downloads=True)
    run.stamps(settings("frames"), network=keeping)
    kept = sorted((run.folder / "downloads").rglob("frame-*.fits.bz2"))
    assert len(kept) == 9
    server.forget()
    run.stamps(settings("frames"), network=keeping)
    assert not whole_frames(server)


def test_a_damaged_file_among_the_kept_is_fetched_again(server, run, faultless):
    keeping = server.network(keep_downloads=True)
    run.stamps(settings("frames"), network=keeping)
    kept = sorted((run.folder / "downloads").rglob("frame-*.fits.bz2"))
    kept[2].write_bytes(kept[2].read_bytes()[:5000])
    kept[5].write_bytes(b"")
    server.forget()
    run.stamps(settings("frames"), network=keeping)
    assert len(whole_frames(server)) == 2
    assert run.digest() == faultless["frames"]


def test_what_is_not_there_is_dropped_with_its_reason(server, run, small_sky):
    run_, camcol, field = small_sky.fields[1]
    small_sky.missing.add(f"frame-r-{run_:06d}-{camcol}-{field:04d}")
    shard = run.stamps(settings("frames"))
    entries, totals = run.account()
    assert set(entries["reason"]) == {"its field has no frame in band r"}
    assert 0 < len(entries) < totals["came"]
    # a neighbour whose frame is missing masks what it would have held
    assert (shard.masked > 0).any()


def test_a_field_that_is_missing_does_not_stop_the_first_shard(server, run, small_sky):
    run_, camcol, field = small_sky.fields[0]
    small_sky.missing.add(f"-{run_:06d}-{camcol}-{field:04d}")
    run.stamps(settings("frames", 3), 0)
    entries, totals = run.account()
    assert len(entries) == totals["came"] > 0
    assert any(request.path.endswith("/301/") for request in server.requests)


@pytest.mark.parametrize("provider", ["legacy", "jpeg"])
def test_a_cutout_that_is_not_there_is_dropped(server, run, small_sky, provider):
    galaxy = next(run.table.itertuples())
    small_sky.missing.add(f"ra={galaxy.ra:.7f}")
    run.stamps(settings(provider))
    entries, _ = run.account()
    assert entries["objid"].tolist() == [galaxy.objid]
    assert entries["reason"].tolist() == ["the cutout service has no image there"]


def test_the_folder_of_a_run_may_have_any_name(server, run, tmp_path: Path, faultless):
    spaced = tmp_path / "two words, 100%"
    spaced.mkdir()
    for name in ("selected.parquet", "dropped-select.parquet"):
        (spaced / name).write_bytes((run.folder / name).read_bytes())
    moved = Run(spaced, server)
    moved.stamps(settings("frames"))
    assert moved.digest() == faultless["frames"]


def test_the_page_of_services_lists_every_fault(repository):
    page = (repository / "docs/services.md").read_text()
    for fault, one in FAULTS.items():
        where = "all" if one.services == SERVICES else ", ".join(one.services)
        assert f"| {fault} | {where} |" in page
    assert f"{len(CASES)} cases" in page


def test_kept_cutouts_of_another_size_or_scale_are_not_taken(server, run):
    keeping = server.network(keep_downloads=True)
    run.stamps(settings("jpeg"), network=keeping)
    for others in ({"size": 80}, {"size": 64, "pixel_scale": 0.5}):
        server.forget()
        changed = Stamps(provider="jpeg", shards=1, **others)
        shard = run.stamps(changed, network=keeping)
        assert len(server.asked("jpeg")) >= len(shard) > 20
    server.forget()
    run.stamps(settings("jpeg"), network=keeping)
    assert not server.requests


@pytest.mark.parametrize("provider", ["legacy", "jpeg"])
def test_kept_cutouts_are_taken_for_their_own_place_only(server, run, faultless, provider):
    """Rows that were numbered anew have the objids of others, and another place."""
    keeping = server.network(keep_downloads=True)
    run.stamps(settings(provider), network=keeping)
    table = run.table
    places = table[["ra", "dec"]].to_numpy()[::-1]
    table.assign(ra=places[:, 0], dec=places[:, 1]).to_parquet(run.folder / "selected.parquet")
    server.forget()
    run.stamps(settings(provider), network=keeping)
    assert len(server.asked(provider)) >= len(table) - 1


@pytest.mark.parametrize("provider", ["legacy", "jpeg"])
def test_kept_cutouts_that_were_half_written_are_fetched_again(server, run, faultless, provider):
    keeping = server.network(keep_downloads=True)
    run.stamps(settings(provider), network=keeping)
    files = [path for path in (run.folder / "downloads").rglob("*.*") if path.suffix != ".sha256"]
    for path in files[:3]:  # a hole, as file systems leave after a crash
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    files[3].with_name(files[3].name + ".sha256").unlink()
    server.forget()
    run.stamps(settings(provider), network=keeping)
    assert len({request.path for request in server.asked(provider)}) == 4
    assert run.digest() == faultless[provider]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_server_that_loses_everything_stops_the_job(server, run, faultless, provider):
    """404 for all from some request on, as a volume gives that is not mounted."""
    alone = server.network(downloads=1)
    left = [7]

    def unmount(request) -> None:
        left[0] -= 1
        if left[0] == 0:
            server.sdss.missing.add("/")

    server.on_request = unmount
    with pytest.raises(UserError, match="no such folder|404 to a request that succeeded before"):
        run.stamps(settings(provider), network=alone, threads=1)
    server.forget()
    server.sdss.missing.clear()
    run.stamps(settings(provider))
    assert run.digest() == faultless[provider]


def test_the_tile_outside_the_footprint_is_no_stamp(server, run, monkeypatch):
    """SkyServer draws words on black, with status 200."""
    picture = Image.new("RGB", (64, 64))
    picture.paste((90, 200, 90), (8, 28, 56, 34))
    stream = io.BytesIO()
    picture.save(stream, "JPEG")
    galaxy = next(run.table.itertuples())
    answer = server.true_answer

    def outside(path: str):
        service, status, body = answer(path)
        return service, status, stream.getvalue() if f"ra={galaxy.ra:.7f}" in path else body

    monkeypatch.setattr(server, "true_answer", outside)
    run.stamps(settings("jpeg"))
    entries, _ = run.account()
    assert entries["objid"].tolist() == [galaxy.objid]
