"""Logs put together to the trajectory of a molecule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from force2geo.store.identity import contradiction
from force2geo.trajectory import PATH_STAGES, POINT_SETS, Stage, Trajectory

if TYPE_CHECKING:
    from force2geo.logs import Log
    from force2geo.logs.names import LogName

# Where PM3 cannot be had, the open protocol starts with GFN2-xTB.
EXPECTED_METHODS = {"pm3": ("pm3", "gfn2-xtb"), "hf": ("hf",)} | dict.fromkeys(
    ("dft_1st", "dft_2nd", "dft_points"), ("b3lyp",)
)


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
    )


def _join(one: Stage, other: Stage) -> Stage:
    return replace(
        one,
        positions=np.concatenate([one.positions, other.positions]),
        energies=np.concatenate([one.energies, other.energies]),
        gradients=np.concatenate([one.gradients, other.gradients]),
        origin=one.origin + other.origin,
    )


def _same(one: Stage, other: Stage) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(getattr(one, key), getattr(other, key), equal_nan=True)
        for key in ("positions", "energies", "gradients")
    )


def _merit(stage: Stage) -> tuple[bool, bool, int]:
    return stage.converged, stage.status == "normal", len(stage)


def check_level(log: Log, name: LogName) -> None:
    """Raise `RejectedError` when a log is not of the kind its name says."""
    if log.method not in EXPECTED_METHODS[name.stage]:
        expected = " or ".join(EXPECTED_METHODS[name.stage])
        raise RejectedError(f"method is '{log.method}', expected '{expected}'")
    if name.stage in PATH_STAGES and log.run != "optimize":
        raise RejectedError("a single point, not an optimisation")
    if name.stage in POINT_SETS and np.isnan(log.gradients).any():
        raise RejectedError("a point without gradient")


def add_log(trajectory: Trajectory, log: Log, name: LogName) -> str:
    """Add a log to its molecule; return what it replaced, if anything, in words.

    Of two logs for one stage the converged one counts, then the one that ended normally, then
    the longer, then the first. `RejectedError` when the log does not fit or is left out.
    """
    check_level(log, name)
    wrong = contradiction(trajectory.inchi, log.atomic_numbers, log.charge)
    if wrong:
        raise RejectedError(wrong)
    if trajectory.stages:
        if not np.array_equal(log.atomic_numbers, trajectory.atomic_numbers):
            raise RejectedError("atoms differ from the molecule's other stages")
        if (log.charge, log.multiplicity) != (trajectory.charge, trajectory.multiplicity):
            raise RejectedError("charge or multiplicity differ from the molecule's other stages")
    trajectory.atomic_numbers = log.atomic_numbers
    trajectory.charge, trajectory.multiplicity = log.charge, log.multiplicity
    stage, old, replaced = _stage(log, name), trajectory.stages.get(name.stage), ""
    if old is not None:
        if name.stage in POINT_SETS:
            stage = _join(old, stage)
        elif _same(old, stage):
            raise RejectedError("the same log as an earlier one for this stage")
        elif _merit(stage) <= _merit(old):
            raise RejectedError("second log for this stage, no better than the first")
        else:
            replaced = "an earlier log for this stage gave way to a better one"
    trajectory.stages[name.stage] = stage
    return replaced


def in_order(trajectory: Trajectory) -> Trajectory:
    """Return the trajectory with its stages in the protocol's order."""
    stages = trajectory.stages
    names = [name for name in PATH_STAGES + POINT_SETS if name in stages]
    return replace(trajectory, stages={name: stages[name] for name in names})
