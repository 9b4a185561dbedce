"""The kinds of unusual galaxies: what is put in the place of the test set's galaxies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mgsflow.config import Simulated
from mgsflow.core.photometry import magnitude_columns, magnitudes_of_colours
from mgsflow.evaluation.out_of_distribution.pixels import empty, patched, render, star_profiles
from mgsflow.sky.simulated.camera import BANDS, ZERO_POINT
from mgsflow.sky.simulated.contaminants import STELLAR_LOCUS

SWAPPED_BANDS = ("g", "i")
FAR = (0.495, 0.505)  # redshifts of the distant galaxies: the project's z = 0.5
FAR_LIMIT = 20.0  # mag in r, to which the simulated sky's relations hold
STELLAR_SCATTER = 0.03  # mag, of a star's colours about the locus: its width in SDSS, about


@dataclass(frozen=True)
class Sample:
    """n galaxies as the run observed them, or what is put in their place.

    Attributes
    ----------
    objid : (n,) int64, of the test set's galaxies
    redshift : (n,)
    magnitudes, errors : a column a band, mag, without the Galaxy's extinction
    extinction : a column a band, mag
    stamps : (n, bands, size, size), as shards hold them; None where they cannot be made
    bands : of the stamps
    pixel_scale : of the stamps, arcsec
    """

    objid: np.ndarray
    redshift: np.ndarray
    magnitudes: pd.DataFrame
    errors: pd.DataFrame
    extinction: pd.DataFrame
    stamps: np.ndarray | None
    bands: tuple[str, ...]
    pixel_scale: float

    def __len__(self) -> int:
        return len(self.objid)

    @property
    def physical(self) -> bool:
        """Whether light can be added to the stamps: a JPEG's pixels are no fluxes."""
        return self.stamps is not None and self.stamps.dtype == np.float16

    @property
    def has_photometry(self) -> bool:
        return "r" in self.magnitudes


def blank(sample: Sample, random: np.random.Generator) -> Sample | None:
    """Stamps of nothing but sky and its noise; the magnitudes stay."""
    if sample.stamps is None:
        return None
    return replace(sample, stamps=empty(sample.stamps, random))


def control(sample: Sample, random: np.random.Generator) -> Sample | None:
    """The galaxies themselves, on stamps whose border is put together as an empty stamp is.

    A flag that goes by seams, or by neighbours that are not there, flags these too.
    """
    if sample.stamps is None:
        return None
    return replace(sample, stamps=patched(sample.stamps, random))


def swapped(sample: Sample) -> Sample | None:
    """g and i exchanged, in the stamps and in the magnitudes, as by a column read wrongly."""
    one, other = SWAPPED_BANDS
    names = {one: other, other: one}
    stamps = sample.stamps
    if stamps is not None:
        if not {one, other} <= set(sample.bands):
            return None
        stamps = stamps[:, [sample.bands.index(names.get(band, band)) for band in sample.bands]]
    if len(sample.magnitudes.columns) and not {one, other} <= set(sample.magnitudes):
        return None
    order = list(sample.magnitudes)
    magnitudes, errors = (
        part.rename(columns=names)[order] for part in (sample.magnitudes, sample.errors)
    )
    return replace(sample, stamps=stamps, magnitudes=magnitudes, errors=errors)


def star(sample: Sample, fwhm: float, random: np.random.Generator) -> Sample | None:
    """Main-sequence stars, F to M, as bright in r as the galaxies; point sources in the stamps.

    Colours lie along the stellar locus of Covey et al. (2007, Table 3), evenly, with its width;
    the seeing has the `fwhm` in r, arcsec.
    """
    if not sample.has_photometry:
        return None
    count = len(sample)
    place = random.uniform(0, len(STELLAR_LOCUS) - 1, count)
    steps = np.arange(len(STELLAR_LOCUS))
    colours = np.stack([np.interp(place, steps, colour) for colour in STELLAR_LOCUS.T])
    colours = colours + STELLAR_SCATTER * random.standard_normal(colours.shape)
    r = sample.magnitudes["r"].to_numpy()
    magnitudes = pd.DataFrame(magnitudes_of_colours(colours, BANDS, "r", r))
    stamps = None
    if sample.physical:
        profiles = star_profiles(count, sample.bands, fwhm)
        stamps = _drawn(sample, profiles, magnitudes, random)
    return replace(
        sample,
        redshift=np.zeros(count),
        magnitudes=magnitudes[list(sample.magnitudes)],
        stamps=stamps,
    )


def distant(
    sample: Sample, simulated: Simulated, bright: bool, random: np.random.Generator
) -> Sample | None:
    """Galaxies of the simulated sky at z = 0.5, no fainter than r = 20.

    With `bright` their fluxes are multiplied until they are as bright in r as the sample's: colours
    and sizes alone are then not of this sample.
    """
    if not sample.has_photometry:
        return None
    # only here: the simulator reads its templates
    from mgsflow.evaluation.out_of_distribution.far import draw_far, far_profiles, observe_far

    brightness = sample.magnitudes["r"].to_numpy() if bright else None
    galaxies = draw_far(len(sample), FAR, FAR_LIMIT, brightness, simulated, random)
    magnitudes, errors = observe_far(galaxies, random)
    order, stamps = list(sample.magnitudes), None
    if sample.physical:
        profiles = far_profiles(galaxies, sample.bands, simulated.psf_fwhm)
        true = galaxies[magnitude_columns(BANDS)].set_axis(list(BANDS), axis=1)
        stamps = _drawn(sample, profiles, true, random)
    return replace(
        sample,
        redshift=galaxies["redshift"].to_numpy(),
        magnitudes=magnitudes[order],
        errors=errors[order],
        stamps=stamps,
    )


def _drawn(
    sample: Sample, profiles: list, magnitudes: pd.DataFrame, random: np.random.Generator
) -> np.ndarray:
    """Profiles of flux 1 on the sample's empty sky, with the fluxes of `magnitudes`."""
    assert sample.stamps is not None
    reddened = magnitudes[list(sample.bands)] + sample.extinction[list(sample.bands)]
    fluxes = 10 ** (0.4 * (ZERO_POINT - reddened.to_numpy()))
    sky = empty(sample.stamps, random)
    return render(sky, profiles, fluxes, sample.bands, sample.pixel_scale, random)
