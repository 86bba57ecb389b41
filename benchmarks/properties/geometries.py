r"""What property models of one geometry lose on others: DFT's, relaxed and RDKit's own.

    python benchmarks/properties/geometries.py --model qm9 --tested results/properties/train/\
property.random.painn/predictions.npz --data results/qm9/packed/qm9.h5 \
        --relaxed results/qm9/relax/all.qm9/*.h5

The test molecules that the models never saw and that were relaxed to the end are predicted at each
of their geometries; the values are the data set's. Writes `geometries.json` beside this file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from force2geo.prediction import shipped
from force2geo.prediction.ensemble import Ensemble
from force2geo.relax.result import read_relaxed
from force2geo.relax.structures import Structure
from force2geo.superposition import rmsd
from force2geo.training_data.conformers import read_conformers

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write


def main() -> None:
    """Predict, compare and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", action="append", required=True, help="name in the box, or files")
    parser.add_argument("--tested", type=Path, required=True, help="predictions of a training")
    parser.add_argument("--data", type=Path, required=True, help="packed molecules, with RDKit's")
    parser.add_argument("--relaxed", type=Path, nargs="+", required=True, help="relaxations, HDF5")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    with np.load(args.tested, allow_pickle=False) as kept:
        tested = {name.decode() for name in kept["test/cid"]}
    ends: dict[str, np.ndarray] = {}
    statuses: dict[str, int] = {}
    for path in args.relaxed:
        found = read_relaxed(path)
        for name, status, frames in zip(found.cids, found.status, found.frames, strict=True):
            if name in tested:
                statuses[status] = statuses.get(status, 0) + 1
                if status == "converged":
                    ends[name] = frames[-1]
    conformers = read_conformers(args.data)
    rows = conformers.index(sorted(ends))
    places = {
        "dft": [conformers.positions("dft")[conformers.atoms(row)] for row in rows],
        "relaxed": [ends[conformers.cids[row]] for row in rows],
        "rdkit": [conformers.positions("rdkit")[conformers.atoms(row)] for row in rows],
    }
    ensemble = Ensemble.read(shipped.chosen(args.model, []))
    results: dict[str, Any] = {}
    for name, positions in places.items():
        structures = [
            Structure(0, conformers.atomic_numbers[conformers.atoms(row)], own.astype(float), None)
            for row, own in zip(rows, positions, strict=True)
        ]
        values = ensemble.answer(structures, 4096).values
        results[name] = {
            target: float(
                np.abs(said.mean(axis=0) - conformers.targets[target].values[rows]).mean()
            )
            for target, said in values.items()
        }
        apart = [rmsd(one, other) for one, other in zip(positions, places["dft"], strict=True)]
        results[name]["median RMSD from dft, Å"] = float(np.median(apart))
    told = {"molecules": len(rows), "units": ensemble.units, "relaxations": statuses}
    write(args.out, {"machine": describe(), **told, "mean absolute errors": results})


if __name__ == "__main__":
    main()
