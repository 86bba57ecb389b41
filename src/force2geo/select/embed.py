"""RDKit conformers in the atom order of a reference geometry."""

from __future__ import annotations

from typing import Any

import numpy as np

from force2geo.select.superpose import superpose

_MAX_MAPPINGS = 256


def embed(smiles: str, seed: int) -> Any:
    """Return an RDKit molecule with hydrogens and one relaxed conformer, or None.

    ETKDG, then MMFF94 where it has parameters, else UFF where that has.
    """
    from rdkit import Chem, RDLogger
    from rdkit.Chem import AllChem

    RDLogger.DisableLog("rdApp.*")
    parsed = Chem.MolFromSmiles(smiles)
    if parsed is None:
        return None
    molecule = Chem.AddHs(parsed)
    if AllChem.EmbedMolecule(molecule, randomSeed=seed & 0x7FFFFFFF) != 0:
        return None
    if AllChem.MMFFHasAllMoleculeParams(molecule):
        AllChem.MMFFOptimizeMolecule(molecule, maxIters=2000)
    elif AllChem.UFFHasAllMoleculeParams(molecule):
        AllChem.UFFOptimizeMolecule(molecule, maxIters=2000)
    return molecule


def _skeleton(molecule: Any) -> Any:
    """Return a copy with single bonds and no charges: connectivity alone."""
    from rdkit import Chem

    plain = Chem.RWMol(molecule)
    for bond in plain.GetBonds():
        bond.SetBondType(Chem.BondType.SINGLE)
        bond.SetIsAromatic(False)
        bond.SetStereo(Chem.BondStereo.STEREONONE)
    for atom in plain.GetAtoms():
        atom.SetIsAromatic(False)
        atom.SetFormalCharge(0)
        atom.SetNoImplicit(True)
        atom.SetNumRadicalElectrons(0)
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    return plain.GetMol()


def _connected(atomic_numbers: np.ndarray, positions: np.ndarray) -> Any:
    from rdkit import Chem, Geometry
    from rdkit.Chem import rdDetermineBonds

    molecule = Chem.RWMol()
    conformer = Chem.Conformer(len(atomic_numbers))
    for index, (number, point) in enumerate(zip(atomic_numbers, positions, strict=True)):
        molecule.AddAtom(Chem.Atom(int(number)))
        conformer.SetAtomPosition(index, Geometry.Point3D(*map(float, point)))
    molecule.AddConformer(conformer)
    built = molecule.GetMol()
    rdDetermineBonds.DetermineConnectivity(built)
    return built


def embed_like(
    smiles: str, atomic_numbers: np.ndarray, reference: np.ndarray, seed: int
) -> np.ndarray | None:
    """Return an ETKDG + MMFF94 conformer (n,3) Å in the atom order of `reference` (n,3) Å.

    Equivalent atoms, and mirror images of a molecule whose SMILES gives no configuration, are
    assigned as lies closest to the reference. None when RDKit cannot embed the molecule or its
    bonds do not match the reference's.
    """
    from rdkit import Chem

    molecule = embed(smiles, seed)
    if molecule is None:
        return None
    embedded = molecule.GetConformer().GetPositions()
    target = _skeleton(_connected(atomic_numbers, reference))
    if target.GetNumAtoms() != molecule.GetNumAtoms():
        return None
    mappings = _skeleton(molecule).GetSubstructMatches(
        target, uniquify=False, maxMatches=_MAX_MAPPINGS
    )
    mirrored = embedded * np.array([-1.0, 1.0, 1.0])
    specified = any(
        flag != "?" for _, flag in Chem.FindMolChiralCenters(Chem.MolFromSmiles(smiles), True)
    )
    images = [embedded] if specified else [embedded, mirrored]
    best, smallest = None, np.inf
    for mapping in mappings:
        for image in images:
            candidate = superpose(image[list(mapping)], reference)
            deviation = float(((candidate - reference) ** 2).sum())
            if deviation < smallest:
                best, smallest = candidate, deviation
    return best
