"""Density-functional calculations with PySCF."""
