"""Is every energy at the level it claims? Records by level, a sample recomputed with PySCF."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.curation.joined import join, undecoded
from force2geo.curation.levels import mixed_levels
from force2geo.dft.level import Level as PyscfLevel
from force2geo.dft.single_points import converge
from force2geo.store.level import Level, level_of
from force2geo.store.lmdb_store import Shard
from force2geo.trajectory import PATH_STAGES, POINT_SETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from force2geo.store.record import Record
    from force2geo.trajectory import Trajectory

_FUNCTIONALS = {"b3lyp(vwn5)": "b3lyp5", "b3lyp(vwn-rpa)": "b3lypg", "hf": "hf"}
_BASES = {"6-31g*", "sto-6g", "sto-3g", "6-31g"}
_LAST_WITHOUT_D = 20  # calcium
WITHOUT_GRID, WITH_GRID = 2e-6, 1e-5
"""Hartree per atom within which energies agree. Hartree-Fock leaves no choice but the density
fitting, and both kinds are tried; what remains are printed digits, thresholds of the SCF and the
exponents' last digits. Programs integrate a functional on grids of their own."""
# Hartree per atom, beyond what density fitting explains; minimal bases are fitted badly.
_FAR, _FAR_MINIMAL = 1e-4, 3e-3
_TOLERANCES = (
    f"Energies agree within {WITHOUT_GRID:.0e} Hartree per atom for Hartree-Fock, {WITH_GRID:.0e} "
    "for a density functional, whose grids differ between programs; exact integrals or density "
    "fitting, which alone moves HF/STO-6G by up to 1e-3, as the verdict says."
)


def pyscf_level(level: Level) -> PyscfLevel | None:
    """Return PySCF's names for a level, None when PySCF has no such thing."""
    if level.form not in _FUNCTIONALS or level.basis not in _BASES:
        return None
    return PyscfLevel(
        method=_FUNCTIONALS[level.form], basis=level.basis, cartesian=not level.spherical
    )


def tolerance_of(level: PyscfLevel) -> float:
    """Return within what energies of this level agree, Hartree per atom."""
    return WITHOUT_GRID if level.method == "hf" else WITH_GRID


def _has_d_shells(level: PyscfLevel, numbers: np.ndarray) -> bool:
    """Return whether spherical and Cartesian functions are two bases."""
    return level.basis.endswith("*") or int(numbers.max()) > _LAST_WITHOUT_D


def _ways(level: PyscfLevel, numbers: np.ndarray) -> dict[str, PyscfLevel]:
    """Return the ways to compute a level's integrals, by name, the cheapest first.

    Density fitting moves a Hartree-Fock energy in STO-6G by up to 1e-3 Hartree per atom (N2), and
    Cartesian fitting functions give another than spherical ones.
    """
    ways = {"density fitting": replace(level, density_fit=True)}
    if level.cartesian and not _has_d_shells(level, numbers):
        ways["density fitting, spherical"] = replace(level, density_fit=True, cartesian=False)
    return ways | {"exact integrals": replace(level, density_fit=False)}


def _energy(trajectory: Trajectory, positions: np.ndarray, level: PyscfLevel) -> float | None:
    state = trajectory.charge, trajectory.multiplicity
    return converge(trajectory.atomic_numbers, positions, level, None, *state)[1]


def _compare(
    trajectory: Trajectory, positions: np.ndarray, stored: float, level: PyscfLevel, limit: float
) -> tuple[str, float | None]:
    """Return the first way whose energy is within `limit` (Hartree), and its difference.

    Without one the way is empty and the difference the last way's, None when its SCF did not
    converge.
    """
    difference = None
    for way, exactly in _ways(level, trajectory.atomic_numbers).items():
        energy = _energy(trajectory, positions, exactly)
        if energy is None:
            return "", None
        difference = energy - stored
        if abs(difference) <= limit:
            return way, difference
        far = _FAR_MINIMAL if level.basis.startswith("sto") else _FAR
        if abs(difference) > far * len(trajectory.atomic_numbers):
            break
    return "", difference


