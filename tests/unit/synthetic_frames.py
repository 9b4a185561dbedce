"""Frames whose content is known exactly: Gaussians placed on the sky through astropy's WCS."""

from __future__ import annotations

import bz2
import io

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS

from mgsflow.sky.fields import frame_path

SCALE = 0.396 / 3600  # deg a pixel
RUN, CAMCOL, FIELD = 1000, 2, 57
CENTRE = (185.3, 32.1)  # deg


def field_wcs(angle=0.0, shift=(0.0, 0.0), shape=(500, 600), centre=CENTRE, field_offset=0.1):
    """A frame's WCS, turned by `angle` (deg) against north and shifted by `shift` pixels (x, y).

    Its tangent point is `field_offset` deg from `centre`, farther than in any real frame.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [centre[0] + field_offset, centre[1] + field_offset]
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    wcs.wcs.cd = SCALE * np.array([[-c, s], [s, c]])
    wcs.wcs.crpix = [1.0, 1.0]
    x, y = wcs.world_to_pixel_values(*centre)
    wcs.wcs.crpix = [1 + shape[1] / 2 - x + shift[0], 1 + shape[0] / 2 - y + shift[1]]
    return wcs


def draw(wcs, sources, shape=(500, 600), noise=0.0, seed=0):
    """An image with Gaussians: `sources` are (ra, dec, flux in nanomaggies, sigma in pixels)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.random.default_rng(seed).normal(0, noise, shape) if noise else np.zeros(shape)
    for ra, dec, flux, sigma in sources:
        x0, y0 = wcs.world_to_pixel_values(ra, dec)
        shape_2d = np.exp(-0.5 * ((x - x0) ** 2 + (y - y0) ** 2) / sigma**2)
        image += flux * shape_2d / (2 * np.pi * sigma**2)
    return image.astype(np.float32)


def frame_bytes(image, wcs):
    """A frame as SAS keeps it: bz2 of a FITS file with more HDUs behind the image."""
    header = wcs.to_header()
    hdus = fits.HDUList([fits.PrimaryHDU(image, header), fits.ImageHDU(np.ones(image.shape[1]))])
    stream = io.BytesIO()
    hdus.writeto(stream)
    return bz2.compress(stream.getvalue(), 1)


def write_frame(root, band, image, wcs, field=FIELD):
    path = frame_path(root, RUN, CAMCOL, field, band)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(frame_bytes(image, wcs))
    return path


def galaxies_at(sky, field=FIELD, first=10**18):
    """Selected galaxies at the positions `sky`, [(ra, dec), …], all in one field."""
    return pd.DataFrame(
        {
            "objid": first + np.arange(len(sky), dtype=np.int64),
            "ra": [ra for ra, _ in sky],
            "dec": [dec for _, dec in sky],
            "run": RUN,
            "camcol": CAMCOL,
            "field": field,
        }
    )


def east_north(ra, dec, east, north):
    """The position `east` and `north` arcsec of (ra, dec), by spherical trigonometry of astropy."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    moved = SkyCoord(ra * u.deg, dec * u.deg).spherical_offsets_by(
        east * u.arcsec, north * u.arcsec
    )
    return moved.ra.deg, moved.dec.deg


def centroid(stamp):
    """(row, column) of the flux's centre."""
    row, column = np.mgrid[: stamp.shape[0], : stamp.shape[1]]
    return (stamp * row).sum() / stamp.sum(), (stamp * column).sum() / stamp.sum()
