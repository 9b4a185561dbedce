"""Evaluation of the posteriors: scores, uncertainty, calibration, leakage, latent space, speed."""
