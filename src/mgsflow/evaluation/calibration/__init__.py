"""Calibration of posteriors: ranks, coverage, proper scores, local tests and a verdict in words."""
