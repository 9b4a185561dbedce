"""Training: loops, checkpoints, telemetry."""
