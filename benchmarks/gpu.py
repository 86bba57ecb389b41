"""Check, time and profile training and inference on one device, in one call of minutes.

It needs torch, numpy, h5py, lightning and this package, no other data: molecules of 29 atoms are
made here. What a number means stands in the result.

    python benchmarks/gpu.py --out gpu.json
    python benchmarks/gpu.py --device cpu --quick --out cpu.json   # the same on a CPU, small

The whole ends within `--minutes`: what is not begun by then is said to be left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from force2geo.potentials.batch import Batch, collate
from force2geo.potentials.models import Potential
from force2geo.train.engine import fit
from force2geo.train.objectives.energy_forces import EnergyForces
from force2geo.train.snapshots import Snapshots
from force2geo.training_data.packed import PackedWriter

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).resolve().parent))
from machine import describe, write
from steps import backbones

ATOMS = 29  # the mean of PubChemQCR
BACKBONE: dict[str, Any] = {
    "name": "painn",
    "layers": 4,
    "features": 128,
    "basis_size": 128,
    "cutoff": 4.5,
}
_SECONDS = [2.0]  # of each timing


def molecules(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (count, ATOMS) elements and (count, ATOMS, 3) Å, elongated as molecules are."""
    sites = np.stack(np.meshgrid(range(2), range(3), range(5), indexing="ij"), -1).reshape(-1, 3)
    positions = 1.45 * sites[:ATOMS] + rng.normal(scale=0.12, size=(count, ATOMS, 3))
    return rng.choice([1, 6, 7, 8], p=[0.5, 0.35, 0.07, 0.08], size=(count, ATOMS)), positions


def batch_of(count: int, device: str, dtype: torch.dtype = torch.float32) -> Batch:
    """Return a batch of molecules with random targets."""
    rng = np.random.default_rng(0)
    numbers, positions = molecules(count, rng)
    batch = collate(list(numbers), list(positions), dtype)
    batch.energy = torch.from_numpy(rng.normal(size=count))
    batch.forces = torch.from_numpy(rng.normal(size=(count * ATOMS, 3))).to(dtype)
    return batch.to(device)


def seconds(work: Callable[[], Any], device: str) -> float:
    """Return the mean time of a call, in a row of them, after two calls."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    work()
    work()
    wait()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < _SECONDS[0]:
        work()
        wait()
        calls += 1
    return (time.perf_counter() - start) / calls


def checks(device: str) -> dict[str, float]:
    """Return how far float64 results on the device are from those on the CPU, and from physics."""
    found: dict[str, float] = {}
    for name, variant in (("painn", "smooth"), ("painn", "published"), ("schnet", "smooth")):
        torch.manual_seed(0)
        model = Potential({**BACKBONE, "name": name, "variant": variant}).double()
        batch = batch_of(4, "cpu", torch.float64)
        expected = model(batch)
        output = model.to(device)(batch.to(device))
        for key in ("binding", "forces"):
            away = (output[key].cpu() - expected[key]).abs().max() / expected[key].abs().max()
            found[f"{variant} {name}, {key}, relative to the CPU's"] = float(away)
        moved = batch.to(device)
        step = 1e-5 * torch.randn_like(moved.positions)
        work = -(output["forces"] * step).sum()
        moved.positions = moved.positions + step / 2
        above = model(moved)["binding"].sum()
        moved.positions = moved.positions - step
        slope = above - model(moved)["binding"].sum()
        found[f"{variant} {name}, forces beside finite differences"] = float(
            (slope - work).abs() / work.abs()
        )
    return found


def precisions(device: str) -> dict[str, float]:
    """Return the force error of each precision of products, relative to float64's forces."""
    torch.manual_seed(0)
    model, batch = Potential(BACKBONE).to(device), batch_of(64, device)
    exact = Potential(BACKBONE).to(device).double()
    exact.load_state_dict(model.state_dict())
    wide = batch_of(64, device, torch.float64)
    wide.positions = batch.positions.double()
    truth = exact(wide)["forces"]
    found = {}
    for precision in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(precision)
        error = (model(batch)["forces"].double() - truth).square().mean().sqrt()
        found[precision] = float(error / truth.square().mean().sqrt())
    torch.set_float32_matmul_precision("highest")
    return found


