SMALL = {"layers": 2, "features": 8, "tensor_features": 4, "cutoff": 4.5}
