"""Relaxation of many molecules at once.

Forces of all molecules that still move come from one call; the finished leave the batch and
waiting ones enter it. Every molecule takes the steps it would take alone.
"""

from __future__ import annotations

import math
import re
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from force2geo.errors import UserError
from force2geo.potentials.batch import Batch
from force2geo.relax.optimizers import Molecule, Optimizer, build_optimizer
from force2geo.relax.relaxation import Relaxation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # A batch to its energies (B,) eV and forces (N,3) eV/Å, NaN where there is none, and perhaps
    # for each molecule the reason why, and by how much several potentials' forces differ (B,) eV/Å.
    Found = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, list[str]]
    Evaluate = Callable[[Batch], Found | tuple[Tensor, Tensor, list[str], Tensor]]

# So many molecules that fail in one way, and none that does not: the next will fail, too.
FIRST = 10

# Numbers in all Hessians together, each padded to the largest: half a gigabyte.
_HESSIANS = 1 << 26


class SameFailureError(UserError):
    """The first molecules all failed in the same way."""


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
        fresh = [run for run in runs if not run.frames]
        for group in (fresh, *([run] for run in runs if run.frames)):
            if not group:
                continue
            places = self._rows([run.positions for run in group], atoms)
            optimizer = build_optimizer(self.name, len(group), 3 * atoms, self.device)
            optimizer.begin(
                [
                    Molecule(
                        run.atomic_numbers,
                        run.frames[0] if run.frames else run.positions,
                        run.fixed,
                    )
                    for run in group
                ]
            )
            # Of one that has a path already the optimiser learns by going it again.
            for path in zip(group[0].frames, group[0].forces, strict=True):
                optimizer.step(*(self._rows([own], atoms).flatten(1) for own in path))
            if self.optimizer is None:
                self.optimizer, self.positions = optimizer, places
            else:
                self.optimizer.join(optimizer)
                self.positions = torch.cat([self.positions, places])
            self.runs += group
        self._describe()

    def _rows(self, arrays: Sequence[np.ndarray], atoms: int) -> Tensor:
        """Return (n,3) arrays as (B,atoms,3)."""
        rows = torch.zeros((len(arrays), atoms, 3), dtype=torch.float64)
        for row, array in enumerate(arrays):
            rows[row, : len(array)] = torch.as_tensor(array)
        return rows.to(self.device)

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
        self.charge = self.multiplicity = self.fixed = None
        if any((run.charge, run.multiplicity) != (0, 1) for run in self.runs):
            self.charge = torch.tensor([run.charge for run in self.runs], device=self.device)
            multiplicities = [run.multiplicity for run in self.runs]
            self.multiplicity = torch.tensor(multiplicities, device=self.device)
        if any(run.fixed is not None for run in self.runs):
            free = [np.zeros(run.positions.shape, bool) for run in self.runs]
            fixed = [own if run.fixed is None else run.fixed
                     for own, run in zip(free, self.runs, strict=True)]  # fmt: skip
            self.fixed = self._rows(fixed, self.positions.shape[1]) > 0

    def spend(self, seconds: float) -> None:
        """Lay time on the molecules, by their atoms."""
        each = seconds / sum(self.counts)
        for run, atoms in zip(self.runs, self.counts, strict=True):
            run.seconds += each * atoms

    def batch(self) -> Batch:
        """Return the molecules where they are now."""
        return Batch(
            self.numbers,
            self.positions[self.present],
            self.molecule,
            self.ptr,
            charge=self.charge,
            multiplicity=self.multiplicity,
            identity=[run.identity for run in self.runs],
        )

    def padded(self, forces: Tensor) -> Tensor:
        """Return (N,3) forces as (B,A,3), none along what is fixed."""
        whole = torch.zeros_like(self.positions)
        whole[self.present] = forces.to(whole.dtype)
        return whole if self.fixed is None else whole.masked_fill(self.fixed, 0.0)

    def move(self, forces: Tensor) -> list[int]:
        """Take a step along (B,A,3) forces and return which molecules have none."""
        assert self.optimizer is not None
        flat = self.positions.flatten(1)
        step = self.optimizer.step(flat, forces.flatten(1))
        lost = ~step.isfinite().all(dim=1)
        self.positions = (flat + step.masked_fill(lost[:, None], 0.0)).view_as(forces)
        return lost.nonzero()[:, 0].tolist()


class _Share:
    """Molecules that one thread relaxes, the last first; by size, so that none enters larger."""

    def __init__(self, runs: list[Relaxation], atoms: int, hessians: int) -> None:
        self.waiting = runs
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


class _Watch:
    """Sees whether the first molecules all end where they start, and for one reason."""

    def __init__(self, count: int) -> None:
        self.left, self.failed, self.reasons, self.passed = count, 0, set[str](), False

    def see(self, finished: Sequence[Relaxation], moving: Sequence[Relaxation]) -> None:
        """Take notice of molecules; `SameFailureError` when the next would fail, too."""
        self.left -= len(finished)
        tried = [run for run in finished if run.status != "refused"]
        failed = [run for run in tried if run.status == "exploded" and run.steps == 0]
        self.failed += len(failed)
        self.reasons |= {re.sub(r"\d+", "#", run.reason) for run in failed}
        self.passed |= bool(moving) or len(failed) < len(tried)
        if self.left and not self.passed and self.failed >= FIRST and len(self.reasons) == 1:
            raise SameFailureError(
                f"the first {self.failed} molecules all failed in the same way, nothing more was "
                f"tried: {failed[-1].reason}"
            )


