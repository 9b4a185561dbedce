"""Unusual galaxies made of the test set's, to see whether the posteriors know them for such."""
