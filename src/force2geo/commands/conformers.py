"""`force2geo conformers`: the downstream set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings, add_store

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo conformers --settings conformers.json --selection selection.json "
        "\\\n    --store store --out downstream.h5"
    )
    add_settings(parser)
    parser.add_argument("--selection", type=Path, required=True, help="selection, JSON")
    add_store(parser)
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")


def run(args: argparse.Namespace) -> None:
    """Collect geometries and embed conformers."""
    import numpy as np

    from force2geo.commands.arguments import selected, shards_of
    from force2geo.curation.joined import joined
    from force2geo.curation.merge import shard_files
    from force2geo.files import atomic_path, record_provenance
    from force2geo.select.embed import embed_like, parse
    from force2geo.training_data.conformers import GEOMETRIES, Conformers, write_conformers
    from force2geo.trajectory import PATH_STAGES
    from force2geo.units import HARTREE_TO_EV

    settings, shards = shards_of(args)
    subset = set(selected(args.selection, "subset"))
    cids: list[str] = []
    numbers: list[np.ndarray] = []
    gaps: list[float] = []
    charges: list[int] = []
    multiplicities: list[int] = []
    geometry: dict[str, list[np.ndarray]] = {name: [] for name in GEOMETRIES}
    missing = 0
    paths = shard_files(args.store, shards, ".lmdb")
    for trajectory in joined(paths, PATH_STAGES, subset):
        first, last = trajectory.stages["dft_1st"], trajectory.final_dft
        assert last is not None and last.homo is not None and last.lumo is not None
        seed = int(np.random.default_rng([settings["seed"], int(trajectory.cid)]).integers(2**31))
        reference = last.positions[-1]
        # As everywhere, the InChI counts where the SMILES says nothing.
        text = trajectory.smiles if parse(trajectory.smiles) is not None else trajectory.inchi
        embedded = embed_like(text, trajectory.atomic_numbers, reference, seed)
        if embedded is None:
            embedded = np.full_like(reference, np.nan)
            missing += 1
        cids.append(trajectory.cid)
        numbers.append(np.asarray(trajectory.atomic_numbers))
        gaps.append((last.lumo - last.homo) * HARTREE_TO_EV)
        charges.append(trajectory.charge)
        multiplicities.append(trajectory.multiplicity)
        for name, positions in zip(
            GEOMETRIES, (reference, first.positions[0], embedded), strict=True
        ):
            geometry[name].append(positions)
    counts = [len(z) for z in numbers]
    with atomic_path(args.out) as part:
        write_conformers(
            part,
            Conformers(
                cids=cids,
                ptr=np.concatenate([[0], np.cumsum(counts)]),
                atomic_numbers=np.concatenate(numbers),
                gap=np.array(gaps),
                geometry={name: np.concatenate(parts) for name, parts in geometry.items()},
                charge=np.array(charges),
                multiplicity=np.array(multiplicities),
            ),
        )
    record_provenance(args.out, "conformers", settings, [args.selection, *paths])
    print(f"{len(cids)} molecules, {missing} without an RDKit conformer")
