"""Many molecules matched with their SMILES, in processes; a killed call's work is not lost.

What is done goes to files of `_BLOCK` molecules in a folder, in the order of the molecules; the
next call takes up what it finds there.
"""

from __future__ import annotations

import shutil
import zipfile
from collections import deque
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from force2geo.files import atomic_path, read_json, write_json
from force2geo.limited import in_order, run_limited
from force2geo.training_data.embed import Matched, match, parse
from force2geo.training_data.molecular_graphs import BondGraph

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from force2geo.training_data.dataset import Molecule

SECONDS = 60.0
"""A molecule that RDKit has not embedded by then has no conformer."""
_BLOCK = 256
_MADE_OF = "made_of.json"


@dataclass(frozen=True)
class _Task:
    """What a process needs to know of a molecule."""

    text: str
    atomic_numbers: np.ndarray
    reference: np.ndarray | None
    seed: int
    conform: bool


def task_of(molecule: Molecule, seed: int, conform: bool = True) -> _Task:
    """Return a molecule's task; its chance is in the seed and in its name, not in its place.

    With `conform` it gets a conformer, if it has none.
    """
    # As everywhere, the InChI counts where the SMILES says nothing.
    text = molecule.smiles if parse(molecule.smiles) is not None else molecule.inchi
    name = molecule.name
    number = int(name) if name.isdigit() else int.from_bytes(sha256(name.encode()).digest()[:8])
    own = int(np.random.default_rng([seed, number]).integers(2**31))
    return _Task(
        text,
        molecule.atomic_numbers,
        reference_of(molecule),
        own,
        conform and "rdkit" not in molecule.geometries,
    )


def reference_of(molecule: Molecule) -> np.ndarray | None:
    """Return the geometry (n,3) Å that says what is bonded: DFT's, or else any, None without."""
    geometries = molecule.geometries
    return geometries.get("dft", next(iter(geometries.values()), None))


def _work(task: _Task) -> Matched:
    return match(task.text, task.atomic_numbers, task.reference, task.seed, task.conform)


def matches(
    molecules: Iterable[Molecule],
    seed: int,
    workers: int,
    folder: Path,
    made_of: Any,
    seconds: float = SECONDS,
    conform: bool = True,
) -> Iterator[tuple[Molecule, Matched]]:
    """Yield each molecule with what `match` says of it, in their order; few are in memory at once.

    A molecule that takes longer than `seconds` is one with that reason. `folder` keeps what is
    done, as long as `made_of`, plain values, is what it was; the caller removes it in the end.
    Without `conform` no conformers are made.
    """
    if folder.exists() and (
        not (folder / _MADE_OF).exists() or read_json(folder / _MADE_OF) != {"made_of": made_of}
    ):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _MADE_OF, {"made_of": made_of})
    left, block = iter(molecules), 0
    while (names_and_found := _read(folder / f"{block}.npz")) is not None:
        names, done = names_and_found
        for name, one in zip(names, done, strict=True):
            molecule = next(left, None)
            assert molecule is not None and molecule.name == name
            yield molecule, one
        block += 1
    waiting: deque[Molecule] = deque()

    def tasks() -> Iterator[_Task]:
        for molecule in left:
            waiting.append(molecule)
            yield task_of(molecule, seed, conform)

    ended: list[tuple[Molecule, Matched]] = []
    for _, found, error in in_order(run_limited(_work, tasks(), workers, seconds)):
        ended.append((waiting.popleft(), found or Matched(reason=error)))
        if len(ended) == _BLOCK:
            _write(folder / f"{block}.npz", ended)
            yield from ended
            ended, block = [], block + 1
    yield from ended


def _write(path: Path, ended: Sequence[tuple[Molecule, Matched]]) -> None:
    """Keep a block; arrays of all molecules one after the other, told apart by their counts."""
    found = [one for _, one in ended]
    conformers = [one.conformer for one in found if one.conformer is not None]
    places = [one.places for one in found if one.places is not None]
    graphs = [one.graph for one in found if one.graph is not None]
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez(
            file,
            names=np.array([molecule.name for molecule, _ in ended]),
            reasons=np.array([one.reason for one in found]),
            skeletons=np.array([one.skeleton for one in found]),
            sizes=np.array([len(molecule.atomic_numbers) for molecule, _ in ended]),
            embedded=np.array([one.conformer is not None for one in found]),
            matched=np.array([one.places is not None for one in found]),
            bonds=np.array([len(graph.bonds) for graph in graphs], dtype=np.int64),
            conformers=np.concatenate([np.zeros((0, 3)), *conformers]),
            places=np.concatenate([np.zeros(0, dtype=np.int64), *places]),
            atoms=np.concatenate([graph.atoms for graph in graphs] or [np.zeros((0, 9))]),
            ends=np.concatenate([graph.bonds for graph in graphs] or [np.zeros((0, 2))]),
            orders=np.concatenate([graph.orders for graph in graphs] or [np.zeros((0, 3))]),
        )


def _read(path: Path) -> tuple[list[str], list[Matched]] | None:
    """Return names and results of a block, None where there is none or its writing was cut off."""
    if not path.exists():
        return None
    try:
        with np.load(path) as file:
            kept = dict(file)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    sizes, embedded, matched = kept["sizes"], kept["embedded"], kept["matched"]

    def parts(name: str, counts: np.ndarray) -> Iterator[np.ndarray]:
        return iter(np.split(kept[name], np.cumsum(counts)[:-1]) if len(counts) else [])

    conformers, places = parts("conformers", sizes[embedded]), parts("places", sizes[matched])
    atoms, ends = parts("atoms", sizes[matched]), parts("ends", kept["bonds"])
    orders = parts("orders", kept["bonds"])
    found = []
    for place in range(len(sizes)):
        known = matched[place]
        found.append(
            Matched(
                next(conformers) if embedded[place] else None,
                str(kept["reasons"][place]),
                next(places) if known else None,
                BondGraph(next(atoms), next(ends), next(orders)) if known else None,
                str(kept["skeletons"][place]),
            )
        )
    return kept["names"].tolist(), found
