"""Two runs in one file: no step of a complete run that stands whole may be missing.

python benchmarks/curation/fuzz_pairs.py --count 100000

Real logs of every program are appended to their own restarts, turned ones too, re-submissions
and cuts (half of the cuts inside tables), and to logs of other molecules.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from force2geo.logs import Log, LogError, parse_log
from force2geo.logs.archives import read_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

DATA = Path(__file__).resolve().parents[2] / "tests/logs/data"
CONVERGED = b"\nGeometry optimization converged\n"  # as `force2geo generate` ends PySCF's logs
SAME_PLACE, SAME_ENERGY = 2e-6, 1e-5  # Å and Hartree: a step that a restart computes again


@dataclass(frozen=True)
class Kind:
    """How a program's text is taken apart: where steps and tables begin, the labels of rows."""

    names: tuple[str, ...]
    step: bytes
    table: bytes
    label: bytes


_GAMESS = Kind(
    ("us2017_dvb_gopt.out.xz",),
    rb"\n (?:BEGINNING GEOMETRY SEARCH POINT )?NSERCH=",
    rb"OF ALL ATOMS ARE|GRADIENT \(HARTREE",
    rb" *(?:\d+ +)?[A-Z][a-z]? +\d+\.0",
)
KINDS = {
    "gamess": _GAMESS,
    "firefly": Kind(("ff80_dvb_gopt.out.xz",), _GAMESS.step, _GAMESS.table, _GAMESS.label),
    "smash": Kind(
        ("v110_uhf_opt.out.xz", "v302_formic_acid_b3lyp_opt.out.xz",
         "v302_formaldehyde_b3lyp_opt.out.xz"),
        rb"\n -+\n +Molecular Geometry \(Angstrom\)",
        rb"Molecular Geometry|Gradient \(Hartree",
        rb"   [A-Z][a-z]?",
    ),
    "pyscf": Kind(
        ("water_hf.pyscf.log", "hf_molecule_b3lyp.pyscf.log.xz"),
        rb"\nGeometry optimization cycle ",
        rb"New geometry|gradients -----",
        rb" *\d+ [A-Z][a-z]?",
    ),
    "mopac": Kind(
        ("ethanol_pm3.aux", "methyl_pm3.aux.xz"),
        rb"\n HEAT_OF_FORM_UPDATED",
        rb"ATOM_X_UPDATED|ATOM_X_OPT|GRADIENTS",
        rb"",
    ),
    "mopac out": Kind(
        ("ethanol_pm3.out", "methyl_pm3.out.xz"),
        rb"\n +PM3 CALCULATION RESULTS",
        rb"CARTESIAN COORDINATES|FINAL  POINT",
        rb" +\d+ +[A-Z][a-z]?",
    ),
}  # fmt: skip
SCENARIOS = (
    "complete, restart cut", "complete, its beginning cut", "complete, complete",
    "cut, complete", "cut, restart", "cut, restart turned", "complete, restart turned",
    "complete, another molecule cut", "cut, cut, complete",
)  # fmt: skip


def read(name: str) -> bytes:
    """Return a complete log's bytes."""
    content = read_file(DATA / name)
    return content + CONVERGED if ".pyscf." in name else content


def cut(text: bytes, kind: Kind, rng: np.random.Generator) -> bytes:
    """Return the log up to a place before its end, half of the times inside a table."""
    last = len(text) * 19 // 20
    if rng.random() < 0.5:
        tables = [found.start() for found in re.finditer(kind.table, text[:last])]
        place = tables[rng.integers(len(tables))] + int(rng.integers(1000))
    else:
        place = int(rng.integers(last))
    return text[: min(place, last)]


def restart(text: bytes, kind: Kind, step: int) -> bytes:
    """Return a log that begins with a step of another."""
    marks = [found.start() for found in re.finditer(kind.step, text)]
    steps = min(len(marks), len(parse_log(text).energies))
    return text[: marks[0]] + text[marks[step % steps] :]


