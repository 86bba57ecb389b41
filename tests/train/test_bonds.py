"""Molecular graphs in training: they follow their molecules, and are learnt from."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Descriptors

from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.potentials.bonds import molecular_graph, with_bonds
from force2geo.train.molecules import molecules
from force2geo.training_data.conformers import ConformersWriter, Row, read_conformers
from force2geo.training_data.embed import embed, match

COUNT = 90


@pytest.fixture(scope="module")
def file(repository, tmp_path_factory):
    """Molecules of the demo, each in an order of atoms of its own; one has another's SMILES."""
    path = tmp_path_factory.mktemp("bonds") / "m.h5"
    table = pd.read_csv(repository / "workflow/resources/demo/molecules.csv")
    rng = np.random.default_rng(0)
    names, orders = [], {}
    with ConformersWriter(path, {"tpsa": "Å^2"}) as writer:
        for smiles in table["smiles"]:
            built = embed(smiles, seed=1)
            if built is None or len(names) == COUNT:
                continue
            order = rng.permutation(built.GetNumAtoms())
            numbers = np.array([atom.GetAtomicNum() for atom in built.GetAtoms()])[order]
            positions = built.GetConformer().GetPositions()[order]
            text = "C#N" if len(names) == 5 else smiles
            found = match(text, numbers, positions, seed=1, conform=False)
            tpsa = Descriptors.TPSA(built)
            names.append(f"m{len(names)}")
            orders[names[-1]] = Chem.RenumberAtoms(built, order.tolist())
            writer.add(
                Row(names[-1], numbers, 0, 1, {"tpsa": tpsa}, {"dft": positions}, smiles=text,
                    places=found.places, graph=found.graph)
            )  # fmt: skip
        parts = {"train": names[:60], "val": names[60:75], "test": names[75:]}
        writer.close({"random": parts})
    return path, orders


def test_bonds_follow_their_molecules(file):
    path, orders = file
    conformers = read_conformers(path, graphs=True)
    data = molecules(conformers, ["m20", "m5", "m3", "m44", "m8", "m2"], "dft", bonds=True)
    assert data.left_out == {"no molecular graph": 1} and len(data) == 5
    for kept in (data, data.take(torch.tensor([4, 0, 3])), data.known_to(data.seen())):
        batch = kept.batch(np.array([2, 0, 1]))
        names = [kept.cid[row].decode() for row in (2, 0, 1)]
        # The same graph, made of the molecule in this order of its atoms.
        bare = replace(batch, bonds=None, bond_features=None, atom_features=None)
        wanted = with_bonds(bare, [molecular_graph(orders[name]) for name in names])

        def rows(one):
            ends = torch.cat([one.bonds.t(), one.bond_features], dim=1)
            return sorted(ends.tolist())

        assert rows(batch) == rows(wanted)
        # Chirality is told by the order of neighbours, the rest by the atom alone.
        kinds = [0, 2, 3, 4, 5, 6, 7, 8]
        assert torch.equal(batch.atom_features[:, kinds], wanted.atom_features[:, kinds])


RECORD = {
    "objective": "property", "target": "tpsa", "split": "random", "geometry": "dft", "start": None,
    "mixed": False, "seed": 3, "batch_size": 16, "epochs": 25, "ema": 0.0, "gradient_clip": 10.0,
    "backbone": {"name": "gin_virtual", "layers": 3, "features": 32},
    "optimizer": {"name": "adam", "learning_rate": 3e-3, "betas": [0.9, 0.999],
                  "weight_decay": 0.0},
    "schedule": {"name": "step", "step_size": 40, "gamma": 0.5},
}  # fmt: skip


def test_gin_virtual_learns_a_property_of_real_molecules(file, tmp_path):
    path, _ = file
    (tmp_path / "s.json").write_text(json.dumps(RECORD))
    given = ["--settings", tmp_path / "s.json", "--data", path, "--out", tmp_path / "model.pt"]
    assert main(["train", *map(str, given)]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["sizes"] == {"train": 59, "val": 15, "test": 15}
    assert metrics["left_out"] == {"train": {"no molecular graph": 1}}
    losses = [row["train_loss"] for row in metrics["history"]]
    assert losses[-1] < 0.4 * losses[0]
    with np.load(tmp_path / "predictions.npz") as found:
        true = found["test/property_true"]
    conformers = read_conformers(path)
    mean = np.mean(conformers.targets["tpsa"].values[:60])
    assert metrics["test"]["property_mae"] < 0.6 * np.abs(true - mean).mean()
    assert metrics["units"] == {"property_mae": "Å^2"}


def test_what_has_no_bonds_is_refused_to_a_network_of_bonds(file, packed, tmp_path, capsys):
    snapshots = RECORD | {"objective": "energy_forces", "judged_on": None, "reference": "mean"}
    for objective, more in (("energy_forces", {}), ("denoising", {"noise": 0.1})):
        kept = {k: v for k, v in snapshots.items() if k not in ("target", "split", "geometry")}
        (tmp_path / "s.json").write_text(json.dumps(kept | {"objective": objective} | more))
        given = ["--settings", tmp_path / "s.json", "--data", tmp_path / "x.h5",
                 "--out", tmp_path / "m.pt"]  # fmt: skip
        assert main(["train", *map(str, given)]) == 2
        error = capsys.readouterr().err
        assert "x.h5: snapshots have no bonds, and backbone gin_virtual looks at these" in error
    old = replace(read_conformers(file[0]), graphs=None)
    with pytest.raises(UserError, match=r"m\.h5: it has no molecular graphs"):
        molecules(old, ["m1"], "dft", bonds=True)
