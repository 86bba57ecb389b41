"""Labels of `force2geo label` among packed snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from force2geo.errors import UserError
from force2geo.interchange.protocol import read_protocol
from force2geo.store.level import Level
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from force2geo.training_data.packed import PackedWriter

SOURCE = "dft_points"
LEVEL = Level("pyscf", "b3lyp(vwn5)", "6-31g*", False)
"""What labels that `read_protocol` reads are of: what logs made of them say."""


def add_labels(writer: PackedWriter, folder: Path, levels: Sequence[str]) -> int:
    """Append a folder's labels to a training part; return how many there are.

    `UserError` where the part is of other `levels`, or has no source of such points.
    """
    if str(LEVEL) not in levels:
        raise UserError(
            f"{folder}: labels of {LEVEL}, and the data are of {', '.join(levels) or 'none known'}"
        )
    if SOURCE not in writer.sources:
        raise UserError(f"{folder}: add {SOURCE} to the sources of the data")
    count = 0
    for path in sorted(folder.glob("*.npz")):
        found = read_protocol(path, path.stem)
        stage = found.stages[SOURCE]
        count += len(stage)
        writer.add(
            found.cid,
            found.atomic_numbers,
            stage.positions,
            stage.energies * HARTREE_TO_EV,
            stage.gradients * GRADIENT_TO_FORCE,
            SOURCE,
            "train",
            (found.charge, found.multiplicity),
        )
    return count
