"""The shards' indices and rejects as one, in flat memory."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.curation.curate import REJECT_COLUMNS, reject_row
from force2geo.curation.index import index_row, schema, write_rows
from force2geo.curation.joined import joined_with_sources
from force2geo.errors import UserError
from force2geo.files import atomic_path, reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def shard_files(store: Path, shards: Sequence[str], suffix: str) -> list[Path]:
    """Return the files of shards in a store's folder; `UserError` when one is missing."""
    paths = [store / f"{shard}{suffix}" for shard in shards]
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: missing; curate the shard first")
    return paths


class _Cids:
    """A set of CIDs, a bit each: at most 125 MB, however many molecules there are."""

    def __init__(self) -> None:
        self.bits = np.zeros(10**9 // 8, dtype=np.uint8)  # the system gives what is written to

    def add(self, cids: np.ndarray) -> None:
        """Add CIDs (M,)."""
        np.bitwise_or.at(self.bits, cids >> 3, (1 << (cids & 7)).astype(np.uint8))

    def have(self, cids: np.ndarray) -> np.ndarray:
        """Tell of CIDs (M,) which are in the set."""
        return (self.bits[cids >> 3] >> (cids & 7)) & 1 == 1

    def __contains__(self, cid: object) -> bool:
        number = int(str(cid))
        return bool(self.bits[number >> 3] >> (number & 7) & 1)


def _read_cids(path: Path) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path, "the index of a shard, Parquet"):
        column = pq.read_table(path, columns=["cid"])["cid"]
        return column.cast(pa.int64()).to_numpy()


def merge(store: Path, shards: Sequence[str], index: Path, rejects: Path) -> None:
    """Write the merged index and the merged rejects.

    The index has the shards' rows in their order, then those of molecules that are in several:
    they are joined (`joined`), and `shard` names all that have a part in them. What does not
    count of them becomes a row of the rejects.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    seen, several, total, repeated = _Cids(), _Cids(), 0, 0
    indices = shard_files(store, shards, ".index.parquet")
    for path in indices:
        cids = _read_cids(path)
        again = cids[seen.have(cids)]
        several.add(again)
        seen.add(cids)
        total, repeated = total + len(cids), repeated + len(again)
    if not total:
        raise UserError("no trajectory in any shard: look at the rejects tables for the reasons")
    with (
        atomic_path(rejects) as part,
        part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as handle,
        atomic_path(index) as index_part,
        pq.ParquetWriter(index_part, schema()) as writer,
    ):
        table_of_rejects = csv.DictWriter(handle, REJECT_COLUMNS)
        table_of_rejects.writeheader()
        for path in shard_files(store, shards, ".rejects.csv"):
            # Older tables have no `kind`, and are in the encoding of their time.
            with path.open(newline="", encoding="utf-8", errors="backslashreplace") as rows:
                for row in csv.DictReader(rows):
                    table_of_rejects.writerow(reject_row() | row)
        for path in indices:
            with reading(path, "the index of a shard, Parquet"):
                table = pq.read_table(path, schema=schema())
            single = ~several.have(table["cid"].cast(pa.int64()).to_numpy())
            table = table if single.all() else pc.filter(table, pa.array(single))
            writer.write_table(table)
        if repeated:
            files = shard_files(store, shards, ".lmdb")
            write_rows(writer, _joined_rows(files, several, table_of_rejects))


def _joined_rows(
    shards: Sequence[Path], several: _Cids, rejects: csv.DictWriter[str]
) -> Iterator[dict[str, Any]]:
    """Yield the index rows of molecules that are in several shards."""

    def left_out(cid: str, stage: str, shard: Path, reason: str) -> None:
        reason = f"{reason} (the molecule is in an earlier shard, too)"
        row = {"source": shard.name, "cid": cid, "stage": stage, "kind": "stage"}
        rejects.writerow(reject_row(**row, reason=reason))

    for trajectory, sources in joined_with_sources(shards, None, several, left_out):
        yield index_row(trajectory, " ".join(path.name for path in sources))
