"""The tool `sql`: the query, for those who ask CasJobs by hand."""

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
    """Print the query that selects the sample from SDSS's data base, all rows at once.

    Its cuts are those of the section `selection` of `config` and of the overlays, which are those
    given to snakemake with --configfile. Paste it into CasJobs, and name the file that you download
    in `sdss.reply_file`: SkyServer is then not asked.
    """
    settings = read_settings(config, overlay or [])
    header = HEADER.format(release=settings.sdss.data_release)
    sys.stdout.write(header + whole_query(settings.selection))
