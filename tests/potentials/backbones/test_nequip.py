"""NequIP: the package's own energies and forces, what a mirror does, and a state left alone."""

import numpy as np
import pytest
import torch
from ase import Atoms

pytest.importorskip("nequip")

from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.models import Potential
from force2geo.potentials.registry import find

SMALL = {"layers": 3, "features": 4, "cutoff": 4.5, "radial_features": 8}
KNOWN = Statistics(mean_neighbours=7.5, force_rms=1.5)
EVEN = {
    "irreps_edge_sh": "0e+1e+2e",
    "feature_irreps_hidden": ["4x0e+4x1e+4x2e", "4x0e+4x1e+4x2e", "4x0e"],
    "radial_mlp_depth": [1, 1, 1],
    "radial_mlp_width": [8, 8, 8],
    "type_embed_num_features": 4,
}
OTHER = {"num_layers": 3, "l_max": 2, "num_features": 4, "radial_mlp_width": 8}


def made(seed=0, known=KNOWN, **settings):
    torch.manual_seed(seed)
    return Potential({"name": "nequip", **SMALL, **settings}, known).double().eval()


def evaluate(model, *molecules):
    return model(collate(*zip(*molecules, strict=True), torch.float64))


def test_size_of_table_8():
    settings, batch_size = find("nequip").about.table8
    assert settings == {"layers": 5, "features": 64, "cutoff": 4.5}
    assert batch_size == 16


@pytest.mark.parametrize(
    ("parity", "options"),
    [("even", EVEN), ("natural", OTHER | {"parity": False}), ("both", OTHER | {"parity": True})],
)
def test_energies_and_forces_are_the_package_s(nequip_s_own, ten_molecules, parity, options):
    from nequip.model import FullNequIPGNNModel, NequIPGNNModel

    model = made(parity=parity)
    build = FullNequIPGNNModel if parity == "even" else NequIPGNNModel
    calculator = nequip_s_own(
        build, model.backbone, avg_num_neighbors=7.5, per_type_energy_scales=1.5, **options
    )
    found = evaluate(model, *ten_molecules)
    forces = found["forces"].split([len(numbers) for numbers, _ in ten_molecules])
    for energy, force, molecule in zip(found["energy"], forces, ten_molecules, strict=True):
        atoms = Atoms(*molecule, calculator=calculator)
        assert float(energy) == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(force, atoms.get_forces(), rtol=0, atol=1e-9)
    assert found["energy"].std() > 0.01 and found["forces"].std() > 0.01


@pytest.mark.parametrize(
    ("parity", "follows"), [("even", False), ("natural", True), ("both", True)]
)
def test_what_a_mirror_does(parity, follows):
    positions = np.random.default_rng(0).normal(size=(5, 3)) * 1.5
    numbers = np.array([6, 1, 7, 8, 9])  # a molecule that is not its mirror image
    energy = evaluate(made(parity=parity), (numbers, positions), (numbers, -positions))["energy"]
    assert (abs(float(energy[0] - energy[1])) < 1e-9) == follows


def test_vectors_are_those_before_the_last_layer():
    assert made(layers=1).backbone.vector_width == 0
    molecule = np.array([8, 1]), np.array([[0, 0, 0], [0.36, 0.48, 0.72]])
    batch = collate(*zip(molecule, strict=True), torch.float64)
    for parity in ("even", "natural", "both"):
        backbone = made(parity=parity).backbone
        assert backbone.vector_width == 4
        vectors = backbone(batch, Graph.of(batch, 4.5)).vectors.detach()
        # Of two atoms, nothing but the bond has a direction.
        along = vectors.transpose(1, 2) @ (batch.positions[1] / batch.positions[1].norm())
        torch.testing.assert_close(along.abs(), vectors.norm(dim=1))
        assert along.abs().max() > 1e-5


def test_constants_are_those_of_float64_again_after_float32():
    from e3nn.o3 import wigner_3j

    model = made().float().double()
    held = {name.split("_w3j_")[1]: one for name, one in model.named_buffers() if "_w3j_" in name}
    assert held
    for degrees, one in held.items():
        exact = wigner_3j(*map(int, degrees.split("_")), dtype=torch.float64)
        torch.testing.assert_close(one, exact, rtol=0, atol=0)
    assert not any("w3j" in name or "alpha" in name for name in model.state_dict())


def test_half_the_precision_is_still_close(ethanol):
    model = made()
    exact = evaluate(model, ethanol)
    found = model.float()(collate(*zip(ethanol, strict=True)))
    assert found["forces"].dtype == torch.float32
    torch.testing.assert_close(found["forces"], exact["forces"].float(), rtol=1e-4, atol=1e-5)


def test_building_leaves_no_trace():
    import e3nn
    from nequip.model.utils import _IS_BUILDING_MODEL
    from nequip.utils import global_state

    def state():
        return (torch.get_default_dtype(), e3nn.get_optimization_defaults(),
                global_state.global_state_initialized(), _IS_BUILDING_MODEL.get())  # fmt: skip

    held = e3nn.get_optimization_defaults()["jit_mode"]
    e3nn.set_optimization_defaults(jit_mode="script")  # what building does not want
    before = state()
    first = made(seed=1, layers=1).state_dict()
    drawn = torch.rand(1)
    torch.rand(5)
    again, other = made(seed=1, layers=1).state_dict(), made(seed=2, layers=1).state_dict()
    torch.manual_seed(1)
    assert drawn != torch.rand(1)  # weights are drawn from torch's numbers, and no others
    name = "backbone.parts.layer0_convnet.conv.linear_1.weight"
    assert torch.equal(first[name], again[name]) and not torch.equal(first[name], other[name])
    with pytest.raises(ValueError, match="math domain"):
        made(layers=1, known=Statistics(mean_neighbours=-1.0))
    after = state()
    e3nn.set_optimization_defaults(jit_mode=held)
    assert after == before
