"""Real molecules as records of an SDF, with the bonds that their distances tell."""

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.Geometry import Point3D


def record(numbers, positions, title=""):
    """Return an SDF record of neutral atoms (n,) at positions (n,3) Å, its end line with it."""
    molecule = Chem.RWMol()
    for number in numbers:
        molecule.AddAtom(Chem.Atom(int(number)))
    conformer = Chem.Conformer(len(numbers))
    for place, point in enumerate(np.asarray(positions, dtype=float)):
        conformer.SetAtomPosition(place, Point3D(*point))
    molecule.AddConformer(conformer)
    rdDetermineBonds.DetermineBonds(molecule, charge=0)
    molecule.SetProp("_Name", title)
    return Chem.MolToMolBlock(molecule) + "$$$$\n"


def printed(positions):
    """Return positions with the four digits that an SDF has."""
    return np.round(positions, 4)
