"""Charge and multiplicity of atoms, told from what ASE users write."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from force2geo.errors import UserError
from force2geo.molecular_state import molecular_state


def ammonium(**info):
    atoms = Atoms("NH4", np.arange(15.0).reshape(5, 3))
    atoms.info |= info
    return atoms


def oxygen(**info):
    atoms = Atoms("O2", [[0, 0, 0], [0, 0, 1.2]])
    atoms.info |= info
    return atoms


def with_charges(atoms, values):
    atoms.set_initial_charges(values)
    return atoms


def with_moments(atoms, values):
    atoms.set_initial_magnetic_moments(values)
    return atoms


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (molecule("H2O"), (0, 1)),
        (molecule("OH"), (0, 2)),  # ase.build gives it moments that add up to one
        (Atoms("OH", [[0, 0, 0], [0, 0, 1]]), (0, 2)),  # nine electrons
        (molecule("O2"), (0, 3)),
        (oxygen(), (0, 1)),  # even: the lowest
        (ammonium(charge=1), (1, 1)),
        (ammonium(charge="1"), (1, 1)),  # from the comment of a file
        (ammonium(total_charge=1.0), (1, 1)),
        (ammonium(), (0, 2)),
        (oxygen(spin=3), (0, 3)),
        (oxygen(multiplicity=3, spin=3), (0, 3)),
        (oxygen(charge=-1), (-1, 2)),
        (with_charges(ammonium(), [0.2] * 5), (1, 1)),
        (with_charges(ammonium(charge=1), [0.2] * 5), (1, 1)),
        (with_charges(ammonium(charge=1), [0.0] * 5), (1, 1)),
        (with_charges(oxygen(), [-0.4, 0.405]), (0, 1)),
        (with_moments(oxygen(), [1, 1]), (0, 3)),
        (with_moments(oxygen(), [-1, -1]), (0, 3)),
        (with_moments(oxygen(multiplicity=3), [0, 0]), (0, 3)),
    ],
)  # fmt: skip
def test_what_atoms_say_of_themselves(atoms, expected):
    assert molecular_state(atoms) == expected


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (with_charges(oxygen(charge=-1), [0.0, 1.0]), "charge is given twice and differs"),
        (with_charges(oxygen(), [0.3, 0.3]), "sum is 0.6, not a whole number"),
        (oxygen(charge=0.5), "'charge' is 0.5, not a whole number"),
        (oxygen(charge="plus"), "'charge' is 'plus', not a number"),
        (oxygen(charge=float("nan")), "not a whole number"),
        (oxygen(spin=1, multiplicity=3), "multiplicity is given twice and differs"),
        (with_moments(oxygen(spin=1), [1, 1]), "multiplicity is given twice"),
        (with_moments(oxygen(), [1, -1]), "moments cancel"),
        (with_moments(oxygen(), np.eye(3)[:2]), "initial_magmoms: vectors"),
        (oxygen(spin=2), r"charge 0 and multiplicity 2 do not fit 16 electrons"),
        (oxygen(charge=1, multiplicity=1), r"charge \+1 and multiplicity 1 do not fit 15"),
        (oxygen(spin=0), "multiplicity 0: it is 2S.1"),
        (Atoms("H", info={"charge": 2}), "do not fit -1 electrons"),
    ],
)
def test_what_is_not_clear_is_refused(atoms, message):
    with pytest.raises(UserError, match=message):
        molecular_state(atoms)
