"""The downstream set as training data: true, noised and relaxed geometries."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError
from force2geo.potentials.batch import Batch, on_device, spans
from force2geo.superposition import superpose_molecules
from force2geo.train.bonds import Bonds
from force2geo.train.snapshots import charge_states, strange_states, unseen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from force2geo.training_data.conformers import Conformers, Graphs


@dataclass
class Molecules:
    """M molecules with N atoms in all, one geometry to judge by and several to learn from.

    `ptr` (M+1,) is where molecules start, `atomic_numbers` (N,), `targets` (M,) each by name, in
    `units`, float64; those in `extensive` are sums over atoms. `fixed` (N,3) is what the model sees
    when judged, `truth` (N,3) the reference. `frames` (K,3), where geometries are to be mixed, is
    the path of each molecule, frame after frame: `frame_counts` (M,) of them, the first atom of the
    first at `frame_starts` (M,). Å throughout. `cid` (M,) as bytes, `states` (M,2) charge and
    multiplicity; `bonds` for networks that look at them. `left_out` says why molecules are not
    used, and how many.
    """

    ptr: Tensor
    atomic_numbers: Tensor
    targets: dict[str, Tensor]
    fixed: Tensor
    truth: Tensor
    cid: np.ndarray
    states: Tensor
    frames: Tensor | None = None
    frame_starts: Tensor | None = None
    frame_counts: Tensor | None = None
    noise: float = 0.0
    units: dict[str, str] = field(default_factory=dict)
    extensive: frozenset[str] = frozenset()
    left_out: dict[str, int] = field(default_factory=dict)
    bonds: Bonds | None = None

    @classmethod
    def of(
        cls,
        atomic_numbers: Sequence[np.ndarray],
        targets: Mapping[str, np.ndarray],
        fixed: Sequence[np.ndarray],
        truth: Sequence[np.ndarray],
        paths: Sequence[np.ndarray] | None = None,
        noise: float = 0.0,
        cid: Sequence[str] | None = None,
        states: np.ndarray | None = None,
        units: dict[str, str] | None = None,
        extensive: frozenset[str] = frozenset(),
    ) -> Molecules:
        """Return molecules given one by one: (n,), (n,3) and, as paths, (T,n,3).

        Without `states` (M,2) they are neutral singlets.
        """

        def flat(parts: Sequence[np.ndarray], kind: torch.dtype) -> Tensor:
            return torch.cat([torch.as_tensor(part, dtype=kind) for part in parts])

        def starts(sizes: Sequence[int]) -> Tensor:
            return torch.tensor([0, *sizes]).cumsum(0)

        count = len(atomic_numbers)
        made = cls(
            ptr=starts([len(numbers) for numbers in atomic_numbers]),
            atomic_numbers=flat(atomic_numbers, torch.long),
            targets={k: torch.as_tensor(v, dtype=torch.float64) for k, v in targets.items()},
            fixed=flat(fixed, torch.float32),
            truth=flat(truth, torch.float32),
            cid=np.array(list(map(str, range(count))) if cid is None else cid, dtype="S"),
            states=torch.tensor([[0, 1]]).expand(count, 2)
            if states is None
            else torch.as_tensor(states, dtype=torch.long),
            noise=noise,
            units=units or {},
            extensive=extensive,
        )
        if paths is None:
            return made
        return replace(
            made,
            frames=flat([path.reshape(-1, 3) for path in paths], torch.float32),
            frame_starts=starts([path.shape[0] * path.shape[1] for path in paths])[:-1],
            frame_counts=torch.tensor([len(path) for path in paths]),
        )

    def to(self, device: torch.device | str) -> Molecules:
        """Return the data on `device`: batches are then made there."""
        return on_device(self, device)

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def sizes(self) -> np.ndarray:
        """Return (M,) numbers of atoms."""
        return self.ptr.diff().cpu().numpy()

    def heavy_atoms(self) -> np.ndarray:
        """Return (M,) numbers of atoms that are no hydrogen."""
        before = torch.cat([self.ptr.new_zeros(1), (self.atomic_numbers > 1).cumsum(0)])
        return before[self.ptr].diff().cpu().numpy()

    def ids(self) -> np.ndarray:
        """Return (M,) CIDs as bytes."""
        return self.cid

    def compositions(self) -> Tensor:
        """Return (M,E) numbers of atoms of each of the set's `elements`."""
        elements = torch.unique(self.atomic_numbers)
        place = torch.searchsorted(elements, self.atomic_numbers)
        molecule = torch.repeat_interleave(torch.arange(len(self)).to(self.ptr), self.ptr.diff())
        size = len(self), len(elements)
        found = torch.bincount(molecule * size[1] + place, minlength=size[0] * size[1])
        return found.reshape(size)

    def elements(self) -> list[int]:
        """Return the atomic numbers of the set, ascending."""
        return torch.unique(self.atomic_numbers).tolist()

    def charge_states(self) -> list[list[int]]:
        """Return the pairs (charge, multiplicity) of the set, ascending."""
        return charge_states(self.states[:, 0], self.states[:, 1])

    def seen(self) -> dict[str, Any]:
        """Return what a network trained on these knows: elements and charge states."""
        return {"elements": self.elements(), "charge_states": self.charge_states()}

    def known_to(self, seen: dict[str, Any]) -> Molecules:
        """Return the molecules that such a network can answer for; the others are counted."""
        strange = torch.ones(MAX_ATOMIC_NUMBER + 1, dtype=torch.bool, device=self.ptr.device)
        strange[seen["elements"]] = False
        molecule = torch.repeat_interleave(torch.arange(len(self)).to(self.ptr), self.ptr.diff())
        found = torch.zeros(len(self), len(strange), dtype=torch.bool, device=self.ptr.device)
        found[molecule, self.atomic_numbers] = True
        foreign = found[:, strange]
        unusual, reasons = strange_states(
            self.states[:, 0], self.states[:, 1], seen["charge_states"]
        )
        kept = self.take((~unusual & ~foreign.any(dim=1)).nonzero()[:, 0])
        return replace(kept, left_out=self.left_out | unseen(foreign, strange) | reasons)

    def take(self, rows: Tensor) -> Molecules:
        """Return the molecules at `rows`; frames stay where they are and are shared."""
        counts = self.ptr.diff()[rows]
        atoms = spans(self.ptr[rows], counts)
        return replace(
            self,
            ptr=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            atomic_numbers=self.atomic_numbers[atoms],
            targets={name: values[rows] for name, values in self.targets.items()},
            fixed=self.fixed[atoms],
            truth=self.truth[atoms],
            cid=self.cid[rows.cpu().numpy()],
            states=self.states[rows],
            frame_starts=None if self.frame_starts is None else self.frame_starts[rows],
            frame_counts=None if self.frame_counts is None else self.frame_counts[rows],
            bonds=None if self.bonds is None else self.bonds.take(rows, atoms),
        )

    def batch(self, indices: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        """Return molecules with their targets and, when there are paths, displacements.

        Without paths: the fixed geometries. With paths (Force2Geo, section 2.4) each structure
        is by a toss of `rng` either the truth plus Gaussian noise or a frame drawn from its
        path; the displacement is truth − input, the truth superposed on a frame because a path
        may have turned.
        """
        rows = torch.from_numpy(indices).to(self.ptr.device)
        counts = self.ptr[rows + 1] - self.ptr[rows]
        atoms = spans(self.ptr[rows], counts)
        numbers = torch.arange(len(rows), device=rows.device)
        molecule = torch.repeat_interleave(numbers, counts, output_size=len(atoms))
        batch = Batch(
            atomic_numbers=self.atomic_numbers[atoms],
            positions=self.fixed[atoms],
            molecule=molecule,
            ptr=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
            targets={name: values[rows] for name, values in self.targets.items()},
            charge=self.states[rows, 0],
            multiplicity=self.states[rows, 1],
        )
        if self.bonds is not None:
            batch = self.bonds.take(rows, atoms).on(batch)
        if self.frames is None or rng is None:
            return batch
        assert self.frame_starts is not None and self.frame_counts is not None
        chance = torch.Generator(rows.device).manual_seed(int(rng.integers(1 << 62)))
        toss, place = torch.rand(2, len(rows), generator=chance, device=rows.device)
        frame = (place * self.frame_counts[rows]).long().clamp(max=self.frame_counts[rows] - 1)
        from_path = self.frames[spans(self.frame_starts[rows] + frame * counts, counts)]
        truth = self.truth[atoms]
        noise = torch.randn(truth.shape, generator=chance, device=rows.device)
        noised = (toss < 0.5)[molecule][:, None]
        batch.positions = torch.where(noised, truth + self.noise * noise, from_path)
        batch.displacement = (
            torch.where(noised, truth, superpose_molecules(truth, from_path, molecule, counts))
            - batch.positions
        )
        return batch


def molecules(
    conformers: Conformers,
    cids: list[str],
    geometry: str,
    paths: Mapping[str, np.ndarray] | None = None,
    noise: float = 0.0,
    sample: bool = False,
    targets: Sequence[str] | None = None,
    bonds: bool = False,
) -> Molecules:
    """Return the molecules of `cids` that have the geometry and all `targets` asked for.

    `geometry` is one of the file's or `force2geo`, the end of `paths` (T,n,3) Å by CID. With
    `sample` batches are mixed as geometry fine-tuning wants them; a geometry without a path is
    a path of one frame. Targets are those named, or all that the conformers have. With `bonds` they
    have their molecular graphs. Molecules without what is asked for are counted in `left_out`.
    `UserError` when none has the geometry, or one of `cids` is no conformer.
    """
    wanted = {name: conformers.targets[name] for name in targets or conformers.targets}
    missing: dict[str, int] = {}
    chosen: list[int] = []
    frames: list[np.ndarray] = []
    rows = conformers.index(cids)
    for cid, row in zip(cids, rows, strict=True):
        if geometry == "force2geo":
            path = (paths or {}).get(cid, np.zeros((0, 0, 3)))
        else:
            path = conformers.positions(geometry)[conformers.atoms(row)][None]
        lacking = [f"target '{n}'" for n, one in wanted.items() if not np.isfinite(one.values[row])]
        if not len(path) or not np.isfinite(path).all():
            why = conformers.reason(int(row), geometry)
            lacking = [f"geometry '{geometry}'" + (f" ({why})" if why else "")]
        if bonds and not lacking and not graphs_of(conformers).known[row]:
            lacking = ["molecular graph"]
        if lacking:
            missing[f"no {lacking[0]}"] = missing.get(f"no {lacking[0]}", 0) + 1
            continue
        chosen.append(int(row))
        frames.append(path)
    if not chosen:
        raise UserError(f"no molecule of a split is of use: {', '.join(missing) or 'it is empty'}")
    made = Molecules.of(
        atomic_numbers=[conformers.atomic_numbers[conformers.atoms(row)] for row in chosen],
        targets={name: one.values[chosen] for name, one in wanted.items()},
        fixed=[path[-1] for path in frames],
        truth=[conformers.positions("dft")[conformers.atoms(row)] for row in chosen],
        paths=frames if sample else None,
        noise=noise,
        cid=[conformers.cids[row] for row in chosen],
        states=np.stack([conformers.charge, conformers.multiplicity], axis=1)[chosen],
        units={name: one.unit for name, one in wanted.items()},
        extensive=frozenset(name for name, one in wanted.items() if one.extensive),
    )
    made.left_out = missing
    if bonds:
        rows_of = torch.tensor(chosen)
        starts = torch.from_numpy(np.asarray(conformers.ptr)).long()
        atoms = spans(starts[rows_of], made.ptr.diff())
        made.bonds = Bonds.of(graphs_of(conformers)).take(rows_of, atoms)
    return made


def graphs_of(conformers: Conformers) -> Graphs:
    """Return the molecular graphs; `UserError` where they are of a file without."""
    if conformers.graphs is None:
        raise UserError(
            f"{conformers.origin}: it has no molecular graphs, which an older version did not "
            "write; make it again"
        )
    return conformers.graphs
