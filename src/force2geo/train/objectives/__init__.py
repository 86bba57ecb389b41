"""Objectives, one file each, found by the file's name (`train/registry.py`)."""
