"""Other people's potentials as ASE calculators, for rows to compare with."""
