"""SMILES and InChI of molecules by CID, from a table that may be larger than memory."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from force2geo.errors import UserError
from force2geo.files import reading
from force2geo.molecules import read_molecules

if TYPE_CHECKING:
    from pathlib import Path

_ESCAPE = "backslashreplace"


class Identifiers:
    """`get(cid)` gives `(smiles, inchi)`, empty texts for a CID that is not in the table.

    Of a CSV whose first column is `cid` only the place of each line is kept, 16 bytes a molecule;
    other lists of molecules (`molecules`) are held whole.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._held: dict[str, tuple[str, str]] = {}
        self._cids = self._places = np.zeros(0, dtype=np.int64)
        if path is None:
            return
        with path.open("rb") as handle:
            header = handle.readline()
        with reading(path, "a table of identifiers, CSV"):
            self._columns = next(csv.reader([header.decode("utf-8-sig", _ESCAPE).strip()]), [])
        if self._columns[:1] != ["cid"]:
            self._held = {m.cid: (m.smiles, m.inchi) for m in read_molecules(path)}
            return
        if not {"smiles", "inchi"} & set(self._columns):
            raise UserError(f"{path}: needs a column 'smiles' or 'inchi'")
        self._index(path, len(header))

    def _index(self, path: Path, start: int) -> None:
        cids, places = [], []
        with path.open("rb") as handle:
            handle.seek(start)
            for number, line in enumerate(handle, start=2):
                if line.strip():
                    cid = line.split(b",", 1)[0].strip(b' "')
                    if not cid.isdigit() or len(cid) > 18:
                        text = cid.decode("utf-8", _ESCAPE)
                        raise UserError(f"{path}, line {number}: '{text}' is not a CID")
                    cids.append(int(cid))
                    places.append(start)
                start += len(line)
        order = np.argsort(np.array(cids, dtype=np.int64), kind="stable")
        self._cids = np.array(cids, dtype=np.int64)[order]
        self._places = np.array(places, dtype=np.int64)[order]

    def get(self, cid: str) -> tuple[str, str]:
        """Return SMILES and InChI of a CID; a text that is no number has none."""
        if not (cid.isascii() and cid.isdigit()) or len(cid) > 18:
            return "", ""
        row = int(np.searchsorted(self._cids, int(cid)))
        if row == len(self._cids) or self._cids[row] != int(cid):
            return self._held.get(cid, ("", ""))
        assert self.path is not None
        with self.path.open("rb") as handle:
            handle.seek(int(self._places[row]))
            # SMILES and InChI are ASCII; what else stands in the line may be of any encoding.
            line = handle.readline().decode("utf-8", _ESCAPE)
        values = dict(zip(self._columns, next(csv.reader(io.StringIO(line))), strict=False))
        return values.get("smiles", ""), values.get("inchi", "")

    def fingerprint(self) -> str:
        """Return what changes when the table does."""
        if self.path is None:
            return ""
        stat = self.path.stat()
        return f"{self.path} {stat.st_size} {stat.st_mtime_ns}"
