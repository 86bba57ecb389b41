"""Relaxation of many molecules at once.

Forces of all molecules that still move come from one call; the finished leave the batch and
waiting ones enter it. Every molecule takes the steps it would take alone.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from force2geo.potentials.batch import Batch
from force2geo.relax.bonds import what_became_of_bonds
from force2geo.relax.optimizers import Optimizer, build_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # A batch to its energies (B,) eV and forces (N,3) eV/Å; NaN where there is none.
    Evaluate = Callable[[Batch], tuple[Tensor, Tensor]]

# With a force beyond this (eV/Å) the structure is no molecule any more.
EXPLODED = 1e4
# Numbers in all Hessians together, each padded to the largest: half a gigabyte.
_HESSIANS = 1 << 26


@dataclass
class Relaxation:
    """A molecule on its way: `frames` (n,3) Å and `forces` (n,3) eV/Å each, `energies` eV.

    `max_forces` eV/Å are the longest of a frame's forces.

    `status` is `running`, then `converged`, `step limit` or `exploded`, with the `reason`; where
    the molecule is another one in the end, `bonds changed` or `dissociated`; `refused` is one
    the potential cannot take. `converged` says
    whether the forces are below the threshold, whatever became of the bonds.
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    status: str = "running"
    reason: str = ""
    converged: bool = False
    frames: list[np.ndarray] = field(default_factory=list)
    forces: list[np.ndarray] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    max_forces: list[float] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Number of steps taken."""
        return len(self.energies) - 1

    def record(
        self,
        positions: np.ndarray,
        forces: np.ndarray,
        energy: float,
        largest: float,
        whole: bool,
    ) -> None:
        """Take down where the molecule is; of its path only the ends unless `whole`."""
        if not whole and len(self.frames) == 2:
            del self.frames[-1], self.forces[-1]
        self.frames.append(positions)
        self.forces.append(forces)
        self.energies.append(energy)
        self.max_forces.append(largest)

    def judge(self, threshold: float, limit: int) -> bool:
        """Set the status by the newest record and say whether the molecule has finished."""
        energy, largest = self.energies[-1], self.max_forces[-1]
        if not (np.isfinite(energy) and np.isfinite(largest)):
            self.status, self.reason = "exploded", self.reason or _why_no_number(self.frames[-1])
        elif largest > EXPLODED:
            self.status, self.reason = "exploded", f"a force of {largest:.0f} eV/Å"
        elif largest < threshold:
            self.status, self.converged = "converged", True
        elif self.steps >= limit:
            self.status = "step limit"
        else:
            return False
        if self.status != "exploded":
            bonds = what_became_of_bonds(self.atomic_numbers, self.frames[0], self.frames[-1])
            self.status = bonds or self.status
        return True


def _why_no_number(positions: np.ndarray) -> str:
    if not np.isfinite(positions).all():
        return "positions are no numbers"
    apart = np.linalg.norm(positions[:, None] - positions, axis=2) + np.diag(
        np.full(len(positions), np.inf)
    )
    i, j = np.unravel_index(int(apart.argmin()), apart.shape)
    if len(positions) > 1 and apart[i, j] < 1e-3:
        return f"atoms {i} and {j} stand at one point"
    return "energy or forces are no numbers"


class _Active:
    """The molecules that move: their places (B,A,3) Å, padded, and the optimiser's state."""

    def __init__(self, optimizer: str, device: torch.device) -> None:
        self.name, self.device = optimizer, device
        self.runs: list[Relaxation] = []
        self.optimizer: Optimizer | None = None
        self.positions = torch.zeros((0, 0, 3), dtype=torch.float64, device=device)

    def add(self, runs: Sequence[Relaxation]) -> None:
        """Take molecules in, none larger than those that are there."""
        atoms = self.positions.shape[1] or max(len(run.atomic_numbers) for run in runs)
        places = torch.zeros((len(runs), atoms, 3), dtype=torch.float64)
        for row, run in enumerate(runs):
            places[row, : len(run.positions)] = torch.as_tensor(run.positions)
        if self.optimizer is None:
            self.optimizer = build_optimizer(self.name, len(runs), 3 * atoms, self.device)
            self.positions = places.to(self.device)
        else:
            self.optimizer.add(len(runs), 3 * atoms, self.device)
            self.positions = torch.cat([self.positions, places.to(self.device)])
        self.runs += runs
        self._describe()

    def keep(self, rows: list[int]) -> None:
        """Let all but these molecules go."""
        assert self.optimizer is not None
        self.runs = [self.runs[row] for row in rows]
        if not rows:
            self.optimizer, self.positions = None, self.positions[:0, :0]
            return
        atoms = max(len(run.atomic_numbers) for run in self.runs)
        index = torch.tensor(rows, device=self.device)
        self.optimizer.keep(index, 3 * atoms)
        self.positions = self.positions[index, :atoms].contiguous()
        self._describe()

    def _describe(self) -> None:
        counts = torch.tensor([len(run.atomic_numbers) for run in self.runs])
        numbers = np.concatenate([run.atomic_numbers for run in self.runs])
        self.counts = counts.tolist()
        self.present = (torch.arange(self.positions.shape[1]) < counts[:, None]).to(self.device)
        self.numbers = torch.from_numpy(numbers.astype(np.int64)).to(self.device)
        molecule = torch.repeat_interleave(torch.arange(len(counts)), counts)
        self.molecule = molecule.to(self.device)
        self.ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).to(self.device)

    def batch(self) -> Batch:
        """Return the molecules where they are now."""
        return Batch(self.numbers, self.positions[self.present], self.molecule, self.ptr)

    def padded(self, forces: Tensor) -> Tensor:
        """Return (N,3) forces as (B,A,3)."""
        whole = torch.zeros_like(self.positions)
        whole[self.present] = forces.to(whole.dtype)
        return whole

    def move(self, forces: Tensor) -> None:
        """Take a step along (B,A,3) forces."""
        assert self.optimizer is not None
        flat = self.positions.flatten(1)
        self.positions = (flat + self.optimizer.step(flat, forces.flatten(1))).view_as(forces)


