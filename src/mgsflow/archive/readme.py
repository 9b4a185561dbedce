"""The README.md of an archive: its contents, how to verify it, and how to repeat the run."""

from __future__ import annotations

from mgsflow.archive.manifest import MANIFEST
from mgsflow.archive.metadata import METADATA, RESULTS, SOURCES, Run

_TEMPLATE = """\
# {title}

{subject}

- `{results}/`: `report.html` with every table and figure, the tables (CSV, LaTeX, Markdown), the
  figures (PDF, PNG), the catalogue with every galaxy that left the sample and why, the models,
  and `config.yaml`, the settings of the run.{absent}
- `{sources}/`: the workflow and the package that made the results; `{sources}/envs/*.lock` pin the
  version of every dependency.
- `{metadata}`: this description in machine-readable form, an RO-Crate 1.1 (Workflow Run Crate 0.5).
- `{manifest}`: the SHA-256 of every file.

## Verify

Packed or unpacked:

    mgsflow verify --path {run}.crate.zip
    mgsflow verify --path FOLDER

or without mgsflow, in the folder of the unpacked archive:

    sha256sum -c {manifest}

Only `mgsflow verify` detects files that were added. Anyone who could change a file could also
change the manifest: compare the SHA-256 of the manifest itself, which `mgsflow verify` prints, with
the published one.

## Repeat the run

You need Python 3.11 or newer and make. Work in a copy, so that this folder can still be verified:

    cp -r {sources} ../{run}-again
    cp {results}/config.yaml ../{run}-again/run.yaml
    cd ../{run}-again
    make env
    PATH="$PWD/.venv/bin:$PATH" snakemake --profile profiles/local --configfile run.yaml

`profiles/slurm` is for a cluster. On a CPU the run repeats bit for bit with the same thread counts
(`compute` in the settings) and the same kind of machine; reports, logs and measured times do not.

## This archive

Licence: {licence}. Equal results give byte-identical archives, so an archive has no date of
creation: `datePublished` in its metadata is the year of the licence, and times in the zip are
fixed.
"""


def readme(run: Run, absent: list[str]) -> str:
    """The text of the README. `absent` names parts of the results that are not in the archive."""
    left_out = f" Not held: {' and '.join(absent)}." if absent else ""
    return _TEMPLATE.format(
        title=run.title,
        subject=run.subject,
        results=RESULTS,
        sources=SOURCES,
        metadata=METADATA,
        manifest=MANIFEST,
        run=run.name,
        licence=run.project["license"],
        absent=left_out,
    )
