"""GIN-virtual: its contract, for the common one needs energies; and molecular graphs."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from force2geo.errors import UserError
from force2geo.potentials import checkpoint
from force2geo.potentials.batch import collate
from force2geo.potentials.bonds import molecular_graph, with_bonds
from force2geo.potentials.graph import Graph
from force2geo.potentials.models import Potential, PropertyModel
from force2geo.potentials.registry import build_backbone
from force2geo.training_data.molecular_graphs import ATOM_SIZES, BOND_SIZES

SMALL = {"layers": 3, "features": 16}
DATA = Path(__file__).parents[2] / "data/backbones"
SMILES = ["CCO", "C/C=C/[C@H](F)N", "c1ccccc1[N+](=O)[O-]", "[He]", "O"]


def batch_of(*molecules):
    read = [
        molecule if not isinstance(molecule, str) else molecular_graph(molecule)
        for molecule in molecules
    ]
    numbers = [graph.atoms[:, 0] + 1 for graph in read]
    return with_bonds(collate(numbers, [torch.randn(len(z), 3) for z in numbers]), read)


def made(seed=0):
    torch.manual_seed(seed)
    return PropertyModel({"name": "gin_virtual", **SMALL}).eval()


def test_published_features():
    """The reference is of OGB's GNN_node_Virtualnode for PCQM4Mv2 (commit 61e9784) in float64."""
    with np.load(DATA / "gin_virtual.npz") as file:
        stored = {key: torch.from_numpy(file[key]) for key in file.files}
    network = build_backbone({"name": "gin_virtual", **SMALL}).double().eval()
    network.load_state_dict({k[8:]: v for k, v in stored.items() if k.startswith("weights.")})
    batch = batch_of(*SMILES)
    for name in ("atom_features", "bonds", "bond_features"):
        assert torch.equal(getattr(batch, name), stored[name]), name
    found = network(batch, Graph.of(batch, 0.0)).scalars
    torch.testing.assert_close(found, stored["scalars"], rtol=1e-9, atol=1e-9)


def test_order_of_atoms_company_and_geometry_do_not_matter():
    model = made().double()
    molecule = Chem.AddHs(Chem.MolFromSmiles(SMILES[1]))
    order = np.random.default_rng(0).permutation(molecule.GetNumAtoms()).tolist()
    shuffled = molecular_graph(Chem.RenumberAtoms(molecule, order))
    alone = model(batch_of(SMILES[1]))["property"]
    both = model(batch_of("O", shuffled, SMILES[1]))["property"]
    torch.testing.assert_close(both[1:], alone.expand(2), rtol=0, atol=1e-10)
    assert abs(float(both[0] - alone)) > 1e-6


def test_bonds_matter_beyond_their_ends():
    model = made().double()
    chain, ring = (float(model(batch_of(one))["property"]) for one in ("CC=C", "C1CC1"))
    assert abs(chain - ring) > 1e-6


def test_every_parameter_has_a_gradient_and_it_learns():
    model = made().train()
    batch, target = batch_of(*SMILES[:3]), torch.tensor([1.0, 2.0, -1.0])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(batch, training=True)["property"] - target).square().mean()
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_training_on_one_molecule_and_on_a_lone_atom():
    model = made().train()
    for smiles in ("CCO", "[He]"):
        model(batch_of(smiles), training=True)["property"].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_copies_and_checkpoints_give_the_same(tmp_path):
    model, batch = made(), batch_of(*SMILES)
    expected = model(batch)["property"]
    torch.testing.assert_close(copy.deepcopy(model)(batch)["property"], expected)
    checkpoint.save(model, tmp_path / "model.pt", {"stage": "test"})
    loaded = checkpoint.load(tmp_path / "model.pt").network
    torch.testing.assert_close(loaded(batch)["property"], expected)


def test_without_a_graph_or_for_forces_it_says_what_it_needs(ethanol):
    with pytest.raises(UserError, match="takes molecular graphs, and there are none"):
        made()(collate(*([one] for one in ethanol)))
    with pytest.raises(UserError, match="gives properties but no forces"):
        Potential({"name": "gin_virtual", **SMALL})


def test_graphs_are_of_the_batch_s_atoms(ethanol):
    batch = collate(*([one] for one in ethanol))
    graph = molecular_graph("CCO")
    assert with_bonds(batch, [graph]).bonds.shape == (2, 16)
    with pytest.raises(UserError, match=r"molecule 0: atoms C C O H .* in its graph O C C"):
        with_bonds(batch, [molecular_graph("OCC")])
    with pytest.raises(UserError, match="2 molecular graphs for 1 molecules"):
        with_bonds(batch, [graph, graph])
    with pytest.raises(UserError, match="not a SMILES"):
        molecular_graph("C(")
    moved = with_bonds(batch, [graph]).to("cpu")
    assert torch.equal(moved.bonds, graph.bonds)
    assert replace(moved, bonds=None).bonds is None


def test_features_fit_their_tables():
    graph = molecular_graph("[U]F")
    assert (graph.atoms < torch.tensor(ATOM_SIZES)).all()
    assert (graph.orders < torch.tensor(BOND_SIZES)).all()
    assert graph.atoms[0, 0] == 91 and graph.atoms[1, 2] == 1
