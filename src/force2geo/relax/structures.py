"""Structures in the files of users: SDF, XYZ and extended XYZ in and out, lists of SMILES in."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    Notes = Sequence[dict[str, Any]]

SUFFIXES_OUT = (".sdf", ".xyz", ".extxyz")
_KINDS = {
    "sdf": (".sdf", ".sd", ".mol"),
    "xyz": (".xyz", ".extxyz"),
    "smiles": (".smi", ".smiles", ".txt"),
    "table": (".csv", ".tsv"),
}
SUFFIXES_IN = tuple(suffix for suffixes in _KINDS.values() for suffix in suffixes)


@dataclass
class Structure:
    """A molecule of a file: `place` in it (from 1), elements (n,), positions (n,3) Å.

    `kept` is the RDKit molecule (SDF, SMILES) or ASE atoms it came as, with all its properties.
    `charge` in e and `multiplicity` are of the whole, `bonds` (k,2) the atoms bonded where the file
    says so, `fixed` (n,3) the coordinates that may not move, `smiles` what the geometry was made
    of.
    """

    place: int
    numbers: np.ndarray
    positions: np.ndarray
    kept: Any
    charge: int = 0
    multiplicity: int = 1
    bonds: np.ndarray | None = None
    fixed: np.ndarray | None = None
    smiles: str = ""

    @property
    def name(self) -> str:
        """The name in the file, empty without one."""
        if hasattr(self.kept, "info"):
            return str(self.kept.info.get("name", ""))
        return self.kept.GetProp("_Name") if self.kept.HasProp("_Name") else ""

    @property
    def properties(self) -> dict[str, Any]:
        """What the file says of the molecule beside its name."""
        if hasattr(self.kept, "info"):
            return {str(key): value for key, value in self.kept.info.items() if key != "name"}
        return {key: self.kept.GetProp(key) for key in self.kept.GetPropNames()}

    def set_aside(self, names: Sequence[str], ours: str) -> list[str]:
        """Let properties' names be free: the file's own move to `input_NAME`, which are returned.

        With the property `ours` they are of an earlier run and go.
        """
        held = self.properties
        moved = [name for name in names if name in held and ours not in held]
        if hasattr(self.kept, "info"):
            self.kept.info |= {f"input_{name}": held[name] for name in moved}
            for name in names:
                self.kept.info.pop(name, None)
        else:
            for name in moved:
                self.kept.SetProp(f"input_{name}", held[name])
            for name in names:
                self.kept.ClearProp(name)
        return moved


@dataclass(frozen=True)
class Lost:
    """What is at a `place` (from 1) of a file in vain, why, and what it is called there."""

    reason: str
    name: str = ""
    smiles: str = ""
    place: int = 0


def each_structure(
    path: Path, seed: int = 7, workers: int = 1, skip: int = 0
) -> Iterator[Structure | Lost]:
    """Give what a file holds, one after the other, without the first `skip`.

    The file may be packed by gzip, and its name in any case. Conformers of SMILES are made by
    `workers` other processes. Of an SDF one record is in memory at a time.
    """
    from force2geo.relax import sdf, smiles

    kind, rows = _rows(path)
    rows = islice(rows, skip, None)
    if kind == "sdf":
        rows = sdf.read(rows)
    elif kind == "smiles":
        rows = smiles.embedded(rows, seed, workers)
    yield from in_places(rows, skip)


def is_longer(path: Path, count: int) -> bool:
    """Say whether a file holds more than so many structures; of an XYZ alone they are made."""
    return next(islice(_rows(path)[1], count, None), None) is not None


def _rows(path: Path) -> tuple[str, Iterator[Any]]:
    """Return what a file is of, and its records (SDF), rows (SMILES) or structures (XYZ)."""
    from force2geo.relax import sdf, smiles, xyz

    kind = _kind(path)
    if kind == "sdf":
        return kind, sdf.records(_lines(path))
    if kind == "xyz":
        return kind, xyz.read(_text(path))
    text = _text(path)
    return "smiles", smiles.lines(text) if kind == "smiles" else smiles.table(text, path)


def in_places(
    found: Iterable[Structure | Lost | str], skipped: int = 0
) -> Iterator[Structure | Lost]:
    """Give structures with their places, and why there is none at a place."""
    from rdkit import rdBase

    _silence = rdBase.BlockLogs()  # the reasons here say it
    for place, one in enumerate(found, start=skipped + 1):
        if isinstance(one, str):
            yield Lost(one, place=place)
        elif isinstance(one, Lost):
            yield replace(one, place=place)
        elif reason := _why_none(one):
            yield Lost(reason, one.name, one.smiles, place)
        else:
            one.place = place
            yield one


def is_structure_file(name: str) -> bool:
    """Say whether a name is that of a file which could hold structures."""
    return name.lower().removesuffix(".gz").endswith(SUFFIXES_IN)


def write_structures(
    path: Path, suffix: str, structures: Sequence[Structure], notes: Notes
) -> None:
    """Write structures where they are now, each with its notes as properties.

    `suffix` is of the name that the file will have.
    """
    from force2geo.relax import sdf, xyz

    (sdf if suffix.lower() == ".sdf" else xyz).write(path, structures, notes)


def _kind(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    for kind, suffixes in _KINDS.items():
        if name.endswith(suffixes):
            return kind
    raise UserError(f"{path}: give one of {', '.join(SUFFIXES_IN)}, packed (.gz) or not")


def _lines(path: Path) -> Iterator[bytes]:
    """Give a file's lines as they are read, unpacked."""
    packed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path) if packed else path.open("rb") as handle:
            yield from handle
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def _text(path: Path) -> str:
    """Return a file's text."""
    return decoded(b"".join(_lines(path)))


def decoded(data: bytes) -> str:
    """Return a text: UTF-8, or else Latin-1, in which every byte is a letter."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def text_lines(text: str) -> list[str]:
    """Return the lines of a text, which end as files' lines do.

    `str.splitlines` would end one at a form feed, too, and at U+0085, "…" in Windows' code page.
    """
    return re.split(r"\r\n|\r|\n", text)


def _why_none(structure: Structure) -> str:
    """Return why this is no structure, nothing if it is."""
    if not len(structure.numbers):
        return "it has no atoms"
    strange = (structure.numbers < 1) | (structure.numbers > MAX_ATOMIC_NUMBER)
    if strange.any():
        return f"atom {int(strange.argmax())} is no element"
    if not np.isfinite(structure.positions).all():
        return "a coordinate is not a finite number"
    return ""