def check_energy(trajectory: Trajectory, name: str, tolerance: float) -> dict[str, Any]:
    """Return how the last energy of a stage compares with PySCF's at the level it claims.

    `difference` is PySCF's less the stored energy (Hartree), `tolerance` what the level leaves
    open (`tolerance_of` times the atoms). The verdict is `agrees`, with the way of computing the
    integrals, exact ones or density fitting, that brings the energies within it; `differs` up to
    `tolerance` Hartree per atom. One beyond is compared with the other forms and conventions, and
    the verdict names the one it agrees with, if any.
    """
    stage = trajectory.stages[name]
    level, atoms = level_of(stage), len(trajectory.atomic_numbers)
    row: dict[str, Any] = {
        "cid": trajectory.cid, "stage": name, "level": str(level), "atoms": atoms,
        "difference": None, "tolerance": None,
    }  # fmt: skip
    claimed = pyscf_level(level)
    finite = np.flatnonzero(np.isfinite(stage.energies))
    if claimed is None or not len(finite):
        return row | {"verdict": "not computed: PySCF has no such level"}
    positions, stored = stage.positions[finite[-1]], float(stage.energies[finite[-1]])
    row["tolerance"] = tolerance_of(claimed) * atoms
    about = trajectory, positions, stored
    way, row["difference"] = _compare(*about, claimed, row["tolerance"])
    if row["difference"] is None:
        return row | {"verdict": "not computed: the SCF did not converge"}
    if way:
        return row | {"verdict": f"agrees ({way})"}
    limit = tolerance * atoms
    if abs(row["difference"]) <= limit:
        return row | {"verdict": "differs, by less than another level would"}
    two = _has_d_shells(claimed, trajectory.atomic_numbers)
    for method in dict.fromkeys([claimed.method, "b3lyp5", "b3lypg", "hf"]):
        for cartesian in (True, False) if two else (claimed.cartesian,):
            other = replace(claimed, method=method, cartesian=cartesian)
            if other != claimed and _compare(*about, other, limit)[0]:
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

    A molecule in several shards is counted once, with the stages that count. `sample` energies of
    each stage and level are recomputed, of molecules drawn at random, and compared by
    `check_energy` with its `tolerance`. `uses` names the stages that each use packs together; one
    that mixes energy scales is warned of, and so is an energy that does not agree. `progress` is
    told of each molecule.
    """
    molecules: dict[tuple[str, Level], int] = Counter()
    snapshots: dict[tuple[str, Level], int] = Counter()
    drawn: dict[tuple[str, Level], list[tuple[float, str, list[Path]]]] = {}
    for cid, records in undecoded(shards):
        for name, level, steps in _levels(cid, records):
            key = (name, level)
            molecules[key] += 1
            snapshots[key] += steps
            # The smallest of random numbers: a uniform sample in one pass.
            ticket = (float(rng.random()), cid, [path for path, _ in records])
            drawn[key] = sorted([*drawn.get(key, []), ticket])[:sample]
        progress(1)
    order = {name: place for place, name in enumerate(PATH_STAGES + POINT_SETS)}
    keys = sorted(molecules, key=lambda key: (order[key[0]], -snapshots[key], str(key[1])))
    checks = [
        check_energy(
            join(cid, [(path, Shard(path).record(cid)) for path in paths])[0], name, tolerance
        )
        for name, level in keys
        for _, cid, paths in drawn[name, level]
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
        if not check["verdict"].startswith(("agrees (", "not computed")):
            warnings.append(
                f"{check['cid']}, {check['stage']}: the energy said to be {check['level']} "
                f"{check['verdict']} (PySCF less stored: {check['difference']:+.6f} Hartree; the "
                f"level leaves {check['tolerance']:.1e} open)"
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
    return {"levels": levels, "checks": checks, "warnings": warnings, "tolerances": _TOLERANCES}


def _levels(cid: str, records: Sequence[tuple[Path, Record]]) -> list[tuple[str, Level, int]]:
    """Return name, level and number of steps of each stage of a molecule.

    A header alone tells them; what of several shards counts is found by joining them.
    """
    if len(records) > 1:
        stages = join(cid, records)[0].stages
        return [(name, level_of(stage), len(stage)) for name, stage in stages.items()]
    found = []
    for name, values in records[0][1].header["stages"].items():
        about = values["is"]
        form = about.get("functional") or about["method"]
        level = Level(about["program"], form, about.get("basis", ""), about.get("spherical"))
        found.append((name, level, values["n"]))
    return found
