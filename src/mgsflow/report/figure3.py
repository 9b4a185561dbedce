"""Figure 3: images decoded along the latent directions that go with a property."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from astropy.visualization import make_lupton_rgb
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import QUANTITIES, label
from mgsflow.core.surveys import known_bands, survey_with
from mgsflow.report import style

_SOFTNESS = 8.0  # Lupton's Q: how far beyond the linear part the asinh reaches
_BRIGHT_QUANTILE = 0.995  # of the middle image's pixels: those that shall be bright
_BRIGHT = 6.0  # how far they are above the end of the linear part: more than half of white
_ACROSS = 9  # images in a row at most


@dataclass(frozen=True)
class Direction:
    """What `directions` wrote of one property. `images` (steps, bands, y, x), row 0 south."""

    target: str
    images: np.ndarray
    counts: bool  # pixels from a JPEG, 0 to 1, instead of nanomaggies
    steps: np.ndarray
    dimensions: np.ndarray
    coefficients: np.ndarray
    objid: int
    value: float
    r2: float
    bands: list[str]
    pixel_scale: float


def figure3(*, directions: Path, target: str, out: Path) -> None:
    """Draw images decoded along the latent directions of `target` (paper, Figure 3).

    In natural order of colours (the bands of the survey's own pictures where the run has them) and
    with one stretch for all, north up and east left. The steps are in standard deviations of the
    latents, which move together so that the property rises to the right.
    """
    direction = read_direction(directions, target)
    if direction is None:
        name = QUANTITIES[target].description if target in QUANTITIES else target
        text = f"No latent direction was decoded for this quantity: {name}."
        style.save(style.sentence(text), out)
        return
    style.save(draw(direction), out)


def read_direction(path: Path, target: str) -> Direction | None:
    """The direction of `target` in a file of the stage `directions`; None if it is not there.

    Raises UserError where the file is not there or is not HDF5.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(file, target) if target in file else None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run directions first.") from None
    except OSError as error:
        raise UserError(
            f"{path}: not a readable HDF5 file ({error}). Remove it and rerun."
        ) from None


def _read(file: h5py.File, target: str) -> Direction:
    group = file[target]
    counts = "images_nanomaggies" not in group
    return Direction(
        target=target,
        images=group["images" if counts else "images_nanomaggies"][:],
        counts=counts,
        steps=group["steps"][:],
        dimensions=group["dimensions"][:],
        coefficients=group["coefficients"][:],
        objid=int(group.attrs["objid"]),
        value=float(group.attrs["value"]),
        r2=float(group.attrs["r2"]),
        bands=[str(band) for band in file.attrs["bands"]],
        pixel_scale=float(file.attrs["pixel_scale"]),
    )


def colour_images(images: np.ndarray, bands: list[str], counts: bool) -> np.ndarray:
    """Colour pictures (steps, y, x, 3), uint8, of `images` (steps, bands, y, x).

    Red, green and blue are the bands from red to blue; one lone band gives grey. Nanomaggies get
    one stretch of Lupton et al. (2004) for all steps, so that they can be compared; pixels of a
    JPEG, 0 to 1, were stretched before.
    """
    if counts:
        channels = images[:, _channels(bands)]
        return np.moveaxis(np.rint(255 * np.clip(channels, 0, 1)).astype(np.uint8), 1, -1)
    survey = survey_with(bands)
    weights = np.array([survey.passband(band).picture_weight for band in bands])
    channels = (images * weights[:, None, None])[:, _channels(bands)]
    middle = channels[len(channels) // 2].mean(axis=0)
    stretch = max(float(np.quantile(middle, _BRIGHT_QUANTILE)) / _BRIGHT, 1e-4)
    with np.errstate(invalid="ignore"):  # of pixels without any light, which it then sets to black
        return np.stack(
            [make_lupton_rgb(*one, minimum=0, stretch=stretch, Q=_SOFTNESS) for one in channels]
        )


def _channels(bands: list[str]) -> list[int]:
    """Which band is red, which green, which blue."""
    channels = survey_with(bands).picture_channels
    if set(channels) <= set(bands):
        return [bands.index(band) for band in channels]
    reddest_first = sorted(range(len(bands)), key=lambda i: -known_bands().index(bands[i]))
    middle = reddest_first[len(bands) // 2]
    return [reddest_first[0], middle, reddest_first[-1]]


def draw(direction: Direction) -> Figure:
    """A row of images, the steps above them, below what was moved."""
    pictures = colour_images(direction.images, direction.bands, direction.counts)
    columns = min(len(pictures), _ACROSS)
    width = style.PAGE / columns
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(style.PAGE, rows * (width + 0.22) + 0.6), layout="compressed")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.02, wspace=0.01)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(len(pictures))]
    for one, picture, step in zip(axes, pictures, direction.steps, strict=True):
        one.imshow(picture, origin="lower")  # row 0 is south
        one.set(xticks=[], yticks=[])
        one.set_title(_step(step))
    _scale_bar(axes[0], pictures.shape[2], direction.pixel_scale)
    figure.suptitle(f"{label(direction.target)} rises " + r"$\longrightarrow$", fontsize="medium")
    figure.supxlabel(_explain(direction), fontsize=6)
    return figure


def _step(step: float) -> str:
    return "0" if abs(step) < 1e-9 else rf"${step:+.3g}\,\sigma$"


def _scale_bar(axes: Axes, size: int, pixel_scale: float) -> None:
    """A bar of 1, 2, 5, 10, ... arcsec, about a quarter of the picture."""
    rounds = [factor * 10.0**power for power in range(-2, 4) for factor in (1, 2, 5)]
    length = min(rounds, key=lambda value: abs(np.log(value / (0.25 * size * pixel_scale))))
    start, height = 0.06 * size, 0.07 * size
    axes.plot([start, start + length / pixel_scale], [height, height], color="white", linewidth=1.2)
    axes.text(start, height + 0.03 * size, f"{length:g}″", color="white", size=6)


def _explain(direction: Direction) -> str:
    quantity = QUANTITIES.get(direction.target)
    unit = " dex" if quantity and quantity.unit.startswith("dex") else ""
    moved = ", ".join(
        f"{number} ({value:+.2g}{unit})".replace("-", "−")
        for number, value in zip(direction.dimensions, direction.coefficients, strict=True)
    )
    return (
        f"Latent dimensions (regression coefficients a $\\sigma$): {moved}; $R^2$ of the "
        f"regression {direction.r2:.2f}\n"
        f"Galaxy {direction.objid}, {label(direction.target)} = {direction.value:.3g}; "
        f"bands {', '.join(direction.bands)}"
    )
