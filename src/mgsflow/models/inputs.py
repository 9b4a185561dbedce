"""What the flows see: the columns behind each variant's name, in order, and its label in tables.

Position, plate, run and field are never among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from mgsflow.core.errors import UserError
from mgsflow.core.variants import VARIANTS, family_of, inputs_of

_INPUTS = {
    "images_photometry-rest_frame": "Images + photometry + NF (ours, rest-frame colours)",
    "images_photometry-observed": "Images + photometry + NF (ours, observed colours)",
    "photometry-rest_frame": "Photometry + NF (ours, rest-frame colours)",
    "photometry-observed": "Photometry + NF (ours, observed colours)",
    "images": "Images + NF (ours)",
}


def _label(variant: str) -> str:
    label, family = _INPUTS[inputs_of(variant)], family_of(variant)
    return label if family is None else f"{label[:-1]}, {family})"


# in the order of the tables, families below the inputs that they share
LABELS = {variant: _label(variant) for variant in VARIANTS}


def variant_label(variant: str) -> str:
    """How a variant is called in a table's first column."""
    return LABELS[variant]


def colour_columns(bands: list[str]) -> list[str]:
    """Observed colours of adjacent bands: ["u", "g", "r"] gives colour_u_g, colour_g_r."""
    return [f"colour_{blue}_{red}" for blue, red in pairwise(bands)]


def rest_colour_columns(bands: list[str]) -> list[str]:
    """Rest-frame colours of adjacent bands. They know the redshift: see docs/decisions.md."""
    return [f"rest_{name}" for name in colour_columns(bands)]


def magnitude_columns(bands: list[str]) -> list[str]:
    """Apparent magnitudes."""
    return [f"mag_{band}" for band in bands]


def latent_columns(available: Iterable[str]) -> list[str]:
    """The VAE's latent means, then its latent standard deviations, each by their number."""
    names = list(available)
    return [
        name
        for prefix in ("latent_mean_", "latent_std_")
        for name in sorted(
            (name for name in names if name.startswith(prefix)),
            key=lambda name: int(name.rsplit("_", 1)[1]),
        )
    ]


def input_columns(variant: str, bands: list[str], available: Iterable[str]) -> list[str]:
    """The input columns of `variant`, in the order in which the encoder takes them.

    Latents (means, then standard deviations), colours from blue to red, magnitudes (paper,
    section 2.3). `available` are the columns of the table, from which the latents' number is read.
    Raises UserError where a column is not available.
    """
    names, inputs = list(available), inputs_of(variant)
    wanted: list[str] = []
    if inputs.startswith("images"):
        wanted += latent_columns(names) or ["latent_mean_00"]
    if "photometry" in inputs:
        rest_frame = inputs.endswith("rest_frame")
        wanted += rest_colour_columns(bands) if rest_frame else colour_columns(bands)
        wanted += magnitude_columns(bands)
    absent = sorted(set(wanted) - set(names))
    if absent:
        raise UserError(
            f"flows.variants: {variant} needs the columns {', '.join(absent)}, which are not "
            "there. Leave the variant out, or give the stamps or photometry that it needs."
        )
    return wanted
