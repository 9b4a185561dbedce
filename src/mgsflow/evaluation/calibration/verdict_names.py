"""The words of the verdicts, which the stage writes and the report reads."""

from __future__ import annotations

RAW = "none"  # the recalibration of draws as they are
PRIOR = "prior"  # that to the population of the galaxies that are judged
ALL = "all"  # the slice of all galaxies
CALIBRATED, UNDECIDED = "calibrated", "undecided"
HIGH, LOW = "biased high", "biased low"
NARROW, WIDE = "too narrow", "too wide"
SHAPE, LOCAL = "misshapen", "depends on the inputs"
COVERAGE, CORRELATIONS, CLASSIFIER = "wrong coverage", "wrong correlations", "told apart"
JOINER = "; "
