"""Train PaiNN on the given split of an rMD17 molecule and measure its test errors.

Settings are in rmd17.yaml beside this file. A killed run, called again, goes on where it was; the
result goes into rmd17.json beside those of the other molecules.

    python benchmarks/training/rmd17.py --data ../shared/data/rmd17 --molecule ethanol
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from ase import units

from force2geo.datasets.rmd17 import frames
from force2geo.potentials import checkpoint
from force2geo.potentials.models import Potential
from force2geo.train.engine import fit
from force2geo.train.judging import predict_all
from force2geo.train.memory import keep_freed_memory
from force2geo.train.objectives.energy_forces import EnergyForces
from force2geo.train.reference_energies import fit_references
from force2geo.train.snapshots import Snapshots
from force2geo.train.unfinished import discard
from force2geo.training_data.packed import PackedWriter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

# PaiNN's row of Table 2 in GeoRecon (trained on MD17), kcal/mol/Å.
PUBLISHED = {"ethanol": 0.224, "malonaldehyde": 0.319, "aspirin": 0.338}
_POINTS = 100  # of a curve


def pack(data: Path, molecule: str, validation: int, seed: int, target: Path) -> Snapshots:
    """Write the molecule's frames as packed snapshots with their splits and return them."""
    train = frames(data / f"{molecule}_train_01.xyz.gz")
    test = frames(data / f"{molecule}_test_01.xyz.gz")
    order = np.random.default_rng(seed).permutation(len(train[2]))
    sets = {
        "val": (train, order[:validation]),
        "train": (train, order[validation:]),
        "test": (test, slice(None)),
    }
    writer = PackedWriter(target, ["md"])
    for number, (split, (file, rows)) in enumerate(sets.items()):
        numbers, positions, energies, forces = file
        writer.add(
            f"{number:09d}", numbers, positions[rows], energies[rows], forces[rows], "md", split
        )
    writer.close()
    return Snapshots.read(target)


def main() -> None:
    """Train, measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of rMD17 frames")
    parser.add_argument("--molecule", choices=sorted(PUBLISHED), required=True)
    parser.add_argument(
        "--work", type=Path, default=Path("results/rmd17"), help="state and weights"
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    here = Path(__file__)
    settings: dict[str, Any] = yaml.safe_load(here.with_suffix(".yaml").read_text())
    settings["epochs"] = settings["epochs"][args.molecule]
    args.work.mkdir(parents=True, exist_ok=True)
    packed = args.work / f"{args.molecule}.h5"
    snapshots = pack(args.data, args.molecule, settings["validation"], settings["seed"], packed)
    sets = {name: snapshots.where(name) for name in ("train", "val", "test")}
    torch.manual_seed(settings["seed"])
    model = Potential(settings["backbone"])
    model.config["elements"] = snapshots.elements()
    # One molecule: only the mean energy is of use.
    model.energy.references.copy_(torch.from_numpy(fit_references(sets["train"], "mean")))
    objective = EnergyForces.of(**settings["loss"])
    scratch = args.work / f".{args.molecule}.unfinished"
    network, history = fit(model, objective, sets["train"], sets["val"], settings, scratch)
    checkpoint.save(network, args.work / f"{args.molecule}.pt", {"settings": settings})
    discard(scratch)
    found, metrics = predict_all(network, objective, sets["test"], {"batch_size": 50})
    unit = units.kcal / units.mol
    result = {
        "force MAE, kcal/mol/Å": round(metrics["force_mae"] / 1e3 / unit, 4),
        "published PaiNN on MD17, kcal/mol/Å": PUBLISHED[args.molecule],
        "energy MAE, kcal/mol": round(
            float(np.abs(found["energy"] - found["energy_true"]).mean()) / unit, 4
        ),
        "test frames": len(sets["test"]),
        "parameters": sum(p.numel() for p in network.parameters()),
        "minutes of training": round(sum(row["seconds"] for row in history) / 60, 1),
        "threads": args.threads,
        "settings": settings,
        "validation force MAE, kcal/mol/Å, by epoch": {
            int(row["epoch"]) + 1: round(row["val_force_mae"] / 1e3 / unit, 4)
            for row in history[:: max(1, len(history) // _POINTS)]
        },
    }
    target = here.with_suffix(".json")
    content = json.loads(target.read_text()) if target.exists() else {"results": {}}
    results = {**content["results"], args.molecule: result}
    write(target, {"machine": describe(), "results": results})


if __name__ == "__main__":
    main()
