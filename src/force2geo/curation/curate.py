"""Logs to a shard of trajectories, a table of rejects and an index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from force2geo.curation.assemble import RejectedError, add_log, in_order
from force2geo.curation.index import write_index
from force2geo.errors import UserError
from force2geo.files import (
    folder_fingerprint,
    hash_value,
    printable,
    source_hash,
    write_table,
)
from force2geo.locks import locked
from force2geo.logs import LogError, parse_log
from force2geo.logs.archives import Entry, iterate_logs
from force2geo.store.lmdb_store import StoreWriter
from force2geo.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from force2geo.curation.identifiers import Identifiers
    from force2geo.logs.names import NamePattern

REJECT_COLUMNS = ("source", "file", "cid", "stage", "offset", "reason", "atoms", "steps", "kind")
"""`kind` says what a row is about: a `log` left out, a `file` that is no log, the `archive` itself,
a `stage` of a molecule that another shard has, too, or a `note` on a log that was taken."""
_COMMIT_BYTES = 1 << 25
_COMMIT_LOGS = 2_000


@dataclass
class Counts:
    """What became of a shard's logs."""

    read: int = 0
    rejected: int = 0
    molecules: int = 0


class _Curator:
    """The state of one shard while its logs go by."""

    def __init__(self, source: Path, pattern: NamePattern, identifiers: Identifiers) -> None:
        self.source, self.pattern, self.identifiers = source, pattern, identifiers
        self.counts, self.current = Counts(), None  # type: tuple[Counts, Trajectory | None]

    def take(self, entry: Entry, writer: StoreWriter) -> None:
        """Put a log in its molecule or among the rejects."""
        path = printable(entry.name)
        row = reject_row(source=self.source.name, file=path)
        try:
            name = self.pattern.read(path)
            if name is None:
                row["kind"] = "file" if path else "archive"
            else:
                row |= {"cid": name.cid, "stage": name.stage}
            if entry.content is None:
                raise RejectedError(entry.reason)
            if name is None:
                raise RejectedError("the path does not match curate.name_pattern")
            log = parse_log(entry.content)
            row |= {"atoms": len(log.atomic_numbers), "steps": len(log.energies)}
            if self.current is None or self.current.cid != name.cid:
                self.flush(writer)
                smiles, inchi = self.identifiers.get(name.cid)
                self.current = writer.get(name.cid) or Trajectory(
                    name.cid, log.atomic_numbers, smiles=smiles, inchi=inchi
                )
            replaced = add_log(self.current, log, name)
            if replaced:
                # The row stands for the earlier log, which is in the shard no more.
                self.counts.rejected += 1
                writer.rows.append(row | {"reason": replaced})
            else:
                self.counts.read += 1
            writer.rows += [row | {"kind": "note", "reason": note} for note in log.notes]
        except (LogError, RejectedError) as error:
            self.counts.rejected += 1
            for key in ("offset", "atoms", "steps"):
                row[key] = getattr(error, key, 0) or row[key]
            writer.rows.append(row | {"reason": str(error)})

    def flush(self, writer: StoreWriter) -> None:
        """Hand the molecule at hand to the writer."""
        if self.current is not None and self.current.stages:
            writer.put(in_order(self.current))
        self.current = None


def reject_row(**values: Any) -> dict[str, Any]:
    """Return a row of the rejects, of a log if nothing else is said."""
    row: dict[str, Any] = dict.fromkeys(REJECT_COLUMNS, "")
    return row | {"offset": 0, "atoms": 0, "steps": 0, "kind": "log"} | values


def _fingerprint(source: Path, name_pattern: str, identifiers: str) -> str:
    """Return what tells whether an interrupted run may be taken up: logs, settings and readers."""
    stat = source.stat()
    logs = folder_fingerprint(source) if source.is_dir() else [stat.st_size, stat.st_mtime_ns]
    modules = ("trajectory.py", "superposition.py", "elements.py", "units.py")
    readers = source_hash("logs", "store", "curation", *modules)
    return hash_value([str(source), logs, name_pattern, identifiers, readers])


def curate(
    source: Path,
    target: Path,
    rejects: Path,
    index: Path,
    pattern: NamePattern,
    identifiers: Identifiers,
    progress: Callable[[int], Any] = lambda _: None,
) -> Counts:
    """Read every log of `source` into the shard `target`, its `index` and its `rejects`.

    A bad log never stops the shard: it becomes a row of the rejects. A run that was killed is
    taken up at its last commit and gives the same shard. `target` appears last, when all is done.
    `UserError` when another process curates the same `target`.
    """
    if not source.exists():
        raise UserError(f"{source}: no such archive, file or folder")
    with locked(target):
        return _curate(source, target, rejects, index, pattern, identifiers, progress)


def _curate(
    source: Path,
    target: Path,
    rejects: Path,
    index: Path,
    pattern: NamePattern,
    identifiers: Identifiers,
    progress: Callable[[int], Any],
) -> Counts:
    part = target.with_name(f".{target.name}.partial")
    fingerprint = _fingerprint(source, pattern.text, identifiers.fingerprint())
    writer = StoreWriter(part)
    state = writer.state()
    if state is None or state["fingerprint"] != fingerprint:
        # Nothing to take up, or the remains of another run.
        writer.close()
        part.unlink()
        writer, state = StoreWriter(part), None
    curator = _Curator(source, pattern, identifiers)
    done = 0
    if state is not None:
        done, curator.counts = state["done"], Counts(**state["counts"])
    since = 0
    for number, entry in enumerate(iterate_logs(source), start=1):
        if number <= done:
            continue
        curator.take(entry, writer)
        progress(1)
        since += 1
        if since >= _COMMIT_LOGS or writer.pending_bytes > _COMMIT_BYTES:
            curator.flush(writer)
            counts = curator.counts.__dict__
            writer.commit({"fingerprint": fingerprint, "done": number, "counts": counts})
            since = 0
    curator.flush(writer)
    writer.commit({"fingerprint": fingerprint, "done": 1 << 62, "counts": curator.counts.__dict__})
    write_table(rejects, REJECT_COLUMNS, writer.read_rows())
    writer.finish()
    curator.counts.molecules = write_index(part, index, target.name)
    part.replace(target)
    return curator.counts
