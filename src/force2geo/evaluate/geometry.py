"""Metrics of geometry optimisation (Force2Geo, appendix D)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from force2geo.select.superpose import rmsd
from force2geo.units import HARTREE_TO_KCAL_MOL

if TYPE_CHECKING:
    from force2geo.relax.result import Relaxed
    from force2geo.store.conformers import Conformers

CHEMICAL_ACCURACY = 1.0
"""kcal/mol."""
FORCE_THRESHOLD = 0.05
"""eV/Å."""


def per_molecule(points: pd.DataFrame, relaxed: Relaxed, conformers: Conformers) -> pd.DataFrame:
    """Return one row per relaxed molecule.

    `points` are the DFT stage's single points. Energies in kcal/mol: `to_gain` = E(start) −
    E(reference), `gained` = E(start) − E(relaxed), `residual` = E(relaxed) − E(reference)
    (eq. 13); `percent` (eq. 11) is empty where a single point is missing or the start is not
    above the reference; `diverged` where the relaxed single point failed or lies above the
    start; `max_force` by the potential and `max_force_dft` by DFT, eV/Å; `rmsd` to the
    reference in Å.
    """
    energy = points.pivot(index="cid", columns="geometry", values="energy") * HARTREE_TO_KCAL_MOL
    forces = points[points["geometry"] == "relaxed"].set_index("cid")["max_force"]
    rows: list[dict[str, Any]] = []
    for index, (cid, row) in enumerate(
        zip(relaxed.cids, conformers.index(relaxed.cids), strict=True)
    ):
        start, end, reference = (
            float(energy.loc[cid, name]) for name in ("start", "relaxed", "reference")
        )
        to_gain, gained = start - reference, start - end
        final = relaxed.frames[index][-1]
        reference_positions = conformers.geometry["dft"][conformers.atoms(row)]
        rows.append(
            {
                "cid": cid,
                "status": relaxed.status[index],
                "steps": int(relaxed.steps[index]),
                "max_force": float(relaxed.max_force[index]),
                "max_force_dft": float(forces.loc[cid]),
                "to_gain": to_gain,
                "gained": gained,
                "residual": end - reference,
                "percent": 100 * gained / to_gain if to_gain > 0 else np.nan,
                "diverged": bool(np.isnan(end) or end > start),
                "rmsd": rmsd(final, reference_positions) if np.isfinite(final).all() else np.nan,
                "rmsd_start": rmsd(relaxed.frames[index][0], reference_positions),
            }
        )
    return pd.DataFrame(rows)


def summary(molecules: pd.DataFrame) -> dict[str, float]:
    """Return the rates over all relaxed molecules, in percent.

    `pct_energy` (eq. 10) is the mean of eq. 11 over the molecules that have one, which one with
    little to gain can rule; `pct_energy_median` their median; `pct_energy_total` the energy gained
    by all over that to be gained by all, which one with much to gain can rule; `pct_success`
    (eq. 12), `pct_diverged`, `pct_force` (eq. 14, judged by the potential) and `pct_force_dft` (by
    DFT). A missing single point counts as no success.
    """
    known = molecules.dropna(subset=["percent"])
    total = known["to_gain"].sum()
    return {
        "molecules": len(molecules),
        "pct_energy": float(known["percent"].mean()) if len(known) else np.nan,
        "pct_energy_median": float(known["percent"].median()) if len(known) else np.nan,
        "pct_energy_total": float(100 * known["gained"].sum() / total) if total else np.nan,
        "pct_success": float(100 * (molecules["residual"] < CHEMICAL_ACCURACY).mean()),
        "pct_diverged": float(100 * molecules["diverged"].mean()),
        "pct_force": float(100 * (molecules["max_force"] < FORCE_THRESHOLD).mean()),
        "pct_force_dft": float(100 * (molecules["max_force_dft"] < FORCE_THRESHOLD).mean()),
    }


def intervals(molecules: pd.DataFrame, draws: int = 2000, seed: int = 7) -> dict[str, Any]:
    """Return what 95 of 100 samples of as many molecules would give for each rate of `summary`.

    (low, high) by name: percentiles of a bootstrap over the molecules.
    """
    columns = {
        "pct_energy": molecules["percent"],
        "pct_success": 100.0 * (molecules["residual"] < CHEMICAL_ACCURACY),
        "pct_diverged": 100.0 * molecules["diverged"],
        "pct_force": 100.0 * (molecules["max_force"] < FORCE_THRESHOLD),
        "pct_force_dft": 100.0 * (molecules["max_force_dft"] < FORCE_THRESHOLD),
        "residual": molecules["residual"],
    }
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(molecules), size=(draws, len(molecules)))
    found = {}
    for name, column in columns.items():
        sample = column.to_numpy(dtype=float)[chosen]
        counts = np.isfinite(sample).sum(axis=1)
        means = np.nansum(sample, axis=1)[counts > 0] / counts[counts > 0]
        low, high = np.percentile(means, [2.5, 97.5]) if len(means) else (np.nan, np.nan)
        found[name] = (float(low), float(high))
    return found
