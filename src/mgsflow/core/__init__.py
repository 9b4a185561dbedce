"""What every package leans on: errors, names of quantities, tables, files, seeds, progress."""
