"""A simulated SDSS: a causal population of galaxies, its catalogue and its images."""
