"""Checks of a computing site: what it offers and whether a run can use it."""
