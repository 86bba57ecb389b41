"""Molecular graphs, for networks that look at bonds in place of a geometry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from force2geo.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from force2geo.potentials.batch import Batch

# The features of the Open Graph Benchmark (Hu et al. 2020, 2021), each a place in its list; what
# is in no list has the last place.
_CHIRALITY = ("CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER", "")
_HYBRIDISATION = ("SP", "SP2", "SP3", "SP3D", "SP3D2", "")
_ORDER = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC", "")
_STEREO = ("STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY")
ATOM_SIZES = (119, len(_CHIRALITY), 12, 12, 10, 6, len(_HYBRIDISATION), 2, 2)
"""Values of an atom's nine features: element, chirality, neighbours, formal charge from −5,
implicit hydrogens, radical electrons, hybridisation, whether aromatic, whether in a ring."""
BOND_SIZES = (len(_ORDER), len(_STEREO), 2)
"""Values of a bond's three: order, stereo, whether conjugated."""


@dataclass(frozen=True)
class MolecularGraph:
    """n atoms with `atoms` (n,9) features; `bonds` (2,m) their ends, both ways, `orders` (m,3)."""

    atoms: Tensor
    bonds: Tensor
    orders: Tensor


def molecular_graph(molecule: Any) -> MolecularGraph:
    """Return the graph of an RDKit molecule, or of a SMILES with its hydrogens put behind.

    Atoms are in the molecule's order, hydrogens are atoms like all others.
    """
    from rdkit import Chem

    if isinstance(molecule, str):
        read = Chem.MolFromSmiles(molecule)
        if read is None:
            raise UserError(f"'{molecule}': not a SMILES")
        molecule = Chem.AddHs(read)
    atoms = [
        (
            _within(atom.GetAtomicNum() - 1, ATOM_SIZES[0]),
            _place(_CHIRALITY, atom.GetChiralTag()),
            _within(atom.GetTotalDegree(), ATOM_SIZES[2]),
            _within(atom.GetFormalCharge() + 5, ATOM_SIZES[3]),
            _within(atom.GetTotalNumHs(), ATOM_SIZES[4]),
            _within(atom.GetNumRadicalElectrons(), ATOM_SIZES[5]),
            _place(_HYBRIDISATION, atom.GetHybridization()),
            int(atom.GetIsAromatic()),
            int(atom.IsInRing()),
        )
        for atom in molecule.GetAtoms()
    ]
    ends, orders = [], []
    for bond in molecule.GetBonds():
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        kind = _place(_ORDER, bond.GetBondType()), _place(_STEREO, bond.GetStereo())
        ends += [(begin, end), (end, begin)]
        orders += 2 * [(*kind, int(bond.GetIsConjugated()))]
    return MolecularGraph(
        torch.tensor(atoms, dtype=torch.long).view(-1, len(ATOM_SIZES)),
        torch.tensor(ends, dtype=torch.long).view(-1, 2).t().contiguous(),
        torch.tensor(orders, dtype=torch.long).view(-1, len(BOND_SIZES)),
    )


def _place(known: Sequence[str], value: Any) -> int:
    return known.index(str(value)) if str(value) in known else len(known) - 1


def _within(value: int, size: int) -> int:
    return value if 0 <= value < size - 1 else size - 1


def with_bonds(batch: Batch, graphs: Sequence[MolecularGraph]) -> Batch:
    """Return a batch with the graphs of its molecules; `UserError` where one is of other atoms."""
    if len(graphs) != batch.size:
        raise UserError(f"{len(graphs)} molecular graphs for {batch.size} molecules")
    device, starts = batch.ptr.device, batch.ptr.tolist()
    for index, (graph, start, stop) in enumerate(zip(graphs, starts, starts[1:], strict=False)):
        numbers = batch.atomic_numbers[start:stop].cpu()
        if not torch.equal(graph.atoms[:, 0] + 1, numbers):
            named = [" ".join(_symbols(some)) for some in (numbers, graph.atoms[:, 0] + 1)]
            raise UserError(f"molecule {index}: atoms {named[0]}, in its graph {named[1]}")
    return replace(
        batch,
        atom_features=torch.cat([graph.atoms for graph in graphs]).to(device),
        bonds=torch.cat(
            [graph.bonds + start for graph, start in zip(graphs, starts, strict=False)], 1
        ).to(device),
        bond_features=torch.cat([graph.orders for graph in graphs]).to(device),
    )


def _symbols(numbers: Tensor) -> list[str]:
    return [SYMBOLS[z] if z <= MAX_ATOMIC_NUMBER else "?" for z in numbers.tolist()]
