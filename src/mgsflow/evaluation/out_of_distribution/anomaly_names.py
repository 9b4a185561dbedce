"""The words of the anomalies' tables, which the report reads too."""

USUAL = "test"  # the test set's own galaxies, among what was put in their place
PATCHED = "patched"  # nothing unusual: what the way in which stamps are made does by itself
BLANK, SWAPPED, STAR = "blank", "swapped", "star"
DISTANT, DISTANT_BRIGHT = "distant", "distant_bright"
ALL = (PATCHED, BLANK, SWAPPED, STAR, DISTANT, DISTANT_BRIGHT)
