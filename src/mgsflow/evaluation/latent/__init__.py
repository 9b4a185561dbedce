"""What the latent space holds: directions of properties, and its embedding in the plane."""
