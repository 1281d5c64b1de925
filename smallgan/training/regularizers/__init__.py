"""Regularizers, one file each; their rows are in `smallgan.tables.regularizers`."""
