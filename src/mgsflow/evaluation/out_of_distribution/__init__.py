"""Anomalies put in the place of test galaxies, to measure how well the flag finds them."""
