"""RDKit conformers in the atom order of a reference geometry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.training_data.matching import Bonded, closest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Å between the boxes around two fragments that are put beside each other.
_GAP = 3.0
# Atoms within so many times the sum of their covalent radii are bonded.
_BOND_FACTORS = (1.3, 1.2, 1.1)


def parse(text: str) -> Any:
    """Return the RDKit molecule of a SMILES or InChI, without hydrogens; None if it is neither."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = (
            Chem.MolFromInchi(text) if text.startswith("InChI=") else Chem.MolFromSmiles(text)
        )
    return molecule if molecule is not None and molecule.GetNumAtoms() else None


def embed(text: str, seed: int) -> Any:
    """Return an RDKit molecule with hydrogens and one relaxed conformer, or None.

    `text` is a SMILES or InChI. ETKDG, then MMFF94 where it has parameters, else UFF where that
    has, each fragment by itself; then fragments are put beside each other.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import AllChem

    parsed = parse(text)
    if parsed is None:
        return None
    molecule = Chem.AddHs(parsed)
    with rdBase.BlockLogs():
        if AllChem.EmbedMolecule(molecule, randomSeed=seed & 0x7FFFFFFF) != 0:
            return None
        if AllChem.MMFFHasAllMoleculeParams(molecule):
            AllChem.MMFFOptimizeMolecule(molecule, maxIters=2000)
        elif AllChem.UFFHasAllMoleculeParams(molecule):
            AllChem.UFFOptimizeMolecule(molecule, maxIters=2000)
    # Each by itself until here; force fields throw fragments about that start beside each other.
    _set_apart(molecule)
    return molecule


def _set_apart(molecule: Any) -> None:
    """Put fragments, which RDKit embeds each about the origin, in a row."""
    from rdkit import Chem

    fragments = Chem.GetMolFrags(molecule)
    conformer = molecule.GetConformer()
    positions, right = conformer.GetPositions(), 0.0
    if len(fragments) == 1:
        return
    for fragment in map(list, fragments):
        positions[fragment, 0] += right - positions[fragment, 0].min()
        right = positions[fragment, 0].max() + _GAP
    conformer.SetPositions(np.ascontiguousarray(positions))


def connected(atomic_numbers: np.ndarray, positions: np.ndarray) -> Iterator[Any]:
    """Yield the structure with bonds by distance: RDKit's own rule, then ever shorter ones.

    Across small rings atoms come as close as bonded ones.
    """
    from rdkit import Chem
    from rdkit.Chem import rdDetermineBonds

    molecule = Chem.RWMol()
    for number in atomic_numbers:
        molecule.AddAtom(Chem.Atom(int(number)))
    conformer = Chem.Conformer(len(atomic_numbers))
    conformer.SetPositions(np.ascontiguousarray(positions, dtype=np.float64))
    molecule.AddConformer(conformer)
    for options in ({}, *({"useVdw": True, "covFactor": factor} for factor in _BOND_FACTORS)):
        built = molecule.GetMol()
        rdDetermineBonds.DetermineConnectivity(built, **options)
        yield built


def embed_like(
    text: str, atomic_numbers: np.ndarray, reference: np.ndarray, seed: int
) -> np.ndarray | None:
    """Return an ETKDG + MMFF94 conformer (n,3) Å in the atom order of `reference` (n,3) Å.

    Equivalent atoms, and mirror images of a molecule whose SMILES or InChI gives no
    configuration, are assigned as lies closest to the reference. None when RDKit cannot embed the
    molecule or its bonds are not the reference's; orders of bonds, charges and unpaired electrons
    are no part of the comparison.
    """
    from rdkit import Chem

    molecule = embed(text, seed)
    if molecule is None:
        return None
    embedded = molecule.GetConformer().GetPositions()
    centres = Chem.FindMolChiralCenters(parse(text), True)
    mirrored = [] if centres else [embedded * np.array([-1.0, 1.0, 1.0])]
    own, images = Bonded.of_rdkit(molecule), [embedded, *mirrored]
    for bonded in connected(atomic_numbers, reference):
        found = closest(own, images, Bonded.of_rdkit(bonded), reference)
        if found is not None:
            return found
    return None
