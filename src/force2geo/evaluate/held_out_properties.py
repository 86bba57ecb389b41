"""Property models on molecules that they never saw: how far off and how far apart they are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from ase import Atoms

from force2geo.elements import SYMBOLS
from force2geo.errors import UserError
from force2geo.files import reading
from force2geo.prediction.predict import predictions
from force2geo.relax.structures import Structure
from force2geo.training_data.conformers import read_conformers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from force2geo.prediction.ensemble import Ensemble
    from force2geo.prediction.predict import Prediction
    from force2geo.training_data.conformers import Conformers

NO_TARGET = "no value of"


def held_out(
    ensemble: Ensemble,
    data: Path,
    part: str = "test",
    tested: Path | None = None,
    batch_atoms: int = 4096,
    progress: Callable[[int], Any] = lambda _: None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return a row for each molecule of a part of the split that the models were trained on.

    Where the molecules have no splits of their own, or a training left some out, `tested`, its
    predictions, say which are in the part. Beside it: how many have none, by reason.

    Columns are `cid`, `elements` ("C H O"), `atoms`, `heavy`, `charge` (e), `multiplicity`,
    `applicability`, and of each property `<name>_error`, prediction minus truth in its unit, and of
    several models `<name>_spread`. Molecules are in the geometry that the models learnt from.
    `UserError` where the models do not agree on one, the file has no such split, or none of its
    molecules can be answered.
    """
    conformers, geometry = read_conformers(data), _agreed(ensemble, "geometry")
    if unknown := [name for name in ensemble.units if name not in conformers.targets]:
        known = ", ".join(conformers.targets) or "none"
        raise UserError(f"{data}: has no target '{unknown[0]}' to judge by, only {known}")
    if tested is not None:
        cids = _predicted(tested, part)
    else:
        split = _agreed(ensemble, "split")
        if split not in conformers.splits:
            raise UserError(
                f"{data}: has no split '{split}' of its own; give --tested predictions.npz, which "
                "a training wrote beside its checkpoint"
            )
        cids = conformers.splits[split][part]
    rows = conformers.index(cids)
    given = _structures(conformers, rows, geometry)
    left_out, parts = Counter[str](), []
    for row, answer in zip(rows, predictions(given, ensemble, None, batch_atoms), strict=True):
        progress(1)
        truth = {name: float(conformers.targets[name].values[row]) for name in ensemble.units}
        lacking = next((name for name, value in truth.items() if not np.isfinite(value)), None)
        if lacking is not None or not answer.values:
            left_out[f"{NO_TARGET} {lacking}" if lacking else answer.status] += 1
            continue
        parts.append(_row(answer, truth, conformers.cids[row]))
    if not parts:
        why = left_out.most_common(1)[0][0] if left_out else "there is none"
        raise UserError(f"{data}: none of {len(rows)} molecules can be answered: {why}")
    return pd.DataFrame(parts), dict(left_out)


def _predicted(path: Path, part: str) -> list[str]:
    """Return the names of molecules in a training's predictions."""
    with reading(path, "predictions of a training, NPZ"), np.load(path) as file:
        return [cid.decode() for cid in file[f"{part}/cid"]]


def _agreed(ensemble: Ensemble, key: str) -> str:
    """Return what all models say of their training; `UserError` where they do not."""
    told = {str(model.provenance.get("settings", {}).get(key, "")) for model in ensemble.models}
    if len(told) > 1 or not next(iter(told)):
        raise UserError(f"--model: they do not say one {key} that they all learnt on")
    return told.pop()


def _structures(conformers: Conformers, rows: np.ndarray, geometry: str) -> Iterator[Structure]:
    positions = conformers.positions(geometry)
    for place, row in enumerate(rows.tolist(), 1):
        atoms = conformers.atoms(row)
        numbers = conformers.atomic_numbers[atoms].astype(int)
        state = int(conformers.charge[row]), int(conformers.multiplicity[row])
        kept = Atoms(numbers, positions[atoms])
        yield Structure(place, numbers, positions[atoms], kept, *state)


def _row(answer: Prediction, truth: dict[str, float], cid: str) -> dict[str, Any]:
    structure = answer.structure
    assert structure is not None
    numbers = structure.numbers
    return {
        "cid": cid,
        "elements": " ".join(SYMBOLS[number] for number in np.unique(numbers)),
        "atoms": len(numbers),
        "heavy": int((numbers > 1).sum()),
        "charge": structure.charge,
        "multiplicity": structure.multiplicity,
        "applicability": answer.applicability,
        **{f"{name}_error": answer.values[name] - value for name, value in truth.items()},
        **{f"{name}_spread": spread for name, spread in answer.spreads.items()},
    }
