"""A shard of trajectories: an LMDB file with CIDs as keys and records as values."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary

import lmdb

from force2geo.errors import UserError
from force2geo.store.record import Record, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from force2geo.trajectory import Trajectory

_FIRST_MAP = 1 << 28
_STATE = b"\x00state"  # keys that begin with a zero byte exist only while a shard is written
_ROW = b"\x00row"


class RawWriter:
    """Writes keys and values to an LMDB file, in commits that are whole or not there at all."""

    def __init__(self, path: Path, map_size: int = _FIRST_MAP) -> None:
        self.path = path
        self.pending: dict[bytes, bytes] = {}
        try:
            # What an earlier writer left may be larger than the map asked for.
            size = max(map_size, path.stat().st_size if path.exists() else 0)
            self.environment = lmdb.open(str(path), subdir=False, map_size=size, lock=False)
        except lmdb.Error as error:
            raise UserError(f"{path}: cannot be opened for writing ({error})") from None

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait to be committed."""
        return sum(map(len, self.pending.values()))

    def commit(self) -> None:
        """Write what waits; `UserError` when there is no room, and what was committed stays."""
        while True:
            try:
                with self.environment.begin(write=True) as transaction:
                    for key, value in self.pending.items():
                        transaction.put(key, value)
                break
            except lmdb.MapFullError:
                try:
                    self.environment.set_mapsize(2 * self.environment.info()["map_size"])
                except (lmdb.Error, OverflowError, MemoryError) as error:
                    self._no_room(error)
            except (lmdb.Error, OSError) as error:
                self._no_room(error)
        self.pending = {}

    def _no_room(self, error: BaseException) -> NoReturn:
        raise UserError(
            f"{self.path}: cannot be written ({error}); what was committed before is kept there: "
            "free some space and run the same command again"
        ) from None

    def close(self) -> None:
        """Close the file; it stays as committed."""
        self.environment.close()


