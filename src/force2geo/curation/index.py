"""One row per trajectory: what selection and statistics need to know without opening records.

Parquet columns: `cid`, `shard`, `smiles`, `inchi`, `inchikey`, `scaffold`, `formula`, `elements`,
`atoms`, `heavy_atoms`, `charge`, `multiplicity`; of each stage `<stage>_steps`, `_status`
(`converged`, `not converged`, `abnormal`, empty without the stage), `_program`, `_functional`,
`_energy_first`, `_energy_last` (Hartree), `_max_gradient_first`, `_max_gradient_last` (largest
norm of an atom's gradient, Hartree/bohr); of the last DFT stage that converged, or else the last,
`dft_converged`, `homo`, `lumo` (Hartree) and `gap` (eV). `notes` names stages that do not start
where the one before ended, identifiers that cannot be read, and what reading the logs mended or
left out. `scaffold` is null, and `inchikey` empty, where no identifier can be read; a molecule
without rings has an empty scaffold.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.curation.identity import formula, read_molecule
from force2geo.elements import SYMBOLS
from force2geo.files import atomic_path
from force2geo.store.lmdb_store import read_shard
from force2geo.trajectory import PATH_STAGES, POINT_SETS
from force2geo.units import HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

    from force2geo.trajectory import Stage, Trajectory

_TEXT = ("cid", "shard", "smiles", "inchi", "inchikey", "scaffold", "formula", "elements")
_WHOLE = ("atoms", "heavy_atoms", "charge", "multiplicity")
_NUMBERS = ("energy_first", "energy_last", "max_gradient_first", "max_gradient_last")
_BREAK = 0.01  # Å: logs round, and programs turn molecules, which distances do not feel
_ROWS = 2_000
BREAK_NOTE = r"\w+ starts [\d.]+ A off"
"""What `notes` say of a stage that does not start where the one before ended, a pattern."""


def schema() -> pa.Schema:
    """Return the index's columns and their types."""
    import pyarrow as pa

    fields = [(name, pa.string()) for name in _TEXT] + [(name, pa.int32()) for name in _WHOLE]
    for stage in PATH_STAGES + POINT_SETS:
        fields.append((f"{stage}_steps", pa.int32()))
        fields += [(f"{stage}_{key}", pa.string()) for key in ("status", "program", "functional")]
        fields += [(f"{stage}_{key}", pa.float64()) for key in _NUMBERS]
    fields += [("dft_converged", pa.bool_()), ("homo", pa.float64()), ("lumo", pa.float64())]
    return pa.schema([*fields, ("gap", pa.float64()), ("notes", pa.string())])


def _identifiers(smiles: str, inchi: str) -> tuple[str, str | None]:
    """Return InChIKey and Bemis–Murcko scaffold, empty and None when nothing can be read."""
    from rdkit import Chem
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    molecule = read_molecule(smiles, inchi)
    key = (Chem.InchiToInchiKey(inchi) or "") if inchi else ""
    if molecule is None:
        return key, None
    return key or Chem.MolToInchiKey(molecule), MurckoScaffoldSmiles(mol=molecule)


def _distances(positions: np.ndarray) -> np.ndarray:
    return np.linalg.norm(positions[:, None] - positions[None], axis=-1)


def breaks(trajectory: Trajectory) -> list[str]:
    """Return the stages that do not start where the one before ended, with the change in Å."""
    found, last = [], None
    for name in PATH_STAGES:
        stage = trajectory.stages.get(name)
        if stage is None:
            continue
        if last is not None:
            first = _distances(stage.positions[0])
            change = np.abs(first - _distances(last.positions[-1])).max()
            if change > _BREAK:
                found.append(f"{name} starts {change:.2f} A off")
        last = stage
    return found


def _notes(trajectory: Trajectory, scaffold: str | None) -> list[str]:
    notes = breaks(trajectory)
    if scaffold is None and (trajectory.smiles or trajectory.inchi):
        notes.append("SMILES and InChI cannot be read")
    return notes + [f"{k}: {note}" for k, s in trajectory.stages.items() for note in s.notes]


def _status(stage: Stage) -> str:
    if stage.status != "normal":
        return stage.status
    return "converged" if stage.converged else "not converged"


def _steepest(gradient: np.ndarray) -> float | None:
    value = float(np.linalg.norm(gradient, axis=1).max())
    return value if value == value else None


def _number(value: float) -> float | None:
    return float(value) if value == value else None


def index_row(trajectory: Trajectory, shard: str) -> dict[str, Any]:
    """Return the row of a trajectory (columns and units: see this module)."""
    numbers = np.asarray(trajectory.atomic_numbers)
    key, scaffold = _identifiers(trajectory.smiles, trajectory.inchi)
    row: dict[str, Any] = {
        "cid": trajectory.cid,
        "shard": shard,
        "smiles": trajectory.smiles,
        "inchi": trajectory.inchi,
        "inchikey": key,
        "scaffold": scaffold,
        "formula": formula(numbers),
        "elements": " ".join(SYMBOLS[z] for z in np.unique(numbers)),
        "atoms": len(numbers),
        "heavy_atoms": int((numbers > 1).sum()),
        "charge": trajectory.charge,
        "multiplicity": trajectory.multiplicity,
        "notes": "; ".join(_notes(trajectory, scaffold)),
    }
    for name in PATH_STAGES + POINT_SETS:
        stage = trajectory.stages.get(name)
        row[f"{name}_steps"] = len(stage) if stage is not None else 0
        row[f"{name}_status"] = _status(stage) if stage is not None else ""
        row[f"{name}_program"] = stage.program if stage is not None else ""
        row[f"{name}_functional"] = stage.functional if stage is not None else ""
        if stage is not None:
            row[f"{name}_energy_first"] = _number(stage.energies[0])
            row[f"{name}_energy_last"] = _number(stage.energies[-1])
            row[f"{name}_max_gradient_first"] = _steepest(stage.gradients[0])
            row[f"{name}_max_gradient_last"] = _steepest(stage.gradients[-1])
    last = trajectory.final_dft
    if last is not None:
        row |= {"dft_converged": last.converged, "homo": last.homo, "lumo": last.lumo}
        if last.homo is not None and last.lumo is not None:
            row["gap"] = (last.lumo - last.homo) * HARTREE_TO_EV
    return row


def write_rows(writer: pq.ParquetWriter, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows of an index, in pieces; return how many there were."""
    import pyarrow as pa

    columns, left, count = schema(), iter(rows), 0
    while part := list(itertools.islice(left, _ROWS)):
        writer.write_table(pa.Table.from_pylist(part, schema=columns))
        count += len(part)
    return count


def write_index(shard: Path, target: Path, name: str) -> int:
    """Write a shard's index, one row per trajectory, under the shard's `name`; return how many."""
    import pyarrow.parquet as pq

    with atomic_path(target) as part, pq.ParquetWriter(part, schema()) as writer:
        return write_rows(writer, (index_row(t, name) for t in read_shard(shard)))
