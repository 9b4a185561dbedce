"""The spool: a batch is kept whole or not at all, whatever happens to the files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mgsflow.sample.provider import Cut
from mgsflow.sample.shards import Layout
from mgsflow.sample.spool import Spool

LAYOUT = Layout("frames", ("g", "r"), 16, 0.396, "float16")


def cuts(batch: int) -> list[Cut]:
    """Two stamps and a refusal, of numbers that tell which they are."""
    stamps = [np.full(LAYOUT.shape, 10 * batch + i, np.float16) for i in range(2)]
    return [
        Cut(1237648720693755918 + 10 * batch, stamps[0]),
        Cut(5 + 10 * batch, None, "there is no image"),
        Cut(6 + 10 * batch, stamps[1], masked=0.25),
    ]


def fill(folder, batches=3):
    with Spool(folder, LAYOUT) as spool:
        for batch in range(batches):
            spool.append(str(batch), cuts(batch))


def expect(folder, batches):
    """The spool, opened anew, holds these batches and nothing else."""
    with Spool(folder, LAYOUT) as spool:
        assert spool.done == [str(batch) for batch in range(batches)]
        wanted = [cut for batch in range(batches) for cut in cuts(batch)]
        assert spool.cuts == [cut._replace(stamp=None) for cut in wanted]
        assert [cut.objid for cut in spool.kept] == [c.objid for c in wanted if c.stamp is not None]
        stamps = list(spool.stamps())
        assert [stamp[0, 0, 0] for stamp in stamps] == [
            c.stamp[0, 0, 0] for c in wanted if c.stamp is not None
        ]
        assert all((stamp == stamp[0, 0, 0]).all() for stamp in stamps)


def test_what_was_appended_is_there_when_opened_again(tmp_path):
    fill(tmp_path)
    expect(tmp_path, 3)


def test_work_goes_on_behind_what_is_there(tmp_path):
    fill(tmp_path, 2)
    with Spool(tmp_path, LAYOUT) as spool:
        spool.append("2", cuts(2))
        assert len(list(spool.stamps())) == 6
    expect(tmp_path, 3)


def _cut_pixels(folder, length):
    path = folder / "pixels"
    path.write_bytes(path.read_bytes()[:length])


def _flip(folder):
    data = bytearray((folder / "pixels").read_bytes())
    data[-3] ^= 16
    (folder / "pixels").write_bytes(bytes(data))


def _journal(folder, change):
    path = folder / "journal.jsonl"
    path.write_bytes(change(path.read_bytes()))


STAMP = 2 * 16 * 16 * 2  # bytes
DAMAGES = {
    "pixels cut off": lambda f: _cut_pixels(f, 5 * STAMP + 7),
    "a bit of the pixels flipped": _flip,
    "the journal's last line cut off": lambda f: _journal(f, lambda text: text[:-9]),
    "only its line's end missing": lambda f: _journal(f, lambda text: text[:-1]),
    "a line of zeros, as after a crash": lambda f: _journal(
        f, lambda text: b"\n".join([*text.splitlines()[:2], b"\0" * 40])
    ),
    "a line that says something else": lambda f: _journal(
        f, lambda text: b"\n".join([*text.splitlines()[:2], json.dumps({"batch": 1}).encode(), b""])
    ),
    "pixels without a line": lambda f: _journal(
        f, lambda text: b"".join(text.splitlines(keepends=True)[:2])
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_batch_and_what_follows_is_done_again(tmp_path, damage):
    fill(tmp_path)
    DAMAGES[damage](tmp_path)
    expect(tmp_path, 2)
    with Spool(tmp_path, LAYOUT) as spool:
        spool.append("2", cuts(2))
    expect(tmp_path, 3)


def test_a_stamp_of_another_layout_is_refused(tmp_path):
    with Spool(tmp_path, LAYOUT) as spool, pytest.raises(ValueError, match="float32"):
        spool.append("0", [Cut(1, np.zeros(LAYOUT.shape, np.float32))])
    expect(tmp_path, 0)
