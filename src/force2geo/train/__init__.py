"""Objectives and the engine that trains on them."""
