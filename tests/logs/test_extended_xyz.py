"""Paths that this package writes itself."""

import numpy as np
import pytest

from force2geo.logs import parse_log
from force2geo.logs.extended_xyz import path_text
from force2geo.logs.log import Log


@pytest.mark.parametrize("version", ["0.10", "6.7.1", "1 OCT 2010 (R1)", "2.0", "1e3", "007"])
def test_a_version_is_a_text(version):
    """ASE reads 0.10 as the number 0.1."""
    log = Log(
        program="tblite", version=version, run="optimize", method="gfn2-xtb", basis="", charge=0,
        multiplicity=1, finished=True, converged=True, atomic_numbers=np.array([8, 1, 1]),
        positions=np.arange(18.0).reshape(2, 3, 3), energies=np.array([-5.0, -5.1]),
        gradients=np.zeros((2, 3, 3)),
    )  # fmt: skip
    found = parse_log(path_text(log).encode())
    assert (found.version, found.program, found.method) == (version, "tblite", "gfn2-xtb")
    np.testing.assert_allclose(found.energies, [-5.0, -5.1], rtol=1e-12)
