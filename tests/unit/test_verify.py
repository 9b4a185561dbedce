"""Verification finds what is missing, altered or extra, and says so in words."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest

from mgsflow.archive.archive import archive
from mgsflow.archive.manifest import MANIFEST, format_manifest, is_safe, parse_manifest
from mgsflow.archive.verify import verify
from mgsflow.cli import main
from mgsflow.core.errors import UserError

TABLE = "results/tables/table1.csv"


@pytest.fixture(scope="module")
def original(tmp_path_factory, repository) -> Path:
    folder = tmp_path_factory.mktemp("original")
    root = folder / "results"
    (root / "tables").mkdir(parents=True)
    (root / "config.yaml").write_text("run: small\nsky: sdss\n")
    (root / "tables" / "table1.csv").write_text("method,r2\nflow,0.8\n")
    files = [root / "config.yaml", root / "tables" / "table1.csv"]
    out = folder / "small.crate.zip"
    archive(files=files, root=root, repository=repository, out=out)
    return out


@pytest.fixture
def packed(original, tmp_path) -> Path:
    return Path(shutil.copy(original, tmp_path))


@pytest.fixture
def unpacked(packed, tmp_path) -> Path:
    with zipfile.ZipFile(packed) as crate:
        crate.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def _repack(packed: Path, change: dict[str, bytes | None]) -> Path:
    """The archive with some of its files changed, added, or (None) removed."""
    with zipfile.ZipFile(packed) as crate:
        contents: dict[str, bytes | None] = {name: crate.read(name) for name in crate.namelist()}
    with zipfile.ZipFile(packed, "w") as crate:
        for name, data in (contents | change).items():
            if data is not None:
                crate.writestr(name, data)
    return packed


def test_an_archive_verifies_packed_and_unpacked(packed, unpacked, capsys):
    with zipfile.ZipFile(packed) as crate:
        count = len(crate.namelist()) - 1
        own = hashlib.sha256(crate.read(MANIFEST)).hexdigest()
    for path in (packed, unpacked):
        assert main(["verify", "--path", str(path)]) == 0
        printed = capsys.readouterr().out
        assert f"{count} files verified" in printed and own in printed


def test_an_archive_packed_again_by_another_tool_verifies(unpacked, tmp_path):
    verify(path=Path(shutil.make_archive(str(tmp_path / "again"), "zip", unpacked)))


CHANGES = [
    (TABLE, b"method,r2\nflow,0.9\n", f"altered: {TABLE}"),
    (TABLE, None, f"missing: {TABLE}"),
    ("results/more.csv", b"", "extra: results/more.csv"),
    ("ro-crate-metadata.json", b"{}", "altered: ro-crate-metadata.json"),
    ("README.md", b"", "altered: README.md"),
]


@pytest.mark.parametrize(("name", "data", "words"), CHANGES)
def test_a_changed_zip_is_found_out(packed, capsys, name, data, words):
    assert main(["verify", "--path", str(_repack(packed, {name: data}))]) == 2
    said = capsys.readouterr().err
    assert f"\n  {words}\n" in said
    assert sum(said.count(word) for word in ("altered:", "missing:", "extra:")) == 1


@pytest.mark.parametrize(("name", "data", "words"), CHANGES)
def test_a_changed_folder_is_found_out(unpacked, name, data, words):
    if data is None:
        (unpacked / name).unlink()
    else:
        (unpacked / name).write_bytes(data)
    with pytest.raises(UserError, match=f"\n  {words}\n"):
        verify(path=unpacked)


def test_every_fault_is_named(packed):
    changes = {name: data for name, data, _ in CHANGES if data is not None} | {TABLE: None}
    with pytest.raises(UserError) as error:
        verify(path=_repack(packed, changes))
    assert sum(line.startswith("  ") for line in str(error.value).splitlines()) == 4


def test_one_flipped_bit_is_found_and_its_file_named(packed):
    data = bytearray(packed.read_bytes())
    data[data.index(b"flow,0.8")] ^= 1
    packed.write_bytes(data)
    with pytest.raises(UserError, match=f"altered: {TABLE}"):
        verify(path=packed)


def test_flipped_bits_anywhere_are_never_passed_over_nor_a_crash(packed):
    """In the zip's own fields (names, sizes, offsets) as in the files."""
    good = packed.read_bytes()
    with zipfile.ZipFile(packed) as crate:
        directory = crate.start_dir
        info = crate.getinfo(TABLE)
    local = range(info.header_offset, info.header_offset + 30 + len(TABLE), 3)
    central = range(good.index(TABLE.encode(), directory) - 46, len(good), 997)
    for position in (*local, *central, good.index(TABLE.encode(), directory) - 26):
        data = bytearray(good)
        data[position] ^= 0xFF
        packed.write_bytes(data)
        try:
            verify(path=packed)
        except UserError:
            continue
        # a field that says nothing of the content, such as a time: the files are whole
        with zipfile.ZipFile(packed) as crate:
            assert crate.read(TABLE) == b"method,r2\nflow,0.8\n"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_truncated_zip_is_refused(packed, share):
    data = packed.read_bytes()
    packed.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"a damaged zip.*cut short"):
        verify(path=packed)


