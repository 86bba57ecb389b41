"""XYZ and extended XYZ in and out."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.errors import UserError
from force2geo.relax.structures import Structure, text_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ase import Atoms

# Words that mean something else in a comment line, or that readers look for there.
_RESERVED = ("Properties", "Lattice", "pbc", "cell", "stress", "virial", "forces", "magmom", "")

_PER_ATOM = ("forces", "charges", "magmoms", "stresses", "energies")


def read(text: str) -> Iterator[Structure | str]:
    """Give the frames of an XYZ file, or why one is none; blank lines between them are none."""
    lines = text_lines(text)
    line = 0
    while line < len(lines):
        if not lines[line].strip():
            line += 1
            continue
        count = _count(lines[line])
        if count is None:
            yield f"line {line + 1}: not a number of atoms"
            line = _next_frame(lines, line + 1)
            continue
        found = _frame(lines[line : line + 2 + count], count)
        yield found
        # After a frame that cannot be read its count may be what is wrong.
        line = _next_frame(lines, line + 2) if isinstance(found, _Unread) else line + 2 + count


class _Unread(str):
    """Why the lines of a frame could not be read."""


def _count(line: str) -> int | None:
    return int(line) if re.fullmatch(r"\s*\d+\s*", line) else None


def _next_frame(lines: list[str], line: int) -> int:
    while line < len(lines) and _count(lines[line]) is None:
        line += 1
    return line


def _frame(lines: list[str], count: int) -> Structure | str:
    from ase.io.extxyz import read_xyz

    from force2geo.molecular_state import molecular_state

    comment = lines[1].strip() if len(lines) > 1 else ""
    name = comment if "=" not in comment else ""
    if count == 0:
        return "it has no atoms"
    if len(lines) < 2 + count:
        return _Unread(f"it ends after {max(len(lines) - 2, 0)} of {count} atoms")
    text = "\n".join([lines[0], "" if name else lines[1], *lines[2:]]) + "\n"
    try:
        (atoms,) = read_xyz(io.StringIO(text), index=slice(None))
    except Exception as error:  # of ASE, in any way
        return _Unread(f"not a readable XYZ frame ({' '.join(str(error).split())})")
    if name:
        atoms.info["name"] = name
    if atoms.pbc.any():
        return 'it has a periodic cell; only molecules are relaxed (pbc="F F F" says it is one)'
    try:
        fixed = _fixed(atoms)
        state = molecular_state(atoms)
    except UserError as error:
        return str(error)
    _keep_results(atoms)
    return Structure(0, atoms.numbers, atoms.positions, atoms, *state, fixed=fixed)


def _fixed(atoms: Atoms) -> np.ndarray | None:
    """Return which coordinates (n,3) may not move; the column `move_mask` says so."""
    from ase.constraints import FixAtoms, FixCartesian

    fixed = np.zeros((len(atoms), 3), dtype=bool)
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            fixed[constraint.index] = True
        elif isinstance(constraint, FixCartesian):
            fixed[constraint.index] |= np.asarray(constraint.mask, dtype=bool)
        else:
            raise UserError(f"its constraint {type(constraint).__name__} is not known here")
    return fixed if fixed.any() else None


def _keep_results(atoms: Atoms) -> None:
    """Keep energies of another level of theory as properties; ASE takes them for results."""
    results, atoms.calc = (atoms.calc.results if atoms.calc else {}), None
    for name, value in results.items():
        if name in _PER_ATOM:
            atoms.arrays[f"input_{name}"] = np.asarray(value)  # where the atoms were
        else:
            atoms.info[name] = value


def write(path: Path, structures: Sequence[Structure], notes: Sequence[dict[str, Any]]) -> None:
    """Write structures where they are now, each with its notes as properties."""
    from ase import Atoms
    from ase.io import write as write_with_ase

    frames = []
    for structure, note in zip(structures, notes, strict=True):
        if isinstance(structure.kept, Atoms):
            atoms = structure.kept.copy()
        else:
            atoms = Atoms(structure.numbers)
        held = structure.properties
        if (structure.charge, structure.multiplicity) != (0, 1):
            held = {"charge": structure.charge, "multiplicity": structure.multiplicity} | held
        atoms.info = {"name": _plain(structure.name)} if structure.name else {}
        for key, value in {**held, **note}.items():
            atoms.info[_key(key, atoms.info)] = _plain(value)
        # With constraints in place, the fixed atoms' positions are what they were.
        atoms.set_positions(structure.positions, apply_constraint=False)
        frames.append(atoms)
    write_with_ase(str(path), frames, format="extxyz")


def _key(name: str, taken: dict[str, Any]) -> str:
    """Return a name as a comment line can have it, another one than those there are."""
    key = re.sub(r"[^\S ]|[=\"'\\]", "_", name.strip())
    while key in _RESERVED or key in taken:
        key += "_"
    return key


def _plain(value: Any) -> Any:
    r"""Return a value as a comment line can hold it: a line's end becomes the two letters \n."""
    if not isinstance(value, str):
        return value
    value = r"\n".join(value.replace("\t", " ").splitlines()).replace("\\", r"\\")
    # Nothing would take the next word for its value; ASE takes `_JSON` for more than a word.
    return " " + value if not value or value.startswith("_JSON") else value
