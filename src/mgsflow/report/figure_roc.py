"""Figure: ROC curves of the flag of unusual galaxies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mgsflow.core.tables import read_table
from mgsflow.evaluation.out_of_distribution.anomaly_names import TEST_SET
from mgsflow.report import style
from mgsflow.report.names import inputs_name
from mgsflow.report.table_out_of_distribution import ANOMALIES

COLUMNS, ROW = 3, 2.1  # panels a row; inches of a row
COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.RED, style.SKY, style.INK)
FLAG_SCORE = "out_of_distribution_score"
LINES = {FLAG_SCORE: "-", "epistemic_spread": ":"}


def figure_roc(*, scores: Path, out: Path) -> None:
    """Draw the ROC curves of the scores of the stage out-of-distribution, one panel an anomaly.

    Solid: the score of the flag out_of_distribution, whose threshold is a dot; dotted: the members'
    disagreement. Dashed: a random score. The horizontal axis is logarithmic.
    """
    style.save(draw(read_table(scores)), out)


def draw(scores: pd.DataFrame) -> Figure:
    """The figure, or a sentence where there is nothing to draw."""
    names = [name for name in ANOMALIES if (scores["anomaly"] == name).any()]
    if not names:
        return style.sentence("No unusual galaxy could be made of this run's inputs.")
    variants = list(dict.fromkeys(scores["variant"]))
    figure, axes = style.grid(len(names), COLUMNS, style.PAGE, ROW)
    for number, (panel, name) in enumerate(zip(axes, names, strict=True)):
        _panel(panel, scores, name, variants)
        panel.set_title(ANOMALIES[name].replace("z = 0.5", "$z = 0.5$"))
        if number % COLUMNS == 0:
            panel.set_ylabel("share of the unusual")
        if number + COLUMNS >= len(names):
            panel.set_xlabel("share of the test set")
    seen = [v for v in variants if (scores["anomaly"] != TEST_SET)[scores["variant"] == v].any()]
    figure.legend(handles=_handles(variants, seen, scores), loc="outside lower center", ncols=2)
    return figure


def _panel(axes: Axes, scores: pd.DataFrame, name: str, variants: list[str]) -> None:
    least = 1.0
    for i, variant in enumerate(variants):
        part = scores[scores["variant"] == variant]
        anomalies, test = part[part["anomaly"] == name], part[part["anomaly"] == TEST_SET]
        if anomalies.empty:
            continue
        least = min(least, 0.5 / len(test))
        for score, line in LINES.items():
            scores_of = anomalies[score].to_numpy(), test[score].to_numpy()
            if all(np.isfinite(values).all() for values in scores_of):
                colour = COLOURS[i % len(COLOURS)]
                axes.plot(*roc(*scores_of, 0.5 / len(test)), line, color=colour, linewidth=1)
        flagged = [(group[FLAG_SCORE] > 0).mean() for group in (test, anomalies)]
        point = max(flagged[0], 0.5 / len(test)), flagged[1]
        axes.plot(*point, "o", color=COLOURS[i % len(COLOURS)], markersize=3.5, clip_on=False)
    share = np.geomspace(least, 1, 100)
    axes.plot(share, share, "--", color=style.GREY, linewidth=0.6)
    axes.set(xscale="log", xlim=(least, 1), ylim=(0, 1.03))


def roc(anomalies: np.ndarray, test: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the test set and of the anomalies above each threshold on their scores, as steps.

    Shares of the test set begin at `least`, which stands for none on a logarithmic axis.
    """
    thresholds = np.sort(test)[::-1]
    share = np.arange(len(test) + 1) / len(test)
    above = 1 - np.searchsorted(np.sort(anomalies), thresholds, side="right") / len(anomalies)
    return np.repeat(np.maximum(share, least), 2)[1:], np.append(np.repeat(above, 2), 1.0)


def _handles(variants: list[str], seen: list[str], scores: pd.DataFrame) -> list[Line2D]:
    handles = [
        Line2D([], [], color=COLOURS[variants.index(v) % len(COLOURS)], label=inputs_name(v))
        for v in seen
    ]
    label = "by the density of the inputs; dot: the flag"
    handles.append(Line2D([], [], color=style.INK, marker="o", markersize=3.5, label=label))
    if np.isfinite(scores["epistemic_spread"]).any():
        label = "by the members' disagreement"
        handles.append(Line2D([], [], color=style.INK, linestyle=":", label=label))
    return handles
