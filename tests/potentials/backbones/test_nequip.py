SMALL = {"layers": 3, "features": 4, "cutoff": 4.5, "radial_features": 8}
