"""The pixels of a field: galaxies as bulge and disk, stars, seeing, sky, noise, integer counts."""

from __future__ import annotations

from functools import cache

import galsim
import numpy as np
import pandas as pd
from astropy.wcs import WCS

from mgsflow.core.quantities import BANDS
from mgsflow.sky.simulated.camera import CAMERA, FRAME_SHAPE, PIXEL_SCALE
from mgsflow.sky.simulated.contaminants import STELLAR_LOCUS
from mgsflow.sky.simulated.relations import Array

BULGE_EDGE = (
    8.0  # half-light radii at which a bulge ends, as SDSS's models do (Stoughton et al. 2002)
)
FAINTEST_DRAWN = 2e-3  # nanomaggies a pixel, a tenth of the sky's noise
STAMP_SIDES = (
    32,
    48,
    64,
    96,
    128,
    192,
    256,
    384,
    512,
    768,
    1024,
)  # few sizes, so FFTs are planned once
POINT_SIDE = 48  # of the square that a star is drawn on
WING_SHARE, WING_WIDTH = 0.12, 2.3  # SDSS's double Gaussian (Stoughton et al. 2002, section 4.3)
FOLDING = galsim.GSParams(folding_threshold=1e-2, maximum_fft_size=8192, kvalue_accuracy=1e-4)
BACKGROUND_STARS, BACKGROUND_GALAXIES = 50, 50  # of a field, fainter than the sample


def point_spread(fwhm: float) -> galsim.GSObject:
    """The seeing: two round Gaussians that together have this FWHM in arcsec."""
    core = galsim.Gaussian(fwhm=0.97 * fwhm, flux=1 - WING_SHARE)
    wing = galsim.Gaussian(fwhm=0.97 * fwhm * WING_WIDTH, flux=WING_SHARE)
    return galsim.Sum([core, wing])


@cache
def _unit_profile(index: float) -> galsim.GSObject:
    """A Sérsic profile of half-light radius and flux 1, built once for each index."""
    if index == 1.0:
        return galsim.Exponential(half_light_radius=1.0, gsparams=FOLDING)
    return galsim.Sersic(n=index, half_light_radius=1.0, trunc=BULGE_EDGE, gsparams=FOLDING)


def galaxy_profile(galaxy: pd.Series, band: str) -> galsim.GSObject:
    """A galaxy's light in a band, nanomaggies, before seeing: u = west, v = north, in arcsec."""
    share = galaxy[f"bulge_share_{band}"]
    # galsim's angles run from west to north; position angles from north to east
    angle = (90.0 + galaxy["position_angle"]) * galsim.degrees
    disk = _component(1.0, galaxy["disk_radius"], galaxy["disk_axis_ratio"], angle)
    if share < 0.005:
        return disk * galaxy[f"nanomaggies_{band}"]
    bulge = _component(
        galaxy["bulge_sersic"], galaxy["bulge_radius"], galaxy["bulge_axis_ratio"], angle
    )
    return (bulge * share + disk * (1 - share)) * galaxy[f"nanomaggies_{band}"]


def _component(
    index: float, radius: float, axis_ratio: float, angle: galsim.Angle
) -> galsim.GSObject:
    return _unit_profile(index).dilate(radius).shear(q=axis_ratio, beta=angle)


def stamp_sides(galaxies: pd.DataFrame) -> np.ndarray:
    """Pixels of the squares that galaxies are drawn on: to where their disks drown in noise."""
    scale = galaxies["disk_radius"].to_numpy() / 1.678
    area = 2 * np.pi * scale**2 * galaxies["disk_axis_ratio"].to_numpy()
    centre = galaxies["nanomaggies_r"].to_numpy() * PIXEL_SCALE**2 / area
    lengths = np.clip(np.log(centre / FAINTEST_DRAWN), 5.0, 14.0)
    bulge = BULGE_EDGE * np.where(
        galaxies["bulge_share_r"] > 0.02, galaxies["bulge_radius"].to_numpy(), 0.0
    )
    needed = 2 * np.maximum(lengths * scale, bulge) / PIXEL_SCALE + 20
    large_enough = np.searchsorted(STAMP_SIDES, needed)
    return np.take(STAMP_SIDES, large_enough, mode="clip")


