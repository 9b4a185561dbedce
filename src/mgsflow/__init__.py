"""Joint posteriors of galaxy properties and emission lines from SDSS images and photometry."""

__version__ = "0.1.0"
