"""Whole LMDB files in the published format, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.files import atomic_path, write_table
from force2geo.store import pubchemqcr
from force2geo.store.curate import REJECT_COLUMNS
from force2geo.store.identity import contradiction
from force2geo.store.index import write_index
from force2geo.store.lmdb_store import RawWriter, StoreWriter, read_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from force2geo.store.identifiers import Identifiers

_COMMIT_BYTES = 1 << 25


def import_published(
    source: Path,
    store: Path,
    identifiers: Identifiers,
    progress: Callable[[int], Any] = lambda _: None,
) -> tuple[int, int]:
    """Write a published LMDB as a shard with index and rejects; return molecules and rejects.

    The published records name neither program nor level; each stage gets those the papers state.
    """
    name = source.name.removesuffix(".lmdb")
    target, rejects = store / f"{name}.lmdb", store / f"{name}.rejects.csv"
    rows: list[dict[str, Any]] = []
    read = 0
    with atomic_path(target) as part:
        writer = StoreWriter(part)
        for key, found in pubchemqcr.read_published(source):
            progress(1)
            reason = str(found) if isinstance(found, Exception) else ""
            if not isinstance(found, Exception):
                found.smiles, found.inchi = identifiers.get(found.cid)
                reason = contradiction(found.inchi, found.atomic_numbers, found.charge)
            if reason or isinstance(found, Exception):
                row = dict.fromkeys(REJECT_COLUMNS, "") | {"offset": 0, "atoms": 0, "steps": 0}
                rows.append(row | {"source": source.name, "cid": key, "reason": reason})
                continue
            writer.put(found)
            read += 1
            if writer.pending_bytes > _COMMIT_BYTES:
                writer.commit()
        writer.finish()
        write_table(rejects, REJECT_COLUMNS, rows)
        write_index(part, store / f"{name}.index.parquet", target.name)
    return read, len(rows)


def export_shards(
    shards: Sequence[Path], target: Path, progress: Callable[[int], Any] = lambda _: None
) -> tuple[int, int]:
    """Write shards as one published LMDB; return molecules and those with nothing to write."""
    count = left_out = 0
    with atomic_path(target) as part:
        writer = RawWriter(part)
        for shard in shards:
            for trajectory in read_shard(shard, pubchemqcr.STAGE_NAMES.values()):
                progress(1)
                if not trajectory.stages:
                    left_out += 1
                    continue
                writer.pending[trajectory.cid.encode()] = pubchemqcr.encode(trajectory)
                count += 1
                if writer.pending_bytes > _COMMIT_BYTES:
                    writer.commit()
        writer.commit()
        writer.close()
    return count, left_out
