"""DimeNet++: what the published network gives, and angles of atoms in line or on one another.

The reference is of PyTorch Geometric 2.8.1's DimeNetPlusPlus in float64, on random clusters.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.models import Potential
from force2geo.potentials.registry import build_backbone
from force2geo.potentials.spherical import SphericalBessel, bessel_zeros

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
    with np.load(DATA / "dimenet_pp.npz") as file:
        stored = {key: torch.from_numpy(file[key]) for key in file.files}
    network = build_backbone({"name": "dimenet_pp", **SMALL}).double()
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


def test_radial_functions_vanish_at_the_cutoff_and_are_orthonormal():
    basis = SphericalBessel(5, 4, 3.0).double()
    assert bessel_zeros(2, 2)[1] == pytest.approx([4.493409457909, 7.725251836938], rel=1e-12)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x = torch.from_numpy((nodes + 1) / 2)
    found = basis(3.0 * x)
    volume = torch.from_numpy(weights / 2) * x**2
    products = torch.einsum("p,pln,plm->lnm", volume, found, found)
    torch.testing.assert_close(products, torch.eye(4).double().expand(5, 4, 4), rtol=0, atol=1e-6)
    assert basis(torch.tensor([3.0]).double()).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["dimenet_pp", "spherenet", "comenet"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_atoms_in_line_or_at_one_point_have_finite_slopes(name, dtype):
    torch.manual_seed(0)
    small = SMALL if name != "comenet" else {"layers": 2, "features": 16, "cutoff": 4.5}
    model = Potential({"name": name, **small}).to(dtype)
    line = np.array([[0, 0, 0], [0, 0, 1.2], [0, 0, -1.2], [0, 0, 2.3]])
    square = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 0]])
    twice = np.array([[0, 0, 0.0], [0, 0, 0], [1, 0.2, 0], [0, 1, 0.5]])
    numbers = [np.array([6, 8, 8, 1]), np.array([1, 1, 1, 1, 6]), np.array([8, 1, 6, 1])]
    output = model(collate(numbers, [line, square, twice], dtype), training=True)
    (output["forces"].square().sum() + output["binding"].sum()).backward()
    assert torch.isfinite(output["forces"]).all() and torch.isfinite(output["binding"]).all()
    for key, parameter in model.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), key
