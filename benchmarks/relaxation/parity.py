r"""The batched optimisers beside ASE's, step for step, on D_opt of a finished run.

    python benchmarks/relaxation/parity.py --run results/demo

Every molecule is relaxed once in a batch with all others and once alone by ASE, both in float64
with the run's potential; what counts is how far apart the paths are anywhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import ase.optimize
import numpy as np
from ase import Atoms

import force2geo
from force2geo.relax.batched import relax
from force2geo.relax.evaluators import of_model
from force2geo.relax.result import read_relaxed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

NAMES = {"bfgs": ase.optimize.BFGS, "lbfgs": ase.optimize.LBFGS, "fire": ase.optimize.FIRE}


def main() -> None:
    """Compare all and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of the run's results")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    relaxed = read_relaxed(args.run / "relax/d_opt.h5")
    settings = json.loads((args.run / "settings/relax.json").read_text())
    threshold, limit = settings["force_threshold"], settings["max_steps"]
    model = force2geo.load(args.run / "train/pretrain/model.pt")
    calculator = model.calculator("float64")
    starts = [frames[0] for frames in relaxed.frames]
    result = {}
    for name, optimizer in NAMES.items():
        found = relax(
            relaxed.atomic_numbers, starts, of_model(model), threshold, limit, optimizer=name
        )
        apart, steps, other_length = [], 0, 0
        for run, start in zip(found, starts, strict=True):
            atoms = Atoms(run.atomic_numbers, start)
            atoms.calc = calculator
            path: list[np.ndarray] = []
            with optimizer(atoms, logfile=None) as moves:
                moves.attach(lambda atoms=atoms, path=path: path.append(atoms.positions.copy()))
                moves.run(fmax=threshold, steps=limit)
            other_length += len(path) != len(run.frames)
            steps += run.steps
            both = zip(run.frames, path, strict=False)
            apart.append(max(float(np.abs(ours - theirs).max()) for ours, theirs in both))
        result[name] = {
            "molecules": len(found),
            "steps": steps,
            "paths of another length": other_length,
            "more than 1e-6 Å apart": sum(distance > 1e-6 for distance in apart),
            "furthest apart, Å": max(apart),
            "furthest apart but for one, Å": sorted(apart)[-2],
        }
        print(
            f"{name:<8}{steps:>6} steps, {other_length} of another length, {max(apart):.1e} Å apart"
        )
    write(args.out, {"machine": describe(), **result})


if __name__ == "__main__":
    main()
