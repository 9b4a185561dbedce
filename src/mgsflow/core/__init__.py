"""Basis of all packages: errors, quantities, surveys, tables, files, seeds and progress."""
