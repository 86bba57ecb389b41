"""Subset, splits, diverse sets and conformers."""
