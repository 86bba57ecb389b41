"""Data sets, one file each: see `training_data/dataset.py` for what one says."""
