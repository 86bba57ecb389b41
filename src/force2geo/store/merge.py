"""The shards' indices and rejects as one, in one pass and flat memory."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from force2geo.errors import UserError
from force2geo.files import atomic_path
from force2geo.store.curate import REJECT_COLUMNS
from force2geo.store.index import schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def shard_files(store: Path, shards: Sequence[str], suffix: str) -> list[Path]:
    """Return the files of shards in a store's folder; `UserError` when one is missing."""
    paths = [store / f"{shard}{suffix}" for shard in shards]
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: missing; curate the shard first")
    return paths


def merge(store: Path, shards: Sequence[str], index: Path, rejects: Path) -> None:
    """Write the merged index (ascending shard and CID) and the merged rejects.

    A molecule belongs to the first shard it is in; its further copies become rejects.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    seen: set[int] = set()
    with (
        atomic_path(rejects) as part,
        part.open("w", newline="") as handle,
        atomic_path(index) as index_part,
        pq.ParquetWriter(index_part, schema()) as writer,
    ):
        table_of_rejects = csv.DictWriter(handle, REJECT_COLUMNS)
        table_of_rejects.writeheader()
        for path in shard_files(store, shards, ".rejects.csv"):
            with path.open(newline="") as rows:
                table_of_rejects.writerows(csv.DictReader(rows))
        for path in shard_files(store, shards, ".index.parquet"):
            table = pq.read_table(path, schema=schema())
            cids = [int(cid) for cid in table["cid"].to_pylist()]
            fresh = [cid not in seen for cid in cids]
            seen.update(cids)
            for cid, new in zip(cids, fresh, strict=True):
                if not new:
                    table_of_rejects.writerow(_twice(path, cid))
            writer.write_table(pc.filter(table, pa.array(fresh)) if not all(fresh) else table)
    if not seen:
        raise UserError("no trajectory in any shard: look at the rejects tables for the reasons")


def _twice(path: Path, cid: int) -> dict[str, Any]:
    reason = "the molecule is in an earlier shard, too, which counts"
    return {
        "source": path.name.split(".")[0], "file": "", "cid": f"{cid:09d}", "stage": "",
        "offset": 0, "reason": reason, "atoms": 0, "steps": 0,
    }  # fmt: skip
