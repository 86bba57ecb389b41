"""SevenNet: the same numbers as the package's own model; its constants; physics: the contract."""

import numpy as np
import pytest
import torch
from ase import Atoms

from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.models import Potential
from force2geo.potentials.registry import find

pytest.importorskip("sevenn")
SMALL = {"layers": 2, "features": 4, "cutoff": 4.5, "radial_features": [8]}
KNOWN = Statistics(elements=(1, 6, 7, 8, 9, 14, 16, 17, 35), mean_neighbours=7.5, force_rms=1.5)
THEIRS = {
    "channel": 4,
    "num_convolution_layer": 2,
    "cutoff": 4.5,
    "lmax": 2,
    "is_parity": False,
    "weight_nn_hidden_neurons": [8],
    "conv_denominator": 7.5,
    "scale": 1.5,
    "shift": 0.0,
    "_number_of_species": 9,
    "_type_map": {z: place for place, z in enumerate(KNOWN.elements)},
}
REAL = ("0007", "0047", "0078", "0091", "0106", "0112", "0168", "0187")


@pytest.fixture(scope="module")
def molecules(shared_data, ethanol):
    """Eight molecules of PubChemQCR, ethanol and water."""
    found = [ethanol, (np.array([8, 1, 1]), np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))]
    for name in REAL:
        with np.load(shared_data / f"dft_trajectories/{name}.npz") as file:
            found.append((file["z"].astype(int), file["dft_pos"][0].astype(float)))
    return found


def made(kind=torch.float64, seed=0, known=KNOWN, **changed):
    torch.manual_seed(seed)
    return Potential({"name": "sevennet", **SMALL, **changed}, known).to(kind).eval()


def answers(model, molecules):
    output = model(collate(*zip(*molecules, strict=True), next(model.parameters()).dtype))
    forces = output["forces"].split([len(numbers) for numbers, _ in molecules])
    return output["binding"], forces


def package_s(model, **changed):
    """Return the package's own model with the weights of ours."""
    from sevenn._const import DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG
    from sevenn.model_build import build_E3_equivariant_model

    theirs = build_E3_equivariant_model(DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG | THEIRS | changed)
    theirs.to(next(model.parameters()).dtype)
    # What is trained alone: numbers from statistics are to be the same without.
    trained = {n: p for n, p in model.backbone.network.named_parameters() if p.requires_grad}
    assert not theirs.load_state_dict(trained, strict=False).unexpected_keys
    return theirs


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ({"layers": 3}, {"num_convolution_layer": 3}),  # with fewer, turned edges change nothing
        ({"self_connection": "linear"}, {"self_connection_type": "linear"}),
        ({"parity": "both"}, {"is_parity": True}),
    ],
)
def test_as_the_package_s_own_model(molecules, ours, theirs):
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.train.dataload import unlabeled_atoms_to_graph

    model = made(**ours)
    network = package_s(model, **theirs).eval()
    # Its types of atoms and its edges are float32 by nature.
    network.onehot_idx_to_onehot.register_forward_hook(
        lambda *call: call[2] | {k: call[2][k].double() for k in ("x", "node_attr")}
    )
    energies, forces = answers(model, molecules)
    for energy, force, (numbers, positions) in zip(energies, forces, molecules, strict=True):
        graph = unlabeled_atoms_to_graph(Atoms(numbers, positions), 4.5)
        data = dict(AtomGraphData.from_numpy_dict(graph).items())
        receiver, sender = data["edge_index"]
        exact = torch.from_numpy(positions)
        data |= {"edge_vec": exact[sender] - exact[receiver],
                 "batch": torch.zeros(len(numbers), dtype=torch.long)}  # fmt: skip
        found = network(data)
        torch.testing.assert_close(found["inferred_total_energy"][0], energy, rtol=0, atol=1e-10)
        torch.testing.assert_close(found["inferred_force"], force, rtol=0, atol=1e-10)


def test_as_the_package_s_calculator(molecules):
    from sevenn.calculator import SevenNetCalculator

    model = made(torch.float32)
    with pytest.warns(UserWarning, match="accelerator"):
        calculator = SevenNetCalculator(package_s(model), file_type="model_instance", device="cpu")
    energies, forces = answers(model, molecules)
    for energy, force, (numbers, positions) in zip(energies, forces, molecules, strict=True):
        atoms = Atoms(numbers, positions, calculator=calculator)
        assert atoms.get_potential_energy() == pytest.approx(float(energy), abs=1e-6)
        np.testing.assert_allclose(atoms.get_forces(), force, rtol=0, atol=1e-6)


def test_constants_keep_their_precision_and_a_checkpoint_s_count(molecules):
    model = made(torch.float32, layers=3).double()
    expected, _ = answers(model, molecules)
    names = [n for n, _ in model.named_buffers() if "_w3j_1_2_2" in n]
    largest = (2 / 15) ** 0.5
    for name in names:
        assert float(model.get_buffer(name).abs().max()) == pytest.approx(largest, rel=1e-14, abs=0)
    # As e3nn 0.4 has them, with which other weights would have been trained.
    state = {k: -v if k in names else v for k, v in model.state_dict().items()}
    flipped = made(torch.float32, layers=3)
    flipped.load_state_dict(state)
    assert all(torch.equal(flipped.get_buffer(n), state[n].float()) for n in names)
    flipped.double().load_state_dict(state)
    assert all(torch.equal(flipped.get_buffer(n), state[n]) for n in names)
    assert float((answers(flipped, molecules)[0] - expected).abs().max()) > 1e-7


def test_elements_without_weights_have_no_energy():
    lone = [(np.array([15]), np.zeros((1, 3)))]
    assert answers(made(), lone)[0].isnan().all()
    assert answers(made(known=None), lone)[0].isfinite().all()


def test_one_layer_gives_no_vectors(molecules):
    model = made(layers=1)
    assert model.backbone.vector_width == 0 and answers(model, molecules)[0].isfinite().all()


def test_size_of_table_8():
    settings, batch_size = find("sevennet").about.table8
    assert settings == {"layers": 5, "features": 128, "cutoff": 4.5} and batch_size == 16
