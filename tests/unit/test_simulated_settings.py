"""Settings that a simulated sky cannot have are refused in words; a seed gives the same bytes."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mgsflow import cli
from mgsflow.config import Simulated, Stamps, validate
from mgsflow.core.errors import UserError
from mgsflow.core.tables import read_table

NAN, INFINITE = float("nan"), float("inf")

# a wrong value, and what is said to be expected
WRONG = {
    "galaxies": {
        -1: "greater than or equal to 1",
        0: "greater than or equal to 1",
        1.5: "valid integer",
        10**9: "less than or equal to 2000000",
        "many": "valid integer",
        None: "valid integer",
    },
    "galaxies_per_field": {
        0: "greater than or equal to 1",
        -80: "greater than or equal to 1",
        151: "less than or equal to 150",
        10_000: "less than or equal to 150",
    },
    "redshift_min": {
        0.0: "greater than or equal to 0.001",
        -0.1: "greater than or equal to 0.001",
        1.0: "less than 1",
        NAN: "finite",
    },
    "redshift_max": {
        0.01: "greater than redshift_min, which is 0.01",
        0.005: "greater than redshift_min, which is 0.01",
        1.0: "less than 1",
        INFINITE: "finite",
    },
    "petro_mag_r_max": {
        30.0: "less than or equal to 20",
        -5.0: "greater than or equal to 5",
        NAN: "finite",
        INFINITE: "finite",
        "17,77": "valid number",
    },
    "contaminants": {
        1: "less than or equal to 0.5",
        0.999999: "less than or equal to 0.5",
        -0.01: "greater than or equal to 0",
        NAN: "finite",
    },
    "stamps": {"yes": "valid boolean", 1: "valid boolean"},
    "psf_fwhm": {
        0.0: "greater than or equal to 1.1",
        -1.3: "greater than or equal to 1.1",
        1.0: "greater than or equal to 1.1",
        30.0: "less than or equal to 3",
        NAN: "finite",
    },
}
CASES = [(key, value, words) for key, cases in WRONG.items() for value, words in cases.items()]


@pytest.fixture
def refusal(tmp_path, capsys):
    """What `mgsflow simulate-catalogue` says of settings, which it refuses and makes nothing of."""

    def ask(**settings):
        outputs = ["--out", str(tmp_path / "reply"), "--truth", str(tmp_path / "truth.parquet")]
        text = json.dumps(settings)
        start = time.monotonic()
        code = cli.main(["simulate-catalogue", *outputs, "--seed", "1", "--simulated", text])
        assert time.monotonic() - start < 15
        assert code == 2 and not list(tmp_path.iterdir())
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    return ask


@pytest.mark.parametrize(("key", "value", "words"), CASES)
def test_a_wrong_value_is_refused_in_words(refusal, key, value, words):
    """The key, what was expected, an advice in brackets, and the value."""
    said = refusal(**{"galaxies": 20, key: value})
    line = rf"{key}: Input should be .*{re.escape(words)}.* \(.+\), not {re.escape(repr(value))}\."
    assert re.search(line, said)
    with pytest.raises(UserError, match=rf"simulated\.{line}"):
        validate({"simulated": {key: value}}, "config.yaml")


def test_every_key_is_tried():
    assert set(WRONG) == set(Simulated.model_fields)


def test_wrong_values_are_named_together(refusal):
    said = refusal(galaxies=-1, psf_fwhm=0.0, galaxy=3)
    assert all(key in said for key in ("galaxies: ", "psf_fwhm: ", "galaxy: no such key"))


def test_a_default_that_does_not_fit_is_refused(refusal):
    said = refusal(redshift_min=0.4)
    assert "redshift_max: Input should be greater than redshift_min, which is 0.4" in said


def test_more_fields_than_there_are_are_refused(refusal):
    said = refusal(galaxies=300_000, galaxies_per_field=1)
    assert "galaxies_per_field: Input should be greater than or equal to 2" in said


@pytest.mark.parametrize(
    "limits",
    [
        {"petro_mag_r_max": 5.0},
        {"petro_mag_r_max": 10.0},  # one in a hundred thousand
        {"redshift_min": 0.29, "petro_mag_r_max": 16.0},
        {"redshift_min": 0.5, "redshift_max": 0.6},
    ],
)
def test_limits_that_hardly_a_galaxy_passes_are_refused(refusal, limits):
    said = refusal(**limits)
    limit = Simulated(**limits).petro_mag_r_max
    assert re.search(rf"of 420000 galaxies drawn with .* petro_mag_r_max = {limit:g}", said)
    assert "Raise petro_mag_r_max or lower redshift_min" in said


def run(*arguments):
    """A command in a process of its own, whose environment names no threads."""
    environment = {k: v for k, v in os.environ.items() if k not in cli.THREAD_VARIABLES}
    command = [sys.executable, "-m", "mgsflow.cli", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def make_sky(folder: Path, seed: int, threads: int) -> dict[str, bytes]:
    """All files of a small sky, made by the command line: reply, truth, frames."""
    folder.mkdir()
    settings = Simulated(galaxies=24, galaxies_per_field=12, contaminants=0.2).model_dump_json()
    reply, truth, frames = (folder / name for name in ("reply", "truth.parquet", "frames"))
    common = ["--simulated", settings, "--seed", seed, "--threads", threads]
    run("simulate-catalogue", "--out", reply, "--truth", truth, *common)
    objects = read_table(truth)
    # not one of the outputs compared
    selected = folder.parent / f"{folder.name}.parquet"
    objects[(objects["kind"] == "galaxy") & (objects["field"] == 11)].to_parquet(selected)
    stamps = ["--stamps", Stamps(bands=["g", "i"], shards=1, edge="mask").model_dump_json()]
    places = ["--selected", selected, "--truth", truth, "--shard", 0, "--out", frames]
    run("simulate-frames", *places, *stamps, *common)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.slow
def test_a_seed_gives_the_same_bytes_in_every_process_and_at_every_number_of_threads(tmp_path):
    first = make_sky(tmp_path / "first", seed=5, threads=1)
    assert len(first) == 4 and sum("frame-" in name for name in first) == 2
    assert make_sky(tmp_path / "again", seed=5, threads=2) == first
    other = make_sky(tmp_path / "other", seed=6, threads=1)
    assert other.keys() == first.keys()
    assert not [name for name in first if other[name] == first[name]]
