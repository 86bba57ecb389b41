"""Ship labels that are there, and say which molecules are left.

    python collect.py left LEFT.csv                    # of pool.csv, what has no labels yet
    force2geo label --molecules LEFT.csv --out LABELS --points 2
    python collect.py ship LABELS                      # into the next labels_NNN.tar.xz here

`molecules.csv` lists what is shipped, `rejects.csv` what cannot be labelled and why.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from force2geo.files import write_table
from force2geo.interchange.export import shards, write_shard
from force2geo.interchange.protocol import read_protocol

HERE = Path(__file__).parent
SHARD = 250
LISTED, REJECTED = HERE / "molecules.csv", HERE / "rejects.csv"


def rows(path: Path, *columns: str) -> list[dict[str, str]]:
    """Return a table's rows, none where there is no file; `columns` of one without a header."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, columns or None))


def left(target: Path) -> None:
    """Write the molecules of the pool that are neither shipped nor rejected."""
    done = {row["cid"] for row in (*rows(LISTED), *rows(REJECTED))}
    pool = rows(HERE / "pool.csv")
    wanted = [row for row in pool if row["cid"] not in done]
    write_table(target, tuple(pool[0]), wanted)
    print(f"{len(wanted)} of {len(pool)} molecules are left")


def ship(labels: Path) -> None:
    """Write the results in a folder that are not shipped yet as shards, and list them."""
    listed = rows(LISTED)
    known = {row["cid"] for row in listed}
    new = [
        read_protocol(path, path.stem)
        for path in sorted(labels.glob("*.npz"))
        if path.stem not in known
    ]
    begin = len(list(HERE.glob("labels_*.tar.xz")))
    for index, shard in enumerate(shards(new, SHARD), begin):
        write_shard(shard, HERE / f"labels_{index:03d}.tar.xz")
    listed += [{"cid": one.cid, "smiles": one.smiles, "inchi": one.inchi} for one in new]
    write_table(LISTED, ("cid", "smiles", "inchi"), listed)
    reasons = {row["cid"]: row["reason"] for row in rows(REJECTED)}
    reasons |= {row["cid"]: row["reason"] for row in rows(labels / "rejects.csv", "cid", "reason")}
    write_table(
        REJECTED, ("cid", "reason"), [{"cid": c, "reason": r} for c, r in sorted(reasons.items())]
    )
    points = sum(len(stage) for one in new for stage in one.stages.values())
    print(f"{len(new)} molecules with {points} points shipped, {len(listed)} in all")


{"left": left, "ship": ship}[sys.argv[1]](Path(sys.argv[2]))
