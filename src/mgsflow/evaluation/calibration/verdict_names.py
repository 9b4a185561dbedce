"""The words of the verdicts, written by the stage and read by the report."""

from __future__ import annotations

RAW = "none"  # recalibration: none, the raw draws
PRIOR = "prior"  # recalibration: reweighted to the population of the galaxies under test
ALL = "all"  # slice: all galaxies
CALIBRATED, UNDECIDED = "calibrated", "undecided"
HIGH, LOW = "biased high", "biased low"
NARROW, WIDE = "too narrow", "too wide"
SHAPE, LOCAL = "misshapen", "depends on the inputs"
COVERAGE, CORRELATIONS, CLASSIFIER = "wrong coverage", "wrong correlations", "told apart"
JOINER = "; "
