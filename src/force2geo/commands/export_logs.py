"""`force2geo export-logs`: raw results to archives of logs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n"
        "  force2geo export-logs --molecules ids.csv --raw trajectories labels --out demo\n\n"
        "the table has the columns cid,file,smiles,inchi; file is the .npz's name without suffix"
    )
    parser.add_argument("--molecules", type=Path, required=True, help="CSV: file of each CID")
    parser.add_argument("--raw", type=Path, nargs="+", required=True, help="folders of .npz files")
    parser.add_argument("--shard-size", type=int, default=50, help="molecules per archive")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")


def run(args: argparse.Namespace) -> None:
    """Write the archives and the table of identifiers."""
    from force2geo.files import reading, write_table
    from force2geo.interchange.export import shards, write_shard
    from force2geo.interchange.protocol import read_protocol

    files = {path.stem: path for folder in args.raw for path in folder.glob("*.npz")}
    with (
        reading(args.molecules, "a table cid,file,smiles,inchi"),
        args.molecules.open(newline="", encoding="utf-8") as handle,
    ):
        rows = [(row["file"], row["cid"]) for row in csv.DictReader(handle)]
        if not rows:
            raise ValueError("no row")
    trajectories = []
    for file, cid in rows:
        if file in files:
            with reading(files[file], "a raw result, .npz"):
                trajectories.append(read_protocol(files[file], cid))
    for index, shard in enumerate(shards(trajectories, args.shard_size)):
        write_shard(shard, args.out / f"shard_{index:03d}.tar.xz")
    identifiers = [
        {"cid": t.cid, "smiles": t.smiles, "inchi": t.inchi}
        for t in sorted(trajectories, key=lambda t: t.cid)
    ]
    write_table(args.out / "molecules.csv", ("cid", "smiles", "inchi"), identifiers)
    print(f"{len(trajectories)} molecules written to {args.out}")
