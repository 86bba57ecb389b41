"""Several runs in one file: restarts that go on, and attempts that began anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from force2geo.logs.log import Log, LogError

_SAME_POINT = 1e-6  # Å: a restart reads its geometry back with the digits printed
_NEXT_STEP = 0.3  # Å: an optimiser's step limit; a restart may begin at the step planned
_SAME_ENERGY = 1e-5  # Hartree: two self-consistent fields at one geometry
_LEVEL = ("program", "method", "functional", "basis", "spherical", "charge", "multiplicity")


def drop_repeated_steps(log: Log) -> Log:
    """Return the log without steps that repeat the one before, as restarts print them."""
    if len(log.energies) < 2:
        return log
    same = (log.positions[1:] == log.positions[:-1]).all(axis=(1, 2))
    # Two energies that are told apart are two results.
    same &= ~(np.abs(np.diff(log.energies)) > _SAME_ENERGY)
    if not same.any():
        return log
    keep = np.append(True, ~same)
    gradients = log.gradients.copy()
    for index in np.flatnonzero(same):
        if np.isfinite(gradients[index]).all():  # the first of the two may be the whole one
            gradients[index + 1] = gradients[index]
    last = np.append(np.flatnonzero(keep)[1:], len(keep)) - 1
    return replace(
        log,
        positions=log.positions[last],
        energies=log.energies[last],
        gradients=gradients[last],
        notes=[*log.notes, f"{int(same.sum())} repeated steps dropped"],
    )


def _meeting_step(one: Log, other: Log) -> int | None:
    """Return the step of a run that another one begins in place of, None when it goes elsewhere."""
    away = np.abs(one.positions - other.positions[0]).max(axis=(1, 2))
    nearest = int(away.argmin())
    if away[nearest] < _SAME_POINT:
        return nearest
    return len(away) if away[-1] < _NEXT_STEP else None


def join_runs(logs: list[Log]) -> Log:
    """Return one log of runs on the same molecule at one level.

    A run that starts at a geometry of an earlier one, or at the one it would have come to, takes
    its place from there on; of runs that begin elsewhere the last converged one counts, or the
    last. `LogError` when atoms or level differ.
    """
    joined = logs[0]
    for later in logs[1:]:
        if not np.array_equal(joined.atomic_numbers, later.atomic_numbers):
            raise LogError("runs on different molecules in one file")
        differs = [name for name in _LEVEL if getattr(joined, name) != getattr(later, name)]
        if differs:
            raise LogError(f"runs that differ in {', '.join(differs)} in one file")
        step = _meeting_step(joined, later)
        if step is not None:
            joined = replace(
                later,
                positions=np.concatenate([joined.positions[:step], later.positions]),
                energies=np.concatenate([joined.energies[:step], later.energies]),
                gradients=np.concatenate([joined.gradients[:step], later.gradients]),
                notes=[*joined.notes, f"a restart goes on from step {step}"],
            )
        else:
            kept = joined if joined.converged and not later.converged else later
            joined = replace(kept, notes=[*joined.notes, "another run in the file left out"])
    return joined
