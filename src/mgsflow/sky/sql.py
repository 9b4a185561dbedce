"""The tool `sql`: the query, for use in CasJobs by hand."""

from __future__ import annotations

import sys
from pathlib import Path

from mgsflow.config.read import read_settings
from mgsflow.sky.query import whole_query

HEADER = """\
-- Run this in CasJobs, context DR{release}, with a name for the table that it makes in your MyDB.
-- Download that table as CSV or FITS, and name the file in the run's settings: sdss.reply_file
--
"""


def sql(*, config: Path = Path("config.yaml"), overlay: list[Path] | None = None) -> None:
    """Print the query that selects the sample from SDSS's database, all rows at once.

    Its cuts are those of the section `selection` in `config` and in the overlays, the files that
    snakemake gets with --configfile. Paste the query into CasJobs, and name the downloaded file in
    `sdss.reply_file`: SkyServer is then not queried.
    """
    settings = read_settings(config, overlay or [])
    header = HEADER.format(release=settings.sdss.data_release)
    sys.stdout.write(header + whole_query(settings.selection))
