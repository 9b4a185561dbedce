"""Names of the variants that can be trained: the inputs of the flows and the family of the flows.

A variant is INPUTS, with flows as in the settings, or INPUTS+FAMILY, with all flows of that family:
`photometry-observed`, `photometry-observed+spline`. Every file, row and figure of a variant has its
name.
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
    """The name of the inputs of `variant`, such as `photometry-observed`."""
    return variant.partition("+")[0]


def family_of(variant: str) -> str | None:
    """The family of all its flows, "affine" or "spline"; None if the settings determine it."""
    return variant.partition("+")[2] or None


def with_inputs(variant: str, inputs: str) -> str:
    """The variant with other `inputs` and the same flows as `variant`."""
    return inputs + variant[len(inputs_of(variant)) :]
