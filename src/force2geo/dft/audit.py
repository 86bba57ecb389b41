"""Is every energy at the level it claims? Records by level, a sample recomputed with PySCF."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.dft.level import Level as PyscfLevel
from force2geo.dft.level import build_mean_field
from force2geo.store.levels import Level, level_of, mixed_levels
from force2geo.store.lmdb_store import Shard
from force2geo.trajectory import PATH_STAGES, POINT_SETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from force2geo.store.record import Record
    from force2geo.trajectory import Trajectory

_FUNCTIONALS = {"b3lyp(vwn5)": "b3lyp5", "b3lyp(vwn-rpa)": "b3lypg", "hf": "hf"}
_FITTED = {"6-31g*", "sto-6g", "sto-3g", "6-31g"}


def pyscf_level(level: Level) -> PyscfLevel | None:
    """Return PySCF's names for a level, None when PySCF has no such thing."""
    if level.form not in _FUNCTIONALS or level.basis not in _FITTED:
        return None
    return PyscfLevel(
        method=_FUNCTIONALS[level.form], basis=level.basis, cartesian=not level.spherical
    )


def _energy(trajectory: Trajectory, positions: np.ndarray, level: PyscfLevel) -> float | None:
    field = build_mean_field(
        trajectory.atomic_numbers, positions, level, trajectory.charge, trajectory.multiplicity
    )
    energy = float(field.kernel())
    return energy if field.converged else None


def check_energy(trajectory: Trajectory, name: str, tolerance: float) -> dict[str, Any]:
    """Return how the last energy of a stage compares with PySCF's at the level it claims.

    `difference` is PySCF's less the stored energy (Hartree); `verdict` is `agrees` within
    `tolerance` Hartree per atom. An energy that does not agree is compared with the other forms
    and conventions, and the verdict names the one it agrees with, if any.
    """
    stage = trajectory.stages[name]
    level = level_of(stage)
    row: dict[str, Any] = {
        "cid": trajectory.cid, "stage": name, "level": str(level),
        "atoms": len(trajectory.atomic_numbers), "difference": None,
    }  # fmt: skip
    claimed = pyscf_level(level)
    finite = np.flatnonzero(np.isfinite(stage.energies))
    if claimed is None or not len(finite):
        return row | {"verdict": "not computed: PySCF has no such level"}
    positions, stored = stage.positions[finite[-1]], float(stage.energies[finite[-1]])
    energy = _energy(trajectory, positions, claimed)
    if energy is None:
        return row | {"verdict": "not computed: the SCF did not converge"}
    limit = tolerance * len(trajectory.atomic_numbers)
    row["difference"] = energy - stored
    if abs(energy - stored) <= limit:
        return row | {"verdict": "agrees"}
    for method in dict.fromkeys([claimed.method, "b3lyp5", "b3lypg", "hf"]):
        for cartesian in (True, False):
            other = replace(claimed, method=method, cartesian=cartesian)
            energy = None if other == claimed else _energy(trajectory, positions, other)
            if energy is not None and abs(energy - stored) <= limit:
                functions = "Cartesian" if cartesian else "spherical"
                return row | {"verdict": f"is at another level: {method}, {functions} functions"}
    return row | {"verdict": "agrees with no level tried"}


def audit(
    shards: Sequence[Path],
    sample: int,
    tolerance: float,
    uses: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
    progress: Callable[[int], Any] = lambda _: None,
) -> dict[str, Any]:
    """Return the report: levels by stage, checks of energies, warnings.

    `sample` energies of each stage and level are recomputed, of molecules drawn at random.
    `uses` names the stages that each use packs together; one that mixes energy scales is warned
    of, and so is a level whose energies do not agree.
    """
    molecules: dict[tuple[str, Level], int] = Counter()
    snapshots: dict[tuple[str, Level], int] = Counter()
    drawn: dict[tuple[str, Level], list[tuple[float, Path, str]]] = {}
    for path in shards:
        for record in Shard(path).records():
            for name, level, steps in _levels(record):
                key = (name, level)
                molecules[key] += 1
                snapshots[key] += steps
                # The smallest of random numbers: a uniform sample in one pass.
                ticket = (float(rng.random()), path, record.header["cid"])
                drawn[key] = sorted([*drawn.get(key, []), ticket])[:sample]
        progress(1)
    order = {name: place for place, name in enumerate(PATH_STAGES + POINT_SETS)}
    keys = sorted(molecules, key=lambda key: (order[key[0]], -snapshots[key], str(key[1])))
    checks = [
        check_energy(Shard(path)[cid], name, tolerance)
        for name, level in keys
        for _, path, cid in drawn[name, level]
    ]
    warnings = []
    for use, sources in uses.items():
        together: Counter[Level] = Counter()
        for name, level in keys:
            if name in sources:
                together[level] += snapshots[name, level]
        mixed = mixed_levels(together)
        if mixed:
            warnings.append(f"{use}: {mixed}")
    for check in checks:
        if (
            not check["verdict"].startswith(("agrees", "not computed"))
            or "no level" in check["verdict"]
        ):
            warnings.append(
                f"{check['cid']}, {check['stage']}: the energy said to be {check['level']} "
                f"{check['verdict']} (PySCF less stored: {check['difference']:+.6f} Hartree)"
            )
    levels = [
        {
            "stage": name,
            **level._asdict(),
            "molecules": molecules[name, level],
            "snapshots": snapshots[name, level],
        }
        for name, level in keys
    ]
    return {"levels": levels, "checks": checks, "warnings": warnings}


def _levels(record: Record) -> list[tuple[str, Level, int]]:
    """Return name, level and number of steps of each stage, told by the header alone."""
    found = []
    for name, values in record.header["stages"].items():
        about = values["is"]
        form = about.get("functional") or about["method"]
        level = Level(about["program"], form, about.get("basis", ""), about.get("spherical"))
        found.append((name, level, values["n"]))
    return found
