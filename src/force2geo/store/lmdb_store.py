"""A shard of trajectories: an LMDB file with CIDs as keys and records as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lmdb

from force2geo.errors import UserError
from force2geo.store.record import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from force2geo.trajectory import Trajectory

_MAP_SIZE = 1 << 36


class StoreWriter:
    """Writes trajectories to a new shard file; each is committed when `put` returns."""

    def __init__(self, path: Path) -> None:
        self.environment = lmdb.open(str(path), subdir=False, map_size=_MAP_SIZE, lock=False)

    def put(self, trajectory: Trajectory) -> None:
        """Store a trajectory under its CID; `UserError` when the disk is full."""
        try:
            with self.environment.begin(write=True) as transaction:
                transaction.put(trajectory.cid.encode(), encode(trajectory))
        except (lmdb.MapFullError, lmdb.DiskError) as error:
            raise UserError(f"{self.environment.path()}: no room to write ({error})") from error

    def get(self, cid: str) -> Trajectory | None:
        """Return the trajectory already stored under a CID."""
        with self.environment.begin() as transaction:
            record = transaction.get(cid.encode())
        return None if record is None else decode(record)

    def close(self) -> None:
        """Finish the file."""
        self.environment.sync(True)
        self.environment.close()


def read_shard(path: Path) -> Iterator[Trajectory]:
    """Yield the trajectories of a shard in ascending CID."""
    try:
        environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False)
    except lmdb.Error as error:
        raise UserError(f"{path}: not a readable shard ({error})") from error
    with environment, environment.begin(buffers=False) as transaction:
        for _, record in transaction.cursor():
            yield decode(record)
