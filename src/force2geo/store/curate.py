"""Logs to a shard of trajectories, a table of rejects and an index."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.files import atomic_path, write_table
from force2geo.logs import Log, LogError, parse_log
from force2geo.logs.archives import MAX_LOG_BYTES, iterate_logs
from force2geo.logs.names import LogName, compile_pattern, read_name
from force2geo.store.index import COLUMNS, index_row
from force2geo.store.lmdb_store import StoreWriter, read_shard
from force2geo.trajectory import POINT_SETS, Stage, Trajectory

if TYPE_CHECKING:
    from pathlib import Path

REJECT_COLUMNS = ("source", "file", "cid", "stage", "offset", "reason")
EXPECTED_METHOD = {"pm3": "pm3", "hf": "hf"} | dict.fromkeys(
    ("dft_1st", "dft_2nd", "dft_points"), "b3lyp"
)


class RejectedError(Exception):
    """A log does not fit its molecule; the message says why."""


@dataclass
class Counts:
    """What became of a shard's logs."""

    read: int = 0
    rejected: int = 0
    rejects: list[dict[str, Any]] = field(default_factory=list)


def _stage(log: Log, name: LogName) -> Stage:
    return Stage(
        program=log.program,
        version=log.version if not log.origin else f"{log.version}; layout only: {log.origin}",
        method=log.method,
        basis=log.basis,
        converged=log.converged,
        positions=log.positions,
        energies=log.energies,
        gradients=log.gradients,
        homo=log.homo,
        lumo=log.lumo,
        dipole=log.dipole,
        origin=[name.origin] * len(log.energies) if name.origin else [],
    )


def _join(one: Stage, other: Stage) -> Stage:
    return Stage(
        **{
            **one.__dict__,
            "positions": np.concatenate([one.positions, other.positions]),
            "energies": np.concatenate([one.energies, other.energies]),
            "gradients": np.concatenate([one.gradients, other.gradients]),
            "origin": one.origin + other.origin,
        }
    )


def add_log(trajectory: Trajectory, log: Log, name: LogName) -> None:
    """Add a log to its molecule; `RejectedError` when it does not fit."""
    if log.method != EXPECTED_METHOD[name.stage]:
        raise RejectedError(f"method is '{log.method}', expected '{EXPECTED_METHOD[name.stage]}'")
    if not log.finished:
        raise RejectedError("the program did not end normally")
    if trajectory.stages:
        if not np.array_equal(log.atomic_numbers, trajectory.atomic_numbers):
            raise RejectedError("atoms differ from the molecule's other stages")
        if (log.charge, log.multiplicity) != (trajectory.charge, trajectory.multiplicity):
            raise RejectedError("charge or multiplicity differ from the molecule's other stages")
    if name.stage in trajectory.stages and name.stage not in POINT_SETS:
        raise RejectedError("second log for this stage")
    trajectory.atomic_numbers = log.atomic_numbers
    trajectory.charge, trajectory.multiplicity = log.charge, log.multiplicity
    stage = _stage(log, name)
    if name.stage in trajectory.stages:
        stage = _join(trajectory.stages[name.stage], stage)
    trajectory.stages[name.stage] = stage


def read_identifiers(path: Path | None) -> dict[str, tuple[str, str]]:
    """Return `{cid: (smiles, inchi)}` of a CSV with the columns `cid,smiles,inchi`."""
    if path is None:
        return {}
    with path.open(newline="") as handle:
        return {
            row["cid"].zfill(9): (row["smiles"], row["inchi"]) for row in csv.DictReader(handle)
        }


def curate(
    source: Path, target: Path, name_pattern: str, identifiers: dict[str, tuple[str, str]]
) -> Counts:
    """Read every log of `source` into the shard `target`; what cannot be used is counted.

    A bad log never stops the shard: it becomes a row of `Counts.rejects`.
    """
    pattern, counts = compile_pattern(name_pattern), Counts()
    with atomic_path(target) as part:
        writer = StoreWriter(part)
        current: Trajectory | None = None
        for path, content in iterate_logs(source):
            name = read_name(pattern, path)
            row = {"source": source.name, "file": path, "cid": "", "stage": "", "offset": 0}
            try:
                if name is None:
                    raise RejectedError("the path does not match curate.name_pattern")
                row |= {"cid": name.cid, "stage": name.stage}
                if content is None:
                    raise RejectedError(f"larger than {MAX_LOG_BYTES} bytes")
                log = parse_log(content)
                if current is None or current.cid != name.cid:
                    if current is not None and current.stages:
                        writer.put(current)
                    smiles, inchi = identifiers.get(name.cid, ("", ""))
                    current = writer.get(name.cid) or Trajectory(
                        name.cid, log.atomic_numbers, smiles=smiles, inchi=inchi
                    )
                add_log(current, log, name)
                counts.read += 1
            except (LogError, RejectedError) as error:
                counts.rejected += 1
                counts.rejects.append(
                    {**row, "offset": getattr(error, "offset", 0), "reason": str(error)}
                )
        if current is not None and current.stages:
            writer.put(current)
        writer.close()
    return counts


def write_index(shard: Path, target: Path) -> int:
    """Write a shard's index, one row per trajectory; return how many."""
    rows = [index_row(trajectory, shard.name) for trajectory in read_shard(shard)]
    write_table(target, COLUMNS, rows)
    return len(rows)
