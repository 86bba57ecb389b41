"""A potential in other programs: ASE, torch-sim, compiled ahead of time."""
