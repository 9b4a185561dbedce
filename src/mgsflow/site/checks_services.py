"""Whether the services answer that the run will ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from mgsflow.config import Settings
from mgsflow.core.surveys import SDSS
from mgsflow.site.findings import Finding, failure, ok
from mgsflow.sky.addresses import release_folder, skyserver_search

RULES = ("query_sdss", "stamps")  # the rules that reach services
QUERY = "select top 1 specObjID from SpecObj"
# In the middle of the northern footprint: a stamp of a few pixels is asked for
PLACE = {"ra": "180.0", "dec": "30.0"}


def service_urls(settings: Settings) -> dict[str, str]:
    """A small request for each service that the run will ask; empty if it will ask none."""
    sdss, provider = settings.sdss, settings.stamps.provider
    scale = str(SDSS.pixel_scale)
    found = {}
    if settings.sky == "sdss" and not sdss.reply_file:
        question = {"cmd": QUERY, "format": "csv"}
        if sdss.data_release > 11:
            question["searchtool"] = "SQL"
        page = f"{sdss.skyserver_url.rstrip('/')}/{skyserver_search(sdss.data_release)}"
        found["SkyServer"] = f"{page}?{urlencode(question)}"
    if settings.sky == "simulated":
        return found
    if provider == "frames":
        folder = release_folder(sdss.data_release)
        found["Science Archive Server"] = f"{sdss.sas_url.rstrip('/')}/{folder}/301/"
    elif provider == "legacy":
        bands = "".join(SDSS.picture_bands)
        size = {"layer": "sdss", "pixscale": scale, "bands": bands, "size": "8"}
        found["Legacy Surveys' cutouts"] = f"{sdss.legacy_url}?{urlencode(PLACE | size)}"
    elif provider == "jpeg":
        size = {"scale": scale, "width": "64", "height": "64"}
        found["SkyServer's cutouts"] = f"{sdss.jpeg_url}?{urlencode(PLACE | size)}"
    return found


def judge_services(answers: Mapping[str, Mapping[str, Any]], where: str) -> Iterator[Finding]:
    """What became of the requests, sent from `where`."""
    for name, answer in answers.items():
        status, address = answer["status"], answer["url"]
        if status == 200:
            yield ok(name, f"{address} answers {where}, in {answer['seconds']} s")
        elif status is None:
            yield failure(
                name,
                f"{address} cannot be reached {where}: {answer['words']}",
                "If those nodes have no internet, send query_sdss and stamps to a partition that "
                "has (set-resources in the profile), or run both on the login node first: "
                'docs/hpc.md, "No internet on compute nodes". Behind a proxy, set '
                "https_proxy; for containers, by `--env https_proxy=...` in apptainer-args.",
            )
        elif status in (403, 404):
            yield failure(
                name,
                f"{address} answers {where}, but {status}: {answer['words']}",
                "Check its address and data_release in config.yaml's section `sdss`.",
            )
        else:
            yield failure(
                name,
                f"{address} answers {where} with {status}: {answer['words']}",
                "The service has a bad day: come back later. A run tries again by itself.",
            )