def turned(text: bytes, kind: Kind, rng: np.random.Generator) -> bytes:
    """Return a log whose tables of positions and gradients stand in another orientation."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.linalg.det(rotation)

    def turn(match: re.Match[bytes]) -> bytes:
        label, *fields = match.groups()
        decimals = len(fields[0].split(b".")[1])
        vector = np.array([float(field) for field in fields]) @ rotation
        values = [f"{v:{len(f)}.{decimals}f}" for v, f in zip(vector, fields, strict=True)]
        return label + "".join(values).encode()

    numbers = rb"( +-?\d+\.\d{7,13})" * 3
    return re.sub(rb"(?m)^(" + kind.label + rb")" + numbers + rb"(?=[ \r\n])", turn, text)


def pair(
    name: str, kind: Kind, texts: dict[str, bytes], scenario: str, rng: np.random.Generator
) -> tuple[bytes, bytes]:
    """Return the text of a file with several runs and that of the complete run in it."""
    whole = texts[name]
    step = int(rng.integers(1, 30))
    if scenario == "complete, restart cut":
        return whole + cut(restart(whole, kind, step), kind, rng), whole
    if scenario == "complete, its beginning cut":
        return whole + cut(whole, kind, rng), whole
    if scenario == "complete, complete":
        return whole + whole, whole
    if scenario == "cut, complete":
        return cut(whole, kind, rng) + whole, whole
    if scenario == "cut, cut, complete":
        return cut(whole, kind, rng) + cut(whole, kind, rng) + whole, whole
    if scenario == "complete, restart turned":
        return whole + cut(turned(restart(whole, kind, step), kind, rng), kind, rng), whole
    if scenario == "complete, another molecule cut":
        others = [texts[other] for other in texts if other != name]
        # Of GAMESS and Firefly one log ships: the same with oxygen for carbon.
        others = others or [re.sub(rb"\bC( +)6\.0", rb"O\g<1>8.0", whole)]
        return whole + cut(others[rng.integers(len(others))], kind, rng), whole
    rest = restart(whole, kind, step)
    if scenario == "cut, restart turned":
        rest = turned(rest, kind, rng)
    return cut(whole, kind, rng) + rest, rest


def distances(positions: np.ndarray) -> np.ndarray:
    """Return all distances (T,n,n) Å of the atoms of geometries (T,n,3)."""
    return np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)


def missing(record: Log, complete: Log) -> str:
    """Return what of a complete run a record does not hold, in words; empty when it holds all."""
    apart = distances(record.positions)[:, None] - distances(complete.positions)[None]
    same = np.abs(apart).max(axis=(2, 3)) < SAME_PLACE
    same &= ~(np.abs(record.energies[:, None] - complete.energies[None]) > SAME_ENERGY)
    with_gradient = np.isfinite(record.gradients).all(axis=(1, 2))
    needs = np.isfinite(complete.gradients).all(axis=(1, 2))
    same &= with_gradient[:, None] | ~needs[None]
    lost = np.flatnonzero(~same.any(axis=0))
    if len(lost):
        return f"step {lost[0] + 1} of {len(complete.energies)} is missing"
    if complete.converged and not record.converged:
        return "it is not converged"
    if (record.homo is None) != (complete.homo is None):
        return "the orbitals are lost"
    if record.homo is not None and abs(record.homo - complete.homo) > SAME_ENERGY:
        return "the orbitals are another step's"
    return ""


def run(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try so many pairs; return how many of each kind were tried and the faults found."""
    rng = np.random.default_rng(seed)
    texts = {program: {n: read(n) for n in kind.names} for program, kind in KINDS.items()}
    tried, faults = Counter(), []
    for number in range(count):
        program = list(KINDS)[rng.integers(len(KINDS))]
        kind = KINDS[program]
        name = kind.names[rng.integers(len(kind.names))]
        scenario = SCENARIOS[rng.integers(len(SCENARIOS))]
        text, alone = pair(name, kind, texts[program], scenario, rng)
        complete = parse_log(alone)
        if rng.random() < 0.1:
            text = text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        try:
            fault = missing(parse_log(text), complete)
        except LogError as error:
            # Which of two molecules is meant nobody knows: such a file is rejected, by name.
            other = scenario == "complete, another molecule cut"
            ambiguous = re.match("runs (on different molecules|that differ)", str(error))
            fault = "" if other and ambiguous else f"rejected: {error}"
        tried[f"{program}: {scenario}"] += 1
        if fault:
            faults.append(f"{seed}.{number}: {name}: {scenario}: {fault}")
    return tried, faults


def main() -> None:
    """Run and write the result; fails when a step is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    start = time.perf_counter()
    shares = 16 * args.workers
    with ProcessPoolExecutor(args.workers) as pool:
        jobs = [
            pool.submit(run, -(-args.count // shares), args.seed + share) for share in range(shares)
        ]
        parts = [job.result() for job in jobs]
    tried = sum((part[0] for part in parts), Counter())
    faults = [fault for part in parts for fault in part[1]]
    result = {
        "files": tried.total(),
        "kinds of pairs": len(tried),
        "with a step missing": len(faults),
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "workers": args.workers,
    }
    print(result)
    print("\n".join(faults[:20]))
    assert not faults, "steps of complete runs are missing"
    write(args.out, {"machine": describe(), **result})


if __name__ == "__main__":
    main()
