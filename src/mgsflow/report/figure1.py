"""Figure 1: the architecture, drawn from the descriptions beside the models."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from mgsflow.core.quantities import LINES, METALLICITY, symbol
from mgsflow.report import style
from mgsflow.report.diagram import Box, Diagram
from mgsflow.report.modelfacts import (
    BranchFacts,
    EncoderFacts,
    VaeFacts,
    read_branch,
    read_encoder,
)

# inches
_VAE, _ENCODER, _GAP, _MARGIN = 1.55, 1.15, 0.28, 0.06
_ONE_ROW, _TWO_ROWS = 1.15, 1.88  # a branch of one flow; with metallicity
_INPUTS_WIDTH = 1.12


def figure1(
    *,
    out: Path,
    encoder: Path | None = None,
    property_model: Path | None = None,
    line_model: Path | None = None,
) -> None:
    """Draw the architecture of the run's models (paper, Figure 1) from their descriptions.

    --encoder, --property-model and --line-model are the models' folders. All sizes are those of
    the models. Parts that the run lacks are left out.
    """
    branches = [
        (title, read_branch(path))
        for title, path in (("Properties", property_model), ("Emission lines", line_model))
        if path is not None
    ]
    images = read_encoder(encoder) if encoder is not None else None
    style.save(draw(images, branches), out)


def draw(
    encoder: VaeFacts | EncoderFacts | None, branches: list[tuple[str, BranchFacts]]
) -> Figure:
    """The figure: the image encoder on top, below it a row for each branch."""
    if encoder is None and not branches:
        return style.sentence("The run has no trained model, and so no architecture to draw.")
    first = _VAE if isinstance(encoder, VaeFacts) else _ENCODER
    heights = [first] * (encoder is not None) + [_height(branch) for _, branch in branches]
    height = 2 * _MARGIN + sum(heights) + _GAP * (len(heights) - 1)
    diagram = Diagram(style.PAGE, height)
    top = height - _MARGIN
    latent = None
    if encoder is not None:
        of_kind = _draw_vae if isinstance(encoder, VaeFacts) else _draw_encoder
        latent = of_kind(diagram, encoder, top)
        top -= first + _GAP
    if branches:
        _draw_branches(diagram, branches, top, latent)
    return diagram.figure


def _draw_vae(diagram: Diagram, vae: VaeFacts, top: float) -> Box:
    """The VAE's row; returns the box of its latents, from which the branches take them."""
    diagram.panel(
        _MARGIN, top - _VAE, style.PAGE - 2 * _MARGIN, _VAE, "VAE (trained first, then frozen)"
    )
    middle = top - _VAE / 2 - 0.02
    picture = f"{''.join(vae.bands)}\n{vae.size} × {vae.size}"
    stamp = diagram.box(0.16, middle, 0.82, 0.82, "Stamp", picture, style.GREY)
    encoder = _layers(diagram, vae, 1.2, middle, encoding=True)
    text = rf"$\mu,\ \log\sigma^2\in\mathbb{{R}}^{{{vae.latent}}}$"
    latent = diagram.box(2.98, middle, 1.14, 0.62, "Latents", text, style.ORANGE)
    decoder = _layers(diagram, vae, 4.34, middle, encoding=False)
    image = diagram.box(6.12, middle, 0.82, 0.82, "Decoded", picture, style.GREY)
    for before, after in zip(
        [stamp, *encoder, latent, *decoder], [*encoder, latent, *decoder, image], strict=True
    ):
        diagram.arrow(before, after)
    below = top - _VAE + 0.12
    count = len(vae.channels)
    diagram.note((encoder[0].left + encoder[-1].right) / 2, below, f"{count} convolutions")
    diagram.note(
        (decoder[0].left + decoder[-1].right) / 2, below, f"{count} transposed convolutions"
    )
    return latent


