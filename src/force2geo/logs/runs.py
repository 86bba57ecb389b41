"""Several runs in one file: restarts that go on, and attempts that began anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from force2geo.logs.log import Log, LogError
from force2geo.superposition import farthest

_SAME_POINT = 1e-6  # Å: a restart reads its geometry back with the digits printed
_NEXT_STEP = 0.3  # Å: an optimiser's step limit; a restart may begin at the step planned
_SAME_ENERGY = 1e-5  # Hartree: two self-consistent fields at one geometry
_MOST_PATHS = 8  # kept in view at once, so that thousands of short runs take no hours
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
    energies, gradients = log.energies.copy(), log.gradients.copy()
    for index in np.flatnonzero(same):  # the first of the two may be the whole one
        if np.isnan(energies[index + 1]):
            energies[index + 1] = energies[index]
        if np.isfinite(gradients[index]).all():
            gradients[index + 1] = gradients[index]
    last = np.append(np.flatnonzero(~same), len(same))
    return replace(
        log,
        positions=log.positions[last],
        energies=energies[last],
        gradients=gradients[last],
        notes=[*log.notes, f"{int(same.sum())} repeated steps dropped"],
    )


def _size(positions: np.ndarray) -> np.ndarray:
    """Return the spread (…) Å of the atoms of geometries (…,n,3), the same in any orientation."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (positions - positions.mean(axis=-2, keepdims=True)).std(axis=(-2, -1))


def _meeting_step(path: Log, run: Log) -> tuple[int, bool] | None:
    """Return the step of a path at which a run begins and whether it is that step itself.

    False tells that the run begins where the path's last step would have led; None that it begins
    elsewhere.
    """
    start = run.positions[0]
    # Geometries of another size need not be superposed.
    other = np.abs(_size(path.positions) - _size(start))
    alike = np.flatnonzero(other < _SAME_POINT)
    if len(alike):
        away = farthest(path.positions[alike], start)
        if away.min() < _SAME_POINT:
            return int(alike[away.argmin()]), True
    if path.converged or other[-1] > _NEXT_STEP:
        return None
    planned = farthest(path.positions[-1:], start)[0] < _NEXT_STEP
    return (len(path.energies) - 1, False) if planned else None


def _merit(log: Log) -> tuple[bool, bool, int]:
    """Return what a run is judged by: converged, come to its end, long; the first of equals."""
    return log.converged, log.finished, len(log.energies)


def _continued(path: Log, run: Log, step: int, same: bool) -> Log | None:
    """Return the path with a run that goes on from one of its steps, None when it shall not.

    `step` and `same` are of `_meeting_step`. A run that begins at the last step adds to the path,
    unless the path is converged and the run is not. One that begins before takes the place of the
    steps behind, if that is the better path.
    """
    kept, first = step + 1, 0
    if same and not abs(path.energies[step] - run.energies[0]) > _SAME_ENERGY:
        # One point computed twice: the one that is whole counts, the path's if both are.
        if np.isfinite(path.energies[step]) and np.isfinite(path.gradients[step]).all():
            first = 1
        elif np.isfinite(run.energies[0]) or not np.isfinite(path.energies[step]):
            kept = step
    turned = same and np.abs(path.positions[step] - run.positions[0]).max() > _SAME_POINT
    note = f"a restart goes on from step {step + 1}" + (", turned" if turned else "")
    joined = replace(
        run,
        run="optimize" if "optimize" in (path.run, run.run) else run.run,
        positions=np.concatenate([path.positions[:kept], run.positions[first:]]),
        energies=np.concatenate([path.energies[:kept], run.energies[first:]]),
        gradients=np.concatenate([path.gradients[:kept], run.gradients[first:]]),
        notes=[*path.notes, *run.notes, note],
    )
    if step == len(path.energies) - 1:
        if len(joined.energies) == len(path.energies):
            return joined if _merit(joined) > _merit(path) else None
        return joined if run.converged or not path.converged else None
    return joined if _merit(joined) > _merit(path) else None


def _check_alike(one: Log, other: Log) -> None:
    if not np.array_equal(one.atomic_numbers, other.atomic_numbers):
        raise LogError("runs on different molecules in one file")
    differs = [name for name in _LEVEL if getattr(one, name) != getattr(other, name)]
    if differs:
        raise LogError(f"runs that differ in {', '.join(differs)} in one file")


def join_runs(logs: list[Log]) -> Log:
    """Return one log of runs on the same molecule at one level.

    A run that starts at a geometry of an earlier one, in whatever orientation, or at the one it
    would have come to, is a restart and goes on with its path. Of several paths the converged one
    counts, then the one that came to its end, then the longest, then the first; `notes` name the
    others. `LogError` when atoms or level differ.
    """
    if len(logs) == 1:
        return logs[0]
    paths: list[Log] = []
    left_out = []
    for run in logs:
        _check_alike(logs[0], run)
        found = ((index, _meeting_step(path, run)) for index, path in enumerate(paths))
        meetings = [(index, meeting) for index, meeting in found if meeting is not None]
        # A step of the one path says more than being near the end of another.
        for index, (step, same) in sorted(meetings, key=lambda meeting: not meeting[1][1]):
            joined = _continued(paths[index], run, step, same)
            if joined is not None:
                paths[index] = joined
                break
        else:
            paths.append(run)
        if len(paths) > _MOST_PATHS:
            left_out.append(paths.pop(min(range(len(paths)), key=lambda i: _merit(paths[i]))))
    best = paths.pop(max(range(len(paths)), key=lambda i: _merit(paths[i])))
    left_out += paths
    told = [
        f"another run in the file left out: {len(path.energies)} steps, "
        f"{'converged' if path.converged else 'not converged'}"
        for path in left_out
    ]
    return replace(best, notes=[*best.notes, *told])
