"""Light on a frame's pixels: galaxies with bulge and disk, and stars, blurred by the seeing.

galsim computes the Fourier transforms of bulge and disk, once for all bands; the differences
between bands, in flux, seeing and position, are factors of a transform.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import galsim
import numpy as np
import pandas as pd
from astropy.wcs import WCS
from scipy import fft

from mgsflow.sky.simulated.camera import BANDS, FRAME_SHAPE, PIXEL_SCALE
from mgsflow.sky.simulated.placement import on_frame
from mgsflow.sky.simulated.relations import Array

BULGE_EDGE = (
    8.0  # half-light radii at which a bulge ends, as SDSS's models do (Stoughton et al. 2002)
)
HALF_LIGHT = 1.678  # half-light radius of an exponential disk, in its scale lengths
FAINTEST_DRAWN = 2e-3  # nanomaggies per pixel, a tenth of the sky's noise
FAINTEST_BULGE = 0.005  # fraction of a galaxy's light in any band
# Few sizes, so that each FFT is planned once; all are products of 2 and 3
STAMP_SIDES = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
POINT_SIDE = 48  # side of the square on which a star is drawn
WING_SHARE, WING_WIDTH = 0.12, 2.3  # SDSS's double Gaussian (Stoughton et al. 2002, section 4.3)
CORE_WIDTH = 0.97  # FWHM of the core in units of that of both Gaussians together


@dataclass(frozen=True)
class View:
    """The view of a field in a band: projection, and FWHM of the seeing in arcsec."""

    wcs: WCS
    fwhm: float


def _gaussians(fwhm: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Fraction of the light, and sigma in arcsec, of the seeing's core and wing."""
    sigma = CORE_WIDTH * fwhm / np.sqrt(8 * np.log(2))
    return (1 - WING_SHARE, sigma), (WING_SHARE, sigma * WING_WIDTH)


def point_spread(fwhm: float) -> galsim.GSObject:
    """The seeing: two round Gaussians whose sum has this FWHM in arcsec."""
    return galsim.Sum([galsim.Gaussian(sigma=sigma, flux=flux) for flux, sigma in _gaussians(fwhm)])


@cache
def _unit_profile(index: float) -> galsim.GSObject:
    """A Sérsic profile of half-light radius and flux 1, built once for each index."""
    if index == 1.0:
        return galsim.Exponential(half_light_radius=1.0)
    return galsim.Sersic(n=index, half_light_radius=1.0, trunc=BULGE_EDGE)


def galaxy_profile(galaxy: pd.Series, band: str) -> galsim.GSObject:
    """A galaxy's light in a band, nanomaggies, without seeing: u = west, v = north, in arcsec."""
    disk, *bulge = galaxy_components(galaxy)
    if not bulge:
        return disk * galaxy[f"nanomaggies_{band}"]
    share = galaxy[f"bulge_share_{band}"]
    return (bulge[0] * share + disk * (1 - share)) * galaxy[f"nanomaggies_{band}"]


def galaxy_components(galaxy: pd.Series | dict) -> list[galsim.GSObject]:
    """Disk and, if there is one, bulge, each with flux 1."""
    # galsim's angles run from west to north; position angles from north to east
    angle = (90.0 + galaxy["position_angle"]) * galsim.degrees
    disk = _component(1.0, galaxy["disk_radius"], galaxy["disk_axis_ratio"], angle)
    if max(galaxy[f"bulge_share_{band}"] for band in BANDS) < FAINTEST_BULGE:
        return [disk]
    radius, axis_ratio = galaxy["bulge_radius"], galaxy["bulge_axis_ratio"]
    return [disk, _component(galaxy["bulge_sersic"], radius, axis_ratio, angle)]


def _component(
    index: float, radius: float, axis_ratio: float, angle: galsim.Angle
) -> galsim.GSObject:
    """A profile with `radius` along its major axis; galsim's shear preserves the area instead."""
    round_radius = radius * np.sqrt(axis_ratio)
    return _unit_profile(index).dilate(round_radius).shear(q=axis_ratio, beta=angle)


def stamp_sides(galaxies: pd.DataFrame) -> np.ndarray:
    """Sides in pixels of the squares for galaxies: out to where their disks vanish in noise."""
    scale = galaxies["disk_radius"].to_numpy() / HALF_LIGHT
    area = 2 * np.pi * scale**2 * galaxies["disk_axis_ratio"].to_numpy()
    centre = galaxies["nanomaggies_r"].to_numpy() * PIXEL_SCALE**2 / area
    # 6.7 scale lengths contain 99% of a disk: little of it wraps around the square's edges
    lengths = np.clip(np.log(centre / FAINTEST_DRAWN), 6.7, 14.0)
    bulge = BULGE_EDGE * np.where(
        galaxies["bulge_share_r"] > 0.02, galaxies["bulge_radius"].to_numpy(), 0.0
    )
    needed = 2 * np.maximum(lengths * scale, bulge) / PIXEL_SCALE + 20
    large_enough = np.searchsorted(STAMP_SIDES, needed)
    return np.take(STAMP_SIDES, large_enough, mode="clip")


