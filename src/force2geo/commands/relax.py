"""`force2geo relax`: molecules to their minimum on a potential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo relax --settings relax.json --model pretrain/model.pt "
        "\\\n    --conformers downstream.h5 --selection selection.json --set d_opt --out d_opt.h5"
    )
    add_settings(parser)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint of a potential")
    parser.add_argument("--conformers", type=Path, required=True, help="downstream set, HDF5")
    parser.add_argument("--selection", type=Path, required=True, help="selection, JSON")
    parser.add_argument("--set", choices=("d_opt", "subset"), required=True, help="which molecules")
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")


def run(args: argparse.Namespace) -> None:
    """Relax the molecules from their first DFT snapshot."""
    import json

    import numpy as np
    import torch
    from ase import Atoms
    from tqdm import tqdm

    from force2geo import load
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.files import atomic_path, record_provenance
    from force2geo.potentials.models import Potential
    from force2geo.relax.bfgs import relax
    from force2geo.relax.result import write_relaxed
    from force2geo.store.conformers import read_conformers

    settings = read_settings(args.settings)
    model = load(args.model, "cuda" if torch.cuda.is_available() else "cpu")
    if not isinstance(model.network, Potential):
        raise UserError(f"{args.model}: a property model cannot relax; give a potential")
    # Forces below the threshold are differences of large numbers: float64 resolves them.
    model.network.double()

    def evaluate(
        numbers: list[np.ndarray], positions: list[np.ndarray]
    ) -> list[tuple[float, np.ndarray]]:
        molecules = [Atoms(z, x) for z, x in zip(numbers, positions, strict=True)]
        results = model.predict(molecules)
        return [(float(r["energy"]), np.asarray(r["forces"])) for r in results]

    conformers = read_conformers(args.conformers)
    cids = json.loads(args.selection.read_text())[args.set]
    atoms = [conformers.atoms(row) for row in conformers.index(cids)]
    with tqdm(total=len(cids), unit="molecule", disable=None) as bar:
        runs = relax(
            [conformers.atomic_numbers[part] for part in atoms],
            [conformers.geometry["hf"][part] for part in atoms],
            evaluate,
            settings["force_threshold"],
            settings["max_steps"],
            settings["batch_size"],
            on_finished=bar.update,
        )
    with atomic_path(args.out) as partial:
        write_relaxed(partial, cids, runs)
    inputs = [args.model, args.conformers, args.selection]
    record_provenance(args.out, "relax", settings, inputs)
    counts = {status: sum(r.status == status for r in runs) for status in {r.status for r in runs}}
    print(f"{args.set}: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items())))
