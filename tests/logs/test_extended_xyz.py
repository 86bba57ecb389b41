"""Paths that this package writes itself."""

import io

import numpy as np
import pytest
from ase.io import read

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


HARTREE, SLOPE = 27.211386245988, 51.422067476  # eV; eV/Å in a Hartree/bohr (CODATA 2018)


def test_the_file_is_in_electronvolt_and_forces():
    log = Log(
        program="tblite", version="1", run="optimize", method="gfn2-xtb", basis="", charge=-1,
        multiplicity=2, finished=True, converged=True, atomic_numbers=np.array([8, 1]),
        positions=np.array([[[0.0, 0, 0], [0, 0, 0.9]], [[0, 0, 0], [0, 0, 1.0]]]),
        energies=np.array([-4.0, -4.5]),
        gradients=np.array([[[0.0, 0, 0.1], [0, 0, -0.1]], [[0, 0, 0.01], [0, 0, -0.01]]]),
    )  # fmt: skip
    first, second = read(io.StringIO(path_text(log)), index=":", format="extxyz")
    assert first.get_potential_energy() == pytest.approx(-4.0 * HARTREE, rel=1e-7)
    assert second.get_potential_energy() == pytest.approx(-4.5 * HARTREE, rel=1e-7)
    # Downhill is where the gradient does not point.
    np.testing.assert_allclose(first.get_forces()[:, 2], [-0.1 * SLOPE, 0.1 * SLOPE], rtol=1e-6)
    assert second.get_distance(0, 1) == 1.0 and second.info["charge"] == -1
    assert [frame.info["converged"] for frame in (first, second)] == [False, True]


def test_a_path_that_is_typed_in():
    frames = [
        "2\nProperties=species:S:1:pos:R:3:forces:R:3 program=tblite version=1 method=gfn2-xtb "
        f'charge=0 multiplicity=2 converged={end} energy={energy} pbc="F F F"\n'
        f"O 0.0 0.0 0.0 0.0 0.0 {-force}\nH 0.0 0.0 0.97 0.0 0.0 {force}\n"
        for energy, force, end in (
            (-2 * HARTREE, 0.5 * SLOPE, "F"), (-3 * HARTREE, 0.125 * SLOPE, "T"),
        )
    ]  # fmt: skip
    log = parse_log("".join(frames).encode())
    np.testing.assert_allclose(log.energies, [-2.0, -3.0], rtol=1e-7)
    np.testing.assert_allclose(log.gradients[:, 0, 2], [0.5, 0.125], rtol=1e-6)
    np.testing.assert_allclose(log.gradients[:, 1, 2], [-0.5, -0.125], rtol=1e-6)
    assert log.atomic_numbers.tolist() == [8, 1] and log.positions[1, 1, 2] == 0.97
    assert (log.charge, log.multiplicity, log.converged, log.finished) == (0, 2, True, True)
    cut = parse_log("".join(frames)[:-20].encode())
    np.testing.assert_allclose(cut.energies, [-2.0], rtol=1e-7)
    assert not (cut.finished or cut.converged) and cut.notes == ["the path is cut off"]