def draw_field(
    galaxies: pd.DataFrame, points: pd.DataFrame, reference: WCS, views: dict[str, View]
) -> dict[str, np.ndarray]:
    """Nanomaggies of every pixel of a field's frames, without sky and noise.

    `galaxies` and `points`, the stars, lie at the FITS pixels `x` and `y` of the projection
    `reference`; the projections of `views` have the same rotation and scale. Returns an array of
    shape (1489, 2048), float32, for each band of `views`, independent of the other bands.
    """
    images = {band: np.zeros(FRAME_SHAPE, dtype=np.float32) for band in views}
    galaxy_places, point_places = (
        {band: on_frame(objects, reference, view.wcs) for band, view in views.items()}
        for objects in (galaxies, points)
    )
    sides = stamp_sides(galaxies)
    for row, (galaxy, transforms) in enumerate(_transforms(galaxies, sides, reference)):
        for band, view in views.items():
            shape = _mix(transforms, galaxy[f"bulge_share_{band}"])
            shape = shape * _blur(int(sides[row]), view.fwhm)
            _add(images[band], shape, galaxy[f"nanomaggies_{band}"], galaxy_places[band][row])
    for band, view in views.items():
        shape = _blur(POINT_SIDE, view.fwhm)
        for flux, place in zip(points[f"nanomaggies_{band}"], point_places[band], strict=True):
            _add(images[band], shape, flux, place)
    return images


def _transforms(
    galaxies: pd.DataFrame, sides: np.ndarray, wcs: WCS
) -> Iterator[tuple[dict, list[np.ndarray]]]:
    """Each galaxy, with the transforms of its disk and bulge on the square for drawing it."""
    jacobian = _jacobian(wcs)
    for galaxy, side in zip(galaxies.to_dict("records"), sides.tolist(), strict=True):
        components = galaxy_components(galaxy)
        yield galaxy, [_transform(jacobian.toImage(one), side) for one in components]


def _jacobian(wcs: WCS) -> galsim.JacobianWCS:
    """The projection at the frame's centre in galsim's coordinates, u = west, v = north, arcsec."""
    (east_x, east_y), (north_x, north_y) = wcs.wcs.cd * 3600
    return galsim.JacobianWCS(-east_x, -east_y, north_x, north_y)


def _transform(component: galsim.GSObject, side: int) -> np.ndarray:
    """The Fourier transform of a centred profile, in pixels: shape (side, side / 2 + 1), real.

    It is real because profiles are symmetric about their centre.
    """
    half = side // 2
    image = galsim.ImageCF(bounds=galsim.BoundsI(0, half, -half, half - 1), scale=2 * np.pi / side)
    component.drawKImage(image=image, recenter=False)
    return np.fft.ifftshift(image.array.real, axes=0)


def _mix(transforms: list[np.ndarray], bulge_share: float) -> np.ndarray:
    disk, *bulge = transforms
    if not bulge:
        return disk
    return disk * np.float32(1 - bulge_share) + bulge[0] * np.float32(bulge_share)


def _frequencies(side: int) -> tuple[Array, Array]:
    """Radians per pixel of the rows and columns of a transform."""
    return 2 * np.pi * fft.fftfreq(side), 2 * np.pi * fft.rfftfreq(side)


@lru_cache(maxsize=64)
def _blur(side: int, fwhm: float) -> np.ndarray:
    """The transform of the seeing and of a pixel: shape (side, side / 2 + 1).

    Frequencies above a pixel's Nyquist frequency, which would be aliased, are left out: with the
    sharpest seeing that the settings allow the transform is less than a hundredth there.
    """
    axes = _frequencies(side)
    blur = np.zeros((side, side // 2 + 1))
    for share, sigma in _gaussians(fwhm):
        rows, columns = (np.exp(-0.5 * (k * sigma / PIXEL_SCALE) ** 2) for k in axes)
        blur += share * np.outer(rows, columns)
    rows, columns = (np.sinc(k / (2 * np.pi)) for k in axes)
    return (blur * np.outer(rows, columns)).astype(np.float32)


def _add(image: np.ndarray, shape: np.ndarray, flux: float, place: Array) -> None:
    """Add the light of a transform, centred at a place (FITS column, row), to the image."""
    side = len(shape)
    corner = np.floor(place - side / 2).astype(int)  # column and row of its first pixel, from 0
    columns, rows = (slice(max(at, 0), max(at + side, 0)) for at in corner)
    seen = image[rows, columns]
    if not seen.size:
        return
    offset_column, offset_row = place - 1 - corner
    by_row, by_column = _frequencies(side)
    turn = np.outer(
        (flux * np.exp(-1j * by_row * offset_row)).astype(np.complex64),
        np.exp(-1j * by_column * offset_column).astype(np.complex64),
    )
    turn *= shape
    light = fft.irfft2(turn, s=(side, side))
    first_column, first_row = np.maximum(-corner, 0)
    height, width = seen.shape
    seen += light[first_row : first_row + height, first_column : first_column + width]