class _Share:
    """Molecules that one thread relaxes, the largest first: entering, none needs more padding."""

    def __init__(self, runs: Sequence[Relaxation], atoms: int, hessians: int) -> None:
        self.waiting = sorted(runs, key=lambda run: len(run.atomic_numbers))
        self.atoms, self.hessians = atoms, hessians

    def entering(self, active: _Active) -> list[Relaxation]:
        """Return those there is room for."""
        if not self.waiting:
            return []
        room = self.atoms - sum(active.counts if active.runs else [])
        widest = active.positions.shape[1] or len(self.waiting[-1].positions)
        most = max(1, self.hessians // (3 * widest) ** 2) - len(active.runs)
        found: list[Relaxation] = []
        while self.waiting and (
            (len(self.waiting[-1].positions) <= room and len(found) < most)
            or not (active.runs or found)
        ):
            room -= len(self.waiting[-1].positions)
            found.append(self.waiting.pop())
        return found


def relax(
    atomic_numbers: Sequence[np.ndarray],
    positions: Sequence[np.ndarray],
    evaluate: Evaluate,
    threshold: float = 0.05,
    limit: int = 500,
    optimizer: str = "bfgs",
    batch_atoms: int = 4096,
    device: str | torch.device = "cpu",
    whole_paths: bool = True,
    on_finished: Callable[[int, Relaxation], None] | None = None,
    refuse: Callable[[np.ndarray], str] | None = None,
    threads: int = 1,
) -> list[Relaxation]:
    """Relax molecules until max|f| < `threshold` eV/Å (Force2Geo, eq. 7) or `limit` steps.

    At most `batch_atoms` atoms move at once. Without `whole_paths` a result holds the first and
    the last frame alone. `on_finished` is told of each molecule, its place and result, as it ends.
    `refuse` says why the potential cannot take a molecule of these elements, if so. `threads` share
    the molecules on a CPU, which beats sharing each operation; `evaluate` must allow for it.
    """
    runs = [
        Relaxation(np.asarray(z), np.asarray(x, dtype=float))
        for z, x in zip(atomic_numbers, positions, strict=True)
    ]
    place = {id(run): index for index, run in enumerate(runs)}
    one_at_a_time, stop = threading.Lock(), threading.Event()

    def finished(run: Relaxation) -> None:
        if on_finished:
            with one_at_a_time:
                on_finished(place[id(run)], run)

    for run in runs:
        run.reason = refuse(run.atomic_numbers) if refuse else ""
        if run.reason:
            run.status = "refused"
            none = np.full_like(run.positions, np.nan)
            run.record(run.positions, none, float("nan"), float("nan"), whole_paths)

    def work(share: _Share) -> None:
        active = _Active(optimizer, torch.device(device))
        while not stop.is_set() and (share.waiting or active.runs):
            if entering := share.entering(active):
                active.add(entering)
            energies, forces = evaluate(active.batch())
            padded = active.padded(forces)
            largest = padded.norm(dim=2).amax(dim=1).tolist()
            places, pulls = active.positions.cpu().numpy(), padded.cpu().numpy()
            energy = energies.tolist()
            left = []
            for row, run in enumerate(active.runs):
                own, pull = (v[row, : active.counts[row]].copy() for v in (places, pulls))
                run.record(own, pull, energy[row], largest[row], whole_paths)
                if run.judge(threshold, limit):
                    finished(run)
                else:
                    left.append(row)
            if len(left) < len(active.runs):
                padded = padded[left, : max((active.counts[row] for row in left), default=0)]
                active.keep(left)
            if left:
                active.move(padded)

    # Every so-manieth by size: shares alike, and the same in every run.
    moving = sorted((run for run in runs if not run.reason), key=lambda r: len(r.atomic_numbers))
    sharers = max(1, min(threads, len(moving)))
    each = batch_atoms // sharers, _HESSIANS // sharers
    shares = [_Share(moving[k::sharers], *each) for k in range(sharers)]
    if sharers == 1:
        work(shares[0])
        return runs
    before = torch.get_num_threads()
    with ThreadPoolExecutor(sharers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for done in as_completed([pool.submit(work, share) for share in shares]):
                done.result()
        finally:
            stop.set()  # after an error the others need not go on
            torch.set_num_threads(before)  # of threads that start from now on
    return runs
