"""Steps of geometry optimisers for many molecules at once, those ASE's of the same name take.

B molecules, padded to the atoms of the largest: positions and forces are (B,D) float64 with
D = 3 × atoms, zero where a molecule has no atom. Each molecule has a state of its own, so that
what stands beside it in the batch does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from force2geo.errors import UserError
from force2geo.relax.model_hessian import model_hessian

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

INITIAL_CURVATURE = 70.0  # eV/Å²
MAX_STEP = 0.2  # Å


class Molecule(NamedTuple):
    """Atomic numbers (n,), positions (n,3) Å, and which coordinates (n,3) do not move, or None."""

    numbers: np.ndarray
    positions: np.ndarray
    fixed: np.ndarray | None = None


class Optimizer:
    """State of B molecules, tensors with B rows each."""

    # What a row of each tensor is padded in: the axes that are D long.
    wide: ClassVar[dict[str, tuple[int, ...]]] = {}

    def __init__(self, count: int, width: int, device: torch.device) -> None:
        self.state = self.fresh(count, width, device)

    def fresh(self, count: int, width: int, device: torch.device) -> dict[str, Tensor]:
        """Return the state of molecules that have not moved."""
        raise NotImplementedError

    def begin(self, molecules: Sequence[Molecule]) -> None:
        """Take notice of what the B molecules are before they move."""
        return

    def step(self, positions: Tensor, forces: Tensor) -> Tensor:
        """Return (B,D) Å, how the molecules are to move; NaN for one that cannot be told."""
        raise NotImplementedError

    def keep(self, rows: Tensor, width: int) -> None:
        """Go on with these molecules alone, padded to `width`."""
        for name, value in self.state.items():
            kept = value.index_select(0, rows)
            for axis in self.wide.get(name, ()):
                kept = kept.narrow(axis, 0, width)
            self.state[name] = kept.contiguous()

    def join(self, other: Self) -> None:
        """Take in another one's molecules, padded to the same width."""
        self.state = {
            name: torch.cat([value, other.state[name]]) for name, value in self.state.items()
        }


def _longest(step: Tensor) -> Tensor:
    """Return (B,1) Å, how far the atom moves that moves most."""
    return step.view(len(step), -1, 3).norm(dim=2).max(dim=1).values[:, None]


def _shortened(step: Tensor) -> Tensor:
    """Return steps in which no atom moves more than `MAX_STEP`."""
    return step * (MAX_STEP / _longest(step)).clamp(max=1.0).nan_to_num(1.0)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(dim=1, keepdim=True)


class BFGS(Optimizer):
    """`ase.optimize.BFGS`: the Hessian's eigenvalues are taken as positive."""

    wide: ClassVar = {"hessian": (1, 2), "positions": (1,), "gradient": (1,)}

    def fresh(self, count: int, width: int, device: torch.device) -> dict[str, Tensor]:
        """Return Hessians of one curvature."""
        unit = INITIAL_CURVATURE * torch.eye(width, dtype=torch.float64, device=device)
        return {
            "hessian": unit.expand(count, width, width).clone(),
            "positions": unit.new_full((count, width), torch.nan),
            "gradient": unit.new_zeros(count, width),
        }

    def step(self, positions: Tensor, forces: Tensor) -> Tensor:
        """Update the Hessians and return their steps."""
        state, gradient = self.state, -forces
        moved, change = positions - state["positions"], gradient - state["gradient"]
        # Of a molecule that has not moved, by never or by too little, nothing is learned.
        known = moved.abs().amax(dim=1, keepdim=True) >= 1e-7
        moved = torch.where(known, moved, 1.0)
        hessian = state["hessian"]
        bent = torch.bmm(hessian, moved[:, :, None])[:, :, 0]
        left = torch.stack([change / _dot(moved, change), -bent / _dot(moved, bent)], dim=2)
        left = torch.where(known[:, :, None], left, 0.0)
        right = torch.where(known[:, :, None], torch.stack([change, bent], dim=2), 0.0)
        hessian.baddbmm_(left, right.transpose(1, 2))
        state["positions"], state["gradient"] = positions.clone(), gradient
        return _shortened(-self._solve(hessian, gradient))

    @staticmethod
    def _solve(hessian: Tensor, gradient: Tensor) -> Tensor:
        # Where all eigenvalues are positive they need not be known.
        factor, failed = torch.linalg.cholesky_ex(hessian)
        step = torch.cholesky_solve(gradient[:, :, None], factor)[:, :, 0]
        # One without numbers makes `eigh` fail for all: it has no step, and the others have.
        broken = ~hessian.isfinite().flatten(1).all(dim=1) if failed.any() else failed > 0
        step[broken] = torch.nan
        rows = ((failed > 0) & ~broken).nonzero()[:, 0]
        if len(rows):
            curvature, modes = _eigh(hessian[rows])
            along = torch.bmm(gradient[rows, None], modes)[:, 0] / curvature.abs()
            step[rows] = torch.bmm(modes, along[:, :, None])[:, :, 0]
        return step


class ModelBFGS(BFGS):
    """BFGS from a Hessian that the geometry tells: a third of the steps, and nearer to the minimum.

    Soft modes are known to be soft from the first step on, so that less is left along them.
    """

    def begin(self, molecules: Sequence[Molecule]) -> None:
        """Put each molecule's model Hessian in place."""
        for hessian, molecule in zip(self.state["hessian"], molecules, strict=True):
            size, own = 3 * len(molecule.numbers), torch.from_numpy(model_hessian(*molecule))
            if own.isfinite().all():  # there is none of atoms in one place
                hessian[:size, :size] = own


