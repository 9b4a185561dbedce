"""Names of what can be trained: which inputs the flows see, and of which family the flows are.

A variant is INPUTS, whose flows are as the settings say, or INPUTS+FAMILY, whose flows are all of
that family: `photometry-observed`, `photometry-observed+spline`. Every file, row and figure of a
variant goes by its name.
"""

from __future__ import annotations

INPUTS = (
    "images_photometry-rest_frame",
    "images_photometry-observed",
    "photometry-rest_frame",
    "photometry-observed",
    "images",
)
FAMILIES = ("affine", "spline")
VARIANTS = tuple(
    f"{inputs}{end}" for inputs in INPUTS for end in ("", *(f"+{f}" for f in FAMILIES))
)


def inputs_of(variant: str) -> str:
    """The name of the inputs that `variant` sees, such as `photometry-observed`."""
    return variant.partition("+")[0]


def family_of(variant: str) -> str | None:
    """The family of all its flows, "affine" or "spline"; None where the settings say it."""
    return variant.partition("+")[2] or None


def with_inputs(variant: str, inputs: str) -> str:
    """The variant of other `inputs` whose flows are as those of `variant`."""
    return inputs + variant[len(inputs_of(variant)) :]