def background_objects(random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Faint stars and galaxies behind and before a field, anywhere on its frames.

    Counts rise tenfold in 5 mag for stars and in 2 mag for galaxies (Yasuda et al. 2001).
    """
    stars, galaxies = (
        pd.DataFrame(
            {
                "x": random.uniform(-20, FRAME_SHAPE[1] + 20, count),
                "y": random.uniform(-20, FRAME_SHAPE[0] + 20, count),
            }
        )
        for count in (BACKGROUND_STARS, BACKGROUND_GALAXIES)
    )
    bright = _counts_magnitude(15.5, 21.5, 0.2, BACKGROUND_STARS, random)
    place = random.uniform(0, len(STELLAR_LOCUS) - 1, BACKGROUND_STARS)
    colours = [np.interp(place, np.arange(len(STELLAR_LOCUS)), c) for c in STELLAR_LOCUS.T]
    stars = stars.assign(**_fluxes(bright, np.stack(colours, axis=1)))
    faint = _counts_magnitude(18.2, 21.5, 0.5, BACKGROUND_GALAXIES, random)
    mean = np.array([1.3, 0.9, 0.42, 0.30])
    reddish = mean + random.normal(0, 1, (BACKGROUND_GALAXIES, 1)) * [0.3, 0.3, 0.08, 0.06]
    galaxies = galaxies.assign(
        **_fluxes(faint, reddish),
        **{f"bulge_share_{band}": 0.0 for band in BANDS},
        disk_radius=10 ** random.normal(0.0, 0.18, BACKGROUND_GALAXIES),
        disk_axis_ratio=random.uniform(0.25, 1.0, BACKGROUND_GALAXIES),
        bulge_radius=0.0,
        position_angle=random.uniform(0, 180, BACKGROUND_GALAXIES),
    )
    return stars, galaxies


def _counts_magnitude(
    brightest: float, faintest: float, slope: float, count: int, random: np.random.Generator
) -> Array:
    """r magnitudes of number counts that rise as 10^(slope m)."""
    share = random.uniform(10 ** (slope * (brightest - faintest)), 1.0, count)
    return faintest + np.log10(share) / slope


def _fluxes(r: Array, colours: Array) -> dict[str, Array]:
    ug, gr, ri, iz = colours.T
    magnitudes = (r + gr + ug, r + gr, r, r - ri, r - ri - iz)
    return {
        f"nanomaggies_{band}": 10 ** (0.4 * (22.5 - m))
        for band, m in zip(BANDS, magnitudes, strict=True)
    }


def draw_field(
    objects: pd.DataFrame, points: pd.DataFrame, wcs: WCS, band: str, fwhm: float
) -> np.ndarray:
    """Nanomaggies of every pixel of a frame, shape (1489, 2048), without sky and noise.

    `objects` are galaxies, `points` stars; their `column` and `row` are FITS pixels of this frame,
    `fwhm` the seeing in arcsec.
    """
    height, width = FRAME_SHAPE
    image = galsim.ImageF(width, height, xmin=1, ymin=1)
    seeing = point_spread(fwhm)
    jacobian = _jacobian(wcs)
    for (_, galaxy), side in zip(objects.iterrows(), stamp_sides(objects), strict=True):
        profile = galsim.Convolve([galaxy_profile(galaxy, band), seeing], gsparams=FOLDING)
        _add(image, profile, galaxy, int(side), jacobian)
    for _, star in points.iterrows():
        _add(image, seeing * star[f"nanomaggies_{band}"], star, POINT_SIDE, jacobian)
    return image.array


def _jacobian(wcs: WCS) -> galsim.JacobianWCS:
    """The projection at the frame's centre in galsim's coordinates, u = west, v = north, arcsec."""
    (east_x, east_y), (north_x, north_y) = wcs.wcs.cd * 3600
    return galsim.JacobianWCS(-east_x, -east_y, north_x, north_y)


def _add(
    image: galsim.Image,
    profile: galsim.GSObject,
    where: pd.Series,
    side: int,
    jacobian: galsim.JacobianWCS,
) -> None:
    """Draw `profile` at its place in `image`, as far as it lies within."""
    centre = galsim.PositionD(float(where["column"]), float(where["row"]))
    stamp = profile.drawImage(nx=side, ny=side, center=centre, wcs=jacobian, dtype=np.float32)
    seen = stamp.bounds & image.bounds
    if seen.isDefined():
        image[seen] += stamp[seen]


def observe(
    flux: np.ndarray, calibration: Array, sky: np.ndarray, band: str, noise: np.ndarray
) -> np.ndarray:
    """What the camera makes of `flux` in nanomaggies: sky-subtracted nanomaggies, float32.

    `calibration` is nanomaggies a count of each column, `sky` counts of each pixel,
    `noise` their standard normal deviates. Counts are integers before the sky is subtracted, as in
    the real frames. Tens of photons or more fall in every pixel, so that a Gaussian stands for
    Poisson's law.
    """
    camera = CAMERA[band]
    scale = calibration.astype(np.float32)
    counts = np.asarray(flux, dtype=np.float32) / scale + sky
    deviation = np.sqrt(np.maximum(counts, 0.0) / camera.gain + camera.dark_variance)
    counts += deviation * noise
    return _shorten((np.round(counts) - sky) * scale)


def _shorten(values: np.ndarray) -> np.ndarray:
    """Float32 values rounded to ten binary digits: so SAS's frames are, to compress well."""
    bits = values.astype(np.float32).view(np.uint32)
    # of the 23 stored bits of the mantissa nine stay; half of the last is added to round
    return ((bits + np.uint32(1 << 13)) & np.uint32(0xFFFFFFFF << 14 & 0xFFFFFFFF)).view(np.float32)
