"""Packed snapshots as a data set that makes batches."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch
from torch import Tensor

from force2geo.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from force2geo.errors import UserError
from force2geo.files import known_hash, reading
from force2geo.molecular_state import signed
from force2geo.potentials.batch import Batch, on_device, spans
from force2geo.training_data.packed import COLUMNS, SPLITS, states_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CHUNK = 1_000_000
_CODES = 256  # more than any multiplicity: a pair of charge and multiplicity is one number
_FAILED = "the baseline finds no energy"
_STATE = ("charge", "multiplicity")
_USED = tuple(name for name in COLUMNS if name not in ("cid", *_STATE))
_CORRECTED = ("baseline_energy", "baseline_forces")


@dataclass
class Snapshots:
    """Snapshots of a packed file, mapped into memory or on a GPU; `rows` are the ones in use.

    The other tensors are the file's columns: `ptr` (S+1,), `atomic_numbers` (N,), `positions`
    (N,3) Å, `forces` (N,3) eV/Å, `energy` (S,) eV, `charge` (S,) e and `multiplicity` (S,),
    `source` and `split` (S,); `cid` (S,) as bytes. `levels` are the file's levels of theory, the
    most frequent first; `left_out` says why snapshots of a part are not used, and how many.
    With a `baseline` (a calculator's record) batches and compositions have what is left of energies
    and forces without `baseline_energy` (S,) and `baseline_forces` (N,3); `failed` (F,) are the
    snapshots that have none.
    """

    ptr: Tensor
    atomic_numbers: Tensor
    positions: Tensor
    forces: Tensor
    energy: Tensor
    charge: Tensor
    multiplicity: Tensor
    source: Tensor
    split: Tensor
    sources: list[str]
    rows: Tensor
    cid: np.ndarray
    levels: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    baseline: dict[str, Any] | None = None
    baseline_energy: Tensor | None = None
    baseline_forces: Tensor | None = None
    failed: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    @classmethod
    def read(cls, path: Path, baseline: Path | None = None) -> Snapshots:
        """Map a packed file; every snapshot is in use. Pages are read when they are needed.

        `baseline` is a file of `training_data/baselines.py`; `UserError` where it is of others.
        """
        with reading(path, "packed snapshots, HDF5"), h5py.File(path, "r") as file:
            columns: dict[str, Any] = {
                name: torch.from_numpy(_mapped(path, file[name])) for name in _USED
            }
            cid = _mapped(path, file["cid"])
            sources = [str(name) for name in file.attrs["sources"]]
            if "charge" in file:
                columns |= {name: torch.from_numpy(_mapped(path, file[name])) for name in _STATE}
            else:
                states = torch.from_numpy(states_of(path, file).astype(np.int8))
                columns |= dict(zip(_STATE, states.unbind(1), strict=True))
            levels = [str(name) for name in file.attrs.get("packed_levels", [])]
        return cls(
            **columns,
            sources=sources,
            rows=torch.arange(len(columns["energy"])),
            cid=cid,
            levels=levels,
            **({} if baseline is None else _baseline(path, baseline)),
        )

    def to(self, device: torch.device | str) -> Snapshots:
        """Return the data on `device`: batches are then made there, without a copy of each."""
        return on_device(self, device)

    @property
    def bytes(self) -> int:
        """Size of all columns."""
        held = (getattr(self, name) for name in (*_USED, *_STATE, *_CORRECTED))
        return sum(column.nbytes for column in held if column is not None)

    def where(self, split: str, source: str | None = None) -> Snapshots:
        """Return the snapshots of a split and, when given, of one source; arrays are shared."""
        keep = self.split[self.rows] == SPLITS.index(split)
        if source is not None:
            code = self.sources.index(source) if source in self.sources else -1
            keep &= self.source[self.rows] == code
        rows = self.rows[keep]
        without = torch.isin(rows, self.failed.to(rows.device))
        lost = {_FAILED: int(without.sum())} if without.any() else {}
        return replace(self, rows=rows[~without], left_out=self.left_out | lost)

    def __len__(self) -> int:
        return len(self.rows)

    def require(self, what: str) -> Snapshots:
        """Return self, or raise `UserError` naming `what` when there is no snapshot."""
        if not len(self):
            raise UserError(f"no snapshot to use as {what}: the selection left none")
        return self

    def sizes(self) -> np.ndarray:
        """Return (len,) numbers of atoms of the snapshots in use."""
        return (self.ptr[self.rows + 1] - self.ptr[self.rows]).cpu().numpy()

    def ids(self) -> np.ndarray:
        """Return (len,) CIDs of the snapshots in use, as bytes."""
        return np.asarray(self.cid[self.rows.cpu().numpy()])

    def seen(self) -> dict[str, Any]:
        """Return what a network trained on these knows: elements, charge states and levels."""
        return {
            "elements": self.elements(),
            "charge_states": self.charge_states(),
            "levels": self.levels,
            **({} if self.baseline is None else {"baseline": self.baseline}),
        }

    def known_to(self, seen: dict[str, Any]) -> Snapshots:
        """Return the snapshots that such a network can answer for; the others are counted."""
        kept = self.of_elements(seen["elements"])
        pairs = kept.charge[kept.rows], kept.multiplicity[kept.rows]
        strange, reasons = strange_states(*pairs, seen["charge_states"])
        return replace(kept, rows=kept.rows[~strange], left_out=kept.left_out | reasons)

    def of_elements(self, elements: list[int]) -> Snapshots:
        """Return the snapshots of `elements` (atomic numbers) alone; the others are counted."""
        strange = torch.ones(MAX_ATOMIC_NUMBER + 1, dtype=torch.bool)
        strange[elements] = False
        found = [counts[:, strange] > 0 for counts, _ in self.compositions()]
        return replace(
            self,
            rows=self.rows[torch.cat([~part.any(dim=1) for part in found]).to(self.rows.device)],
            left_out=self.left_out | unseen(torch.cat(found), strange),
        )

    def of_molecules(self, cids: Sequence[Any]) -> Snapshots:
        """Return the snapshots of molecules alone, whose CIDs are given as bytes."""
        kept = torch.from_numpy(np.isin(self.ids(), np.array(cids)))
        return replace(self, rows=self.rows[kept.to(self.rows.device)])

    def batch(self, indices: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        """Return the snapshots at `indices` (into `rows`) with energies and forces."""
        rows = self.rows[torch.from_numpy(indices).to(self.rows.device)]
        atoms, counts = self._atoms(rows)
        numbers = torch.arange(len(rows), device=rows.device)
        energy, forces = self.energy[rows], self.forces[atoms]
        below = pulls = None
        if self.baseline_energy is not None and self.baseline_forces is not None:
            below, pulls = self.baseline_energy[rows], self.baseline_forces[atoms]
            energy, forces = energy - below, forces - pulls
        return Batch(
            atomic_numbers=self.atomic_numbers[atoms].long(),
            positions=self.positions[atoms],
            molecule=torch.repeat_interleave(numbers, counts, output_size=len(atoms)),
            ptr=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            energy=energy,
            forces=forces,
            baseline_energy=below,
            baseline_forces=pulls,
            charge=self.charge[rows].long(),
            multiplicity=self.multiplicity[rows].long(),
        )

    def _atoms(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places (n,) of the atoms of snapshots in the file, and their counts (S,)."""
        starts = self.ptr[rows]
        counts = self.ptr[rows + 1] - starts
        return spans(starts, counts), counts

    def compositions(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (s, MAX_ATOMIC_NUMBER+1) counts of each element and (s,) eV, chunk by chunk."""
        width = MAX_ATOMIC_NUMBER + 1
        for first in range(0, len(self.rows), _CHUNK):
            rows = self.rows[first : first + _CHUNK]
            atoms, counts = self._atoms(rows)
            cell = torch.repeat_interleave(width * torch.arange(len(rows)).to(counts), counts)
            found = torch.bincount(cell + self.atomic_numbers[atoms], minlength=width * len(rows))
            energy = self.energy[rows]
            if self.baseline_energy is not None:
                energy = energy - self.baseline_energy[rows]
            yield found.view(-1, width).double().cpu(), energy.cpu()

    def elements(self) -> list[int]:
        """Return the atomic numbers in use, ascending."""
        present = torch.zeros(MAX_ATOMIC_NUMBER + 1, dtype=torch.bool)
        for composition, _ in self.compositions():
            present |= composition.any(dim=0)
        return present.nonzero()[:, 0].tolist()

    def charge_states(self) -> list[list[int]]:
        """Return the pairs (charge, multiplicity) in use, ascending."""
        return charge_states(self.charge[self.rows], self.multiplicity[self.rows])


def charge_states(charge: Tensor, multiplicity: Tensor) -> list[list[int]]:
    """Return the pairs of charges (S,) and multiplicities (S,) that there are, ascending."""
    found: set[int] = set()
    for q, m in zip(charge.split(_CHUNK), multiplicity.split(_CHUNK), strict=True):
        found |= set(torch.unique(_CODES * q.long() + m.long()).tolist())
    return [[code // _CODES, code % _CODES] for code in sorted(found)]


def strange_states(
    charge: Tensor, multiplicity: Tensor, known: list[list[int]]
) -> tuple[Tensor, dict[str, int]]:
    """Return which of charges (S,) and spins (S,) are not `known`, and how many by name."""
    strange = torch.zeros(len(charge), dtype=torch.bool, device=charge.device)
    reasons = {}
    for pair in charge_states(charge, multiplicity):
        if pair not in known:
            own = (charge == pair[0]) & (multiplicity == pair[1])
            reason = f"training has not seen charge {signed(pair[0])} with multiplicity {pair[1]}"
            reasons[reason] = int(own.sum())
            strange |= own
    return strange, reasons


def unseen(found: Tensor, strange: Tensor) -> dict[str, int]:
    """Return how many items have an element not trained on, by name.

    `found` (S,k) says which of the k elements that `strange` (MAX_ATOMIC_NUMBER+1,) marks are in
    an item.
    """
    counts = found.sum(dim=0).tolist()
    return {
        f"training has not seen {SYMBOLS[element]}": count
        for element, count in zip(strange.nonzero()[:, 0].tolist(), counts, strict=True)
        if count
    }


def _baseline(data: Path, path: Path) -> dict[str, Any]:
    """Return the columns of a baseline's file and what it is of; `UserError` if of other data."""
    with reading(path, "a baseline, HDF5"), h5py.File(path, "r") as file:
        if file.attrs["data"] != known_hash(data):
            raise UserError(f"{path}: the baseline of another file than {data}, compute it again")
        return {
            "baseline": json.loads(file.attrs["baseline"]),
            "baseline_energy": torch.from_numpy(_mapped(path, file["energy"])),
            "baseline_forces": torch.from_numpy(_mapped(path, file["forces"])),
            "failed": torch.from_numpy(file["failed"][:]),
        }


def _mapped(path: Path, column: h5py.Dataset) -> np.ndarray:
    """Return a contiguous column as a private map of the file: nothing is written back."""
    if not column.size:
        return np.zeros(column.shape, column.dtype)
    if column.id.get_offset() is None:
        raise UserError(f"{path}: packed by an older version, pack it again")
    kind = np.dtype(column.dtype.str)  # h5py's own notes on a type would follow it into files
    return np.memmap(path, kind, "c", column.id.get_offset(), column.shape)
