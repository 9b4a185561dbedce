"""Boxes and arrows, placed in inches."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from mgsflow.report import style

_TITLE, _TEXT = 6.5, 5.9  # points
_LINE = 1.28 / 72  # inches a point of text: a line's height


@dataclass(frozen=True)
class Box:
    """A box by its left edge, its middle's height, its width and height, and what it says."""

    left: float
    middle: float
    width: float
    height: float
    texts: tuple[Text, ...] = ()

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def centre(self) -> float:
        return self.left + self.width / 2

    @property
    def top(self) -> float:
        return self.middle + self.height / 2

    @property
    def bottom(self) -> float:
        return self.middle - self.height / 2


class Diagram:
    """A figure of `width` by `height` inches to which boxes and arrows are added."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height))
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.set_axis_off()
        self.boxes: list[Box] = []

    def box(
        self,
        left: float,
        middle: float,
        width: float,
        height: float,
        title: str,
        text: str,
        colour: str,
    ) -> Box:
        """Add a box: `title` in bold, `text` (lines) below it, both centred."""
        self._rectangle(left, middle - height / 2, width, height, colour, "40")
        sizes = [_TITLE] * bool(title) + [_TEXT] * bool(text) * len(text.split("\n"))
        top = middle + sum(sizes) * _LINE / 2
        texts = []
        lines = [(title, _TITLE, "bold")] if title else []
        lines += [(line, _TEXT, "normal") for line in text.split("\n") if line]
        for line, size, weight in lines:
            texts.append(
                self.axes.text(
                    left + width / 2,
                    top - size * _LINE / 2,
                    line,
                    ha="center",
                    va="center_baseline",
                    size=size,
                    weight=weight,
                    color=style.INK,
                )
            )
            top -= size * _LINE
        added = Box(left, middle, width, height, tuple(texts))
        self.boxes.append(added)
        return added

    def panel(self, left: float, bottom: float, width: float, height: float, title: str) -> None:
        """A light ground behind boxes, with a title in its upper left corner."""
        self._rectangle(left, bottom, width, height, style.GREY, "14", edge=False)
        self.axes.text(
            left + 0.08, bottom + height - 0.05, title, va="top", size=_TITLE, style="italic"
        )

    def note(self, x: float, y: float, text: str) -> None:
        self.axes.text(x, y, text, ha="center", va="center", size=_TEXT, color=style.INK)

    def arrow(self, before: Box, after: Box) -> None:
        """From the right edge of one box to the left edge of the next."""
        self._line([(before.right, before.middle), (after.left, before.middle)])

    def meet(self, before: Box, after: Box, height: float) -> None:
        """At `height`, from the right edge of one box to the left edge of the next."""
        self._line([(before.right, height), (after.left, height)])

    def elbow(self, above: Box, below: Box, height: float) -> None:
        """Down from a box, at `height` across, and down into another."""
        self._line(
            [
                (above.centre, above.bottom),
                (above.centre, height),
                (below.centre, height),
                (below.centre, below.top),
            ]
        )

    def over(self, before: Box, after: Box, height: float) -> None:
        """From the top of one box over those between, and down into another."""
        self._line(
            [
                (before.centre, before.top),
                (before.centre, height),
                (after.centre, height),
                (after.centre, after.top),
            ]
        )

    def drop(self, before: Box, after: Box) -> None:
        """Down from a box and right into one that is lower."""
        self._line(
            [
                (before.centre, before.bottom),
                (before.centre, after.middle),
                (after.left, after.middle),
            ]
        )

    def down(self, above: Box, below: Box) -> None:
        self._line([(above.centre, above.bottom), (above.centre, below.top)])

    def _line(self, points: list[tuple[float, float]]) -> None:
        xs, ys = zip(*points[:-1], strict=True)
        self.axes.plot(xs, ys, color=style.INK, linewidth=0.8, solid_joinstyle="miter")
        self.axes.annotate(
            "",
            xy=points[-1],
            xytext=points[-2],
            arrowprops={
                "arrowstyle": "-|>,head_width=0.16,head_length=0.32",
                "color": style.INK,
                "linewidth": 0.8,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )

    def _rectangle(
        self,
        left: float,
        bottom: float,
        width: float,
        height: float,
        colour: str,
        alpha: str,
        edge: bool = True,
    ) -> None:
        rounding = 0.04
        patch = FancyBboxPatch(
            (left + rounding, bottom + rounding),
            width - 2 * rounding,
            height - 2 * rounding,
            boxstyle=f"round,pad={rounding},rounding_size={rounding}",
            facecolor=colour + alpha,
            edgecolor=colour if edge else "none",
            linewidth=0.8,
        )
        self.axes.add_patch(patch)
