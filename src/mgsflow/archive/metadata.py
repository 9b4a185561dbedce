"""The metadata of an archive: RO-Crate 1.1 with the Workflow Run Crate profile 0.5.

https://www.researchobject.org/ro-crate/specification/1.1 and
https://www.researchobject.org/workflow-run-crate/profiles/workflow_run_crate
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from rocrate.model import ComputationalWorkflow, ContextEntity, Entity, File, SoftwareApplication
from rocrate.rocrate import ROCrate

from mgsflow.archive.manifest import MANIFEST
from mgsflow.report.contents import ITEMS

METADATA = "ro-crate-metadata.json"
README = "README.md"
RESULTS, SOURCES = "results", "source"
CONFIG, WORKFLOW = f"{RESULTS}/config.yaml", f"{SOURCES}/Snakefile"
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"  # where `sha256` is defined
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
# Not from the mimetypes module, whose answers depend on the machine.
_FORMATS = {
    ".csv": "text/csv",
    ".fits": "application/fits",
    ".h5": "application/x-hdf5",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".py": "text/x-python",
    ".rst": "text/x-rst",
    ".safetensors": "application/octet-stream",
    ".sh": "application/x-sh",
    ".sql": "application/sql",
    ".tex": "application/x-tex",
    ".toml": "application/toml",
    ".yaml": "application/yaml",
}
_SKIES = {
    "sdss": "galaxies of the SDSS Main Galaxy Sample",
    "simulated": "a simulated sky; the numbers say nothing about the galaxies of SDSS",
    "catalogue": "a catalogue of the user's own",
}


@dataclass(frozen=True)
class Member:
    """A file of the archive: its name there, its SHA-256 and its size in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Run:
    """The metadata of the run as a whole."""

    name: str
    sky: str
    year: str
    project: dict[str, str]
    pins: dict[str, dict[str, str]]

    @property
    def title(self) -> str:
        return f"The run {self.name} of {self.project['name']} {self.project['version']}"

    @property
    def subject(self) -> str:
        return f"{self.project['description']}: results on {_SKIES.get(self.sky, self.sky)}."


def crate_metadata(run: Run, members: Iterable[Member]) -> bytes:
    """The bytes of ro-crate-metadata.json: equal runs give equal bytes.

    They contain neither the date of packing nor the run's start, end and agent, which the profiles
    recommend but which differ between repetitions. `datePublished`, which RO-Crate requires, is the
    year of the licence; the place where the archive is published records the date.
    """
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(_TERMS)
    files = {member.name: _add_file(crate, member) for member in members}
    crate.add(File(crate, dest_path=MANIFEST, properties=_MANIFEST_PROPERTIES))
    workflow = _add_workflow(crate, run, files[WORKFLOW])
    results = [file for name, file in files.items() if _is_result(name)]
    action = _add_action(crate, run, workflow, files[CONFIG], results)
    _describe_root(crate, run, workflow, action)
    return next(data for _, data in crate.metadata.stream()) + b"\n"


_MANIFEST_PROPERTIES = {
    "name": "SHA-256 of every other file, for `sha256sum -c` and `mgsflow verify`",
    "encodingFormat": "text/plain",
}


def _is_result(name: str) -> bool:
    return name.startswith(f"{RESULTS}/") and name != CONFIG


def _add_file(crate: ROCrate, member: Member) -> File:
    kind = ComputationalWorkflow if member.name == WORKFLOW else File
    properties = {
        "name": file_title(member.name),
        "sha256": member.sha256,
        "contentSize": str(member.size),
        "encodingFormat": _FORMATS.get(PurePosixPath(member.name).suffix, "text/plain"),
    }
    return crate.add(kind(crate, dest_path=member.name, properties=properties))


def file_title(name: str) -> str:
    """Title of a file of the archive: that of its table or figure, or else the file's name."""
    path = PurePosixPath(name)
    if path.parts[:2] in ((RESULTS, "tables"), (RESULTS, "figures")) and path.stem in ITEMS:
        return f"{ITEMS[path.stem].title} ({path.suffix[1:]})"
    return _TITLES.get(name, name)


_TITLES = {
    CONFIG: "Settings of the run, every key",
    README: "What this archive is, and how to verify it and repeat the run",
    WORKFLOW: "The workflow",
    f"{RESULTS}/report.html": "Report: every table and figure",
    f"{RESULTS}/catalogue/dropped.parquet": "Galaxies that left the sample, and why",
}


def _add_workflow(crate: ROCrate, run: Run, workflow: File) -> File:
    """Describe the Snakefile as the crate's main entity, with the software that its rules need."""
    version = run.pins.get("workflow", {}).get("snakemake")
    language = crate.add(
        ContextEntity(
            crate,
            "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
            properties={
                "@type": "ComputerLanguage",
                "name": "Snakemake",
                "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
                "url": {"@id": "https://snakemake.readthedocs.io"},
                **({"version": version} if version else {}),
            },
        )
    )
    workflow["name"] = f"{run.project['name']} {run.project['version']}"
    workflow["description"] = run.project["description"]
    workflow["version"] = run.project["version"]
    workflow["programmingLanguage"] = language
    workflow["softwareRequirements"] = _add_software(crate, run)
    return workflow


def _add_software(crate: ROCrate, run: Run) -> list[Entity]:
    """One entity for each version of a package that a lock pins."""
    versions = sorted({pin for lock in run.pins.values() for pin in lock.items()})
    return [
        crate.add(
            SoftwareApplication(
                crate,
                f"https://pypi.org/project/{name}/{version}/",
                properties={"name": name, "softwareVersion": version},
            )
        )
        for name, version in versions
    ]


def _add_action(
    crate: ROCrate, run: Run, workflow: File, config: File, results: list[File]
) -> Entity:
    """The execution: which workflow made which results, from which settings."""
    return crate.add(
        ContextEntity(
            crate,
            "#run",
            properties={
                "@type": "CreateAction",
                "name": run.title,
                "instrument": workflow,
                "object": [config],
                "result": results,
                "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
            },
        )
    )


def _describe_root(crate: ROCrate, run: Run, workflow: File, action: Entity) -> None:
    crate.name = run.title
    crate.description = run.subject
    crate.datePublished = run.year
    crate.license = _add_licence(crate, run.project["license"])
    crate.mainEntity = workflow
    crate.root_dataset["conformsTo"] = [
        crate.add(
            ContextEntity(
                crate,
                address,
                properties={"@type": "CreativeWork", "name": name, "version": version},
            )
        )
        for address, (name, version) in _PROFILES.items()
    ]
    crate.root_dataset["mentions"] = [action]
    crate.metadata["conformsTo"] = [
        {"@id": crate.metadata.profile},
        {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
    ]


def _add_licence(crate: ROCrate, identifier: str) -> Entity:
    return crate.add(
        ContextEntity(
            crate,
            f"https://spdx.org/licenses/{identifier}",
            properties={"@type": "CreativeWork", "name": identifier},
        )
    )
