"""Losses of all trainings, epoch by epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mgsflow.core.errors import UserError
from mgsflow.report import style
from mgsflow.report.names import encoder_name, training_name

HEADS, FOLDS = "heads", "heads, fold"  # phase of the heads; how those of the folds begin
PHASES = {HEADS: "Heads", "core": "Joint flow\n[nats]", "metallicity": "O/H flow\n[nats]"}
_TRAIN, _VALIDATION, _FOLD = style.SKY, style.RED, "0.75"
_CELLS = 6  # across: two panels of an image network, one to three phases
_LOSSES = ("train_loss", "validation_loss")
# of an image network's loss, where its history has them
_TERMS = {"reconstruction": ("squared error", style.BLUE), "kl": ("KL divergence", style.GREEN)}
_ROW, _IMAGES_ROW = 1.05, 1.7  # inches
_WITHOUT = 0.03  # of the values at the top that may lie beyond a panel: the first epochs


def figure_training(
    *,
    flows: list[Path],
    out: Path,
    encoder: Path | None = None,
    conditional_vae: Path | None = None,
) -> None:
    """Draw the losses of the encoder and of each flow's heads and flows, from their history.csv.

    Those of the conditional VAE, a baseline, are of its targets; its other terms stand beside.
    `flows` are flows/FLOW/VARIANT/history.csv. One line a member of the ensemble; of the heads
    fitted to the folds, for residuals, the validation loss alone, in grey.
    """
    images = {}
    if encoder is not None:
        images[encoder_name(encoder.parent.name)] = _read(encoder, ("epoch", *_LOSSES))
    if conditional_vae is not None:
        images["Conditional VAE, a baseline"] = _read(conditional_vae, ("epoch", *_LOSSES))
    columns = ("member", "phase", "epoch", "train", "validation")
    histories = {_title(path): _read(path, columns) for path in flows}
    style.save(draw(images, histories), out)


def draw(images: dict[str, pd.DataFrame], histories: dict[str, pd.DataFrame]) -> Figure:
    """The figure: a row for each image network, below it one for each flow, a column a phase."""
    histories = {title: table for title, table in histories.items() if len(table)}
    if not images and not histories:
        return style.sentence("The run has no training, and so no losses to draw.")
    heights = [_IMAGES_ROW] * len(images) + [_ROW] * len(histories)
    figure = Figure(
        figsize=(style.PAGE, min(sum(heights) + 0.35, style.LONGEST)), layout="constrained"
    )
    cells = figure.add_gridspec(len(heights), _CELLS, height_ratios=heights)
    half = _CELLS // 2
    for row, (title, table) in enumerate(images.items()):
        _draw_loss(figure.add_subplot(cells[row, :half]), title, table)
        if any(term in table for term in _TERMS):
            _draw_terms(figure.add_subplot(cells[row, half:]), table)
    for row, (title, table) in enumerate(histories.items(), start=len(images)):
        span = _CELLS // len(_phases(histories))
        for column, phase in enumerate(_phases({title: table})):
            axes = figure.add_subplot(cells[row, column * span : (column + 1) * span])
            _draw_phase(axes, table, phase)
            axes.set_ylabel(PHASES[phase], fontsize=6.5)
            axes.set_title(title if column == 0 else "", loc="left", fontsize=6.5)
            axes.set_xlabel("Epoch" if row == len(heights) - 1 else "")
    _legend(figure, histories)
    return figure


def _phases(histories: dict[str, pd.DataFrame]) -> list[str]:
    """The phases that any of `histories` has, in the order of training."""
    return [p for p in PHASES if any((table["phase"] == p).any() for table in histories.values())]


def _draw_loss(axes: Axes, title: str, table: pd.DataFrame) -> None:
    """The loss in training and validation."""
    axes.plot(table["epoch"], table["train_loss"], color=_TRAIN)
    axes.plot(table["epoch"], table["validation_loss"], color=_VALIDATION)
    best = table.loc[table["validation_loss"].idxmin()]
    axes.plot(best["epoch"], best["validation_loss"], "o", color=_VALIDATION, markersize=3.5)
    axes.set(xlabel="Epoch", ylabel="Loss a stamp")
    axes.set_title(f"{title} (the dot is the epoch that was kept)", loc="left", fontsize=6.5)
    _show(axes)


def _draw_terms(axes: Axes, table: pd.DataFrame) -> None:
    """The terms of the loss in training."""
    terms = {name: _TERMS[name] for name in _TERMS if name in table}
    upper = max(terms, key=lambda name: table[name].iloc[-1])
    for name, (text, colour) in terms.items():
        axes.plot(table["epoch"], table[name], color=colour)
        end = (table["epoch"].iloc[-1], table[name].iloc[-1])
        style_of = {"textcoords": "offset points", "ha": "right", "color": colour, "size": 6.5}
        # on either side of the two lines, which can lie close together
        above = {"xytext": (0, 4)} if name == upper else {"xytext": (0, -4), "va": "top"}
        axes.annotate(text, end, **above, **style_of)
    axes.set(xlabel="Epoch", ylabel="Terms in training", yscale="log")
    axes.margins(y=0.3)  # room for the names above and below the lines
    axes.xaxis.get_major_locator().set_params(integer=True)


def _draw_phase(axes: Axes, table: pd.DataFrame, phase: str) -> None:
    if phase == HEADS:
        folds = table[table["phase"].str.startswith(FOLDS)]
        for _, curve in folds.groupby(["member", "phase"]):
            axes.plot(curve["epoch"], curve["validation"], color=_FOLD, linewidth=0.4)
    for _, curve in table[table["phase"] == phase].groupby("member"):
        axes.plot(curve["epoch"], curve["train"], color=_TRAIN, linewidth=0.7)
        axes.plot(curve["epoch"], curve["validation"], color=_VALIDATION, linewidth=0.7)
    _show(axes)


def _values(axes: Axes) -> np.ndarray:
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    return values[np.isfinite(values)]


def _show(axes: Axes) -> None:
    """Limits that leave out the first epochs' high losses, under which the rest would be flat."""
    axes.xaxis.get_major_locator().set_params(integer=True)
    values = _values(axes)
    if not len(values):
        return
    low, high = float(values.min()), float(np.quantile(values, 1 - _WITHOUT))
    margin = 0.08 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)
    axes.locator_params(axis="y", nbins=4)


def _legend(figure: Figure, histories: dict[str, pd.DataFrame]) -> None:
    lines = {"training": _TRAIN, "validation": _VALIDATION}
    if any(table["phase"].str.startswith(FOLDS).any() for table in histories.values()):
        lines["validation of the heads of the folds"] = _FOLD
    handles = [Line2D([], [], color=colour, label=text) for text, colour in lines.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))


def _title(path: Path) -> str:
    """What flows/FLOW/VARIANT/history.csv is the history of."""
    return training_name(*(path.parts[-3:-1] if len(path.parts) >= 3 else ("", path.stem)))


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run the training that writes it first.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a history ({error}). Remove it and rerun.") from None
    absent = [name for name in columns if name not in table]
    if absent:
        raise UserError(f"{path}: no column {', '.join(absent)}; it has {', '.join(table)}.")
    return table
