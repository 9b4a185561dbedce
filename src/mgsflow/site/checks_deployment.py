"""Whether the rules' software is available: Apptainer and the images, or conda, or neither."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mgsflow.core.errors import UserError
from mgsflow.estimate import human
from mgsflow.site import containers as images
from mgsflow.site.commands import Answer, ask
from mgsflow.site.deployment import IMAGES, image, is_not_made
from mgsflow.site.findings import Finding, failure, ok, warning
from mgsflow.site.profile import Site
from mgsflow.site.start import ACTIVE, check_programs

SETUID_STARTERS = ("/usr/libexec/apptainer/bin/starter-suid", "/usr/lib/apptainer/bin/starter-suid")
# With this value, each setting forbids an unprivileged user to mount an image
NAMESPACES = (
    (Path("/proc/sys/user/max_user_namespaces"), "0"),
    (Path("/proc/sys/kernel/unprivileged_userns_clone"), "0"),
    (Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"), "1"),
)


def check_deployment(site: Site, environments: list[str]) -> Iterator[Finding]:
    """Check the profile's deployment method for the `environments` that the run's rules need."""
    if site.deployment == "apptainer":
        yield from _check_apptainer(environments)
    elif site.deployment == "conda":
        yield from _check_conda(site, environments)
    elif site.on_slurm and os.environ.get(ACTIVE) != "active":
        yield failure(
            "software",
            "the profile names no software-deployment-method: Snakemake silently ignores "
            "`container:` and `conda:`, and each job uses whatever packages its node has",
            "software-deployment-method: apptainer (or conda); or "
            f"{ACTIVE}=active where all nodes share one installed environment.",
        )
    else:
        yield ok("software", "each rule runs in the environment that is active (no deployment)")


def _check_apptainer(environments: list[str]) -> Iterator[Finding]:
    program = "apptainer"
    try:
        check_programs([program], Path.cwd())
    except UserError as error:
        words, _, remedy = str(error).rpartition("\n")
        yield failure(program, words, remedy)
        return
    version = ask(program, "--version")
    if not version.good:
        yield failure(program, f"it does not run: {version.words}", "See `apptainer --version`.")
        return
    yield from check_images(environments)
    there = [path for name in environments if (path := image(name)).exists()]
    if not there:
        yield from _namespaces(program)
        return
    answer = ask(program, "exec", str(there[0]), "true", seconds=120)
    if answer.good:
        yield ok(program, f"{version.out.strip()}; it runs {there[0]}")
    else:
        yield from _cannot_run(program, answer)


def _cannot_run(program: str, answer: Answer) -> Iterator[Finding]:
    causes = [str(path) for path, value in NAMESPACES if _reads(path, value)]
    hint = f" ({', '.join(causes)} may be why)" if causes and os.geteuid() else ""
    yield failure(
        program,
        f"`{answer.command}`: {answer.words}{hint}",
        "Ask for user namespaces or for apptainer-suid on the nodes; or use conda, docs/hpc.md.",
    )


def _namespaces(program: str) -> Iterator[Finding]:
    """Whether the kernel would let a user mount an image, where there is no image yet to try."""
    causes = [str(path) for path, value in NAMESPACES if _reads(path, value)]
    if causes and os.geteuid() and not any(Path(path).exists() for path in SETUID_STARTERS):
        yield warning(
            program,
            f"users may not create namespaces here ({', '.join(causes)}), and there is no setuid "
            "starter: images will probably not run",
            "Ask the site's administrators for apptainer-suid; or use conda, docs/hpc.md.",
        )


def _reads(path: Path, value: str) -> bool:
    try:
        return path.read_text().strip() == value
    except OSError:
        return False


def check_images(environments: Iterable[str]) -> Iterator[Finding]:
    """Whether the images exist, are the ones that were built, and match this checkout's pins."""
    names = list(environments)
    try:
        images.check(IMAGES.parent, names)
    except UserError as error:
        words, _, remedy = str(error).rpartition("\n")
        free = human(shutil.disk_usage(IMAGES.parent).free)
        building = os.environ.get("APPTAINER_TMPDIR") or tempfile.gettempdir()
        scratch = human(shutil.disk_usage(building).free)
        yield failure(
            "images",
            words or remedy,
            f"{remedy if words else '`make images`'} ({free} free in the folder of images, "
            f"{scratch} in {building}, where they are built)",
        )
    else:
        yield ok("images", f"{', '.join(names)}: digests as in envs/images.lock, pins as here")


def _check_conda(site: Site, environments: list[str]) -> Iterator[Finding]:
    answer = ask("conda", "--version", seconds=60)
    if not answer.good:
        yield failure(
            "conda",
            answer.words,
            "Load the site's module, or install Miniforge: it must be on PATH.",
        )
        return
    missing = [name for name in environments if is_not_made(site, name)]
    if missing:
        yield warning(
            "conda",
            f"{answer.out.strip()}; not made yet: {', '.join(missing)}. Snakemake makes them here "
            "before the first job",
            "Make them now, on a machine with internet access: `snakemake --profile ... "
            "--conda-create-envs-only`",
        )
    else:
        yield ok("conda", f"{answer.out.strip()}; all environments are made")
