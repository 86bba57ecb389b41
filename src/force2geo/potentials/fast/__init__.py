"""Loops for the CPU that PaiNN and SchNet share, and what they stand for as torch operations."""