def speed(device: str, sizes: list[int]) -> list[dict[str, Any]]:
    """Return rates of training steps and inference by precision and batch."""
    rows = []
    objective = EnergyForces.of()
    for precision in ("highest", "high", "medium"):
        torch.set_float32_matmul_precision(precision)
        for size in sizes:
            torch.manual_seed(0)
            model, batch = Potential(BACKBONE).to(device), batch_of(size, device)
            optimizer = torch.optim.Adam(model.parameters(), fused=device == "cuda")
            weights = list(model.parameters())

            def step(
                model: Any = model, batch: Any = batch, own: Any = optimizer, w: Any = weights
            ) -> None:
                own.zero_grad()
                objective.loss(model, batch)["loss"].backward(inputs=w)
                own.step()

            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            row: dict[str, Any] = {"products": precision, "batch": size}
            row["training, snapshots/s"] = round(size / seconds(step, device))
            row["inference, snapshots/s"] = round(
                size / seconds(lambda m=model, b=batch: m(b), device)
            )
            if device == "cuda":
                row["memory, MB"] = round(torch.cuda.max_memory_allocated() / 2**20)
            rows.append(row)
            print(row, flush=True)
    torch.set_float32_matmul_precision("highest")
    return rows


def whole_training(device: str, size: int, folder: Path) -> dict[str, float]:
    """Return the rate of the real training loop, and of its data alone."""
    numbers, positions = molecules(20 * size, np.random.default_rng(1))
    writer = PackedWriter(folder / "x.h5", ["md"])
    for row, (z, x) in enumerate(zip(numbers, positions, strict=True)):
        split = "val" if row < 8 else "train"
        writer.add(f"{row:09d}", z, x[None], np.zeros(1), np.zeros((1, *x.shape)), "md", split)
    writer.close()
    data = Snapshots.read(folder / "x.h5").to(device)
    train = data.where("train")
    settings = {
        "batch_size": size, "seed": 0, "ema": 0.999, "epochs": 3, "gradient_clip": 10.0,
        "optimizer": {"name": "adam", "learning_rate": 1e-4, "betas": [0.9, 0.999],
                      "weight_decay": 0.0},
        "schedule": {"name": "cosine", "warmup": 0.1},
    }  # fmt: skip
    objective = EnergyForces.of()
    torch.manual_seed(0)
    _, history = fit(Potential(BACKBONE), objective, train, data.where("val"), settings, folder)
    indices = np.random.default_rng(2).permutation(len(train))[:size]
    making = seconds(lambda: train.batch(indices), device)
    rate = len(train) / min(row["seconds"] for row in history)
    return {
        "training loop, snapshots/s": round(rate),
        "making batches alone, snapshots/s": round(size / making),
        "share of the loop that makes batches": round(rate * making / size, 4),
    }


def profile(device: str, size: int) -> str:
    """Return where a training step's time goes."""
    torch.manual_seed(0)
    model, batch = Potential(BACKBONE).to(device), batch_of(size, device)
    objective, weights = EnergyForces.of(), list(model.parameters())
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)

    def step() -> None:
        objective.loss(model, batch)["loss"].backward(inputs=weights)

    step()
    with torch.profiler.profile(activities=activities) as recorded:
        for _ in range(3):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
    by = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    return recorded.key_averages().table(sort_by=by, row_limit=20, max_name_column_width=60)


def main() -> None:
    """Do all and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--quick", action="store_true", help="small networks, short timings")
    parser.add_argument("--batches", type=int, nargs="+", help="molecules, of PaiNN's table")
    parser.add_argument("--each", type=int, nargs="+", help="molecules, of every backbone's")
    parser.add_argument("--backbones", nargs="+", help="all that are installed, unless named")
    parser.add_argument("--compiled", nargs="*", default=["painn", "schnet"])
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    device, began = args.device, time.monotonic()
    batches = args.batches or ([8] if args.quick else [256, 1024, 4096])
    if args.quick:
        _SECONDS[0] = 0.1
        BACKBONE.update(layers=1, features=16, basis_size=16)
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU is visible to torch: give --device cpu, or see nvidia-smi")
    result: dict[str, Any] = {"machine": describe(), "device": device, "atoms": ATOMS}
    if device == "cuda":
        result["device"] = torch.cuda.get_device_name()
    result["checks"] = checks(device)
    result["force error of products' precision"] = precisions(device)
    result["speed"] = speed(device, batches)
    with tempfile.TemporaryDirectory() as folder:
        result["loop"] = whole_training(device, batches[0], Path(folder))
    result["profile"] = profile(device, batches[-1]).splitlines()
    result["backbones"] = backbones(
        batch_of, seconds, device, args.each or ([4] if args.quick else [64, 512]),
        began + 60 * args.minutes, args.quick, args.compiled, args.backbones,
    )  # fmt: skip
    write(args.out, result)


if __name__ == "__main__":
    main()
