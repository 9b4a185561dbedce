"""Whether the services that the run will use answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from mgsflow.config import Settings
from mgsflow.core.surveys import SDSS
from mgsflow.site.findings import Finding, failure, ok
from mgsflow.sky.addresses import release_folder, skyserver_search

RULES = ("query_sdss", "stamps")  # the rules that use services
QUERY = "select top 1 specObjID from SpecObj"
# In the middle of the northern footprint; the request is for a stamp of a few pixels
PLACE = {"ra": "180.0", "dec": "30.0"}


def service_urls(settings: Settings) -> dict[str, str]:
    """The URL of a small request, by service that the run will use; empty if it uses none."""
    sdss, provider = settings.sdss, settings.stamps.provider
    scale = str(SDSS.pixel_scale)
    urls = {}
    if settings.sky == "sdss" and not sdss.reply_file:
        parameters = {"cmd": QUERY, "format": "csv"}
        if sdss.data_release > 11:
            parameters["searchtool"] = "SQL"
        page = f"{sdss.skyserver_url.rstrip('/')}/{skyserver_search(sdss.data_release)}"
        urls["SkyServer"] = f"{page}?{urlencode(parameters)}"
    if settings.sky == "simulated":
        return urls
    if provider == "frames":
        folder = release_folder(sdss.data_release)
        urls["Science Archive Server"] = f"{sdss.sas_url.rstrip('/')}/{folder}/301/"
    elif provider == "legacy":
        bands = "".join(SDSS.picture_bands)
        size = {"layer": "sdss", "pixscale": scale, "bands": bands, "size": "8"}
        urls["Legacy Surveys' cutouts"] = f"{sdss.legacy_url}?{urlencode(PLACE | size)}"
    elif provider == "jpeg":
        size = {"scale": scale, "width": "64", "height": "64"}
        urls["SkyServer's cutouts"] = f"{sdss.jpeg_url}?{urlencode(PLACE | size)}"
    return urls


def judge_services(answers: Mapping[str, Mapping[str, Any]], where: str) -> Iterator[Finding]:
    """Judge the answers to the requests, which were sent from `where`."""
    for name, answer in answers.items():
        status, address = answer["status"], answer["url"]
        if status == 200:
            yield ok(name, f"{address} answers {where}, in {answer['seconds']} s")
        elif status is None:
            yield failure(
                name,
                f"{address} cannot be reached {where}: {answer['words']}",
                "If those nodes have no internet access, send query_sdss and stamps to a partition "
                "that has (set-resources in the profile), or run both on the login node first: "
                'docs/hpc.md, "No internet on compute nodes". Behind a proxy, set '
                "https_proxy; for containers, by `--env https_proxy=...` in apptainer-args.",
            )
        elif status in (403, 404):
            yield failure(
                name,
                f"{address} answers {where}, but {status}: {answer['words']}",
                "Check its address and data_release in the section `sdss` of config.yaml.",
            )
        else:
            yield failure(
                name,
                f"{address} answers {where} with {status}: {answer['words']}",
                "The service is in trouble: try again later. A run repeats failed requests by "
                "itself.",
            )
