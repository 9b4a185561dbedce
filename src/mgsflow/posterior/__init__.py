"""Joint posteriors of galaxies, also of another population and of larger errors."""
