"""Findings in words: calibrated, too narrow, too wide, biased, and by how much."""

from __future__ import annotations

import math

from mgsflow.evaluation.calibration.classifier import Classified
from mgsflow.evaluation.calibration.joint import Joint
from mgsflow.evaluation.calibration.marginal import Marginal
from mgsflow.evaluation.calibration.verdict_names import (
    CALIBRATED,
    CLASSIFIER,
    CORRELATIONS,
    COVERAGE,
    HIGH,
    JOINER,
    LOCAL,
    LOW,
    NARROW,
    SHAPE,
    UNDECIDED,
    WIDE,
)

# What "calibrated" must be able to rule out, or there were too few galaxies to tell.
_WIDTHS, _BIAS = (0.7, 1.4), 0.5


def of_marginal(found: Marginal, alpha: float) -> str:
    """The verdict on one target, wrong of a calibrated posterior with probability `alpha` at most.

    The tests of bias, width, shape and dependence on the inputs share `alpha` between them. The
    ranks' shape is blamed only where bias and width are not. Without a finding, `undecided` where
    the 95% intervals do not rule out a width of 0.7 or 1.4 or a bias of half a sigma.
    """
    tests = (found.p_bias, found.p_width, found.p_shape, found.p_local)
    limit = _limit(alpha, tests)
    words = []
    if found.p_bias < limit:
        words.append(HIGH if found.bias.value > 0 else LOW)
    if found.p_width < limit:
        words.append(NARROW if found.width.value < 1 else WIDE)
    if not words and found.p_shape < limit:
        words.append(SHAPE)
    if found.p_local < limit:
        words.append(LOCAL)
    return JOINER.join(words) or (CALIBRATED if _decided(found) else UNDECIDED)


def of_joint(found: Joint, classified: Classified, alpha: float) -> str:
    """The verdict on a joint posterior: coverage (TARP, depth), correlations, the classifier's."""
    tests = (found.p_tarp, found.p_depth, found.correlation.p_value, classified.p_value)
    limit = _limit(alpha, tests)
    words = []
    if min(found.p_tarp, found.p_depth) < limit:
        words.append(COVERAGE)
    if found.correlation.p_value < limit:
        words.append(CORRELATIONS)
    if classified.p_value < limit:
        words.append(CLASSIFIER)
    if words:
        return JOINER.join(words)
    low, high = found.width.low, found.width.high
    return CALIBRATED if _WIDTHS[0] < low and high < _WIDTHS[1] else UNDECIDED


def _limit(alpha: float, p_values: tuple[float, ...]) -> float:
    """`alpha` for each test that could be had (Bonferroni)."""
    return alpha / max(1, sum(not math.isnan(p) for p in p_values))


def _decided(found: Marginal) -> bool:
    widths = _WIDTHS[0] < found.width.low and found.width.high < _WIDTHS[1]
    return widths and found.bias.low > -_BIAS and found.bias.high < _BIAS
