"""One molecule's relaxation: its path so far, and whether it has finished and how."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from force2geo.elements import SYMBOLS
from force2geo.relax.bonds import lone_atoms, what_became_of_bonds

# With a force beyond this (eV/Å) the structure is no molecule any more.
EXPLODED = 1e4


@dataclass
class Relaxation:
    """A molecule on its way: `frames` (n,3) Å and `forces` (n,3) eV/Å each, `energies` eV.

    `positions` (n,3) Å are where it starts, or goes on if it has a path already; `max_forces` eV/Å
    are the longest of a frame's forces; `steps` have been taken; `place` is its own among others;
    `charge` in e and `multiplicity` are of the whole molecule. Coordinates that are `fixed` (n,3)
    do not move, and their forces are zero. `bonds` (k,2) are the atoms bonded where that is known;
    distances at the start tell otherwise. `identity` is this process's own name for it.

    `seconds` are its share, by atoms, of the wall time of the steps it moved in: those of all are
    what the relaxation took.

    `status` is `running`, then `converged`, `step limit` or `exploded`, with the `reason`; where
    the molecule is another one in the end, or is none, `bonds changed` or `dissociated`; `unsure`
    where several potentials differ too much to be believed, by `force_spread` (eV/Å) at the newest
    frame, NaN of a single one; `refused` is one the potential cannot take. `stationary` says that
    the forces are below the threshold, `converged` that it still is the molecule it was, too, and
    sure.
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    place: int = 0
    status: str = "running"
    reason: str = ""
    converged: bool = False
    steps: int = -1
    frames: list[np.ndarray] = field(default_factory=list)
    forces: list[np.ndarray] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    max_forces: list[float] = field(default_factory=list)
    charge: int = 0
    multiplicity: int = 1
    stationary: bool = False
    force_spread: float = math.nan
    seconds: float = 0.0
    fixed: np.ndarray | None = None
    bonds: np.ndarray | None = None
    identity: int = field(default_factory=itertools.count().__next__, repr=False, compare=False)

    @property
    def paths(self) -> tuple[list[Any], ...]:
        """The lists that hold something of each frame."""
        return self.frames, self.forces, self.energies, self.max_forces

    def record(
        self, positions: np.ndarray, forces: np.ndarray, energy: float, largest: float
    ) -> None:
        """Take down where the molecule is."""
        self.frames.append(positions)
        self.forces.append(forces)
        self.energies.append(energy)
        self.max_forces.append(largest)
        self.steps += 1

    def keep_ends(self) -> None:
        """Forget the path between the first frame and the last."""
        for path in self.paths:
            del path[1:-1]

    def refuse(self, reason: str) -> None:
        """Finish at the start, without energy and forces."""
        self.status, self.reason = "refused", reason
        nothing = np.full_like(self.positions, np.nan)
        self.record(self.positions, nothing, float("nan"), float("nan"))

    def explode(self, reason: str) -> None:
        """Finish where the molecule is: nothing can be made of it."""
        self.status, self.reason = "exploded", reason

    def judge(
        self, threshold: float, limit: int, reason: str = "", unsure_above: float = math.inf
    ) -> bool:
        """Set the status by the newest record and say whether the molecule has finished.

        `reason` is why there are no numbers, where that is known; `unsure_above` (eV/Å) the spread
        of forces beyond which an end is not believed.
        """
        energy, largest = self.energies[-1], self.max_forces[-1]
        if not (np.isfinite(energy) and np.isfinite(largest)):
            self.explode(reason or _why_no_number(self.frames[-1]))
            return True
        if largest > EXPLODED:
            self.explode(f"a force of {largest:.0f} eV/Å")
            return True
        self.stationary = largest < threshold
        if not (self.stationary or self.steps >= limit):
            return False
        self.status = "converged" if self.stationary else "step limit"
        ends = self.frames[0], self.frames[-1]
        if changed := what_became_of_bonds(self.atomic_numbers, *ends, self.bonds):
            self.status = changed
        elif lone := lone_atoms(self.atomic_numbers, ends[1], self.bonds):
            self.status = "dissociated"
            symbol = SYMBOLS[self.atomic_numbers[lone[0]]]
            self.reason = f"atom {lone[0]} ({symbol}) stood apart at the start already"
        elif self.stationary and self.force_spread > unsure_above:
            self.status = "unsure"
            self.reason = (
                f"models differ by {self.force_spread:.2g} eV/Å at the end, "
                f"95 % of held-out molecules by less than {unsure_above:.2g}"
            )
        self.converged = self.status == "converged"
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
