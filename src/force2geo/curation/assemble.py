"""Logs put together to the trajectory of a molecule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from force2geo.curation.identity import contradiction
from force2geo.store.level import level_of
from force2geo.trajectory import PATH_STAGES, POINT_SETS, Stage, Trajectory

if TYPE_CHECKING:
    from force2geo.logs import Log
    from force2geo.logs.names import LogName

# The basis of each method that a stage may have; None: it has none, or one of its own.
# Where PM3 cannot be had, the open protocol starts with GFN2-xTB.
EXPECTED_LEVELS: dict[str, dict[str, str | None]] = {
    "pm3": {"pm3": None, "gfn2-xtb": None},
    "hf": {"hf": "sto-6g"},
    "dft_1st": {"b3lyp": "6-31g*"},
    "dft_2nd": {"b3lyp": "6-31g*"},
    "dft_points": {"b3lyp": "6-31g*"},
}


class RejectedError(Exception):
    """A log does not fit its molecule; the message says why."""


def _stage(log: Log, name: LogName) -> Stage:
    return Stage(
        # Results of another program that only stand in this layout are that program's.
        program=log.origin.split()[0].lower() if log.origin else log.program,
        version=f"{log.origin} [{log.program} layout]" if log.origin else log.version,
        method=log.method,
        basis=log.basis,
        converged=log.converged,
        positions=log.positions,
        energies=log.energies,
        gradients=log.gradients,
        functional=log.functional,
        spherical=log.spherical,
        status=log.status,
        homo=log.homo,
        lumo=log.lumo,
        dipole=log.dipole,
        origin=[name.origin or "unknown"] * len(log.energies) if name.stage in POINT_SETS else [],
        notes=list(log.notes),
    )


def _part(stage: Stage, steps: np.ndarray) -> Stage:
    """Return some steps (T,) of a set of points."""
    return replace(
        stage,
        positions=stage.positions[steps],
        energies=stage.energies[steps],
        gradients=stage.gradients[steps],
        origin=[stage.origin[step] for step in np.flatnonzero(steps)],
    )


def _join(one: Stage, other: Stage) -> Stage:
    """Return a set with another's points behind its own."""
    return replace(
        one,
        converged=one.converged and other.converged,
        status=one.status if one.status != "normal" else other.status,
        positions=np.concatenate([one.positions, other.positions]),
        energies=np.concatenate([one.energies, other.energies]),
        gradients=np.concatenate([one.gradients, other.gradients]),
        origin=one.origin + other.origin,
        notes=one.notes + other.notes,
        # These belong to the last structure.
        homo=other.homo,
        lumo=other.lumo,
        dipole=other.dipole,
    )


def _add_points(old: Stage, new: Stage) -> Stage:
    """Return a set with the points of another that it does not have."""
    if level_of(old) != level_of(new):
        raise RejectedError(
            f"a point at {level_of(new)} in a set at {level_of(old)}: one set, one level"
        )
    seen = [
        any(
            old.energies[i] == new.energies[j]
            and np.array_equal(old.positions[i], new.positions[j])
            and np.array_equal(old.gradients[i], new.gradients[j])
            for i in np.flatnonzero(old.energies == new.energies[j])
        )
        for j in range(len(new))
    ]
    if all(seen):
        raise RejectedError("the same log as an earlier one of this set of points")
    return _join(old, _part(new, ~np.array(seen)))


def _same(one: Stage, other: Stage) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(getattr(one, key), getattr(other, key), equal_nan=True)
        for key in ("positions", "energies", "gradients")
    )


def _merit(stage: Stage) -> tuple[bool, bool, int]:
    return stage.converged, stage.status == "normal", len(stage)


def check_level(log: Log, name: LogName) -> None:
    """Raise `RejectedError` when a log is not of the kind its name says."""
    expected = EXPECTED_LEVELS[name.stage]
    if log.method not in expected:
        known = "' or '".join(expected)
        raise RejectedError(f"method is '{log.method}', expected '{known}'")
    basis = expected[log.method]
    if basis is not None and log.basis != basis:
        raise RejectedError(
            f"level is {log.method}/{log.basis or '?'}, expected {log.method}/{basis}"
        )
    if name.stage in PATH_STAGES and log.run != "optimize":
        raise RejectedError("a single point, not an optimisation")
    if name.stage in POINT_SETS and np.isnan(log.gradients).any():
        raise RejectedError("a point without gradient")


def check_molecule(trajectory: Trajectory, other: Trajectory | Log) -> None:
    """Raise `RejectedError` when atoms or charge are not those of the stages there are."""
    if not np.array_equal(other.atomic_numbers, trajectory.atomic_numbers):
        raise RejectedError("atoms differ from the molecule's other stages")
    if (other.charge, other.multiplicity) != (trajectory.charge, trajectory.multiplicity):
        raise RejectedError("charge or multiplicity differ from the molecule's other stages")


def add_stage(trajectory: Trajectory, name: str, stage: Stage) -> str:
    """Add a stage to its molecule; return what it replaced, if anything, in words.

    Of two for one stage the converged one counts, then the one that ended normally, then the
    longer, then the first; sets of points of one level are joined. `RejectedError` when the
    stage is left out.
    """
    old, replaced = trajectory.stages.get(name), ""
    if old is not None:
        if name in POINT_SETS:
            stage = _add_points(old, stage)
        elif _same(old, stage):
            raise RejectedError("the same log as an earlier one for this stage")
        elif _merit(stage) <= _merit(old):
            raise RejectedError("second log for this stage, no better than the first")
        else:
            replaced = "an earlier log for this stage gave way to a better one"
    trajectory.stages[name] = stage
    return replaced


def add_log(trajectory: Trajectory, log: Log, name: LogName) -> str:
    """Add a log to its molecule (see `add_stage`); `RejectedError` also when it does not fit."""
    check_level(log, name)
    wrong = contradiction(trajectory.inchi, log.atomic_numbers, log.charge)
    if wrong:
        raise RejectedError(wrong)
    if trajectory.stages:
        check_molecule(trajectory, log)
    replaced = add_stage(trajectory, name.stage, _stage(log, name))
    trajectory.atomic_numbers = log.atomic_numbers
    trajectory.charge, trajectory.multiplicity = log.charge, log.multiplicity
    return replaced


def in_order(trajectory: Trajectory) -> Trajectory:
    """Return the trajectory with its stages in the protocol's order."""
    stages = trajectory.stages
    names = [name for name in PATH_STAGES + POINT_SETS if name in stages]
    return replace(trajectory, stages={name: stages[name] for name in names})
