"""Stands for DFT in processes of its own, which import no more than this."""

import os

import numpy as np

MENDED = "FORCE2GEO_TEST_MENDED"


def typed(task):
    """Write numbers that a pair's length says; 0.5 Å brings the process down, 0.6 Å has none."""
    molecule, path = task
    length = molecule.positions[1, 2]
    if length == 0.5 and not os.environ.get(MENDED):
        os._exit(9)
    found = {"energy": length, "gradient": molecule.positions}
    np.savez(path, **({"error": "LabelError: no"} if length == 0.6 else found))
