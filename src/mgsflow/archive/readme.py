"""The README.md of an archive: what it is, how to verify it, how to repeat the run."""

from __future__ import annotations

from mgsflow.archive.manifest import MANIFEST
from mgsflow.archive.metadata import METADATA, RESULTS, SOURCES, Run

_TEMPLATE = """\
# {title}

{subject}

- `{results}/`: `report.html` with every table and figure, the tables (CSV, LaTeX, Markdown), the
  figures (PDF, PNG), the catalogue with every galaxy that left the sample and why, the models,
  and `config.yaml`, the settings of the run.{absent}
- `{sources}/`: the workflow and the package that made them; `{sources}/envs/*.lock` pin the
  version of every dependency.
- `{metadata}`: the same for machines, an RO-Crate 1.1 (Workflow Run Crate 0.5).
- `{manifest}`: the SHA-256 of every file.

## Verify

Packed or unpacked:

    mgsflow verify --path {run}.crate.zip
    mgsflow verify --path FOLDER

or without mgsflow, in the folder that it was unpacked to:

    sha256sum -c {manifest}

The second does not see files that were added; the first does. Whoever could alter a file could
alter the manifest too: compare the manifest's own SHA-256, which `mgsflow verify` prints, with
the one published.

## Repeat the run

Python 3.11 or newer and make are needed. The copy keeps this folder as it can be verified:

    cp -r {sources} ../{run}-again
    cp {results}/config.yaml ../{run}-again/run.yaml
    cd ../{run}-again
    make env
    PATH="$PWD/.venv/bin:$PATH" snakemake --profile profiles/local --configfile run.yaml

`profiles/slurm` is for a cluster. On a CPU the run repeats bit for bit with the same thread counts
(`compute` in the settings) and the same kind of machine; reports, logs and measured times do not.

## This archive

Licence: {licence}. The archive of equal results is equal byte for byte, so it holds no date of its
own making: `datePublished` in its metadata is the year of the licence, and times in the zip are
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
