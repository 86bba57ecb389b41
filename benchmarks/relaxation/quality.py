r"""Table 3's trained rows over several seeds: how much of a difference is chance.

    snakemake --cores 2 --configfile workflow/config/table3.yaml
    python benchmarks/relaxation/quality.py --run results/demo --other published --seeds 7 8 9

For each seed the run's recipe and another one train at the same time, one thread each, relax D_opt
from the same starts and are judged by the same single points (the run's cache is used). Intervals:
a bootstrap over the molecules, the same for both recipes, of what is the mean over seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from force2geo.evaluate.geometry import CHEMICAL_ACCURACY, per_molecule, summary
from force2geo.relax.result import read_relaxed
from force2geo.training_data.conformers import read_conformers

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

RATES = ("pct_energy", "pct_success", "pct_diverged", "pct_force", "pct_force_dft")


def judge(run: Path, recipe: str, seed: int, folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train, relax, compute single points and return the rates and what is behind them."""
    settings = json.loads((run / f"settings/train/{recipe}.json").read_text()) | {"seed": seed}
    own = folder / f"{recipe}.{seed}"
    own.mkdir(parents=True)
    (own / "settings.json").write_text(json.dumps(settings))
    model, relaxed, points = own / "model.pt", own / "d_opt.h5", own / "dft.csv"
    packed = run / "packed"
    same = ["--conformers", packed / "downstream.h5"]
    commands = [
        ["train", "--settings", own / "settings.json", "--data", packed / "pretrain.h5",
         "--out", model],
        ["relax", "--settings", run / "settings/relax/d_opt.json", "--model", model, *same,
         "--selection", run / "d_opt.json", "--out", relaxed],
        ["dft", "--settings", run / "settings/dft.json", "--relaxed", relaxed, *same,
         "--cache", run / "dft/cache", "--out", points],
    ]  # fmt: skip
    for command in commands:
        with (own / f"{command[0]}.log").open("w") as log:
            subprocess.run(
                ["force2geo", *map(str, command)], check=True, stdout=log, stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
    table = pd.read_csv(points, dtype={"cid": str, "error": str})
    molecules = per_molecule(table, read_relaxed(relaxed), read_conformers(same[1]))
    if not molecules["judged"].all():
        sys.exit(f"{points}: single points were not computed; give them more time or memory")
    metrics = json.loads((own / "metrics.json").read_text())
    found = summary(molecules)
    return {
        "seed": seed,
        "seconds of training": round(sum(row["seconds"] for row in metrics["history"])),
        "force RMSE, test, meV/Å": round(metrics["test"]["force_rmse"], 1),
        "residual, mean, kcal/mol": round(float(molecules["residual"].mean()), 3),
        **{name: round(found[name], 1) for name in RATES},
    }, molecules


def with_intervals(
    ours: list[pd.DataFrame], other: list[pd.DataFrame], draws: int = 2000
) -> dict[str, Any]:
    """Return both recipes' rates, mean residuals and how they compare: value, low and high."""
    rng = np.random.default_rng(7)
    count = len(ours[0])
    # The first draw is the set itself.
    chosen = np.vstack([np.arange(count), rng.integers(count, size=(draws, count))])

    def means(column: str, tables: list[pd.DataFrame]) -> np.ndarray:
        seeds = np.array([table[column] for table in tables], dtype=float)
        return np.nanmean(seeds[:, chosen], axis=(0, 2))

    def described(values: np.ndarray) -> list[float]:
        return [round(float(v), 2) for v in (values[0], *np.percentile(values[1:], [2.5, 97.5]))]

    for table in (*ours, *other):
        table["success"] = 100.0 * (table["residual"] < CHEMICAL_ACCURACY)
        table["diverged"] = 100.0 * table["diverged"]
    names = {"success": "pct_success", "residual": "residual, kcal/mol", "diverged": "pct_diverged"}
    both = {column: (means(column, ours), means(column, other)) for column in names}
    return {
        **{
            f"{name}: {recipe}": described(values)
            for column, name in names.items()
            for recipe, values in zip(("ours", "other"), both[column], strict=True)
        },
        "pct_success: ours / other": described(both["success"][0] / both["success"][1]),
        "residual: other / ours": described(both["residual"][1] / both["residual"][0]),
        "pct_diverged: ours - other": described(both["diverged"][0] - both["diverged"][1]),
    }


def main() -> None:
    """Measure all and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of the run's results")
    parser.add_argument("--other", default="published", help="the other recipe's name")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    recipes = {"ours": "pretrain", args.other: f"pretrain.{args.other}"}
    result: dict[str, Any] = {name: {"runs": []} for name in recipes}
    molecules: dict[str, list[pd.DataFrame]] = {name: [] for name in recipes}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(recipes)) as pool:
        for seed in args.seeds:
            jobs = {
                name: pool.submit(judge, args.run, recipe, seed, Path(folder))
                for name, recipe in recipes.items()
            }
            for name, job in jobs.items():
                found, table = job.result()
                result[name]["runs"].append(found)
                molecules[name].append(table)
                print(name, found, flush=True)
    for found in result.values():
        found["mean over seeds"] = {
            key: round(float(np.mean([run[key] for run in found["runs"]])), 3)
            for key in found["runs"][0]
            if key != "seed"
        }
    compared = with_intervals(molecules["ours"], molecules[args.other])
    write(args.out, {"machine": describe(), **result, "value, low and high": compared})


if __name__ == "__main__":
    main()
