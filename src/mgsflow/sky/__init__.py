"""Where galaxies come from: SDSS's services, your own files, or a simulated sky."""
