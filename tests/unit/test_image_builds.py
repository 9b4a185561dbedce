"""Building images: what is built again and what is not, pip's settings, and the image's own test.

Apptainer is a program of a few lines here; tests/cluster builds and runs real images.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from mgsflow.core.errors import UserError
from mgsflow.site.containers import check

REPOSITORY = Path(__file__).resolve().parents[2]
ENVS = REPOSITORY / "envs"

# The last two words of a build are the image and its definition.
APPTAINER = """\
#!/usr/bin/env bash
echo "$*" >>"$CALLS"
new=${*: -2:1} definition=${*: -1}
sleep "${TAKES:-0}"
[[ $definition != *"${HOLD:-nothing}".def ]] || while [ -e "$HELD" ]; do sleep 0.05; done
[ -z "${FAIL:-}" ] || { echo "the test of the image failed"; echo half >"$new"; exit 1; }
case $definition in *base.def) mkdir "$new" ;; *) cat "$definition" - <<<"$RANDOM" >"$new" ;; esac
"""


def module(name: str):
    """A script of envs/, imported."""
    spec = importlib.util.spec_from_file_location(name, ENVS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


class Site:
    """A checkout's envs/ and a machine with Apptainer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.envs = folder / "envs"
        self.images = self.envs / "images"
        self.calls = folder / "calls"
        shutil.copytree(ENVS, self.envs, ignore=shutil.ignore_patterns("images*.lock", "images"))
        program = folder / "bin/apptainer"
        program.parent.mkdir()
        program.write_text(APPTAINER)
        program.chmod(0o755)

    def build(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """Run images.sh. Afterwards `self.calls` has what Apptainer was asked for."""
        self.calls.unlink(missing_ok=True)
        process = self.start(*arguments, **variables)
        out, error = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen:
        """Start images.sh."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.Popen(
            [self.envs / "images.sh", *arguments],
            env=os.environ | {"PATH": path, "CALLS": str(self.calls)} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def built(self) -> list[str]:
        """The definitions of the last call, in order."""
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [Path(call.split()[-1]).stem for call in calls]


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path)


def test_images_are_built_once_and_pass_the_check_of_a_run(site):
    done = site.build("data", "report")
    assert done.returncode == 0, done.stderr
    assert site.built() == ["data", "report"]
    check(site.envs, ["data", "report"])
    again = site.build("data", "report")
    assert site.built() == [] and again.stdout.count("unchanged") == 2


def test_the_train_image_is_built_from_the_lock_of_cuda_too(site):
    site.build("data", "train")
    with (site.envs / "cuda.lock").open("a") as out:
        out.write("# changed\n")
    with pytest.raises(UserError, match=r"train\.sif: built from another cuda\.lock"):
        check(site.envs, ["data", "train"])
    site.build("data", "train")
    assert site.built() == ["train"]


def test_the_test_of_an_image_is_no_part_of_it(site):
    site.build("data")
    with (site.envs / "check.py").open("a") as out:
        out.write("# changed\n")
    site.build("data")
    assert site.built() == []


@pytest.mark.parametrize("file", ["data.lock", "data.def", "install.sh", "mgsflow"])
def test_a_changed_input_builds_again_what_it_concerns(site, file):
    site.build("data", "report")
    with (site.envs / file).open("a") as out:
        out.write("# changed\n")
    site.build("data", "report")
    assert site.built() == (["data"] if file.startswith("data") else ["data", "report"])
    check(site.envs, ["data", "report"])


@pytest.mark.slow
def test_a_replaced_image_other_flags_and_force_build_again(site):
    site.build("data", "report")
    (site.images / "data.sif").write_text("something else")
    site.build("data", "report")
    assert site.built() == ["data"]
    site.build("data", PIP_FLAGS="--extra-index-url=https://example.org/cpu")
    assert site.built() == ["data"]
    site.build("data", PIP_FLAGS="--extra-index-url=https://example.org/cpu")
    assert site.built() == []
    site.build("--force", "report")
    assert site.built() == ["report"]
    check(site.envs, ["data", "report"])


def test_by_default_the_images_that_every_run_needs(site):
    assert site.build().returncode == 0
    assert site.built() == ["data", "train", "report"]


def test_a_failed_build_leaves_what_there_was(site):
    site.build("data")
    before = (site.images / "data.sif").read_bytes(), (site.envs / "images.lock").read_text()
    done = site.build("--force", "data", FAIL="yes")
    assert done.returncode == 2
    assert "the test of the image failed" in done.stderr and "data.log" in done.stderr
    assert (
        (site.images / "data.sif").read_bytes(),
        (site.envs / "images.lock").read_text(),
    ) == before
    assert {path.name for path in site.images.glob("*.sif")} == {"data.sif"}
    assert not list(site.images.glob(".*.sif"))


@pytest.mark.slow
def test_from_debian_all_images_share_one_base(site):
    done = site.build("data", "report", BASE="debian")
    assert done.returncode == 0, done.stderr
    assert site.built() == ["base", "data", "report"]
    last = site.calls.read_text().splitlines()[-1]
    assert "bootstrap=localimage" in last and "from=envs/images/.base" in last
    check(site.envs, ["data", "report"])
    site.build("data", BASE="debian")
    assert site.built() == []
    site.build("data")
    assert site.built() == ["data"], "another base is another image"
    with (site.envs / "base.def").open("a") as out:
        out.write("# changed\n")
    site.build("report", BASE="debian")
    assert site.built() == ["base", "report"]


def test_images_can_be_built_at_once_from_one_base(site):
    names = ["data", "report", "train"]
    builds = [site.start(name, BASE="debian", TAKES="1") for name in names]
    assert [build.wait() for build in builds] == [0, 0, 0]
    assert sorted(site.built()) == ["base", *names]
    check(site.envs, names)


def test_a_base_is_not_replaced_while_an_image_is_built_from_it(site):
    hold = site.folder / "hold"
    hold.touch()
    first = site.start("data", BASE="debian", HOLD="data", HELD=str(hold))
    while "data" not in site.built():
        assert first.poll() is None
        time.sleep(0.05)
    (site.envs / "base.def").write_text("changed\n")
    second = site.start("train", BASE="debian")
    said = second.stderr.readline()
    hold.unlink()
    assert "waiting for another build of the base, or from it" in said
    assert [first.wait(), second.wait()] == [0, 0]
    assert site.built() == ["base", "data", "base", "train"]


def test_two_calls_build_an_image_once(site):
    calls = [site.start("data", TAKES="1") for _ in range(3)]
    assert [call.wait() for call in calls] == [0, 0, 0]
    assert site.built() == ["data"]
    check(site.envs, ["data"])


def test_a_changed_base_makes_an_image_of_it_stale(site):
    site.build("data", BASE="debian")
    (site.envs / "base.def").write_text("changed\n")
    with pytest.raises(UserError, match=r"another base\.def"):
        check(site.envs, ["data"])


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (("nothing",), {}, "no envs/nothing.def"),
        (("workflow",), {}, "no envs/workflow.def"),
        ((), {"BASE": "alpine"}, "BASE=alpine"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is(site, arguments, variables, words):
    done = site.build(*arguments, **variables)
    assert done.returncode == 2 and words in done.stderr
    assert site.built() == [] and not (site.envs / "images.lock").exists()


def test_without_apptainer_nothing_is_built(site):
    few = site.folder / "few"
    few.mkdir()
    for program in ("bash", "dirname"):
        (few / program).symlink_to(shutil.which(program))
    done = site.build(PATH=str(few))
    assert done.returncode == 2 and "apptainer is not on PATH" in done.stderr


def test_pip_has_this_machines_settings_inside(tmp_path, monkeypatch):
    machine, inside = tmp_path / "machine", tmp_path / "inside"
    (machine / "index/simple").mkdir(parents=True)
    (machine / "wheels").mkdir()
    (machine / "ca.crt").write_text("certificates")
    inside.mkdir()
    configuration = machine / "pip.conf"
    configuration.write_text(
        f"[global]\ntimeout = 7\nextra-index-url = file://{machine}/index/simple https://other\n"
        f"cache-dir = {machine}\n[install]\nno-compile = true\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("PIP_FIND_LINKS", str(machine / "wheels"))
    monkeypatch.setenv("PIP_CERT", str(machine / "ca.crt"))
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    module("pip_settings").write(inside)
    binds = dict(line.split(":") for line in (inside / "binds").read_text().splitlines())
    settings = (inside / "pip.conf").read_text()
    at = {Path(source).name: target for source, target in binds.items()}
    assert at.keys() >= {"index", "wheels", "ca.crt"}, "the index's folder, for the files beside it"
    assert f"extra-index-url = file://{at['index']}/simple https://other\n" in settings
    assert f"find-links = {at['wheels']}\n" in settings and f"cert = {at['ca.crt']}\n" in settings
    assert "timeout = 9\n" in settings and "timeout = 7" not in settings, "variables come first"
    assert "[install]\nno-compile = true\n" in settings and "cache-dir" not in settings
    assert str(machine) not in settings, "no path of the machine has a meaning inside"
    assert (inside / Path(at["wheels"]).name).is_dir() and (
        inside / Path(at["ca.crt"]).name
    ).exists()


LOCKED = {"numpy": "2.4.6", "torch": "2.13.0"}
CUDA = {"triton": "3.7.1", "nvidia-nvjitlink": "13.5.37"}


def test_an_image_is_its_lock_to_the_last_package():
    differences = module("check").differences
    assert differences(LOCKED, {}, dict(LOCKED)) == []
    assert differences(LOCKED, {}, LOCKED | {"numpy": "2.4.5"}) == [
        "numpy: 2.4.5, the lock says 2.4.6"
    ]
    assert differences(LOCKED, {}, {"torch": "2.13.0"}) == [
        "numpy: not installed, the lock says 2.4.6"
    ]
    assert differences(LOCKED, {}, LOCKED | {"pip": "26.3"}) == [
        "pip: installed, but not in the lock"
    ]


def test_a_cuda_build_of_torch_brings_what_its_lock_pins_and_a_cpu_build_nothing():
    differences = module("check").differences
    assert differences(LOCKED, CUDA, dict(LOCKED)) == []
    assert differences(LOCKED, CUDA, LOCKED | CUDA) == []
    assert differences(LOCKED, CUDA, LOCKED | CUDA | {"nvidia-nvjitlink": "13.6.1"}) == [
        "nvidia-nvjitlink: 13.6.1, the lock says 13.5.37"
    ]
    assert differences(LOCKED, CUDA, LOCKED | CUDA | {"nvidia-nvtx": "13.0.85"}) == [
        "nvidia-nvtx: installed, but not in the lock"
    ]


def report(**versions: str) -> dict:
    """pip's report of what it would install."""
    return {"install": [{"metadata": {"name": n, "version": v}} for n, v in versions.items()]}


def test_the_lock_of_cuda_is_what_torch_brings_beside_the_lock_of_train():
    cuda_lock = module("cuda").cuda_lock
    train = "# comment\nnumpy==2.4.6\njinja2==3.1.6\ntorch==2.13.0\n"
    brought = {"torch": "2.13.0", "Jinja2": "3.1.6", "triton": "3.7.1", "nvidia_nvtx": "13.0.85"}
    text = cuda_lock(report(**brought), train)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == ["nvidia-nvtx==13.0.85", "triton==3.7.1"] and "torch 2.13.0 brings" in text
    assert cuda_lock(report(**brought | {"torch": "2.13.0+cu130"}), train).count("==") == 2
    with pytest.raises(SystemExit, match="no CUDA build of the lock's"):
        cuda_lock(report(**brought | {"torch": "2.14.0"}), train)
    with pytest.raises(SystemExit, match="no CUDA build of the lock's"):
        cuda_lock(report(torch="2.13.0", Jinja2="3.1.6"), train)


def test_the_build_of_torch_is_no_part_of_its_version():
    checks = module("check")
    assert checks.public("2.13.0+cpu") == checks.public("2.13.0+cu130") == "2.13.0"


def test_every_module_that_the_project_asks_for_is_found(tmp_path):
    checks = module("check")
    found = checks.modules(["numpy>=2.4,<3", "pyyaml>=6", "scikit-learn>=1.9,<2"])
    assert {"numpy", "yaml", "sklearn"} <= set(found) and "scipy" not in found
    with pytest.raises(SystemExit, match="no module belongs to no-such-thing"):
        checks.modules(["no-such-thing>=1"])


def test_the_record_says_what_the_image_was_built_from(tmp_path):
    for file in ("train.lock", "train.def"):
        shutil.copy(ENVS / file, tmp_path / file)
    record = module("check").record("train", "python@sha256:0123", tmp_path)
    assert record["environment"] == "train" and record["from"] == "python@sha256:0123"
    assert record["lock"] == hashlib.sha256((ENVS / "train.lock").read_bytes()).hexdigest()
    assert record["torch"].keys() == {"version", "cuda"}
    (tmp_path / "base.def").write_text("x")
    assert module("check").record("train", "/a/path", tmp_path)["from"].startswith("base.def ")