class StoreWriter(RawWriter):
    """Writes a shard file; what is put waits in memory for `commit`.

    A commit also keeps rows of a table and a state, so that a killed writer's successor finds
    out where to go on. `finish` takes both out again.
    """

    def __init__(self, path: Path, map_size: int = _FIRST_MAP) -> None:
        super().__init__(path, map_size)
        self.rows: list[dict[str, Any]] = []
        with self.environment.begin() as transaction:
            self._next_row = sum(1 for _ in _rows(transaction))

    def put(self, trajectory: Trajectory) -> None:
        """Store a trajectory under its CID, in place of the one that was there."""
        self.pending[trajectory.cid.encode()] = encode(trajectory)

    def get(self, cid: str) -> Trajectory | None:
        """Return the trajectory already stored under a CID."""
        data = self.pending.get(cid.encode())
        if data is None:
            with self.environment.begin() as transaction:
                data = transaction.get(cid.encode())
        return None if data is None else Record(data).trajectory()

    def __contains__(self, cid: str) -> bool:
        """Tell whether a trajectory is stored, or waits, under a CID."""
        if cid.encode() in self.pending:
            return True
        with self.environment.begin() as transaction:
            return transaction.get(cid.encode()) is not None

    def state(self) -> dict[str, Any] | None:
        """Return the state of the last commit, None in a new file."""
        with self.environment.begin() as transaction:
            data = transaction.get(_STATE)
        return None if data is None else json.loads(data)

    def commit(self, state: dict[str, Any] | None = None) -> None:
        """Write what waits, the rows and the state (see `RawWriter.commit`)."""
        for number, row in enumerate(self.rows, start=self._next_row):
            self.pending[_ROW + b"%010d" % number] = json.dumps(row).encode()
        if state is not None:
            self.pending[_STATE] = json.dumps(state).encode()
        super().commit()
        self._next_row += len(self.rows)
        self.rows = []

    def read_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the committed rows in their order."""
        with self.environment.begin() as transaction:
            for _, value in _rows(transaction):
                yield json.loads(value)

    def finish(self) -> None:
        """Commit, take state and rows out, and close."""
        self.commit()
        try:
            with self.environment.begin(write=True) as transaction:
                for key in [_STATE, *[key for key, _ in _rows(transaction)]]:
                    transaction.delete(key)
            self.environment.sync(True)
        except (lmdb.Error, OSError) as error:
            self._no_room(error)
        self.close()


def _rows(transaction: lmdb.Transaction) -> Iterator[tuple[bytes, bytes]]:
    cursor = transaction.cursor()
    if cursor.set_range(_ROW):
        for key, value in cursor:
            if not key.startswith(_ROW):
                break
            yield key, value


_OPEN: WeakValueDictionary[tuple[int, str, int], lmdb.Environment] = WeakValueDictionary()


def _close_inherited() -> None:
    """Close, in a forked process, what its parent has open, so that it can open it itself.

    Without locks and read-only this lets go of the child's own mapping and nothing else.
    """
    for environment in list(_OPEN.values()):
        environment.close()
    _OPEN.clear()


os.register_at_fork(after_in_child=_close_inherited)


def _cid(key: Any) -> str:
    """Return a CID, given as a number or a text with or without leading zeros, as it is stored."""
    return str(key).zfill(9)


class Shard:
    """A readable shard: `shard[cid]`, `cid in shard`, `len`, iteration over its CIDs, ascending.

    It may be used in several threads, sent to other processes and used after a fork: each
    process opens the file when it first reads.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._environment: tuple[int, lmdb.Environment] | None = None

    def __repr__(self) -> str:
        return f"Shard({str(self.path)!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_environment": None}

    def _open(self) -> lmdb.Environment:
        process = os.getpid()
        if self._environment is not None and self._environment[0] == process:
            return self._environment[1]
        try:
            # LMDB must not open a file twice in a process; a replaced file is another one.
            key = (process, str(self.path.resolve()), self.path.stat().st_ino)
            environment = _OPEN.get(key)
            if environment is None:
                environment = lmdb.open(
                    str(self.path), subdir=False, readonly=True, lock=False, readahead=False
                )
                _OPEN[key] = environment
        except (lmdb.Error, OSError) as error:
            advice = ": raise the limit, ulimit -n" if "Too many open files" in str(error) else ""
            raise UserError(f"{self.path}: not a readable shard ({error}{advice})") from None
        self._environment = (process, environment)
        return environment

    def __len__(self) -> int:
        return int(self._open().stat()["entries"])

    def __iter__(self) -> Iterator[str]:
        return (cid for cid, _ in self.walk())

    def __contains__(self, cid: object) -> bool:
        with self._open().begin() as transaction:
            return transaction.get(_cid(cid).encode()) is not None

    def cids(self) -> list[str]:
        """Return the CIDs in ascending order."""
        return list(self)

    def record(self, cid: str | int) -> Record:
        """Return the record of a molecule, undecoded (`KeyError` when it is not here)."""
        with self._open().begin() as transaction:
            data = transaction.get(_cid(cid).encode())
        if data is None:
            raise KeyError(f"{_cid(cid)} is not in {self.path}")
        return Record(data)

    def __getitem__(self, cid: str | int) -> Trajectory:
        return self.record(cid).trajectory()

    def walk(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield each CID, ascending, with what reads its record's bytes before the next."""
        with self._open().begin() as transaction:
            cursor = transaction.cursor()
            for key in cursor.iternext(values=False):
                yield key.decode(), cursor.value

    def records(self) -> Iterator[Record]:
        """Yield all records, undecoded."""
        with self._open().begin() as transaction:
            for _, data in transaction.cursor():
                yield Record(data)


def read_shard(path: Path, stages: Iterable[str] | None = None) -> Iterator[Trajectory]:
    """Yield the trajectories of a shard in ascending CID, with the stages asked for."""
    for record in Shard(path).records():
        yield record.trajectory(stages)
