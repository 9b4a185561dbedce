"""Verdicts in words: calibrated, too narrow, too wide, biased, and so on."""

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

# Miscalibrations that "calibrated" must rule out; otherwise there were too few galaxies to decide.
_WIDTHS, _BIAS = (0.7, 1.4), 0.5


def of_marginal(findings: Marginal, alpha: float) -> str:
    """The verdict on one target.

    A calibrated posterior is rejected with probability `alpha` at most; the tests of bias, width,
    shape and dependence on the inputs share `alpha`. The shape is named only if neither bias nor
    width is. If no test rejects, the verdict is `undecided` where the 95% intervals do not rule out
    a width of 0.7 or 1.4 or a bias of half a sigma, and `calibrated` otherwise.
    """
    tests = (findings.p_bias, findings.p_width, findings.p_shape, findings.p_local)
    limit = _limit(alpha, tests)
    words = []
    if findings.p_bias < limit:
        words.append(HIGH if findings.bias.value > 0 else LOW)
    if findings.p_width < limit:
        words.append(NARROW if findings.width.value < 1 else WIDE)
    if not words and findings.p_shape < limit:
        words.append(SHAPE)
    if findings.p_local < limit:
        words.append(LOCAL)
    return JOINER.join(words) or (CALIBRATED if _decided(findings) else UNDECIDED)


def of_joint(findings: Joint, classified: Classified, alpha: float) -> str:
    """The verdict on a joint posterior: coverage (TARP, depth), correlations and classifier."""
    tests = (findings.p_tarp, findings.p_depth, findings.correlation.p_value, classified.p_value)
    limit = _limit(alpha, tests)
    words = []
    if min(findings.p_tarp, findings.p_depth) < limit:
        words.append(COVERAGE)
    if findings.correlation.p_value < limit:
        words.append(CORRELATIONS)
    if classified.p_value < limit:
        words.append(CLASSIFIER)
    if words:
        return JOINER.join(words)
    low, high = findings.width.low, findings.width.high
    return CALIBRATED if _WIDTHS[0] < low and high < _WIDTHS[1] else UNDECIDED


def _limit(alpha: float, p_values: tuple[float, ...]) -> float:
    """`alpha` divided by the number of tests that were possible (Bonferroni)."""
    return alpha / max(1, sum(not math.isnan(p) for p in p_values))


def _decided(findings: Marginal) -> bool:
    widths = _WIDTHS[0] < findings.width.low and findings.width.high < _WIDTHS[1]
    return widths and findings.bias.low > -_BIAS and findings.bias.high < _BIAS
