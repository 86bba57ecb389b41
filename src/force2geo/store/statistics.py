"""The numbers of the data set's appendix (Force2Geo, A.3) for the data at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.trajectory import PATH_STAGES, POINT_SETS

if TYPE_CHECKING:
    import pandas as pd


def statistics(index: pd.DataFrame, rejects: pd.DataFrame) -> dict[str, Any]:
    """Return counts and means over an index (see `store.index`) and a table of rejects."""
    result: dict[str, Any] = {
        "trajectories": len(index),
        "mean_atoms": float(index["atoms"].mean()) if len(index) else 0.0,
        "mean_heavy_atoms": float(index["heavy_atoms"].mean()) if len(index) else 0.0,
        "elements": sorted({e for row in index["elements"] for e in row.split()}),
        "rejected_logs": len(rejects),
        "reject_reasons": {str(k): int(v) for k, v in rejects["reason"].value_counts().items()},
    }
    total = 0
    for stage in PATH_STAGES + POINT_SETS:
        steps = index[f"{stage}_steps"]
        present = steps[steps > 0]
        total += int(steps.sum())
        result[stage] = {
            "trajectories": len(present),
            "snapshots": int(steps.sum()),
            "mean_snapshots": float(present.mean()) if len(present) else 0.0,
        }
    result["snapshots"] = total
    return result
