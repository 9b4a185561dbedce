"""Every environment says one thing: lock, conda YAML, post-deploy script, Apptainer definition."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mgsflow.core import code
from mgsflow.core.signature import declared
from mgsflow.stages import STAGES

REPOSITORY = Path(__file__).resolve().parents[2]
ENVS = REPOSITORY / "envs"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
RULES = ("data", "train", "report", "sed")  # environments that rules run in


# The packages of ours whose stages run in an environment; core and config run in all.
RUNS = {
    "data": ("sky", "sample"),
    "train": ("models", "training", "posterior", "inference", "baselines"),
    "report": ("report", "archive"),
    "sed": ("evaluation/sed",),
}
DISTRIBUTIONS = {
    "PIL": "pillow",
    "pynvml": "nvidia-ml-py",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}


def pins(name: str) -> dict[str, str]:
    """Package: version, of a lock."""
    lines = (ENVS / f"{name}.lock").read_text().splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!-]+", line) for line in entries), entries
    return {canonicalize_name(package): v for package, v in (e.split("==") for e in entries)}


@pytest.mark.parametrize("name", EXTRAS)
def test_the_lock_pins_everything_that_the_project_asks_for(name):
    locked = pins(name)
    for text in EXTRAS[name]:
        requirement = Requirement(text)
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{name}: {version} is not {text}"


def test_what_the_cuda_build_of_torch_brings_is_pinned_apart():
    """The CPU build brings none of it, so that it can stand in no lock that is installed."""
    cuda = pins("cuda")
    assert cuda.keys() >= {"triton", "cuda-toolkit", "nvidia-cudnn-cu13"}
    assert all(re.match("nvidia-|cuda-|triton$", package) for package in cuda)
    for name in EXTRAS:
        assert not cuda.keys() & pins(name).keys()
    build = re.search(r"torch ([\d.]+)", (ENVS / "cuda.lock").read_text())[1]
    assert build == pins("train")["torch"], "run: make lock"
    makefile = (REPOSITORY / "Makefile").read_text()
    assert "-r $(lock)) -c envs/cuda.lock" in makefile


def imported(path: Path) -> set[str]:
    """The packages of others that a module imports, inside functions as well."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    tops = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"mgsflow"}
    return {canonicalize_name(DISTRIBUTIONS.get(top, top)) for top in tops}


def asked(environment: str) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in EXTRAS[environment]}


@pytest.mark.parametrize("name", RUNS)
def test_what_the_code_imports_the_project_asks_for(name):
    for package in (*RUNS[name], "core"):
        for path in (REPOSITORY / "src/mgsflow" / package).rglob("*.py"):
            assert imported(path) <= asked(name), path


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_all_that_a_stage_imports_is_in_its_environment(stage):
    for module in code._closure(stage.module):
        missing = imported(Path(importlib.util.find_spec(module).origin)) - asked(stage.environment)
        assert not missing, f"{module}, of the environment {stage.environment}"


def test_a_package_has_one_version_in_all_locks():
    versions: dict[str, set[str]] = {}
    for name in EXTRAS:
        for package, version in pins(name).items():
            versions.setdefault(package, set()).add(version)
    assert {package: v for package, v in versions.items() if len(v) > 1} == {}


def definition(name: str) -> str:
    return (ENVS / f"{name}.def").read_text()


def installs(text: str) -> list[str]:
    """The lines of a script that install packages, by whatever program."""
    line = re.compile(r"^(?!\s*#).*\b(?:pip3?|conda|mamba|apt|apt-get)\b.*\binstall\b.*$", re.M)
    return [found.strip() for found in line.findall(text)]


@pytest.mark.parametrize("name", RULES)
def test_conda_reads_the_lock_and_nothing_else(name):
    spec = importlib.util.spec_from_file_location("conda", ENVS / "conda.py")
    conda = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conda)
    text = (ENVS / f"{name}.yaml").read_text()
    assert text == conda.conda_yaml(name), "run: make lock"
    locks = [f"{name}.lock", *(["cuda.lock"] if name == "train" else [])]
    read = b"".join((ENVS / lock).read_bytes() for lock in locks)
    assert hashlib.sha256(read).hexdigest() in text
    packages = yaml.safe_load(text)["dependencies"]
    assert all(re.fullmatch(r"[\w-]+=\d[\w.]*", package) for package in packages), packages
    beside = ["c-compiler"] if name == "train" else []
    assert [p.split("=")[0] for p in packages] == ["python", "pip", *beside]
    script = (ENVS / f"{name}.post-deploy.sh").read_text()
    cuda = " --constraint envs/cuda.lock" if name == "train" else ""
    assert installs(script) == [f"python -m pip install -r envs/{name}.lock{cuda}"]


