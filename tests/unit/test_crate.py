"""The archive of a run: what it holds, and that equal runs give equal bytes."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from mgsflow.archive.archive import archive
from mgsflow.archive.manifest import MANIFEST
from mgsflow.archive.metadata import METADATA
from mgsflow.archive.source import pins, source_files
from mgsflow.config.write import config_text
from mgsflow.core.errors import UserError
from mgsflow.core.files import sha256

RESULTS = {
    "config.yaml": config_text().encode(),
    "report.html": b"<html></html>",
    "tables/table1.csv": b"method,r2\nflow,0.8\n",
    "tables/scores.md": b"| a |\n",
    "figures/figure2a.pdf": b"%PDF-1.4",
    "flows/property/photometry-observed/model.safetensors": bytes(range(256)),
    "posteriors/photometry-observed.h5": b"\x89HDF\r\n\x1a\n",
    "posteriors/photometry-observed.fits": b"SIMPLE  =",
    "stamps/shard-000.h5": b"\x89HDF\r\n\x1a\n1",
    "tables/a name with spaces, 100% β.csv": b"",
}


@pytest.fixture
def results(tmp_path) -> Path:
    root = tmp_path / "results" / "small"
    for name, data in RESULTS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def _files(root: Path) -> list[Path]:
    return [root / name for name in RESULTS]


def _pack(root: Path, repository: Path, out: Path, files: list[Path] | None = None) -> Path:
    archive(files=files or _files(root), root=root, repository=repository, out=out)
    return out


@pytest.fixture
def packed(results, repository, tmp_path) -> Path:
    return _pack(results, repository, tmp_path / "small.crate.zip")


@pytest.fixture
def unpacked(packed, tmp_path) -> Path:
    with zipfile.ZipFile(packed) as crate:
        crate.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def test_equal_runs_give_equal_bytes(packed, results, repository, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "small"
    shutil.copytree(results, elsewhere)
    for path in elsewhere.rglob("*"):
        os.utime(path, (1e9, 1e9))
    again = tmp_path / "again.zip"
    reverse = [*reversed(_files(elsewhere)), elsewhere / "config.yaml"]
    archive(files=reverse, root=elsewhere, repository=repository, out=again)
    assert again.read_bytes() == packed.read_bytes()


def test_another_process_gives_the_same_bytes(packed, results, repository, tmp_path):
    again = tmp_path / "again.zip"
    options = {"--root": results, "--repository": repository, "--out": again}
    command = [sys.executable, "-m", "mgsflow.cli", "archive", "--files", *_files(results)]
    command += [str(part) for pair in options.items() for part in pair]
    environment = os.environ | {
        "PYTHONPATH": str(repository / "src"),
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Tokyo",
    }
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert again.read_bytes() == packed.read_bytes()


def test_results_and_source_come_back_byte_for_byte(unpacked, repository):
    for name, data in RESULTS.items():
        assert (unpacked / "results" / name).read_bytes() == data
    for name in ("Snakefile", "src/mgsflow/cli.py", "envs/train.lock", "LICENSE", "README.md"):
        assert (unpacked / "source" / name).read_bytes() == (repository / name).read_bytes()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sha256sum_verifies_it(unpacked):
    run = ["sha256sum", "--check", "--strict", MANIFEST]
    done = subprocess.run(run, cwd=unpacked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = [path for path in unpacked.rglob("*") if path.is_file()]
    assert done.stdout.count(": OK") == len(files) - 1  # all but the manifest itself


def test_programs_stay_programs(packed):
    with zipfile.ZipFile(packed) as crate:
        modes = {info.filename: info.external_attr >> 16 for info in crate.infolist()}
    assert modes["source/envs/mgsflow"] == stat.S_IFREG | 0o755
    assert modes["source/Snakefile"] == modes[METADATA] == stat.S_IFREG | 0o644


def test_the_metadata_describe_every_file(unpacked):
    crate = ROCrate(unpacked)
    described = {entity.source: entity for entity in crate.data_entities}
    files = {path for path in unpacked.rglob("*") if path.is_file()}
    assert set(described) == files - {unpacked / METADATA}
    for path in files - {unpacked / METADATA, unpacked / MANIFEST}:
        assert described[path]["sha256"] == sha256(path)
        assert described[path]["contentSize"] == str(path.stat().st_size)
        assert described[path]["encodingFormat"]


def test_the_metadata_say_what_the_run_was(unpacked, repository):
    crate = ROCrate(unpacked)
    assert crate.version == "1.1"
    assert crate.license.id == "https://spdx.org/licenses/MIT"
    assert "paper" in crate.name and "SDSS Main Galaxy Sample" in crate.description
    assert (
        crate.get("results/tables/table1.csv")["name"]
        == "Table 1. Accuracy by method and quantity (csv)"
    )
    figure = crate.get("results/figures/figure2a.pdf")
    assert figure["name"] == "Figure 2a. Properties, predicted against true (pdf)"
    (action,) = crate.get_by_type("CreateAction")
    assert crate.root_dataset["mentions"] == [action]
    assert action["instrument"] is crate.mainEntity
    assert crate.mainEntity.id == "source/Snakefile"
    assert action["object"] == [crate.get("results/config.yaml")]
    assert len(action["result"]) == len(RESULTS) - 1
    versions = {(s["name"], s["softwareVersion"]) for s in crate.get_by_type("SoftwareApplication")}
    assert ("torch", pins(repository)["train"]["torch"]) in versions
    assert (
        crate.mainEntity["programmingLanguage"]["version"]
        == pins(repository)["workflow"]["snakemake"]
    )


def test_every_reference_leads_to_an_entity(unpacked):
    document = json.loads((unpacked / METADATA).read_text(encoding="utf-8"))
    entities = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(entities) == len(document["@graph"])
    for entity in entities.values():
        for value in (v for vs in entity.values() for v in (vs if isinstance(vs, list) else [vs])):
            if isinstance(value, dict) and not value["@id"].startswith(("http", "https")):
                assert value["@id"] in entities


def test_a_simulated_sky_is_called_simulated(results, repository, tmp_path):
    text = (
        config_text().replace("\nsky: sdss\n", "\nsky: simulated\n").replace("run: paper", "run: d")
    )
    (results / "config.yaml").write_text(text)
    crate = ROCrate(_pack(results, repository, tmp_path / "d.crate.zip"))
    assert "simulated sky" in crate.description
    assert "simulated sky" in (Path(crate.source) / "README.md").read_text(encoding="utf-8")


def _names(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as crate:
        return set(crate.namelist())


def test_the_readme_names_the_draws_and_stamps_that_are_not_held(results, repository, tmp_path):
    held = [path for path in _files(results) if path.suffix != ".h5"]
    out = _pack(results, repository, tmp_path / "x.zip", held)
    left_out = {"results/posteriors/photometry-observed.h5", "results/stamps/shard-000.h5"}
    assert {f"results/{name}" for name in RESULTS} - _names(out) == left_out
    with zipfile.ZipFile(out) as crate:
        assert "Not held: the posterior draws and the stamps" in crate.read("README.md").decode()


def test_caches_hidden_files_and_images_are_not_source(repository, tmp_path):
    for name in source_files(repository):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, tmp_path / name)
    before = source_files(tmp_path)
    for name in (
        "src/mgsflow/__pycache__/cli.cpython-311.pyc",
        "src/mgsflow.egg-info/PKG-INFO",
        "config/.swp",
        "envs/images/train.sif",
        "profiles/ours/config.yaml",
        ".snakemake/log",
        "results/demo/report.html",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert source_files(tmp_path) == before == source_files(repository)
    assert Path("envs/train.lock") in before and Path("src/mgsflow/archive/archive.py") in before


@pytest.mark.parametrize("there", [True, False])
def test_a_link_to_where_the_images_lie_is_not_source(repository, tmp_path, there):
    """Inside a container its target may be out of sight, and the link then is no folder."""
    checkout, disk = tmp_path / "checkout", tmp_path / "disk"
    for name in source_files(repository):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, checkout / name)
    (checkout / "envs/images").symlink_to(disk)
    if there:
        disk.mkdir()
        (disk / "train.sif").touch()
    assert source_files(checkout) == source_files(repository)


def test_a_repository_without_a_part_is_refused(results, tmp_path):
    (tmp_path / "Snakefile").touch()
    with pytest.raises(UserError, match=r"has no config.yaml, config, workflow.*Makefile"):
        _pack(results, tmp_path, tmp_path / "x.zip")


def test_files_outside_the_run_are_refused(results, repository, tmp_path):
    outside = tmp_path / "secret.csv"
    outside.touch()
    for path in (outside, results / ".." / ".." / "secret.csv"):
        with pytest.raises(UserError, match="does not lie in --root"):
            archive(
                files=[results / "config.yaml", path],
                root=results,
                repository=repository,
                out=tmp_path / "x.zip",
            )
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("tables/table2.csv", None, "table2.csv is not a file"),
        ("tables", None, "is not a file"),
        ("tables/back\\slash.csv", "", "backslash"),
        ("config.yaml", "run: [", "cannot be read as YAML"),
        ("config.yaml", "just text", "not a run's settings"),
    ],
)
def test_wrong_files_are_named(results, repository, tmp_path, name, text, words):
    if text is not None:
        (results / name).write_text(text)
    with pytest.raises(UserError, match=words):
        archive(
            files=[results / "config.yaml", results / name],
            root=results,
            repository=repository,
            out=tmp_path / "x.zip",
        )


def test_a_run_without_its_settings_is_refused(results, repository, tmp_path):
    with pytest.raises(UserError, match="is not among them"):
        archive(
            files=[results / "report.html"],
            root=results,
            repository=repository,
            out=tmp_path / "x.zip",
        )


def test_a_linked_folder_of_results_is_packed(packed, results, repository, tmp_path):
    shutil.move(results / "stamps", tmp_path / "scratch")
    (results / "stamps").symlink_to(tmp_path / "scratch")
    again = _pack(results, repository, tmp_path / "again.zip")
    assert again.read_bytes() == packed.read_bytes()
