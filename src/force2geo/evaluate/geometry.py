"""Metrics of geometry optimisation (Force2Geo, appendix D)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from force2geo.errors import UserError
from force2geo.evaluate.basins import heavy_rmsd
from force2geo.files import reading
from force2geo.superposition import rmsd
from force2geo.units import HARTREE_TO_KCAL_MOL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from force2geo.relax.result import Relaxed
    from force2geo.training_data.conformers import Conformers

FORCE_THRESHOLD = 0.05
"""eV/Å."""
ENERGY_NOISE = 1e-3
"""kcal/mol: what the threshold of a self-consistent field leaves open in a difference."""
NO_END = ("refused", "exploded")
"""Statuses of relaxations that gave no geometry; where their path ends says nothing."""
CHANGED = ("bonds changed", "dissociated")
"""Statuses of relaxations that ended as another molecule."""
NOT_COMPUTED = "not computed"
_POINTS = ("start", "relaxed", "reference")


def per_molecule(points: pd.DataFrame, relaxed: Relaxed, conformers: Conformers) -> pd.DataFrame:
    """Return one row per relaxed molecule.

    `points` are the DFT stage's single points. Energies in kcal/mol: `to_gain` = E(start) −
    E(reference), `gained` = E(start) − E(relaxed), `residual` = E(relaxed) − E(reference)
    (eq. 13); `percent` (eq. 11) is empty where E(start) or E(reference) is missing or the start
    is not above the reference. `failed` is where there is no relaxed geometry with an energy:
    refused, exploded or without a self-consistent field. Such a molecule gained nothing, has no
    residual energy and diverged; so did one that lies above its start by more than
    `ENERGY_NOISE`. `judged` is False where a single point was not computed, which says nothing of
    the geometry. `max_force` by the potential and `max_force_dft` by DFT, eV/Å; `rmsd` to the
    reference in Å, `rmsd_heavy` as of `heavy_rmsd`; `seconds` of wall time that it relaxed.
    """
    if "outcome" not in points:
        raise UserError("the single points have no column 'outcome': run force2geo dft again")
    table = points.set_index(["cid", "geometry"]).to_dict("index")
    missing = [cid for cid in relaxed.cids if any((cid, name) not in table for name in _POINTS)]
    if missing:
        raise UserError(f"{missing[0]} has no single points: they are of another relaxation")
    rows: list[dict[str, Any]] = []
    for index, (cid, row) in enumerate(
        zip(relaxed.cids, conformers.index(relaxed.cids), strict=True)
    ):
        about = {name: table[cid, name] for name in _POINTS}
        start, end, reference = (
            float(about[name]["energy"]) * HARTREE_TO_KCAL_MOL for name in _POINTS
        )
        refused = relaxed.status[index] in NO_END
        judged = all(
            about[name]["outcome"] != NOT_COMPUTED
            for name in _POINTS
            if not (refused and name == "relaxed")
        )
        failed = bool(judged and (refused or np.isnan(end)))
        if refused:
            end = np.nan
        to_gain, gained = start - reference, 0.0 if failed else start - end
        numbers = relaxed.atomic_numbers[index]
        first, final = relaxed.frames[index][0], relaxed.frames[index][-1]
        reference_positions = conformers.geometry["dft"][conformers.atoms(row)]
        usable = not refused and np.isfinite(final).all()
        rows.append(
            {
                "cid": cid,
                "status": relaxed.status[index],
                "steps": int(relaxed.steps[index]),
                "judged": judged,
                "failed": failed,
                "max_force": np.nan if refused else float(relaxed.max_force[index]),
                "max_force_dft": np.nan if refused else float(about["relaxed"]["max_force"]),
                "to_gain": to_gain,
                "gained": gained,
                "residual": end - reference,
                "percent": 100 * gained / to_gain if to_gain > 0 else np.nan,
                "diverged": bool(failed or end > start + ENERGY_NOISE),
                "rmsd": rmsd(final, reference_positions) if usable else np.nan,
                "rmsd_heavy": heavy_rmsd(numbers, final, reference_positions) if usable else np.nan,
                "rmsd_start": rmsd(first, reference_positions)
                if np.isfinite(first).all()
                else np.nan,
                "seconds": float(relaxed.seconds[index]),
            }
        )
    return pd.DataFrame(rows)


def read_molecules(path: Path) -> pd.DataFrame:
    """Return the table of `per_molecule` from its file."""
    with reading(path, "relaxed molecules and their single points, CSV"):
        table = pd.read_csv(path, dtype={"cid": str, "status": str})
        needed = ["cid", "status", "judged", "failed", "residual", "rmsd_heavy", "seconds"]
        table[needed]  # a `KeyError` where it has others
    return table


def common(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the rows of the molecules that all tables of `per_molecule` have and could judge.

    In the first table's order. `UserError` when there is none.
    """
    sets = [set(table.loc[table["judged"], "cid"]) for table in tables.values()]
    shared = set.intersection(*sets)
    order = [cid for cid in next(iter(tables.values()))["cid"] if cid in shared]
    if not order:
        raise UserError(
            "no molecule was judged for all of " + ", ".join(tables) + ": single points were not "
            "computed, or D_opt differs; the warnings of force2geo dft say why"
        )
    return {name: table.set_index("cid").loc[order].reset_index() for name, table in tables.items()}
