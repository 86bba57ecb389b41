"""SphereNet: what the published network gives, and torsions.

The reference is of DIG's SphereNet (commit 21476b0) in float64, on random clusters; in it an atom
was kept from being its own reference, which rounding otherwise makes of half of them.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from force2geo.potentials.backbones.spherenet import next_round
from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.registry import build_backbone

SMALL = {
    "layers": 2,
    "features": 16,
    "basis_size": 3,
    "cutoff": 4.5,
    "orders": 3,
    "triplet_features": 8,
    "basis_features": 4,
    "output_features": 16,
    "output_layers": 1,
}
DATA = Path(__file__).parents[2] / "data/backbones"


def test_published_energies_and_forces():
    with np.load(DATA / "spherenet.npz") as file:
        stored = {key: torch.from_numpy(file[key]) for key in file.files}
    network = build_backbone({"name": "spherenet", **SMALL}).double()
    weights = {k.removeprefix("weights."): v for k, v in stored.items() if k.startswith("weights.")}
    elements = weights.pop("embedding.atoms.weight")
    with torch.no_grad():
        network.embedding.atoms.weight[: len(elements)] = elements
    kept = network.load_state_dict(weights, strict=False)
    assert kept.missing_keys == ["embedding.atoms.weight"] and not kept.unexpected_keys
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


def test_torsion_is_to_the_next_neighbour_round_the_axis():
    # About z, the axis of the last: neighbours at 0°, 0°, 40° and 210°, and one on the axis.
    turns = np.radians([0, 0, 40, 210])
    slope = np.radians([60, 100, 80, 50])
    flat = np.stack([np.sin(slope) * np.cos(turns), np.sin(slope) * np.sin(turns)], 1)
    directions = np.concatenate([np.column_stack([flat, np.cos(slope)]), [[0, 0, -1], [0, 0, 1]]])
    direction = torch.from_numpy(directions)[None]
    x, y = next_round(direction, direction @ direction.transpose(1, 2))
    assert x[0, 4, -1] == y[0, 4, -1] == 0
    x, y = x[0, :4, -1].numpy(), y[0, :4, -1].numpy()
    angle = np.degrees(np.arctan2(y, x)) % 360
    assert angle == pytest.approx([40, 40, 170, 150])
    assert np.hypot(x, y) == pytest.approx(np.sin(slope))


def test_mirror_images_differ():
    torch.manual_seed(0)
    network = build_backbone({"name": "spherenet", **SMALL}).double()
    numbers = np.array([6, 1, 8, 7, 9])
    corners = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.7
    batch = collate([numbers] * 2, [corners, -corners], torch.float64)
    energy = network(batch, Graph.of(batch, 4.5)).atomic_energy.view(2, 5).sum(1)
    assert (energy[0] - energy[1]).abs() > 1e-4 * energy[0].abs()
