"""Molecular graphs, for networks that look at bonds in place of a geometry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from force2geo.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from force2geo.errors import UserError
from force2geo.training_data.molecular_graphs import BondGraph, bond_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from force2geo.potentials.batch import Batch


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
    return of_arrays(bond_graph(molecule))


def of_arrays(graph: BondGraph) -> MolecularGraph:
    """Return a graph whose bonds are each there once as one with both ways, in tensors."""
    ends = torch.from_numpy(graph.bonds).long()
    both = torch.stack([ends, ends.flip(1)], dim=1)
    return MolecularGraph(
        torch.from_numpy(graph.atoms).long(),
        both.reshape(-1, 2).t().contiguous(),
        torch.from_numpy(graph.orders).long().repeat_interleave(2, dim=0),
    )


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
