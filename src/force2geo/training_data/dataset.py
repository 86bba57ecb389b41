"""What a data set is: files that somebody published, read into snapshots or into molecules.

A data set is one file in `datasets` (or in another package, by an entry point of the group
`force2geo.datasets`) that names its class `DATASET`. A run asks for one under `data` in its
configuration, by any name, and gets one HDF5 file: packed snapshots (`training_data/packed.py`), to
train potentials on, or molecules (`training_data/conformers.py`), to predict and to relax.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from force2geo.store.level import Level

_CHUNK = 1 << 20
# Bytes of the parts that object stores take checksums of.
_PART = 8 << 20


class File(NamedTuple):
    """A published file, `path` below the data set's folder: its size in bytes and its checksum.

    None is what its publishers do not tell. An MD5 that ends in `-N` is that of the MD5s of N parts
    of 8 MiB, as object stores give it (an ETag).
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None


@dataclass(frozen=True)
class About:
    """What people should know of a data set; `level` is the theory of its numbers."""

    title: str
    level: str
    citation: str
    licence: str
    source: str


class Frames(NamedTuple):
    """Snapshots of one molecule, T of them with n atoms, of one level and in one part of a split.

    `atomic_numbers` (n,), `positions` (T,n,3) Å, `energies` (T,) eV, `forces` (T,n,3) eV/Å; `part`
    is train, val or test, `source` one of the data set's sources.
    """

    name: str
    atomic_numbers: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    part: str
    level: Level | str
    source: str = "all"
    charge: int = 0
    multiplicity: int = 1


class Molecule(NamedTuple):
    """A molecule of n atoms: its geometries (n,3) Å in one atom order, and targets, by name.

    `smiles` or `inchi`, where there is one, says what a conformer is made of; see
    `DataSet.units` for the targets' units.
    """

    name: str
    atomic_numbers: np.ndarray
    geometries: dict[str, np.ndarray]
    targets: dict[str, float]
    smiles: str = ""
    inchi: str = ""
    charge: int = 0
    multiplicity: int = 1


class DataSet(ABC):
    """A data set with its settings; made to be read once, from its beginning to its end.

    `paths` are what a run has made before, by the names in `needs`. What reading left out, and
    why, is in `notes` and `warnings` afterwards, a line each.
    """

    Settings: ClassVar[type]
    about: ClassVar[About]
    needs: tuple[str, ...] = ()
    """What it reads of the run's own results, by its settings: `store`, `selection`."""
    kinds: ClassVar[tuple[str, ...]]
    """What it can be read as: `snapshots`, `molecules`."""
    units: ClassVar[dict[str, str]] = {}
    """The units of its molecules' targets."""
    extensive: ClassVar[tuple[str, ...]] = ()
    """The targets that are sums over atoms, so that a molecule twice as large has about twice."""
    start: ClassVar[str] = "rdkit"
    """The geometry of its molecules that their relaxations start from."""
    seed: int = 0
    """What it draws with: the run's."""

    def __init__(self, settings: Any, paths: dict[str, Path] | None = None) -> None:
        self.settings, self.paths = settings, paths or {}
        self.notes: list[str] = []
        self.warnings: list[str] = []

    @abstractmethod
    def files(self) -> list[File]:
        """Return the published files that these settings read."""

    def sources(self) -> list[str]:
        """Return the kinds of snapshots there are, by name: stages of a relaxation, say."""
        return ["all"]

    def geometries(self) -> tuple[str, ...]:
        """Return the geometries of its molecules, by name; rdkit is made where they have none."""
        return ("dft", "rdkit")

    def snapshots(self) -> Iterator[Frames]:
        """Yield snapshots, molecule by molecule."""
        raise NotImplementedError

    def molecules(self) -> Iterator[Molecule]:
        """Yield molecules."""
        raise NotImplementedError

    def splits(self) -> dict[str, dict[str, list[str]]]:
        """Return its own splits of molecules, each a list of names by part; none by default.

        Asked for once its molecules have been read.
        """
        return {}

    def never_trained_on(self) -> list[str]:
        """Return tables of its molecules that no potential which it judges may learn from."""
        return []

    def level_references(self) -> dict[Level, np.ndarray] | None:
        """Return what moved energies to one scale, by level: (101,) eV by atomic number."""
        return None

    def read_from(self) -> list[Path]:
        """Return the files that are read: inputs of the job, and of its record."""
        return [self.folder() / file.path for file in self.files()]

    def folder(self) -> Path:
        """Return the folder that people put the published files into."""
        return Path(self.settings.folder)

    def check_files(self) -> None:
        """Raise `UserError` where a file is missing or is another than was published."""
        for file in self.files():
            path = self.folder() / file.path
            if not path.is_file():
                raise UserError(
                    f"{path}: no such file; {self.about.title} is to be had from "
                    f"{self.about.source}, put {file.path} into {self.folder()}"
                )
            size = path.stat().st_size
            if file.size not in (None, size):
                raise UserError(f"{path}: {size} bytes, published are {file.size}; fetch it again")
            for name, published in (("sha256", file.sha256), ("md5", file.md5)):
                if published is not None and _digest(path, name, "-" in published) != published:
                    said = {"sha256": "SHA-256", "md5": "MD5"}[name]
                    raise UserError(f"{path}: another {said} than the published file's")


def _digest(path: Path, name: str, of_parts: bool = False) -> str:
    whole, parts = hashlib.new(name, usedforsecurity=False), 0
    with path.open("rb") as file:
        while chunk := file.read(_PART if of_parts else _CHUNK):
            whole.update(hashlib.new(name, chunk).digest() if of_parts else chunk)
            parts += 1
    return f"{whole.hexdigest()}-{parts}" if of_parts else whole.hexdigest()
