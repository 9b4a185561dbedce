"""From trained models to draws on disk, for a run's own galaxies and for any other galaxies."""
