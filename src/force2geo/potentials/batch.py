"""Molecules concatenated into plain tensors, and their neighbour lists."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from force2geo.potentials.pairs import Pairs


@dataclass
class Batch:
    """B molecules with N atoms in all.

    `atomic_numbers` (N,) int64; `positions` (N,3) Å; `molecule` (N,) index of the molecule of an
    atom; `ptr` (B+1,) where molecules start; `charge` (B,) in e and `multiplicity` (B,), None where
    all are neutral singlets. Targets, where known: `energy` (B,) eV float64, `forces` (N,3) eV/Å,
    `targets` by name, (B,) each, `displacement` (N,3) Å; where these are told from a baseline,
    what that one says: `baseline_energy` (B,) eV, `baseline_forces` (N,3) eV/Å. `given_forces`
    (N,3) eV/Å are an input, of a structure before noise. `identity` names each molecule by a number
    where the caller will ask about it again on its way. `pairs` are the atoms that see each other
    where the caller knows them; a network with another cutoff, or without them, finds its own. For
    networks that look at the molecular graph, made by `bonds.with_bonds`: `bonds` (2,M) int64 their
    two atoms, each bond both ways, `bond_features` (M,3) and `atom_features` (N,9) int64.
    """

    atomic_numbers: Tensor
    positions: Tensor
    molecule: Tensor
    ptr: Tensor
    energy: Tensor | None = None
    forces: Tensor | None = None
    targets: dict[str, Tensor] = field(default_factory=dict)
    displacement: Tensor | None = None
    given_forces: Tensor | None = None
    baseline_energy: Tensor | None = None
    baseline_forces: Tensor | None = None
    identity: list[int] | None = None
    pairs: Pairs | None = None
    charge: Tensor | None = None
    multiplicity: Tensor | None = None
    bonds: Tensor | None = None
    bond_features: Tensor | None = None
    atom_features: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of molecules."""
        return self.ptr.shape[0] - 1

    @property
    def atoms_per_molecule(self) -> Tensor:
        """(B,) number of atoms of each molecule."""
        return self.ptr[1:] - self.ptr[:-1]

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with every tensor on `device`."""
        return on_device(self, device)


def on_device(record: Any, device: torch.device | str) -> Any:
    """Return a dataclass with its tensors, those of dicts and a batch's pairs too, on `device`."""
    held = {one.name: getattr(record, one.name) for one in fields(record)}
    moved = {name: value.to(device) for name, value in held.items() if hasattr(value, "to")}
    for name, value in held.items():
        if isinstance(value, dict) and value:
            tensors = {key: one.to(device) for key, one in value.items() if hasattr(one, "to")}
            moved[name] = value | tensors
    return replace(record, **moved)


def for_autograd(batch: Batch) -> Batch:
    """Return a batch that a gradient can be taken of, made in inference mode though it be."""
    held = {one.name: getattr(batch, one.name) for one in fields(batch)}
    copied: dict[str, Any] = {
        name: value.clone()
        for name, value in held.items()
        if isinstance(value, Tensor) and value.is_inference()
    }
    if batch.pairs is not None and batch.pairs.first.is_inference():
        copied["pairs"] = None
    return replace(batch, **copied) if copied else batch


def collate(
    atomic_numbers: Sequence[np.ndarray | Tensor],
    positions: Sequence[np.ndarray | Tensor],
    dtype: torch.dtype = torch.float32,
) -> Batch:
    """Concatenate molecules, each `(n,)` atomic numbers and `(n,3)` positions in Å."""
    numbers = [torch.as_tensor(z, dtype=torch.long) for z in atomic_numbers]
    counts = torch.tensor([len(z) for z in numbers])
    return Batch(
        atomic_numbers=torch.cat(numbers),
        positions=torch.cat([torch.as_tensor(x, dtype=dtype) for x in positions]),
        molecule=torch.repeat_interleave(torch.arange(len(numbers)), counts),
        ptr=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
    )


def one_by_one(batch: Batch) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
    """Yield each molecule's atomic numbers (n,), positions (n,3) Å, charge and multiplicity."""
    counts = batch.atoms_per_molecule.tolist()
    charges = [0] * len(counts) if batch.charge is None else batch.charge.tolist()
    spins = [1] * len(counts) if batch.multiplicity is None else batch.multiplicity.tolist()
    numbers = batch.atomic_numbers.cpu().split(counts)
    positions = batch.positions.detach().cpu().split(counts)
    for z, x, charge, spin in zip(numbers, positions, charges, spins, strict=True):
        yield z.numpy(), x.double().numpy(), charge, spin


def spans(starts: Tensor, counts: Tensor) -> Tensor:
    """Return `counts[0]` places from `starts[0]` on, `counts[1]` from `starts[1]` on, and so on."""
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    shift = torch.repeat_interleave(starts - (ends - counts), counts, output_size=total)
    return shift + torch.arange(total, device=starts.device)


def by_size(sizes: np.ndarray, atoms: int, order: np.ndarray | None = None) -> list[np.ndarray]:
    """Return the indices of molecules in batches of like size with at most `atoms` atoms each.

    Memory then has a bound whatever the sizes, and no molecule is padded to a much larger one's
    size. Those of one size stay in `order`; a molecule larger than `atoms` is a batch of its own.
    The batches' sizes depend on `sizes` alone.
    """
    order = np.arange(len(sizes)) if order is None else order
    order = order[np.argsort(sizes[order], kind="stable")]
    ends = np.cumsum(sizes[order])
    batches, start, before = [], 0, 0
    while start < len(order):
        stop = max(start + 1, int(np.searchsorted(ends, before + atoms, side="right")))
        batches.append(order[start:stop])
        start, before = stop, int(ends[stop - 1])
    return batches