@pytest.mark.parametrize("data", [b"", b"SIMPLE  =                    T"])
def test_a_file_that_is_no_zip_is_refused(tmp_path, data):
    (tmp_path / "x.fits").write_bytes(data)
    with pytest.raises(UserError, match=r"x\.fits: not a zip"):
        verify(path=tmp_path / "x.fits")


def test_what_has_no_manifest_is_refused(packed, tmp_path):
    for path in (_repack(packed, {MANIFEST: None}), tmp_path):
        with pytest.raises(UserError, match=f"has no {MANIFEST} in its top folder"):
            verify(path=path)
    with pytest.raises(UserError, match="no such file or folder"):
        verify(path=tmp_path / "nothing")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "names no file"),
        (b"\xff\xfe", "not text in UTF-8"),
        (b"abc  x\n", "line 1: expected the SHA-256"),
        (b"0" * 64 + b"  x\n" + b"1" * 64 + b"  x\n", "line 2: expected"),
        (b"0" * 64 + b"  ../x\n", "leads out of the archive"),
        (b"0" * 64 + b"  /etc/passwd\n", "leads out of the archive"),
    ],
)
def test_a_broken_manifest_is_refused(packed, data, words):
    with pytest.raises(UserError, match=words):
        verify(path=_repack(packed, {MANIFEST: data}))


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:/evil", "a\\..\\evil"])
def test_a_name_that_leads_out_is_named_and_nothing_is_written(packed, tmp_path, name):
    with zipfile.ZipFile(packed, "a") as crate:
        crate.writestr(name, b"evil")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"extra: .*evil', an unsafe name"):
        verify(path=packed)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_that_is_there_twice_is_named(packed):
    with zipfile.ZipFile(packed, "a") as crate, pytest.warns(UserWarning, match="Duplicate"):
        crate.writestr(TABLE, crate.read(TABLE))
    with pytest.raises(UserError, match=f"extra: {TABLE}, which is there 2 times"):
        verify(path=packed)


def test_a_link_is_not_the_file_it_leads_to(unpacked, tmp_path):
    shutil.move(unpacked / TABLE, tmp_path / "table1.csv")
    (unpacked / TABLE).symlink_to(tmp_path / "table1.csv")
    (unpacked / "more").symlink_to(tmp_path)
    with pytest.raises(UserError, match="not a plain file") as error:
        verify(path=unpacked)
    assert "extra: more\n" in str(error.value)


def test_the_manifest_comes_back_from_its_text():
    digests = {"b c": "0" * 64, "a/β.csv": "f" * 64}
    assert parse_manifest(format_manifest(digests).encode(), "m") == digests


@pytest.mark.parametrize("name", ["", ".", "a//b", "./a", "a/", "a\nb", "\u202ea", ".."])
def test_unsafe_names(name):
    assert not is_safe(name)