@pytest.mark.parametrize("name", RULES)
def test_an_image_is_built_from_the_lock_and_nothing_else(name):
    text = definition(name)
    assert f"envs/{name}.lock /opt/mgsflow/{name}.lock" in text
    assert ("envs/cuda.lock /opt/mgsflow/cuda.lock" in text) == (name == "train")
    assert f"sh /opt/mgsflow/install.sh {name} " in text
    assert f"python /opt/mgsflow/check.py {name}" in text.split("%test")[1]
    # Of apt, a compiler for torch.compile alone: the release of Debian fixes its version.
    apt = "apt-get install --yes --no-install-recommends"
    compiler = [f"{apt} gcc libc6-dev", f"{apt} python3-dev"]
    assert installs(text) == (compiler if name == "train" else [])
    assert installs((ENVS / "install.sh").read_text()) == [
        'pip install $flags -r "$top/$name.lock"'
    ]


def test_all_images_start_from_one_base():
    starts = {re.search(r"from=(\S+)", definition(name))[1] for name in RULES}
    assert len(starts) == 1 and re.fullmatch(r"python@sha256:[0-9a-f]{64}", starts.pop())
    same = {name: re.sub(rf"\b{name}\b", "NAME", definition(name)) for name in RULES}
    heads = {text.split("%post")[0] for text in same.values()}
    cuda = "    envs/cuda.lock /opt/mgsflow/cuda.lock\n"
    assert len({head.replace(cuda, "") for head in heads}) == 1, "they differ by their name alone"
    assert same["data"] == same["report"], "the others have something of their own in %post"
    base = definition("base")
    assert "OSVersion: bookworm" in base and installs(base) == []


@pytest.mark.parametrize("name", RULES)
def test_conda_and_the_official_image_have_one_python(name):
    python = re.search(r"with Python ([\d.]+),", definition(name))[1]
    packages = yaml.safe_load((ENVS / f"{name}.yaml").read_text())["dependencies"]
    assert f"python={python}" in packages


DEBIAN_12 = "3.11.2"  # the Python that images have where no registry can be reached


@pytest.mark.parametrize("name", RULES)
def test_the_locked_packages_run_on_all_pythons_that_environments_have(name):
    conda = re.search(r"with Python ([\d.]+),", definition(name))[1]
    for package, version in pins(name).items():
        try:
            found = metadata.distribution(package)
        except metadata.PackageNotFoundError:
            assert name == "sed", package  # which is not in .venv
            continue
        if found.version.split("+")[0] == version:
            asked = SpecifierSet(found.metadata.get("Requires-Python") or "")
            assert asked.contains(DEBIAN_12) and asked.contains(conda), f"{package}: {asked}"


def test_every_stage_names_an_environment_that_there_is():
    assert {stage.environment for stage in STAGES.values()} == set(RULES)


def test_no_partition_account_or_absolute_path_outside_the_profiles():
    for path in [REPOSITORY / "Snakefile", *(REPOSITORY / "workflow").rglob("*.smk")]:
        text = path.read_text()
        assert not re.search(r"slurm|partition|\bgres\b", text), path
        assert not re.search(r'["\s]/(home|work|data|scratch|tmp)/', text), path


def test_the_rules_that_reach_the_internet_have_a_line_of_their_own():
    asking = {
        stage.rule
        for stage in STAGES.values()
        if "network" in inspect.signature(declared(stage.module, stage.function)).parameters
    }
    profile = yaml.safe_load((REPOSITORY / "profiles/slurm/config.yaml").read_text())
    resources = profile["set-resources"]
    apart = {rule for rule in resources if set(resources[rule]) == {"slurm_partition"}}
    assert asking == apart == {"query_sdss", "stamps"}


@pytest.mark.parametrize("profile", ["local", "slurm", "test"])
def test_every_profile_reruns_by_the_same_triggers(profile):
    text = (REPOSITORY / f"profiles/{profile}/config.yaml").read_text()
    assert "rerun-triggers: [mtime, params, input]" in text
    assert "configfile" not in text, "an overlay in a profile is silently replaced by --configfile"
