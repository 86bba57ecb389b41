r"""PaiNN on QM9's gap beside peers' PaiNN: same molecules, width, cutoff, epochs, recipe and run.

    snakemake --configfile workflow/config/qm9.yaml --cores 2 -- \
        results/qm9/packed/qm9.h5 results/qm9/settings/train/property.random.painn.json
    python benchmarks/properties/gap.py --data results/qm9/packed/qm9.h5 \
        --record results/qm9/settings/train/property.random.painn.json \
        --peer schnetpack=spk/bin/python --peer published=pyg/bin/python --code painn.py

Each trains in a process of its own, one after the other, by the record's recipe and sees the same
molecules. Ours is the command that the workflow calls, with reading, validation after every epoch,
checkpoints and predictions in its `seconds`; a peer's are those of its steps and its loader alone.
`--code` is the published network's file (divelab/AIRS, OpenMol/Force2Geo, Molecule3D/model/painn),
which needs torch-geometric.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write


def of_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a peer is to be told of a training's record."""
    backbone = {key: record["backbone"][key] for key in ("layers", "features", "basis_size")}
    return backbone | {
        "cutoff": record["backbone"]["cutoff"],
        "learning_rate": record["optimizer"]["learning_rate"],
        "warmup": record["schedule"]["warmup"],
        **{key: record[key] for key in ("batch_size", "ema", "gradient_clip")},
    }


def export(record: dict[str, Any], data: Path, target: Path) -> None:
    """Write the molecules that the record's training learns from and is tested on."""
    from force2geo.train.registry import of_record as objective_of
    from force2geo.train.sources import Inputs

    sets = objective_of(record, "record").source.read(record, Inputs(data))
    parts = [sets[name] for name in ("train", "test")]
    sizes = np.concatenate([part.sizes() for part in parts])
    count = len(parts[0])
    np.savez(
        target,
        numbers=np.concatenate([part.atomic_numbers.numpy() for part in parts]),
        positions=np.concatenate([part.fixed.numpy() for part in parts]),
        ptr=np.concatenate([[0], np.cumsum(sizes)]),
        values=np.concatenate([part.targets[record["target"]].numpy() for part in parts]),
        train=np.arange(count),
        test=np.arange(count, len(sizes)),
    )


def ours(record: dict[str, Any], data: Path, folder: Path, environment: dict[str, str]) -> Any:
    """Train with `force2geo train` and return what it says."""
    settings = folder / "record.json"
    settings.write_text(json.dumps(record), encoding="utf-8")
    start = time.perf_counter()
    command = [sys.executable, "-m", "force2geo.cli", "train", "--settings", str(settings)]
    run([*command, "--data", str(data), "--out", str(folder / "model.pt")], environment)
    seconds = time.perf_counter() - start
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    steps = sum(row["seconds"] for row in metrics["history"])
    return {
        "weights": metrics["parameters"], "seconds": seconds,
        "molecules/s": metrics["sizes"]["train"] * metrics["epochs"] / steps,
        "test MAE, eV": metrics["test"]["property_mae"], "epochs": metrics["epochs"],
    }  # fmt: skip


def run(command: list[str], environment: dict[str, str]) -> str:
    """Return what a command prints; it ends all where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done.stdout


def main() -> None:
    """Train all and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="packed molecules")
    parser.add_argument("--record", type=Path, required=True, help="of the training, JSON")
    parser.add_argument("--peer", action="append", default=[], help="NAME=PYTHON, repeatable")
    parser.add_argument("--code", type=Path, help="painn.py of the published code")
    parser.add_argument("--epochs", type=int, help="another number, for rates alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    record = json.loads(args.record.read_text(encoding="utf-8"))
    record["epochs"] = args.epochs or record["epochs"]
    threads = str(args.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    peer = Path(__file__).with_name("peer.py")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        molecules, recipe = folder / "molecules.npz", folder / "recipe.json"
        export(record, args.data, molecules)
        recipe.write_text(json.dumps(of_record(record)), encoding="utf-8")
        found = {"force2geo": ours(record, args.data, folder, environment)}
        print(json.dumps(found), flush=True)
        for told in args.peer:
            title, python = told.split("=", 1)
            command = [python, str(peer), title, "--molecules", str(molecules)]
            command += ["--recipe", str(recipe), "--epochs", str(record["epochs"])]
            command += ["--threads", threads, "--seed", str(record["seed"])]
            command += ["--code", str(args.code)] if args.code else []
            found[title] = json.loads(run(command, environment).strip().splitlines()[-1])
            print(json.dumps({title: found[title]}), flush=True)
    own = found["force2geo"]
    ratios = {
        title: {
            "test MAE, ours / peer": own["test MAE, eV"] / one["test MAE, eV"],
            "seconds, peer / ours": one["seconds"] / own["seconds"],
            "molecules/s, ours / peer": own["molecules/s"] / one["molecules/s"],
        }
        for title, one in found.items()
        if one is not own
    }
    about = {"machine": describe(), "threads": args.threads, "record": record}
    write(args.out, {**about, "results": found, "ratios": ratios})


if __name__ == "__main__":
    main()
