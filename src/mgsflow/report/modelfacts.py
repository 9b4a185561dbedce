"""What Figure 1 needs to know of the models, from their folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgsflow.core.contract import DESCRIPTION
from mgsflow.core.errors import UserError
from mgsflow.core.files import read_facts
from mgsflow.core.latents import LATENT_MEAN, LATENT_STD, is_latent
from mgsflow.core.photometry import COLOUR, MAGNITUDE, REST_COLOUR
from mgsflow.core.quantities import METALLICITY


@dataclass(frozen=True)
class EncoderFacts:
    """What any encoder says of itself: its kind, bands, pixels on a side, number of latents."""

    kind: str
    bands: list[str]
    size: int
    columns: int


@dataclass(frozen=True)
class VaeFacts:
    """Shape of a VAE: bands, pixels on a side, channels of the convolutions, latents."""

    bands: list[str]
    size: int
    channels: list[int]
    latent: int


@dataclass(frozen=True)
class BranchFacts:
    """Shape of a branch: numbers of inputs, names of inputs (where known) and targets, widths."""

    inputs: int
    columns: list[str]
    targets: list[str]
    detects: bool
    settings: dict[str, Any]
    members: int | None

    @property
    def has_latents(self) -> bool:
        return not self.columns or any(map(is_latent, self.columns))

    @property
    def input_lines(self) -> list[str]:
        """How many inputs there are of each kind."""
        kinds = (
            (LATENT_MEAN, "latent means"),
            (LATENT_STD, "latent widths"),
            (REST_COLOUR, "rest-frame colours"),
            (COLOUR, "observed colours"),
            (MAGNITUDE, "magnitudes"),
        )
        counts = [(sum(c.startswith(start) for c in self.columns), text) for start, text in kinds]
        return [f"{n} {text if n > 1 else text.rstrip('s')}" for n, text in counts if n]

    @property
    def core(self) -> list[str]:
        return [name for name in self.targets if name != METALLICITY]

    @property
    def metallicity_only_second(self) -> bool:
        """Whether metallicity has a flow of its own below that of the core."""
        return METALLICITY in self.targets and bool(self.core)

    @property
    def encoder(self) -> str:
        return _widths([self.inputs, *self.settings["encoder_hidden"], self.settings["encoding"]])

    @property
    def mean_head(self) -> str:
        return self._head(len(self.targets))

    @property
    def detect_head(self) -> str:
        return self._head(1)

    @property
    def flow_title(self) -> str:
        if not self.core:
            return "Flow of O/H"
        return "Joint flow" if len(self.core) > 1 else "Flow"

    @property
    def flow(self) -> str:
        """The first flow's layers and dimensions."""
        if not self.core:
            return self.metallicity_flow
        if len(self.core) == 1:
            return f"of the residual\n1-D, {self.settings['single_flow']}"
        layers = f"{self.settings['couplings']} {self.settings['coupling']} couplings"
        return f"of {len(self.core)} residuals\n{layers}"

    @property
    def metallicity_flow(self) -> str:
        return f"1-D, {self.settings['metallicity_flow']}"

    def _head(self, outputs: int) -> str:
        return _widths([self.settings["encoding"], self.settings["head_hidden"], outputs])


def read_encoder(folder: Path) -> VaeFacts | EncoderFacts:
    """The facts of the encoder in a model's folder; of a VAE, those of its layers.

    Raises UserError if it holds no encoder.
    """
    facts = read_facts(folder / DESCRIPTION)
    try:
        architecture, stamps = facts["architecture"], facts["inputs"]
        if architecture["kind"] == "vae":
            return VaeFacts(
                list(stamps["bands"]),
                int(architecture["size"]),
                [int(n) for n in architecture["channels"]],
                int(architecture["latent"]),
            )
        return EncoderFacts(
            str(architecture["kind"]),
            list(stamps["bands"]),
            int(stamps["size"]),
            len(facts["columns"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder}: describes no encoder ({error!r}). Rerun its training."
        ) from None


def read_branch(folder: Path) -> BranchFacts:
    """The facts of the flow in a model's folder. Raises UserError if it holds none."""
    facts = read_facts(folder / DESCRIPTION)
    try:
        architecture = facts["architecture"]
        return BranchFacts(
            int(architecture["inputs"]),
            _columns(facts.get("inputs")),
            list(architecture["targets"]),
            bool(architecture["detects"]),
            dict(architecture["settings"]),
            _members(facts),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}: describes no flow ({error!r}). Rerun train-flow.") from None


def _columns(inputs: Any) -> list[str]:
    """Names of the input columns, however the description nests them."""
    if isinstance(inputs, dict):
        inputs = inputs.get("columns", [])
    return [str(name) for name in inputs or []]


def _members(facts: dict[str, Any]) -> int | None:
    found = facts.get("members", facts.get("settings", {}).get("members"))
    if isinstance(found, list):
        return len(found)
    return int(found) if found is not None else None


def _widths(widths: list[int]) -> str:
    """Widths of an MLP's layers, such as 73–256–5, four on a line."""
    lines = [widths[i : i + 4] for i in range(0, len(widths), 4)]
    return "–\n".join("–".join(map(str, line)) for line in lines)
