"""ComENet: what the published network gives, and its torsions.

The reference is of DIG's ComENet (commit 21476b0) in float64, on random clusters; in it sines and
cosines of torsions that are rounding errors were set to zero, as in exact arithmetic.
"""

from pathlib import Path

import numpy as np
import torch

from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.registry import build_backbone
from force2geo.potentials.spherical import Around

SMALL = {
    "layers": 2,
    "features": 16,
    "basis_size": 3,
    "cutoff": 4.5,
    "orders": 3,
    "basis_features": 8,
    "output_layers": 1,
}
DATA = Path(__file__).parents[2] / "data/backbones"


def test_published_energies_and_forces():
    with np.load(DATA / "comenet.npz") as file:
        stored = {key: torch.from_numpy(file[key]) for key in file.files}
    network = build_backbone({"name": "comenet", **SMALL}).double()
    weights = {k.removeprefix("weights."): v for k, v in stored.items() if k.startswith("weights.")}
    elements = weights.pop("embedding.weight")
    with torch.no_grad():
        network.embedding.weight[: len(elements)] = elements
    kept = network.load_state_dict(weights, strict=False)
    assert kept.missing_keys == ["embedding.weight"] and not kept.unexpected_keys
    counts = stored["counts"].tolist()
    parts = stored["atomic_numbers"].split(counts), stored["positions"].split(counts)
    batch = collate(*parts, torch.float64)
    batch.positions.requires_grad_(True)
    atomic = network(batch, Graph.of(batch, network.cutoff)).atomic_energy
    energy = atomic.new_zeros(batch.size).index_add(0, batch.molecule, atomic)
    (slope,) = torch.autograd.grad(energy.sum(), batch.positions)
    # The published Bessel functions' zeros are rounded to float32.
    scale = float(stored["forces"].abs().max())
    torch.testing.assert_close(energy, stored["energy"], rtol=2e-6, atol=0)
    torch.testing.assert_close(-slope, stored["forces"], rtol=0, atol=2e-6 * scale)


def test_whole_turns_tell_mirror_images_of_torsions_apart_and_half_turns_fold_them():
    vectors = np.array([[0, 0, 0], [1.5, 0, 0], [0, 1.2, 0], [1.7, -0.9, 0.8], [-0.8, -0.5, 0.9]])
    found = {}
    for half in (True, False):
        torch.manual_seed(0)
        network = build_backbone({"name": "comenet", **SMALL, "half_turns": half}).double()
        batch = collate([np.array([6, 6, 8, 1, 1])], [vectors], torch.float64)
        graph = Graph.of(batch, network.cutoff)
        found[half] = network._bases(graph.vectors(batch.positions), graph, Around.of(graph))
    # l = 1 goes with the cosine of a torsion, l = 2 with its square.
    torch.testing.assert_close(found[True][1][:, ::2], found[False][1][:, ::2])
    ratio = found[True][1][:, 1, 0] / found[False][1][:, 1, 0]
    assert set(ratio.round(decimals=6).tolist()) == {-1.0, 1.0}


def test_planar_molecule_has_one_energy_however_it_is_turned():
    # Rounding must not decide what a torsion of 0 or π is.
    torch.manual_seed(0)
    network = build_backbone({"name": "comenet", **SMALL}).double()
    flat = np.array([[0, 0, 0], [1.33, 0, 0], [-0.57, 0.92, 0], [-0.59, -0.9, 0], [2.0, 1.1, 0]])
    rng = np.random.default_rng(0)
    turned = [flat @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(6)]
    batch = collate([np.array([6, 6, 1, 1, 8])] * 6, turned, torch.float64)
    energy = network(batch, Graph.of(batch, 4.5)).atomic_energy.view(6, 5).sum(1)
    torch.testing.assert_close(energy, energy[:1].expand(6), rtol=0, atol=1e-9)
