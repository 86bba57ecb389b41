"""First geometries and first relaxations, against other programs' numbers in their own units."""

import numpy as np
import pytest
from tblite.interface import Calculator

from force2geo.dft.starts import Geometry, first_geometry, relax_semiempirically
from force2geo.logs import parse_log
from force2geo.molecules import Molecule

BOHR = 0.529177210903  # Å


@pytest.mark.parametrize(
    ("smiles", "inchi", "numbers", "charge", "multiplicity"),
    [
        ("O", "", [1, 1, 8], 0, 1), ("[NH4+]", "", [1, 1, 1, 1, 7], 1, 1),
        ("[CH3]", "", [1, 1, 1, 6], 0, 2), ("[OH-]", "", [1, 8], -1, 1), ("O=O", "", [8, 8], 0, 1),
        ("", "InChI=1S/CH4/h1H4", [1, 1, 1, 1, 6], 0, 1),
    ],
)  # fmt: skip
def test_atoms_charge_and_spin_are_the_molecule_s(smiles, inchi, numbers, charge, multiplicity):
    found = first_geometry(Molecule("000000001", smiles, inchi))
    assert sorted(found.atomic_numbers.tolist()) == numbers
    assert (found.charge, found.multiplicity) == (charge, multiplicity)
    apart = np.linalg.norm(found.positions[:, None] - found.positions, axis=2)
    # Å: bonds of hydrogen, and of two oxygens.
    assert 0.9 < apart[apart > 0].min() < 1.3


def test_gfn2_s_numbers_are_hartree_and_bohr():
    positions = np.array([[0.0, 0, 0], [1.02, 0, 0], [-0.2, 0.9, 0.1]])
    numbers = np.array([8, 1, 1], dtype=np.uint8)
    log = parse_log(
        relax_semiempirically(Geometry(numbers, positions, 0, 1), 0.05, 50, mopac=False).encode()
    )
    for step in (0, -1):
        calculator = Calculator("GFN2-xTB", numbers, log.positions[step] / BOHR)
        calculator.set("verbosity", 0)
        result = calculator.singlepoint()
        assert log.energies[step] == pytest.approx(float(result.get("energy")), abs=1e-6)
        np.testing.assert_allclose(log.gradients[step], result.get("gradient"), atol=1e-5)
    np.testing.assert_array_equal(log.positions[0].round(8), positions)
    assert log.energies[0] > log.energies[-1] == pytest.approx(-5.0704, abs=1e-3)
    # 0.05 eV/Å in Hartree/bohr.
    largest = np.linalg.norm(log.gradients, axis=2).max(axis=1)
    assert largest[-1] < 0.05 / 51.42206747 < largest[-2] and log.converged


def test_a_relaxation_ends_at_its_limit_of_steps():
    stretched = np.array([[0.0, 0, 0], [0, 0, 1.4]])
    start = Geometry(np.array([1, 9], dtype=np.uint8), stretched, 0, 1)
    log = parse_log(relax_semiempirically(start, 1e-6, 2, mopac=False).encode())
    assert len(log.energies) == 3 and not log.converged  # the start and two steps
