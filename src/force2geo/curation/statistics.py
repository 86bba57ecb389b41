"""The numbers of the data set's appendix (Force2Geo, A.3) for the data at hand."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from force2geo.curation.index import BREAK_NOTE
from force2geo.trajectory import PATH_STAGES, POINT_SETS

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST = 200  # steps; the histogram's last bin takes longer paths


def statistics(index: Path, rejects: Path) -> dict[str, Any]:
    """Return counts, means and histograms over an index (`store.index`) and a table of rejects.

    `other_rejects` counts the rows that are about something else than a log, by kind
    (`store.curate.REJECT_COLUMNS`).

    Both are read in pieces, so that memory does not grow with them. Histograms count molecules
    by number of atoms, by element and, for each stage, by number of steps.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    stages = PATH_STAGES + POINT_SETS
    atoms: Counter[int] = Counter()
    heavy: Counter[int] = Counter()
    elements: Counter[str] = Counter()
    steps: dict[str, Counter[int]] = {stage: Counter() for stage in stages}
    status: dict[str, Counter[str]] = {stage: Counter() for stage in stages}
    programs: dict[str, Counter[str]] = {stage: Counter() for stage in stages}
    broken = 0
    columns = ["atoms", "heavy_atoms", "elements", "notes"]
    columns += [f"{stage}_{key}" for stage in stages for key in ("steps", "status", "program")]
    for batch in pq.ParquetFile(index).iter_batches(columns=columns):
        part = batch.to_pandas()
        atoms.update(part["atoms"].tolist())
        heavy.update(part["heavy_atoms"].tolist())
        elements.update(element for row in part["elements"] for element in row.split())
        broken += int(part["notes"].str.contains(BREAK_NOTE).sum())
        for stage in stages:
            present = part[part[f"{stage}_steps"] > 0]
            steps[stage].update(present[f"{stage}_steps"].tolist())
            status[stage].update(present[f"{stage}_status"].tolist())
            programs[stage].update(present[f"{stage}_program"].tolist())
    reasons: Counter[str] = Counter()
    others: Counter[str] = Counter()
    read = pd.read_csv(
        rejects, usecols=["reason", "kind"], dtype=str, chunksize=100_000, keep_default_na=False
    )
    for part in read:
        logs = part["kind"] == "log"
        reasons.update(part["reason"][logs].tolist())
        others.update(part["kind"][~logs].tolist())
    total = sum(atoms.values())
    result: dict[str, Any] = {
        "trajectories": total,
        "snapshots": sum(n * count for stage in stages for n, count in steps[stage].items()),
        "mean_atoms": _mean(atoms),
        "mean_heavy_atoms": _mean(heavy),
        "elements": sorted(elements),
        "molecules_by_element": dict(elements.most_common()),
        "molecules_by_atoms": dict(sorted(atoms.items())),
        "trajectories_with_breaks": broken,
        "rejected_logs": sum(reasons.values()),
        "reject_reasons": dict(reasons.most_common(50)),
        "other_rejects": dict(others.most_common()),
    }
    for stage in stages:
        counts = steps[stage]
        short: Counter[int] = Counter()
        for number, count in counts.items():
            short[min(number, _LONGEST)] += count
        result[stage] = {
            "trajectories": sum(counts.values()),
            "snapshots": sum(number * count for number, count in counts.items()),
            "mean_snapshots": _mean(counts),
            "status": dict(status[stage].most_common()),
            "programs": dict(programs[stage].most_common()),
            "trajectories_by_steps": dict(sorted(short.items())),
        }
    return result


def _mean(counts: Counter[int]) -> float:
    total = sum(counts.values())
    return sum(number * count for number, count in counts.items()) / total if total else 0.0
