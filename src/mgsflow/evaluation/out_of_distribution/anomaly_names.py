"""Names of the anomalies in the tables, which the report reads too."""

TEST_SET = "test"  # the test set's own galaxies, beside the anomalies in the same column
PATCHED = "patched"  # the control, no anomaly: the effect of how the stamps are put together
BLANK, SWAPPED, STAR = "blank", "swapped", "star"
DISTANT, DISTANT_BRIGHT = "distant", "distant_bright"
ALL = (PATCHED, BLANK, SWAPPED, STAR, DISTANT, DISTANT_BRIGHT)
