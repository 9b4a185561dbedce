"""Paths of SDSS's services, by data release."""

from __future__ import annotations


def release_folder(release: int) -> str:
    """The folder of SAS with the frames of a data release, DR8 to DR17."""
    if release == 8:
        return "dr8/groups/boss/photoObj/frames"
    instrument = "boss" if release <= 12 else "eboss"
    return f"dr{release}/{instrument}/photoObj/frames"


def skyserver_search(release: int) -> str:
    """The page of SkyServer that accepts SQL for a data release, the same as in astroquery."""
    page = "x_sql.asp" if release < 10 else "x_sql.aspx" if release == 10 else "x_results.aspx"
    return f"dr{release}/en/tools/search/{page}"
