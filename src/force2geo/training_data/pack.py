"""From a data set to the file that trainings and relaxations read."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from force2geo.errors import UserError
from force2geo.training_data.conformers import (
    GEOMETRIES,
    Conformers,
    Target,
    write_conformers,
)
from force2geo.training_data.embed import embed_like, parse
from force2geo.training_data.packed import PackedWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from force2geo.store.level import Level
    from force2geo.training_data.dataset import DataSet, Molecule


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
    data: DataSet, path: Path, seed: int, progress: Callable[[int], Any] = lambda _: None
) -> list[str]:
    """Write a data set's molecules, each with an RDKit conformer; return what there is, in lines.

    A molecule has its reference geometry under `dft`; its conformer, in the same order of atoms,
    is the data set's own or else embedded from the SMILES or the InChI, NaN where that fails.
    """
    molecules: list[Molecule] = []
    geometry: dict[str, list[np.ndarray]] = {name: [] for name in GEOMETRIES}
    without = 0
    for molecule in data.molecules():
        progress(1)
        found = dict(molecule.geometries)
        if "rdkit" not in found:
            embedded = _embedded(molecule, seed)
            without += embedded is None
            if embedded is not None:
                found["rdkit"] = embedded
        for name, parts in geometry.items():
            parts.append(found.get(name, np.full_like(found["dft"], np.nan)))
        molecules.append(molecule)
    if not molecules:
        raise UserError(f"{data.about.title}: it has no molecule with these settings")
    counts = [len(molecule.atomic_numbers) for molecule in molecules]
    conformers = Conformers(
        cids=[molecule.name for molecule in molecules],
        ptr=np.concatenate([[0], np.cumsum(counts)]),
        atomic_numbers=np.concatenate([molecule.atomic_numbers for molecule in molecules]),
        targets={
            name: Target(np.array([one.targets.get(name, np.nan) for one in molecules]), unit)
            for name, unit in data.units.items()
        },
        geometry={name: np.concatenate(parts) for name, parts in geometry.items()},
        charge=np.array([molecule.charge for molecule in molecules]),
        multiplicity=np.array([molecule.multiplicity for molecule in molecules]),
    )
    write_conformers(path, conformers)
    return [f"{len(molecules)} molecules, {without} without an RDKit conformer"]


def _embedded(molecule: Molecule, seed: int) -> np.ndarray | None:
    """Return a conformer (n,3) Å, drawn from the seed and the molecule's name."""
    # As everywhere, the InChI counts where the SMILES says nothing.
    text = molecule.smiles if parse(molecule.smiles) is not None else molecule.inchi
    name = molecule.name
    number = int(name) if name.isdigit() else int.from_bytes(sha256(name.encode()).digest()[:8])
    own = int(np.random.default_rng([seed, number]).integers(2**31))
    return embed_like(text, molecule.atomic_numbers, molecule.geometries["dft"], own)
