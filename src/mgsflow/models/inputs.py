"""What the flows see: the columns behind each variant's name, in order, and its label in tables.

Position, plate, run and field are never among them.
"""

from __future__ import annotations

from collections.abc import Iterable

from mgsflow.core.errors import UserError
from mgsflow.core.latents import latent_columns, mean_column
from mgsflow.core.photometry import colour_columns, magnitude_columns, rest_colour_columns
from mgsflow.core.variants import VARIANTS, family_of, inputs_of

# What the flows see of each kind of inputs: its name, the same in short, which colours.
_INPUTS = {
    "images_photometry-rest_frame": ("Images + photometry", "Images + phot.", "rest-frame colours"),
    "images_photometry-observed": ("Images + photometry", "Images + phot.", "observed colours"),
    "photometry-rest_frame": ("Photometry", "Phot.", "rest-frame colours"),
    "photometry-observed": ("Photometry", "Phot.", "observed colours"),
    "images": ("Images", "Images", ""),
}


def _label(variant: str, method: str) -> str:
    seen, _, colours = _INPUTS[inputs_of(variant)]
    return f"{seen}{method} ({', '.join(filter(None, ('ours', colours, family_of(variant))))})"


# in the order of the tables, families below the inputs that they share
LABELS = {variant: _label(variant, " + NF") for variant in VARIANTS}
MEAN_HEAD_LABELS = {variant: _label(variant, ", mean head alone") for variant in VARIANTS}


def variant_label(variant: str) -> str:
    """How a variant is called in a table's first column."""
    return LABELS[variant]


def inputs_label(variant: str, short: bool = False) -> str:
    """What a variant sees, and its family: `Photometry (observed colours, spline)`."""
    seen, in_short, colours = _INPUTS[inputs_of(variant)]
    details = ", ".join(filter(None, (colours, family_of(variant))))
    return (in_short if short else seen) + (f" ({details})" if details else "")


def input_columns(variant: str, bands: list[str], available: Iterable[str]) -> list[str]:
    """The input columns of `variant`, in the order in which the encoder takes them.

    Latents (means, then standard deviations), colours from blue to red, magnitudes (paper,
    section 2.3). `available` are the columns of the table, from which the latents' number is read.
    Raises UserError where a column is not available.
    """
    names, inputs = list(available), inputs_of(variant)
    wanted: list[str] = []
    if inputs.startswith("images"):
        wanted += latent_columns(names) or [mean_column(0)]
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
