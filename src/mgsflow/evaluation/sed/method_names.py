"""Names that the fits, their comparison and its table share."""

NESTED, TEMPLATES = "bagpipes", "kcorrect"
# Of the accuracies: the galaxies that bagpipes fitted, or the whole test set
FITTED, ALL = "fitted", "test"
