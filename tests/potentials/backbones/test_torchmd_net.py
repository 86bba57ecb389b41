"""TorchMD-Net ET: energies and forces are those of the package's own model call."""

import numpy as np
import pytest
import torch

from force2geo.errors import UserError
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.models import Potential

SMALL = {"layers": 2, "features": 16, "basis_size": 16, "cutoff": 4.5, "heads": 4}


def made(**other):
    pytest.importorskip("torchmdnet")
    torch.manual_seed(3)
    model = Potential({"name": "torchmd_net", **SMALL, **other}, Statistics(force_rms=1.5))
    return model.double().eval()


def theirs(model, molecules):
    """Return energies (B,) and forces (N,3) of the package's network, neighbours its own."""
    batch = collate(*zip(*molecules, strict=True), torch.float64)
    network = model.backbone.network
    network.derivative = True
    found = network(batch.atomic_numbers, batch.positions, batch.molecule)
    network.derivative = False
    return found[0][:, 0].detach(), found[1]


def compare(model, molecules):
    expected, pushed = theirs(model, molecules)
    found = model(collate(*zip(*molecules, strict=True), torch.float64))
    torch.testing.assert_close(found["binding"], expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found["forces"], pushed, rtol=1e-9, atol=1e-9)
    assert float(pushed.abs().max()) > 1e-2
    batch = collate(*zip(*molecules, strict=True), torch.float64)
    inside = model.backbone.network.representation_model
    scalars, vectors, *_ = inside(batch.atomic_numbers, batch.positions, batch.molecule)
    ours = model.backbone(batch, Graph.of(batch, model.backbone.cutoff))
    torch.testing.assert_close(ours.scalars, scalars, rtol=1e-9, atol=1e-9)
    # Energies are blind to all vectors' sign, displacements are not.
    torch.testing.assert_close(ours.vectors, vectors, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("other", [{}, {"vector_cutoff": True, "trainable_basis": True}])
def test_is_the_package_s_network(ethanol, other):
    numbers, positions = ethanol
    compare(made(**other), [(numbers, positions), (numbers[:3], positions[:3] * 1.1)])


def test_is_the_package_s_network_on_real_molecules(shared_data):
    io = pytest.importorskip("ase.io")
    frames = [
        frame
        for name in ("3bpa_train_300K", "aspirin_test_01")
        for frame in io.read(shared_data / f"rmd17/{name}.xyz.gz", index="0:50:10")
    ]
    assert len(frames) == 10
    compare(made(), [(atoms.numbers, atoms.positions) for atoms in frames])


@pytest.mark.parametrize("vector_cutoff", [False, True])
def test_is_continuous_at_the_cutoff_with_vector_cutoff_alone(vector_cutoff):
    model = made(vector_cutoff=vector_cutoff)
    with torch.no_grad():  # weights that do not start at zero let the jump be seen
        for layer in model.backbone.network.representation_model.attention_layers:
            layer.dv_proj.bias += 0.5
    # Two atoms alone would hide a jump of vectors, which the first layer then only makes.
    still = np.array([[0.0, 0.0, 0.0], [0.0, 1.1, 0.0]])
    numbers = [np.array([6, 8, 1])] * 2
    gaps = [np.vstack([still, [[4.5 + gap, 0.0, 0.0]]]) for gap in (-1e-7, 1e-7)]
    found = model(collate(numbers, gaps, torch.float64))["energy"]
    jump = abs(float(found[1] - found[0]))
    assert jump < 1e-6 if vector_cutoff else jump > 1e-5


def test_one_molecule_s_nan_stays_its_own(ethanol):
    numbers, positions = ethanol
    model = made()
    spoilt = positions.copy()
    spoilt[0, 0] = np.nan
    found = model(collate([numbers] * 2, [spoilt, positions], torch.float64))["energy"]
    alone = model(collate([numbers], [positions], torch.float64))["energy"]
    assert torch.isnan(found[0])
    torch.testing.assert_close(found[1:], alone, rtol=0, atol=1e-9)


def test_heads_share_the_features():
    pytest.importorskip("torchmdnet")
    with pytest.raises(UserError, match="16 features are not a multiple of 3 heads"):
        made(heads=3)
