"""Lists of SMILES in, one a line or a table with a header, made into conformers."""

from __future__ import annotations

import csv
import io
from collections import deque
from typing import TYPE_CHECKING

from force2geo.errors import UserError
from force2geo.limited import in_order, run_limited
from force2geo.relax.structures import Lost, text_lines
from force2geo.training_data.embed import EMBED_SECONDS, conform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from force2geo.relax.structures import Structure

    # SMILES, name and properties.
    Row = tuple[str, str, dict[str, str]]

_SMILES = ("smiles", "canonical_smiles", "isomeric_smiles")
_NAMES = ("name", "title", "id", "cid", "compound")
HANGING_SECONDS = 3.0 * EMBED_SECONDS
"""How long a molecule may take with all that belongs to it."""


def lines(text: str) -> Iterator[Row]:
    """Give the rows of a `.smi` list: SMILES, name, and after tabs what else there is.

    Lines that begin with # are remarks; a first line that begins with the word SMILES is a header.
    """
    header: list[str] = []
    first = True
    for line in text_lines(text):
        if not line.strip() or line.startswith("#"):
            continue
        by_tabs = "\t" in line.strip()
        words = line.strip().split("\t") if by_tabs else line.split(maxsplit=1)
        words = [word.strip() for word in words]
        if first and words[0].lower() in _SMILES:
            header = words
        else:
            if by_tabs and " " in words[0]:  # a name after a blank, then tabs
                words[:1] = words[0].split(maxsplit=1)
            names = [*header[2:], *(f"column_{n}" for n in range(max(len(header), 2) + 1, 99))]
            more = {name: word for name, word in zip(names, words[2:], strict=False) if word}
            yield words[0], (words[1] if len(words) > 1 else "") or words[0], more
        first = False


def table(text: str, path: Path) -> Iterator[Row]:
    """Give the rows of a CSV or TSV file whose header names a column `smiles`.

    The name is in a column `name`, `title`, `id`, `cid` or `compound`; all others are properties.
    """
    start = text.split("\n", 1)[0]
    mark = max(",;\t", key=start.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=mark)
    columns = {(name or "").strip().lower(): name for name in reversed(reader.fieldnames or ())}
    key = next((columns[name] for name in _SMILES if name in columns), None)
    if key is None:
        raise UserError(f"{path}: its header names no column 'smiles'")
    title = next((columns[name] for name in _NAMES if name in columns), None)
    for row in reader:
        more = {(name or "more").strip(): value if isinstance(value, str) else " ".join(value or [])
                for name, value in row.items() if name not in (key, title) and value}  # fmt: skip
        smiles = (row[key] or "").strip()
        yield smiles, ((row[title] or "").strip() if title else "") or smiles, more


def embedded(rows: Iterable[Row], seed: int, workers: int = 1) -> Iterator[Structure | Lost]:
    """Give each SMILES as a structure with hydrogens, or why there is none.

    Other processes make them. In this one RDKit would hear Ctrl-C in Python's place while it
    embeds, end what it is at, and tell nobody; and one that hangs ends there alone.
    """
    waiting: deque[Row] = deque()

    def tasks() -> Iterator[tuple[Row, int]]:
        for row in rows:
            waiting.append(row)
            yield row, seed

    for _, found, error in in_order(run_limited(_made, tasks(), workers, HANGING_SECONDS)):
        smiles, name, _ = waiting.popleft()
        yield found or Lost(f"no conformer of '{smiles}' could be made: {error}", name, smiles)


def _made(task: tuple[Row, int]) -> Structure | Lost:
    from rdkit import Chem, rdBase

    # Else RDKit leaves names and properties behind, and half of each coordinate's digits.
    kept = Chem.PropertyPickleOptions
    Chem.SetDefaultPickleProperties(kept.AllProps | kept.CoordsAsDouble)
    with rdBase.BlockLogs():  # the reasons say it
        return structure_of(*task)


def structure_of(row: Row, seed: int) -> Structure | Lost:
    """Return a SMILES as a structure with hydrogens, or why there is none."""
    from rdkit import Chem

    from force2geo.relax.sdf import of_rdkit

    smiles, name, more = row
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        return Lost(f"'{smiles}' is not a SMILES", name, smiles)
    if any(not atom.GetAtomicNum() for atom in molecule.GetAtoms()):
        return Lost(f"'{smiles}' has an atom that is no element", name, smiles)
    molecule = Chem.AddHs(molecule)
    if not conform(molecule, seed):
        why = f"no conformer of '{smiles}' could be made in two tries of at most {EMBED_SECONDS} s"
        return Lost(why, name, smiles)
    molecule.SetProp("_Name", name)
    for key, value in more.items():
        molecule.SetProp(key, value)
    found = of_rdkit(molecule)
    if isinstance(found, str):
        return Lost(found, name, smiles)
    found.smiles = smiles
    return found
