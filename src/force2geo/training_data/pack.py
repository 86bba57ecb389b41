"""From a data set to the file that trainings and relaxations read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from force2geo.errors import UserError
from force2geo.files import code_version
from force2geo.settings import plain
from force2geo.training_data.conformers import ConformersWriter, Row
from force2geo.training_data.matches import matches
from force2geo.training_data.packed import PackedWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from force2geo.store.level import Level
    from force2geo.training_data.dataset import DataSet


def pack_snapshots(
    data: DataSet, path: Path, progress: Callable[[int], Any] = lambda _: None
) -> list[str]:
    """Write a data set's snapshots; return how many there are of each level, a line each.

    Memory stays flat as data grows.
    """
    writer = PackedWriter(path, data.sources())
    levels: Counter[Level | str] = Counter()
    for frames in data.snapshots():
        progress(1)
        levels[frames.level] += len(frames.energies)
        writer.add(
            frames.name,
            frames.atomic_numbers,
            frames.positions,
            frames.energies,
            frames.forces,
            frames.source,
            frames.part,
            (frames.charge, frames.multiplicity),
        )
    if not levels.total():
        raise UserError(f"{data.about.title}: it has no snapshot with these settings")
    writer.close(data.level_references(), levels)
    return [f"{count} snapshots of {level}" for level, count in levels.most_common()]


def pack_molecules(
    data: DataSet,
    path: Path,
    scratch: Path,
    workers: int = 1,
    progress: Callable[[int], Any] = lambda _: None,
) -> list[str]:
    """Write a data set's molecules, each with an RDKit conformer; return what there is, in lines.

    A molecule's reference geometry is `dft`; its conformer, in the same order of atoms, is the data
    set's own or else embedded from the SMILES or the InChI, NaN where that fails. A data set whose
    geometries have none gets none. Memory stays flat
    as data grows. What is done is kept in the folder `scratch`, from which a killed call's next one
    goes on and which is removed at the end.
    """
    code = code_version().partition(" commit ")[0]
    made_of = [type(data).__name__, plain(data.settings), data.seed, code, _inputs(data)]
    unmatched, conform = 0, "rdkit" in data.geometries()
    found_all = matches(data.molecules(), data.seed, workers, scratch, made_of, conform=conform)
    with ConformersWriter(path, data.units, data.extensive) as writer:
        for molecule, found in found_all:
            progress(1)
            geometry = dict(molecule.geometries)
            if found.conformer is not None:
                geometry["rdkit"] = found.conformer
            unmatched += found.graph is None
            writer.add(
                Row(
                    molecule.name,
                    molecule.atomic_numbers,
                    molecule.charge,
                    molecule.multiplicity,
                    molecule.targets,
                    geometry,
                    {"rdkit": found.reason} if conform and "rdkit" not in geometry else {},
                    molecule.smiles,
                    found.skeleton,
                    found.places,
                    found.graph,
                )
            )
        if not len(writer):
            raise UserError(f"{data.about.title}: it has no molecule with these settings")
        absent = writer.close(data.splits())
        lines = [f"{len(writer)} molecules"]
        for name, counts in writer.counts.items():
            lines += [f"{n} without a geometry {name}: {why}" for why, n in counts.most_common()]
        if unmatched:
            lines.append(f"{unmatched} whose bonds are not known")
        if absent:
            lines.append(f"{absent} molecules of its splits could not be read")
    return lines


def _inputs(data: DataSet) -> list[Any]:
    """Return what changes with the files that are read."""
    stats = [(path, path.stat()) for path in data.read_from()]
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
