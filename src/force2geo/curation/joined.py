"""Many shards read as one: a molecule with all its stages, whichever archives they came in.

Shards are sorted by CID, so that they can be merged as they are read: memory holds one molecule,
and a shard is open only while its CIDs are due.
"""

from __future__ import annotations

import contextlib
import heapq
import resource
from typing import TYPE_CHECKING

from force2geo.curation.assemble import RejectedError, add_stage, check_molecule, in_order
from force2geo.errors import UserError
from force2geo.store.lmdb_store import Shard
from force2geo.store.record import Record, RecordError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence
    from pathlib import Path

    from force2geo.trajectory import Trajectory

    LeftOut = Callable[[str, str, Path, str], None]

_OTHER_FILES = 200  # that a process may need besides its shards


def _allow_open(count: int) -> None:
    """Let this process open so many files, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _merged(paths: Sequence[Path]) -> Iterator[tuple[str, list[tuple[Path, Callable[[], bytes]]]]]:
    """Yield each CID, ascending, with the shards that have it, in their order, and their bytes.

    The bytes can be read before the next CID is asked for.
    """
    _allow_open(len(paths))
    heap = [
        (first, place)
        for place, path in enumerate(paths)
        if (first := next(iter(Shard(path)), None)) is not None
    ]
    heapq.heapify(heap)
    walks: dict[int, Iterator[tuple[str, Callable[[], bytes]]]] = {}
    reads: dict[int, Callable[[], bytes]] = {}
    while heap:
        cid, places = heap[0][0], []
        while heap and heap[0][0] == cid:
            place = heapq.heappop(heap)[1]
            if place not in walks:
                walks[place] = Shard(paths[place]).walk()
                _, reads[place] = next(walks[place])
            places.append(place)
        yield cid, [(paths[place], reads[place]) for place in places]
        for place in places:
            following = next(walks[place], None)
            if following is None:
                del walks[place], reads[place]
            else:
                reads[place] = following[1]
                heapq.heappush(heap, (following[0], place))


@contextlib.contextmanager
def _named(cid: str, path: Path) -> Iterator[None]:
    """Say of a damaged record whose it is."""
    try:
        yield
    except RecordError as error:
        raise UserError(f"{path}, CID {cid}: {error}") from None


def undecoded(
    shards: Sequence[Path], wanted: Container[str] | None = None
) -> Iterator[tuple[str, list[tuple[Path, Record]]]]:
    """Yield each CID, ascending, with its records and their shards, in the order of these.

    Only those in `wanted` are read; None takes all. `UserError` names a shard or a record that
    cannot be read.
    """
    for cid, found in _merged(shards):
        if wanted is not None and cid not in wanted:
            continue
        records = []
        for path, read in found:
            with _named(cid, path):
                records.append((path, Record(read())))
        yield cid, records


def join(
    cid: str,
    records: Sequence[tuple[Path, Record]],
    stages: Sequence[str] | None = None,
    left_out: LeftOut | None = None,
) -> tuple[Trajectory, list[Path]]:
    """Return a molecule of its records in several shards, and the shards that have a part in it.

    Only the `stages` named are decoded; `left_out` is told CID, stage, shard and reason of what
    does not count.
    """
    joint: Trajectory | None = None
    sources: list[Path] = []
    for path, record in records:
        with _named(cid, path):
            other = record.trajectory(stages)
        if joint is None:
            joint, sources = other, [path]
            continue
        before = {id(stage) for stage in joint.stages.values()}
        joint = _add(joint, path, other, left_out)
        if any(id(stage) not in before for stage in joint.stages.values()):
            sources.append(path)
    assert joint is not None
    return joint, sources


def _add(
    trajectory: Trajectory, path: Path, other: Trajectory, left_out: LeftOut | None
) -> Trajectory:
    """Add another shard's stages of a molecule to those there are."""
    try:
        check_molecule(trajectory, other)
    except RejectedError as error:
        if left_out is not None:
            left_out(trajectory.cid, ", ".join(other.stages), path, str(error))
        return trajectory
    trajectory.smiles = trajectory.smiles or other.smiles
    trajectory.inchi = trajectory.inchi or other.inchi
    for name, stage in other.stages.items():
        try:
            reason = add_stage(trajectory, name, stage)
        except RejectedError as error:
            reason = str(error)
        if reason and left_out is not None:
            left_out(trajectory.cid, name, path, reason)
    return in_order(trajectory)


def joined_with_sources(
    shards: Sequence[Path],
    stages: Sequence[str] | None = None,
    wanted: Container[str] | None = None,
    left_out: LeftOut | None = None,
) -> Iterator[tuple[Trajectory, list[Path]]]:
    """Yield what `joined` does, each molecule with the shards that have a part in it.

    `left_out` is told CID, stage, shard and reason of what does not count.
    """
    names = None if stages is None else list(stages)
    for cid, records in undecoded(shards, wanted):
        yield join(cid, records, names, left_out)


def joined(
    shards: Sequence[Path],
    stages: Sequence[str] | None = None,
    wanted: Container[str] | None = None,
) -> Iterator[Trajectory]:
    """Yield the molecules of shards in ascending CID, each once, with its stages of all of them.

    Of a stage that several shards have the better counts (see `assemble.add_stage`), then the
    one of the first shard. Only the `stages` named are decoded, only molecules in `wanted` are
    read; None takes all. `UserError` names a shard or a record that cannot be read.
    """
    for trajectory, _ in joined_with_sources(shards, stages, wanted):
        yield trajectory
