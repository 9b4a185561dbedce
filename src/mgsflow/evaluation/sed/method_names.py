"""Names shared by the fits, their comparison and its table."""

NESTED, TEMPLATES = "bagpipes", "kcorrect"
# Samples for the accuracies: the galaxies that bagpipes fitted, or the whole test set
FITTED, ALL = "fitted", "test"