def relax(
    atomic_numbers: Sequence[np.ndarray],
    positions: Sequence[np.ndarray],
    evaluate: Evaluate,
    threshold: float = 0.05,
    limit: int = 500,
    **options: Any,
) -> list[Relaxation]:
    """Relax molecules (n,), (n,3) Å and return what became of each.

    The rest is as in `relax_runs`, which a caller with more molecules than memory uses.
    """
    runs = [
        Relaxation(np.asarray(z), np.asarray(x, dtype=float), place)
        for place, (z, x) in enumerate(zip(atomic_numbers, positions, strict=True))
    ]
    relax_runs(runs, evaluate, threshold, limit, **options)
    return runs


def relax_runs(
    runs: Sequence[Relaxation],
    evaluate: Evaluate,
    threshold: float = 0.05,
    limit: int = 500,
    optimizer: str = "bfgs",
    batch_atoms: int = 4096,
    device: str | torch.device = "cpu",
    whole_paths: bool = True,
    on_step: Callable[[Sequence[Relaxation]], None] | None = None,
    on_finished: Callable[[Relaxation], None] | None = None,
    refuse: Callable[[Relaxation], str] | None = None,
    threads: int = 1,
    unsure_above: float = math.inf,
) -> None:
    """Go on with relaxations until max|f| < `threshold` eV/Å (Force2Geo, eq. 7) or `limit` steps.

    `runs` themselves are changed. At most `batch_atoms` atoms move at once; with 1 the molecules go
    one by one in their order. Without `whole_paths` a finished relaxation holds the first and the
    last frame alone. `on_step` is told after each step which molecules go on, and `on_finished` of
    each as it ends, never two at a time. `refuse` says why the potential cannot take a molecule, if
    so. `threads` share the molecules on a CPU, which beats sharing each operation; `evaluate` must
    allow for it. One that would be converged is unsure where the forces of several potentials
    differ by more than `unsure_above` (eV/Å). `SameFailureError` when the first molecules all fail
    at their first step and for one reason while others wait.
    """
    one_at_a_time, stop, watch = threading.Lock(), threading.Event(), _Watch(len(runs))

    def tell(finished: Sequence[Relaxation], moving: Sequence[Relaxation]) -> None:
        with one_at_a_time:
            for run in finished:
                if not whole_paths:
                    run.keep_ends()
                if on_finished:
                    on_finished(run)
            if on_step and moving:
                on_step(moving)
            if finished:
                watch.see(finished, moving)

    def work(share: _Share) -> None:
        active, begun = _Active(optimizer, torch.device(device)), time.perf_counter()
        while not stop.is_set() and (share.waiting or active.runs):
            if entering := share.entering(active):
                active.add(entering)
            told: list[Any]
            energies, forces, *told = evaluate(active.batch())
            padded = active.padded(forces)
            largest = padded.norm(dim=2).amax(dim=1).tolist()
            places, pulls = active.positions.cpu().numpy(), padded.cpu().numpy()
            energy = energies.tolist()
            reasons = told[0] if told else [""] * len(energy)
            spreads = told[1].tolist() if len(told) > 1 else [math.nan] * len(energy)
            left, finished = [], []
            for row, run in enumerate(active.runs):
                own, pull = (v[row, : active.counts[row]].copy() for v in (places, pulls))
                run.record(own, pull, energy[row], largest[row])
                run.force_spread = spreads[row]
                if run.judge(threshold, limit, reasons[row], unsure_above):
                    finished.append(run)
                else:
                    left.append(row)
            # Of several threads each has its part of the time.
            active.spend((time.perf_counter() - begun) / sharers)
            if finished:
                padded = padded[left, : max((active.counts[row] for row in left), default=0)]
                active.keep(left)
            tell(finished, active.runs)
            begun = time.perf_counter()
            if left and (stuck := active.move(padded)):
                finished = [active.runs[row] for row in stuck]
                for run in finished:
                    run.explode(f"{optimizer} finds no step: its numbers are none any more")
                active.keep([row for row in range(len(active.runs)) if row not in stuck])
                tell(finished, active.runs)

    moving = []
    for run in runs:
        if reason := refuse(run) if refuse else "":
            run.refuse(reason)
            tell([run], [])
        else:
            moving.append(run)
    if batch_atoms == 1:  # one at a time, in the order given
        moving.reverse()
    else:  # every so-manieth by size: shares alike, and the same in every run
        moving.sort(key=lambda run: len(run.atomic_numbers))
    sharers = max(1, min(threads, len(moving)))
    each = batch_atoms // sharers, _HESSIANS // sharers
    shares = [_Share(moving[k::sharers], *each) for k in range(sharers)]
    if sharers == 1:
        work(shares[0])
        return
    before = torch.get_num_threads()
    with ThreadPoolExecutor(sharers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            left = {pool.submit(work, share) for share in shares}
            while left:
                # Not without end: Ctrl-C may reach this thread only when it wakes.
                done, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
                for one in done:
                    one.result()
        finally:
            stop.set()  # after an error the others need not go on
            torch.set_num_threads(before)  # of threads that start from now on
