"""Atoms and charges that InChI write, counted by hand and by RDKit."""

from collections import Counter

import numpy as np
import pytest
from rdkit import Chem

from force2geo.curation.identity import contradiction, formula, inchi_contents

CONTENTS = {
    "InChI=1S/H2O/h1H2": ({1: 2, 8: 1}, 0),
    "InChI=1S/H3N/h1H3/p+1": ({7: 1, 1: 4}, 1),
    "InChI=1S/C2H4O2/c1-2(3)4/h1H3,(H,3,4)/p-1": ({6: 2, 1: 3, 8: 2}, -1),
    # Two sodium ions, each +1, and sulphuric acid without its protons.
    "InChI=1S/2Na.H2O4S/c;;1-5(2,3)4/h;;(H2,1,2,3,4)/q2*+1;/p-2": ({11: 2, 8: 4, 16: 1}, 0),
    "InChI=1S/2ClH.Mg/h2*1H;/q;;+2/p-2": ({17: 2, 12: 1}, 0),
    "InChI=1S/NO3/c2-1(3)4/q-1": ({7: 1, 8: 3}, -1),
}


@pytest.mark.parametrize("inchi", CONTENTS)
def test_atoms_and_charge_are_those_of_all_parts(inchi):
    atoms, charge = inchi_contents(inchi)
    assert (dict(atoms), charge) == CONTENTS[inchi]
    molecule = Chem.AddHs(Chem.MolFromInchi(inchi))
    assert atoms == Counter(atom.GetAtomicNum() for atom in molecule.GetAtoms())
    assert charge == Chem.GetFormalCharge(molecule)


def test_what_is_no_inchi_has_no_contents():
    for text in ("", "CCO", "InChI=1S/", "InChI=1S/Xy2/x", "1S/H2O/h1H2"):
        assert inchi_contents(text) is None and contradiction(text, np.array([6]), 3) == ""


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([1, 8, 1], "H2O"), ([8, 1, 6, 6, 1, 1, 1, 1, 1], "C2H6O"), ([17, 17, 17, 6, 1], "CHCl3"),
        ([1, 35], "BrH"), ([11, 17], "ClNa"), ([6, 9, 9, 9, 9], "CF4"), ([7, 6, 1], "CHN"),
    ],
)  # fmt: skip
def test_a_formula_is_in_hill_s_order(numbers, expected):
    assert formula(np.array(numbers)) == expected


def test_atoms_are_told_before_the_charge():
    acetate = "InChI=1S/C2H4O2/c1-2(3)4/h1H3,(H,3,4)/p-1"
    ion, acid = np.array([6, 6, 8, 8, 1, 1, 1]), np.array([6, 6, 8, 8, 1, 1, 1, 1])
    assert contradiction(acetate, ion, -1) == ""
    assert contradiction(acetate, ion, 0) == "the charge is 0, that of the InChI -1"
    said = "the atoms are C2H4O2, those of the InChI C2H3O2"
    assert contradiction(acetate, acid, -1) == said
