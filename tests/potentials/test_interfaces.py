"""A potential in other programs' hands: torch-sim and AOTInductor."""

import shutil

import numpy as np
import pytest
import torch
from ase import Atoms

import force2geo
from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.potentials.batch import collate
from force2geo.potentials.checkpoint import save
from force2geo.potentials.interfaces.export import inputs_of
from force2geo.potentials.models import Potential, PropertyModel

BACKBONE = {"name": "painn", "layers": 2, "features": 8, "basis_size": 12, "cutoff": 3.0}


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    network = Potential(BACKBONE)
    network.config["elements"] = [1, 6, 8]
    network.energy.references.uniform_(-100, -1)
    save(network, tmp_path / "m.pt", {})
    return force2geo.load(tmp_path / "m.pt")


@pytest.fixture
def molecules(ethanol):
    return [Atoms(*ethanol), Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])]


def test_torch_sim_gets_what_predict_gives(model, molecules):
    import torch_sim

    own = model.torch_sim("float64")
    device = torch.device("cpu")
    state = torch_sim.io.atoms_to_state(molecules, device=device, dtype=torch.float64)
    found, expected = own(state), model.predict(molecules, dtype="float64")
    np.testing.assert_allclose(found["energy"], [row["energy"] for row in expected], rtol=1e-12)
    forces = np.concatenate([row["forces"] for row in expected])
    np.testing.assert_allclose(found["forces"], forces, atol=1e-12)
    relaxed = torch_sim.optimize(
        system=molecules, model=own, optimizer=torch_sim.optimizers.fire, max_steps=5
    )
    assert (relaxed.energy < found["energy"]).all()
    strange = torch_sim.io.atoms_to_state([Atoms("N2", np.eye(3)[:2])], device, torch.float64)
    with pytest.raises(UserError, match="never seen"):
        own(strange)
    boxed = Atoms("OH", [[0, 0, 0], [1, 0, 0]], cell=[9, 9, 9], pbc=True)
    with pytest.raises(UserError, match="periodic"):
        own(torch_sim.io.atoms_to_state([boxed], device, torch.float64))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_an_exported_potential_gives_what_predict_gives(model, molecules, tmp_path, recwarn):
    command = ["export", str(tmp_path / "m.pt"), str(tmp_path / "m.pt2"), "--dtype", "float64"]
    assert main(command) == 0
    assert not [str(w.message) for w in recwarn]  # of torch about itself
    compiled = torch._inductor.aoti_load_package(str(tmp_path / "m.pt2"))
    known = compiled.get_metadata()
    assert float(known["cutoff"]) == BACKBONE["cutoff"]
    assert (known["elements"], known["charge_states"]) == ("[1, 6, 8]", "[[0, 1]]")
    for chosen in (molecules, molecules[:1], molecules * 3):
        batch = collate([m.numbers for m in chosen], [m.positions for m in chosen], torch.float64)
        energy, forces = compiled(*inputs_of(batch, BACKBONE["cutoff"]))
        expected = model.predict(chosen, dtype="float64")
        assert energy[-1] == 0
        np.testing.assert_allclose(energy[:-1], [row["energy"] for row in expected], rtol=1e-12)
        wanted = np.concatenate([row["forces"] for row in expected])
        np.testing.assert_allclose(forces, wanted, atol=1e-12)


def test_a_property_model_is_no_potential(tmp_path):
    save(PropertyModel(BACKBONE), tmp_path / "p.pt", {})
    model = force2geo.load(tmp_path / "p.pt")
    with pytest.raises(UserError, match="not a potential"):
        model.export(tmp_path / "x.pt2")


def test_without_a_compiler_export_says_so_before_it_traces(model, tmp_path, monkeypatch):
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(UserError, match="compiler found, install"):
        model.export(tmp_path / "m.pt2")
    assert not (tmp_path / "m.pt2").exists()


def test_an_exported_potential_is_given_all_pairs_under_its_cutoff():
    chain = np.array([[0.0, 0, 0], [2.9, 0, 0], [6.1, 0, 0], [6.1, 1.0, 0]])
    numbers, positions, ptr, first, second = inputs_of(
        collate([np.array([6, 8, 1, 1]), np.array([1, 1])], [chain, chain[2:]]), 3.0
    )
    # 2.9 and 1.0 Å; 3.2 Å are too far.
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (2, 3), (4, 5)]
    assert numbers.tolist() == [6, 8, 1, 1, 1, 1] and ptr.tolist() == [0, 4, 6]
    assert positions[1].tolist() == pytest.approx([2.9, 0, 0])
