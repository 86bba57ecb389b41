"""RDKit conformers in the atom order of a reference geometry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.training_data.matching import Bonded, closest, isomorphism
from force2geo.training_data.molecular_graphs import BondGraph, bond_graph

if TYPE_CHECKING:
    from collections.abc import Iterator

EMBED_SECONDS = 60
"""How long RDKit may try to embed a molecule."""
# Å between the boxes around two fragments that are put beside each other: a van der Waals contact.
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


def etkdg(molecule: Any, seed: int, randomly: bool = False) -> bool:
    """Give an RDKit molecule with hydrogens an ETKDG conformer, and say whether it has.

    It ends after `EMBED_SECONDS`; `randomly` it begins with random places.
    """
    from rdkit.Chem import rdDistGeom

    # What EmbedMolecule takes where it is told nothing, which can be told no time.
    options = rdDistGeom.ETKDGv2()
    options.useMacrocycleTorsions = options.useMacrocycle14config = True
    options.randomSeed, options.useRandomCoords = seed & 0x7FFFFFFF, randomly
    options.timeout = EMBED_SECONDS
    return bool(rdDistGeom.EmbedMolecule(molecule, options) == 0)


def embed(text: str, seed: int) -> Any:
    """Return the RDKit molecule of a SMILES or InChI with hydrogens and a conformer, or None."""
    from rdkit import Chem

    parsed = parse(text)
    molecule = None if parsed is None else Chem.AddHs(parsed)
    return molecule if molecule is not None and conform(molecule, seed) else None


def conform(molecule: Any, seed: int) -> bool:
    """Give an RDKit molecule with hydrogens one relaxed conformer, and say whether it has.

    Each fragment by itself, since force fields throw those about that start on each other: ETKDG,
    a second time from random places, then MMFF94 where it has parameters, else UFF where that has.
    Fragments end beside each other.
    """
    from rdkit import Chem, rdBase

    atoms: list[tuple[int, ...]] = []
    with rdBase.BlockLogs():
        fragments = Chem.GetMolFrags(molecule, asMols=True, fragsMolAtomMapping=atoms)
        if len(fragments) == 1:
            return _conform_fragment(molecule, seed)
        positions, right = np.zeros((molecule.GetNumAtoms(), 3)), 0.0
        for fragment, own in zip(fragments, atoms, strict=True):
            if not _conform_fragment(fragment, seed):
                return False
            places = fragment.GetConformer().GetPositions()
            places -= places.mean(axis=0)
            places[:, 0] += right - places[:, 0].min()
            right = places[:, 0].max() + _GAP
            positions[list(own)] = places
    conformer = Chem.Conformer(len(positions))
    conformer.Set3D(True)
    conformer.SetPositions(np.ascontiguousarray(positions))
    molecule.RemoveAllConformers()
    molecule.AddConformer(conformer)
    return True


def _conform_fragment(molecule: Any, seed: int) -> bool:
    from rdkit.Chem import rdForceFieldHelpers

    if not any(etkdg(molecule, seed, randomly) for randomly in (False, True)):
        return False
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=2000)
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.UFFOptimizeMolecule(molecule, maxIters=2000)
    return True


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


@dataclass(frozen=True)
class Matched:
    """What a SMILES or InChI says of a molecule, in the order of its n atoms.

    `conformer` (n,3) Å, None for the `reason`. `places` (n,) is each atom's place in what is
    written, hydrogens put behind, and `graph` its bonds; both None where no atom is known to be
    which. `skeleton` is the first block of the InChIKey, empty where nothing can be read.
    """

    conformer: np.ndarray | None = None
    reason: str = ""
    places: np.ndarray | None = None
    graph: BondGraph | None = None
    skeleton: str = ""


def match(
    text: str,
    atomic_numbers: np.ndarray,
    reference: np.ndarray | None,
    seed: int,
    conform: bool = True,
) -> Matched:
    """Return a molecule's bonds and, with `conform`, an ETKDG + MMFF94 conformer, in its order.

    `reference` (n,3) Å says what is bonded to what; without it the order must be that of the text
    with its hydrogens behind. Equivalent atoms, and mirror images of a molecule whose SMILES or
    InChI gives no configuration, are assigned as lies closest to the reference; orders of bonds,
    charges and unpaired electrons are no part of the comparison.
    """
    from rdkit import Chem, rdBase

    parsed = parse(text)
    if parsed is None:
        return Matched(reason="no SMILES or InChI that can be read")
    molecule = Chem.AddHs(parsed)
    own = Bonded.of_rdkit(molecule)
    with rdBase.BlockLogs():
        skeleton = str(Chem.MolToInchiKey(parsed))[:14]
    places: np.ndarray | None = None
    bondings: Iterator[Bonded] = iter(())
    if reference is None:
        if own.numbers != atomic_numbers.tolist():
            return Matched(reason=f"its atoms are not those of '{text}'", skeleton=skeleton)
        places = np.arange(len(atomic_numbers))
    else:
        bondings = (Bonded.of_rdkit(one) for one in connected(atomic_numbers, reference))
        for bonded in bondings:
            places = isomorphism(own, bonded)
            if places is not None:
                break
    if places is None:
        return Matched(reason="bonded otherwise than its SMILES says", skeleton=skeleton)
    known = Matched(None, "", places, bond_graph(molecule).in_order(places), skeleton)
    if not conform:
        return known
    embedded = embed(text, seed)
    if embedded is None:
        return replace(known, reason="RDKit cannot embed it")
    positions = embedded.GetConformer().GetPositions()
    if reference is None:
        return replace(known, conformer=positions)
    centres = Chem.FindMolChiralCenters(parsed, True)
    images = [positions, *([] if centres else [positions * np.array([-1.0, 1.0, 1.0])])]
    for like in chain([bonded], bondings):
        found = closest(own, images, like, reference)
        if found is not None:
            return replace(known, conformer=found)
    return replace(known, reason="its rings fit on each other in too many ways")


def embed_like(
    text: str, atomic_numbers: np.ndarray, reference: np.ndarray, seed: int
) -> np.ndarray | None:
    """Return the conformer (n,3) Å of `match`, None where there is none."""
    return match(text, atomic_numbers, reference, seed).conformer
