"""Whole LMDB files in the published format, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.curation.curate import REJECT_COLUMNS, reject_row
from force2geo.curation.identity import contradiction, inchi_contents, read_molecule
from force2geo.curation.index import write_index
from force2geo.curation.joined import joined
from force2geo.files import atomic_path, printable, write_table
from force2geo.interchange import pubchemqcr
from force2geo.locks import locked
from force2geo.store.lmdb_store import RawWriter, StoreWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from force2geo.curation.identifiers import Identifiers
    from force2geo.trajectory import Trajectory

_COMMIT_BYTES = 1 << 25


def set_charge(trajectory: Trajectory) -> None:
    """Give a trajectory the charge that its InChI, or else its SMILES, says, and its spin.

    The published records have neither. An odd number of electrons is taken for a doublet, an even
    one for a singlet, as the protocol ran them; without identifiers the charge is taken for 0,
    and where that leaves an electron unpaired, which an ion would not, a note says so.
    """
    contents = inchi_contents(trajectory.inchi)
    molecule = read_molecule(trajectory.smiles, trajectory.inchi) if contents is None else None
    if contents is not None:
        trajectory.charge = contents[1]
    elif molecule is not None:
        trajectory.charge = sum(atom.GetFormalCharge() for atom in molecule.GetAtoms())
    electrons = int(trajectory.atomic_numbers.sum(dtype=int)) - trajectory.charge
    trajectory.multiplicity = 1 + electrons % 2
    if contents is None and molecule is None and electrons % 2:
        for stage in trajectory.stages.values():
            stage.notes.append("charge and multiplicity unknown, taken for 0 and 2")


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
    with locked(target), atomic_path(target) as part:
        writer = StoreWriter(part)
        for key, found in pubchemqcr.read_published(source):
            progress(1)
            if isinstance(found, Exception):
                reason = str(found)
            else:
                found.smiles, found.inchi = identifiers.get(found.cid)
                set_charge(found)
                reason = contradiction(found.inchi, found.atomic_numbers, found.charge)
                if not reason and found.cid in writer:
                    reason = "the same CID as an earlier key"
            if reason or isinstance(found, Exception):
                rows.append(reject_row(source=source.name, cid=printable(key), reason=reason))
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
    """Write shards as one published LMDB; return molecules and those with nothing to write.

    Of a molecule in several shards all stages are written.
    """
    count = left_out = 0
    with atomic_path(target) as part:
        writer = RawWriter(part)
        for trajectory in joined(shards, list(pubchemqcr.STAGE_NAMES.values())):
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