def _draw_encoder(diagram: Diagram, facts: EncoderFacts, top: float) -> Box:
    """The row of an encoder whose layers are not drawn; returns the box of its latents."""
    diagram.panel(
        _MARGIN, top - _ENCODER, style.PAGE - 2 * _MARGIN, _ENCODER, "Image encoder (frozen)"
    )
    middle = top - _ENCODER / 2 - 0.06
    picture = f"{''.join(facts.bands)}\n{facts.size} × {facts.size}"
    stamp = diagram.box(0.16, middle, 0.82, 0.82, "Stamp", picture, style.GREY)
    kind = facts.kind.replace("_", " ")
    encoder = diagram.box(1.5, middle, 2.2, 0.62, "Encoder", kind, style.SKY)
    latent = diagram.box(
        4.22, middle, 1.14, 0.62, "Latents", f"{facts.columns} numbers", style.ORANGE
    )
    diagram.arrow(stamp, encoder)
    diagram.arrow(encoder, latent)
    return latent


def _layers(
    diagram: Diagram, vae: VaeFacts, left: float, middle: float, *, encoding: bool
) -> list[Box]:
    """A box for each layer's output: channels, and pixels on a side."""
    shapes = [(n, vae.size // 2 ** (i + 1)) for i, n in enumerate(vae.channels)]
    heights = [0.98, 0.78, 0.58]
    layers = list(zip(shapes, heights, strict=True))
    return [
        diagram.box(left + 0.54 * i, middle, 0.44, height, "", f"{n}\n{side}²", style.SKY)
        for i, ((n, side), height) in enumerate(layers if encoding else layers[::-1])
    ]


def _draw_branches(
    diagram: Diagram, branches: list[tuple[str, BranchFacts]], top: float, latent: Box | None
) -> None:
    height = sum(_height(branch) for _, branch in branches) + _GAP * (len(branches) - 1)
    facts = branches[0][1]
    inputs = diagram.box(
        _MARGIN,
        top - height / 2,
        _INPUTS_WIDTH,
        height,
        f"{facts.inputs} inputs",
        "\n".join(facts.input_lines),
        style.ORANGE,
    )
    if latent is not None and facts.has_latents:
        diagram.elbow(latent, inputs, top + _GAP * 0.45)
    for title, branch in branches:
        _draw_branch(diagram, title, branch, inputs, top)
        top -= _height(branch) + _GAP


def _height(branch: BranchFacts) -> float:
    return _TWO_ROWS if branch.detects or branch.metallicity_only_second else _ONE_ROW


def _draw_branch(
    diagram: Diagram, title: str, branch: BranchFacts, inputs: Box, top: float
) -> None:
    left = 1.5
    members = f", ensemble of {branch.members}" if branch.members else ""
    height = _height(branch)
    diagram.panel(left, top - height, style.PAGE - _MARGIN - left, height, title + members)
    first, second = top - 0.76, top - 1.5
    encoder = diagram.box(1.62, first, 1.06, 0.56, "MLP encoder", branch.encoder, style.SKY)
    mean = diagram.box(2.98, first, 1.06, 0.56, "Mean head", branch.mean_head, style.SKY)
    flow = diagram.box(4.34, first, 1.28, 0.56, branch.flow_title, branch.flow, style.GREEN)
    posterior = diagram.box(
        5.92, top - height / 2, 1.02, height - 0.18, "Joint draws", _symbols(branch), style.ORANGE
    )
    diagram.meet(inputs, encoder, first)
    diagram.arrow(encoder, mean)
    diagram.arrow(mean, flow)
    diagram.over(encoder, flow, first + 0.42)
    diagram.note(mean.centre, first + 0.5, "encoding, the flow's condition")
    diagram.meet(flow, posterior, first)
    if branch.detects:
        text = f"{branch.detect_head}, sigmoid"
        detect = diagram.box(2.98, second, 1.06, 0.56, "O/H measurable?", text, style.PURPLE)
        diagram.drop(encoder, detect)
    if branch.metallicity_only_second:
        text = f"{branch.metallicity_flow}\ngiven the core"
        last = diagram.box(4.34, second, 1.28, 0.56, "Flow of O/H", text, style.GREEN)
        diagram.down(flow, last)
        diagram.meet(last, posterior, second)


def _symbols(branch: BranchFacts) -> str:
    lines = [r"$\ln(1+F)$ of"] if set(branch.targets) & set(LINES) else []
    core = lines + [symbol(name) for name in branch.targets if name != METALLICITY]
    last = [symbol(METALLICITY)] if METALLICITY in branch.targets else []
    return "\n".join(core + last)