def _eigh(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (B,D) and eigenvectors (B,D,D), NaN where they cannot be found."""
    try:
        values, vectors = torch.linalg.eigh(matrices)
    except torch.linalg.LinAlgError:
        if len(matrices) == 1:
            return torch.full_like(matrices[:, 0], torch.nan), torch.full_like(matrices, torch.nan)
        pairs = [_eigh(one[None]) for one in matrices]
        values, vectors = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return values, vectors


class LBFGS(Optimizer):
    """`ase.optimize.LBFGS` without line search: the last `MEMORY` steps stand for the Hessian."""

    MEMORY = 100
    wide: ClassVar = {"moves": (2,), "changes": (2,), "positions": (1,), "gradient": (1,)}

    def fresh(self, count: int, width: int, device: torch.device) -> dict[str, Tensor]:
        """Return empty memories; what is not there yet is zero and changes nothing."""
        gradient = torch.zeros((count, width), dtype=torch.float64, device=device)
        return {
            "moves": gradient.new_zeros(count, 0, width),
            "changes": gradient.new_zeros(count, 0, width),
            "positions": torch.full_like(gradient, torch.nan),
            "gradient": gradient,
        }

    def join(self, other: Self) -> None:
        """Take in another one's molecules; the shorter memories are padded at the far end."""
        longest = max(one.state["moves"].shape[1] for one in (self, other))
        for one in (self, other):
            for name in ("moves", "changes"):
                memory = one.state[name]
                one.state[name] = pad(memory, (0, 0, longest - memory.shape[1], 0))
        super().join(other)

    def step(self, positions: Tensor, forces: Tensor) -> Tensor:
        """Remember the last move and return the two-loop recursion's step."""
        state, gradient = self.state, -forces
        begun = ~state["positions"].isnan().any(dim=1, keepdim=True)
        moved = torch.where(begun, positions - state["positions"], 0.0)
        changed = torch.where(begun, gradient - state["gradient"], 0.0)
        for name, row in (("moves", moved), ("changes", changed)):
            state[name] = torch.cat([state[name], row[:, None]], dim=1)[:, -self.MEMORY :]
        state["positions"], state["gradient"] = positions.clone(), gradient
        product = (state["moves"] * state["changes"]).sum(dim=2)
        rho = torch.where(product == 0, 0.0, 1 / product)
        direction, weights = gradient.clone(), []
        for k in reversed(range(rho.shape[1])):
            weight = rho[:, k : k + 1] * _dot(state["moves"][:, k], direction)
            direction = direction - weight * state["changes"][:, k]
            weights.append(weight)
        direction = direction / INITIAL_CURVATURE
        for k, weight in enumerate(reversed(weights)):
            back = rho[:, k : k + 1] * _dot(state["changes"][:, k], direction)
            direction = direction + state["moves"][:, k] * (weight - back)
        return _shortened(-direction)


class FIRE(Optimizer):
    """`ase.optimize.FIRE` (Bitzek et al. 2006) at its default settings."""

    wide: ClassVar = {"velocity": (1,)}
    FIRST, LONGEST, GROWS, SHRINKS, MIXING, MIXES_LESS, PATIENCE = 0.1, 1.0, 1.1, 0.5, 0.1, 0.99, 5

    def fresh(self, count: int, width: int, device: torch.device) -> dict[str, Tensor]:
        """Return molecules at rest."""

        def full(value: float, columns: int = 1) -> Tensor:
            return torch.full((count, columns), value, dtype=torch.float64, device=device)

        # Those that have not moved count from −1 on.
        return {
            "velocity": full(0.0, width),
            "dt": full(self.FIRST),
            "mixing": full(self.MIXING),
            "downhill": full(-1.0),
        }

    def step(self, positions: Tensor, forces: Tensor) -> Tensor:
        """Steer, accelerate and return the step."""
        state = self.state
        velocity, dt, mixing, downhill = (state[key] for key in self.state)
        first = downhill < 0
        down = _dot(forces, velocity) > 0
        along = forces / forces.norm(dim=1, keepdim=True) * velocity.norm(dim=1, keepdim=True)
        steered = (1 - mixing) * velocity + mixing * along.nan_to_num()
        faster = down & (downhill > self.PATIENCE)
        longer = torch.where(faster, (dt * self.GROWS).clamp(max=self.LONGEST), dt)
        milder = torch.where(faster, mixing * self.MIXES_LESS, mixing)
        velocity = torch.where(down, steered, 0.0)
        state["dt"] = torch.where(first, dt, torch.where(down, longer, dt * self.SHRINKS))
        state["mixing"] = torch.where(first, mixing, torch.where(down, milder, self.MIXING))
        state["downhill"] = torch.where(first | ~down, 0.0, downhill + 1)
        state["velocity"] = velocity + state["dt"] * forces
        step = state["dt"] * state["velocity"]
        # The whole molecule's step is limited here, not each atom's.
        length = step.norm(dim=1, keepdim=True)
        return step * (MAX_STEP / length).clamp(max=1.0).nan_to_num(1.0)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "bfgs": BFGS,
    "bfgs-model": ModelBFGS,
    "lbfgs": LBFGS,
    "fire": FIRE,
}


def build_optimizer(name: str, count: int, width: int, device: torch.device) -> Optimizer:
    """Return the optimiser of a name, `UserError` for one there is not."""
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer: unknown name '{name}', choose one of {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name](count, width, device)
