"""What the posteriors are worth: draws, scores, baselines, calibration, latent space, speed."""
