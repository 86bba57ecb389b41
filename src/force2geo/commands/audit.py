"""`force2geo audit`: levels of theory in a store, and whether its energies are at them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings, add_store

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo audit --store store --out audit.json\n"
        "  force2geo audit --store store --sample 5 --out audit.json\n\n"
        "warns, and exits with 0, when energies of several scales would be trained on together"
    )
    add_settings(parser, required=False)
    add_store(parser)
    parser.add_argument("--sample", type=int, help="energies of each stage and level to recompute")
    parser.add_argument("--out", type=Path, required=True, help="report to write, JSON")


def run(args: argparse.Namespace) -> None:
    """Audit."""
    import sys

    import numpy as np
    from tqdm import tqdm

    from force2geo.commands.arguments import shards_of
    from force2geo.curation.merge import shard_files
    from force2geo.dft.audit import audit
    from force2geo.files import record_provenance, write_json

    settings, shards = shards_of(args)
    sample = settings.get("sample", 1) if args.sample is None else args.sample
    paths = shard_files(args.store, shards, ".lmdb")
    with tqdm(unit="molecule", disable=None) as bar:
        report = audit(
            paths,
            sample,
            settings.get("tolerance", 1e-4),
            settings.get("uses", {}),
            np.random.default_rng(settings.get("seed", 0)),
            bar.update,
        )
    write_json(args.out, report)
    record_provenance(args.out, "audit", settings, paths)
    for row in report["levels"]:
        functions = {None: "", True: " spherical", False: " Cartesian"}[row["spherical"]]
        print(
            f"{row['stage']:<11} {row['molecules']:>8} molecules {row['snapshots']:>9} snapshots  "
            f"{row['program']} {row['form']} {row['basis']}{functions}"
        )
    for check in report["checks"]:
        found = check["difference"]
        shown = "" if found is None else f", PySCF less stored {found:+.2e} Hartree"
        print(f"{check['cid']} {check['stage']}: {check['verdict']}{shown}")
    for warning in report["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
