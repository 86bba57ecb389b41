"""The published PaiNN to the last digit, and what users ask of predictions."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

import force2geo
from force2geo.errors import UserError
from force2geo.potentials import checkpoint
from force2geo.potentials.models import Potential, PropertyModel
from force2geo.potentials.published import convert

SMALL = {"layers": 2, "features": 16, "basis_size": 12, "cutoff": 4.5}


@pytest.fixture
def upstream(shared_data):
    return shared_data / "upstream_painn"


def molecules_of(reference):
    batch = reference["batch"].numpy()
    return [
        Atoms(reference["z"].numpy()[batch == i], reference["pos"].numpy()[batch == i])
        for i in range(batch.max() + 1)
    ]


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_published_potential_gives_its_own_numbers(upstream):
    reference = torch.load(upstream / "upstream_painn_reference.pt", weights_only=True)
    model = force2geo.load(upstream / "upstream_painn_state_dict.pt")
    molecules = molecules_of(reference)
    found = model.predict(molecules, dtype="float64")
    energies = np.array([row["energy"] for row in found])
    forces = np.concatenate([row["forces"] for row in found])
    assert relative(energies, reference["energy_per_atom"].numpy()) < 1e-9
    assert relative(forces, reference["grad_neg_energy_per_atom"].numpy()) < 1e-9
    assert forces.dtype == np.float64
    for row, total, atoms in zip(
        found, model.predict(molecules, dtype="float64", totals=True), molecules, strict=True
    ):
        assert total["energy"] == pytest.approx(len(atoms) * row["energy"], rel=1e-14)
        np.testing.assert_allclose(total["forces"], len(atoms) * row["forces"], rtol=1e-12)


def test_published_property_model_gives_its_own_numbers(upstream):
    reference = torch.load(upstream / "upstream_painn_property_reference.pt", weights_only=True)
    model = force2geo.load(upstream / "upstream_painn_property_state_dict.pt")
    found = model.predict(molecules_of(reference), dtype="float64")
    values = np.array([row["property"] for row in found])
    displacement = np.concatenate([row["displacement"] for row in found])
    assert relative(values, reference["property"].numpy()) < 1e-9
    assert relative(displacement, reference["displacement"].numpy()) < 1e-9


def test_published_weights_in_wrappers_and_damaged(upstream, tmp_path):
    state = torch.load(upstream / "upstream_painn_state_dict.pt", weights_only=True)
    path = tmp_path / "model.pt"
    torch.save({"epoch": 3, "model_state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    one = force2geo.load(path).predict([molecule("H2O")])[0]["energy"]
    plain = force2geo.load(upstream / "upstream_painn_state_dict.pt")
    assert one == plain.predict([molecule("H2O")])[0]["energy"]
    torch.save(state | {"strange.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"unknown weight 'strange\.weight'"):
        force2geo.load(path)
    del state["out_energy.0.weight"]
    torch.save(state, path)
    with pytest.raises(UserError, match="without head"):
        force2geo.load(path)


@pytest.fixture
def save(tmp_path):
    def write(network):
        torch.manual_seed(0)
        checkpoint.save(network, tmp_path / "model.pt", {})
        return force2geo.load(tmp_path / "model.pt")

    return write


@pytest.mark.parametrize("variant", ["smooth", "published"])
def test_our_own_checkpoints_of_both_variants(save, variant):
    torch.manual_seed(1)
    network = Potential({"name": "painn", "variant": variant, **SMALL})
    model = save(network)
    water = molecule("H2O")
    one, two = model.predict([water])[0], model.predict([water], totals=True)[0]
    assert one["energy"] == two["energy"]  # ours are totals to begin with
    double = model.predict([water], dtype="float64")[0]
    assert one["forces"].dtype == np.float32 and double["forces"].dtype == np.float64
    np.testing.assert_allclose(one["forces"], double["forces"], atol=1e-5)
    water.calc = model.calculator("float64")
    np.testing.assert_allclose(water.get_forces(), double["forces"])
    numerical = water.calc.calculate_numerical_forces(water, d=1e-4)
    np.testing.assert_allclose(water.get_forces(), numerical, atol=1e-6)


def test_questions_no_network_can_answer(save):
    network = Potential({"name": "painn", **SMALL})
    network.config["elements"] = [1, 6, 8]
    model = save(network)
    water = molecule("H2O")
    for bad, message in (
        (Atoms("N"), "molecule 1: the model has never seen N"),
        (Atoms("OH", [[0, 0, 0], [np.nan, 0, 0]]), "molecule 1: positions that are not finite"),
        (Atoms("O2", [[0, 0, 0], [0, 0, 0]]), "atoms 0 and 1 stand at one point"),
        (Atoms(), "molecule 1: it has no atoms"),
    ):
        with pytest.raises(UserError, match=message):
            model.predict([water, bad])
    with pytest.raises(UserError, match="neither float32"):
        model.predict([water], dtype="float16")
    with pytest.raises(UserError, match="unknown variant 'x'"):
        Potential({"name": "painn", "variant": "x", **SMALL})
    with pytest.raises(UserError, match="not a potential"):
        save(PropertyModel({"name": "painn", **SMALL})).calculator()


def test_lone_atoms_and_large_molecules_are_answered(save):
    network = Potential({"name": "painn", **SMALL})
    network.config["charge_states"] = [[0, 1], [0, 2]]  # pieces of molecules are radicals
    model = save(network)
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(8)] * 3), axis=-1).reshape(-1, 3)[:400] * 1.6
    large = Atoms(rng.choice([1, 6, 8], 400), grid + rng.normal(scale=0.1, size=grid.shape))
    lone, far = Atoms("O"), Atoms("OH2", [[0, 0, 0], [0, 0, 1.0], [50, 0, 0]])
    found = model.predict([lone, far, large], dtype="float64")
    assert (found[0]["forces"] == 0).all() and (found[1]["forces"][2] == 0).all()
    pieces = model.predict([Atoms("OH", far.positions[:2]), Atoms("H")], dtype="float64")
    assert found[1]["energy"] == pytest.approx(sum(p["energy"] for p in pieces), abs=1e-10)
    assert found[2]["forces"].shape == (400, 3) and np.isfinite(found[2]["forces"]).all()
    alone = model.predict([large], dtype="float64")[0]
    np.testing.assert_allclose(found[2]["forces"], alone["forces"], atol=1e-10)


def test_what_the_shapes_tell_of_published_weights():
    """Two layers of 16 features, 12 Gaussians up to 4.5 Å, with and without a head of vectors."""
    basis = {"radial_basis.offset": torch.linspace(0, 4.5, 12)}
    state = basis | {"atom_emb.weight": torch.arange(83 * 16.0).view(83, 16)}
    for layer in range(2):
        state[f"message_layers.{layer}.rbf_proj.weight"] = torch.full((48, 12), 1.0 + layer)
        state[f"update_layers.{layer}.vec_proj.weight"] = torch.full((32, 16), 3.0 + layer)
    config, found = convert(state)
    sizes = {"layers": 2, "features": 16, "basis_size": 12, "cutoff": 4.5}
    assert config == {"kind": "potential", "backbone": {"name": "painn_published", **sizes}}
    assert float(found["backbone.messages.1.filters.weight"][0, 0]) == 2.0
    assert float(found["backbone.updates.0.mix.weight"][0, 0]) == 3.0
    assert float(found["backbone.embedding.weight"][8, 1]) == 129.0
    assert torch.equal(found["backbone.basis.centres"], basis["radial_basis.offset"])
    state["out_position.output_network.0.vec1_proj.weight"] = torch.ones(16, 16)
    config, found = convert(state)
    assert config["kind"] == "property" and "displacement.blocks.0.to_norm.weight" in found
