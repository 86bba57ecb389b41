r"""A long file of SMILES relaxes through a kill and an interrupt: memory, time, and what is lost.

    python benchmarks/relaxation/stream.py molecules.smi [--steps 3 --dtype float32]

`force2geo relax` is killed (SIGKILL) at 0.3 of its portions and interrupted (SIGINT) at 0.6, and
called again each time. Then the portions that were struck relax once more by themselves, untouched,
and must come out the same. Linux.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

from force2geo.relax.portions import SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

STRIKES = {0.3: signal.SIGKILL, 0.6: signal.SIGINT}


def resident(process: int) -> float:
    """Return the MB that a process and all it has begun hold, 0 once it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        threads = Path(f"/proc/{process}/task").iterdir()
        begun = [pid for thread in threads for pid in (thread / "children").read_text().split()]
    except OSError:
        return 0.0
    own = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
    return sum(own) / 1024 + sum(resident(int(pid)) for pid in begun)


def portions(output: Path) -> int:
    """Return how many portions of an unfinished output are done."""
    return len(list(output.parent.glob(f".{output.name}.unfinished/*.portions/*.json")))


def through(command: list[str], output: Path, whole: int) -> dict[str, Any]:
    """Run a command that is struck and called again; return time and memory along it."""
    left = [(round(share * whole), how) for share, how in STRIKES.items()]
    rows, struck, ends, start = [], [], [], time.perf_counter()
    while True:
        # In the background of a shell SIGINT is ignored, and what is begun there inherits that.
        process = subprocess.Popen(
            command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        )
        while process.poll() is None:
            rows.append((portions(output), resident(process.pid)))
            if left and rows[-1][0] >= left[0][0]:
                time.sleep(3)  # in the middle of the next
                struck.append(portions(output))
                process.send_signal(left.pop(0)[1])
                process.wait()
            time.sleep(0.5)
        ends.append(process.returncode)
        if len(ends) > len(STRIKES):
            break
    tenths = [
        max((held for done, held in rows if begin <= done / whole < begin + 0.1), default=0.0)
        for begin in np.arange(10) / 10
    ]
    return {
        "seconds": time.perf_counter() - start,
        "processor seconds": sum(os.times()[2:4]),
        "returned": ends,
        "struck in portion": struck,
        "most memory by tenth, MB": [round(held) for held in tenths],
    }


def records(path: Path) -> list[tuple[str, np.ndarray]]:
    """Return SMILES and positions (N,3) in Å of every record of an SDF, in order."""
    with Chem.ForwardSDMolSupplier(str(path), removeHs=False) as supplier:
        return [
            (Chem.MolToSmiles(molecule), molecule.GetConformer().GetPositions())
            for molecule in supplier
        ]


def left_out(path: Path) -> list[dict[str, str]]:
    """Return the rows of what was left out."""
    told = path.with_suffix(".left_out.csv")
    if not told.exists():
        return []
    with told.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def same(whole: Sequence[Any], part: Sequence[Any]) -> float:
    """Return the largest difference in Å between records that must be a stretch of all."""
    names = [name for name, _ in part]
    every = [name for name, _ in whole]
    for first in range(len(every) - len(names) + 1):
        if every[first : first + len(names)] == names:
            found = whole[first : first + len(names)]
            return max(float(abs(a - b).max()) for (_, a), (_, b) in zip(found, part, strict=True))
    sys.exit("the portion's molecules are not in the output, one after the other")


def main() -> None:
    """Run, strike, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("molecules", type=Path, help=".smi")
    parser.add_argument("--model", default="plain")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--folder", type=Path, help="where the output is kept")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    lines = args.molecules.read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        output = folder / "all.sdf"
        command = ["force2geo", "relax", str(args.molecules), str(output)]
        setting = {"model": args.model, "steps": args.steps, "dtype": args.dtype}
        options = [word for key, value in setting.items() for word in (f"--{key}", str(value))]
        found = through([*command, *options], output, -(-len(lines) // SIZE))
        whole, lost = records(output), left_out(output)
        found |= {"molecules": len(lines), "records": len(whole), "left out": len(lost)}
        differences = []
        for number in found["struck in portion"]:
            some, again = folder / f"{number}.smi", folder / f"{number}.sdf"
            stretch = lines[number * SIZE : (number + 1) * SIZE]
            some.write_text("\n".join(stretch) + "\n", encoding="utf-8")
            # Its status is 1 where a molecule has met the limit of steps.
            subprocess.run(["force2geo", "relax", str(some), str(again), *options], check=False)
            differences.append(same(whole, records(again)))
        found["largest difference of struck portions, Å"] = differences
    write(args.out, {"machine": describe(), **setting, **found})


if __name__ == "__main__":
    main()
