"""The words of the anomalies' tables, which the report reads too."""

USUAL = "test"  # the test set's own galaxies, among what was put in their place
BLANK, SWAPPED, STAR = "blank", "swapped", "star"
DISTANT, DISTANT_BRIGHT = "distant", "distant_bright"
ALL = (BLANK, SWAPPED, STAR, DISTANT, DISTANT_BRIGHT)
