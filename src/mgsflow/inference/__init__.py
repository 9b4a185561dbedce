"""From trained models to draws on disk: of a run's own galaxies, and of anybody's."""
