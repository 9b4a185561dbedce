"""The seam between image encoders and all that uses them.

An encoder turns a stamp into latents: the columns of `core.latents`, which flows, baselines and
figures take from a table without asking which encoder made them. Stages that need the encoder
itself load one by `registry.load_encoder` and know it as an `Encoder`, or a `Decoder`.

To put another encoder in the VAE's place:

1. Write its module beside this one: its network, a class that is an `Encoder` (and a `Decoder` if
   it can decode), and its loader. The folder of the model holds the weights and a description
   (`models.storage.save_model`): what `describe_encoder` returns, and what its loader needs.
2. Enter its loader in `registry.LOADERS` under the kind that its description states.
3. Declare the stage that makes its folder in `mgsflow.stages` in the place of train-vae, with
   `ENCODER` that folder, and write its rule into workflow/rules/vae.smk. It trains on the sets
   vae_train and vae_validation of the splits. Trainings share their loop and early stopping
   (`training.loop`), checkpoints (`training.checkpoints`), the account of their cost
   (`training.telemetry`) and their folder (`training.folder`), which is `ENCODER.written`. An
   encoder that the run does not train, such as one with published weights, has no history and no
   telemetry: its folder is `ENCODER.stored`.
4. Give it a section of the settings (`mgsflow.config`) if it has any.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from mgsflow.core.errors import UserError
from mgsflow.core.quantities import Quantity
from mgsflow.sample.shards import NANOMAGGIES, ORIENTATION, Layout
from mgsflow.sample.stretch import Stretch


class Encoder(Protocol):
    """A frozen image encoder."""

    @property
    def layout(self) -> Layout:
        """Which stamps it was trained on."""

    @property
    def stretch(self) -> Stretch:
        """The stretch that it applies to stored pixels."""

    @property
    def columns(self) -> list[Quantity]:
        """The latents that it makes of a stamp, in their order: see `core.latents`."""

    def check(self, layout: Layout) -> None:
        """Raises UserError if it does not take stamps of `layout`: see `require_layout`."""

    def encode(self, raw: np.ndarray) -> np.ndarray:
        """Latents (n, columns), float32, of stored stamps.

        `raw` is as shards hold it: (n, bands, size, size), float16 nanomaggies or uint8. A stamp's
        latents depend on that stamp alone, up to the last bits.
        """


@runtime_checkable
class Decoder(Encoder, Protocol):
    """An encoder that can make stamps of latents as well."""

    def decode(self, means: np.ndarray) -> np.ndarray:
        """Stretched stamps (n, bands, size, size), float32, of latent means (n, dimensions)."""


def latent_table(encoder: Encoder, latents: np.ndarray) -> pd.DataFrame:
    """What `encode` returned, as a table with the names of its columns."""
    return pd.DataFrame(latents, columns=[column.name for column in encoder.columns])


def require_layout(own: Layout, given: Layout) -> None:
    """Raises UserError unless the stamps that are given have the layout of the encoder's own."""
    if given != own:
        raise UserError(
            f"The stamps are not of the kind that the encoder was trained on: {given}, not {own}. "
            "Train an encoder on them, or give the stamps it belongs to."
        )


def describe_encoder(
    kind: str,
    architecture: dict[str, Any],
    layout: Layout,
    stretch: Stretch,
    columns: list[Quantity] | None = None,
) -> dict[str, Any]:
    """The part of an encoder's description that is common to all: what it is and what it takes.

    `columns` are its latents, whose names are stated unless they follow from the architecture, as
    the VAE's do. Figure 1 is drawn from this description.
    """
    stated = {} if columns is None else {"columns": [column.name for column in columns]}
    formula = "pixel / 255" if layout.dtype == "uint8" else "asinh(pixel / softening) / scale"
    return stated | {
        "architecture": {"kind": kind, **architecture},
        "inputs": {**asdict(layout), "bands": list(layout.bands), "orientation": ORIENTATION},
        "standardisation": {"formula": formula, **stretch.as_dict()},
        "targets": [],
        "units": {"softening": NANOMAGGIES, "pixel": layout.unit, "pixel_scale": "arcsec"},
    }


def read_stamps(facts: dict[str, Any]) -> tuple[Layout, Stretch]:
    """The stamps that a description states, and their stretch.

    Raises KeyError or TypeError where it does not: a loader turns them into a UserError.
    """
    inputs = {key: value for key, value in facts["inputs"].items() if key != "orientation"}
    stretch = Stretch(**{key: facts["standardisation"][key] for key in ("softening", "scale")})
    return Layout(**inputs | {"bands": tuple(inputs["bands"])}), stretch
