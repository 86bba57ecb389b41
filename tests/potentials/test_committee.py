"""Potentials that answer together: mean, spread, what they refuse, and everywhere they are used."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.optimize import BFGS

import force2geo
from force2geo.calling.named import record_of
from force2geo.errors import UserError
from force2geo.potentials import pairs
from force2geo.potentials.batch import collate
from force2geo.potentials.checkpoint import save
from force2geo.potentials.heads import Head
from force2geo.potentials.models import Network, Potential
from force2geo.relax.batched import relax
from force2geo.relax.evaluators import from_checkpoint, of_model
from toy_baselines import WELLS, energy

PAINN = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 3.0}


@pytest.fixture
def make(tmp_path):
    """Return what writes the checkpoint of a potential that was not trained."""

    def made(seed, baseline=None, kind=torch.float64, **config):
        torch.manual_seed(seed)
        network = Potential(config.pop("backbone", PAINN))
        network.energy.references.uniform_(-2, 2)
        network.config |= config
        if baseline is not None:
            network.config["baseline"] = record_of(baseline)
        save(network.to(kind), tmp_path / f"{seed}.pt", {"stage": "train"})
        return tmp_path / f"{seed}.pt"

    return made


@pytest.fixture
def molecules(ethanol):
    water = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    return [Atoms(*ethanol), water, Atoms("H2", [[0, 0, 0], [0, 0, 0.8]]), Atoms(*ethanol)[::-1]]


def test_mean_and_spread_are_those_of_the_members_one_by_one(make, molecules):
    wider = PAINN | {"cutoff": 4.0, "features": 12}
    schnet = {"name": "schnet", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 3.0}
    paths = [make(1), make(2, backbone=wider), make(3, backbone=schnet)]
    rows = force2geo.load(paths).predict(molecules)
    alone = [force2geo.load(path).predict(molecules) for path in paths]
    for place, row in enumerate(rows):
        energies = np.array([one[place]["energy"] for one in alone])
        forces = np.array([one[place]["forces"] for one in alone])
        assert row["energy"] == pytest.approx(energies.mean(), abs=1e-9)
        np.testing.assert_allclose(row["forces"], forces.mean(axis=0), atol=1e-9)
        atoms = len(molecules[place])
        assert row["energy_spread"] == pytest.approx(np.std(energies, ddof=1) / atoms, abs=1e-9)
        apart = np.linalg.norm(np.std(forces, axis=0, ddof=1), axis=1)
        assert row["force_spread"] == pytest.approx(apart.max(), abs=1e-9) and apart.max() > 0


def test_the_baseline_is_computed_once_and_is_in_the_mean_once(make, molecules, monkeypatch):
    paths = [make(seed, WELLS) for seed in (1, 2, 3)]
    model = force2geo.load(paths)
    asked = []
    start = model.baseline.pool.start
    monkeypatch.setattr(model.baseline.pool, "start", lambda t: asked.append(len(t)) or start(t))
    rows = model.predict(molecules)
    assert asked == [len(molecules)]
    networks = [force2geo.load(path).network_alone().predict(molecules) for path in paths]
    bare = model.network_alone().predict(molecules)
    for place, (row, atoms) in enumerate(zip(rows, molecules, strict=True)):
        mean = np.mean([one[place]["energy"] for one in networks])
        assert row["energy"] == pytest.approx(mean + energy(atoms.positions), abs=1e-8)
        assert bare[place]["energy"] == pytest.approx(mean, abs=1e-8)
        assert row["force_spread"] == pytest.approx(bare[place]["force_spread"], abs=1e-9)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_pairs_are_found_once_a_cutoff(make, molecules, monkeypatch, kind):
    found = []
    cdist = torch.cdist
    monkeypatch.setattr(pairs.torch, "cdist", lambda *a, **o: found.append(1) or cdist(*a, **o))
    model = force2geo.load([make(seed, kind=kind) for seed in (1, 2, 3)])
    expected = model.predict(molecules)
    assert len(found) == 1
    with torch.inference_mode():
        again = model.predict(molecules)
    for one, other in zip(expected, again, strict=True):
        np.testing.assert_array_equal(one["forces"], other["forces"])
    found.clear()
    other = PAINN | {"cutoff": 4.0}
    force2geo.load([make(1, kind=kind), make(4, kind=kind, backbone=other)]).predict(molecules)
    assert len(found) == 2


def test_what_one_has_not_seen_all_refuse_by_name(make):
    model = force2geo.load([
        make(1, elements=[1, 6, 8], charge_states=[[0, 1], [1, 1]]),
        make(2, elements=[1, 6, 7], charge_states=[[0, 1], [-1, 1]]),
    ])  # fmt: skip
    assert model.refusal(np.array([1, 6])) == ""
    assert model.refusal(np.array([6, 8])) == "the model has never seen O"
    assert model.refusal(np.array([6, 7])) == "the model has never seen N"
    for charge in (1, -1):
        assert "never seen charge" in model.refusal(np.array([6]), charge)
    with pytest.raises(UserError, match="never seen O"):
        model.predict(Atoms("O"))


def test_unlike_ones_are_no_committee(make, tmp_path):
    one = make(1, WELLS)
    for other, says in (
        (make(2), r"2\.pt: its baseline is none, that of .*1\.pt is Wells"),
        (make(3, "gfn2-xtb"), r"3\.pt: its baseline is gfn2-xtb"),
        (make(4, WELLS, levels=["B3LYP"]), r"4\.pt: its level of theory is B3LYP"),
    ):
        with pytest.raises(UserError, match=says):
            force2geo.load([one, other])
    save(Network(PAINN, {"gap": Head("property", "gap", "eV")}), tmp_path / "p.pt", {})
    with pytest.raises(UserError, match=r"p\.pt: a property model"):
        force2geo.load([one, tmp_path / "p.pt"])
    with pytest.raises(UserError, match="no checkpoint given"):
        force2geo.load([])
    assert not hasattr(force2geo.load([one]), "members")  # one is itself


def test_it_says_what_it_is_and_is_not_exported(make, tmp_path):
    model = force2geo.load([make(1, elements=[1, 6]), make(2)])
    text = repr(model)
    assert text.startswith("2 potentials together") and "elements: H C" in text
    with pytest.raises(UserError, match="export each"):
        model.export(tmp_path / "m.pt2")


def test_ase_torch_sim_and_batches_relax_on_the_same_mean(make, molecules):
    paths = [make(seed, WELLS) for seed in (1, 2)]
    model = force2geo.load(paths)
    numbers, places = [m.numbers for m in molecules], [m.positions for m in molecules]
    runs = relax(numbers, places, from_checkpoint(paths).evaluate, 0.02, 60, threads=2)
    for run, atoms in zip(runs, molecules, strict=True):
        own = atoms.copy()
        own.calc = model.calculator()
        optimizer = BFGS(own, logfile=None)
        optimizer.run(fmax=0.02, steps=60)
        assert optimizer.nsteps == run.steps > 2
        np.testing.assert_allclose(run.frames[-1], own.positions, atol=1e-6)
        assert own.calc.results["force_spread"] == pytest.approx(run.force_spread, abs=1e-6)
    import torch_sim

    state = torch_sim.initialize_state(molecules, model.device, torch.float64)
    found = model.torch_sim()(state)
    expected = model.predict(molecules)
    np.testing.assert_allclose(found["energy"].numpy(), [row["energy"] for row in expected])


def test_the_evaluator_depends_on_every_member(make):
    first, second = make(1), make(2)
    origins = [from_checkpoint(paths).origin["model"] for paths in ([first], [first, second])]
    assert isinstance(origins[0], str) and origins[1][0] == origins[0] != origins[1][1]
    assert from_checkpoint(first).origin == from_checkpoint([first]).origin
    line = np.array([[0.0, 0, 0], [0, 0, 1.1]])
    batch = collate([np.array([6, 8]), np.array([7, 7])], [line, line], torch.float64)
    energies, forces, reasons, spread = of_model(force2geo.load([first, second]))(batch)
    assert spread.shape == energies.shape == (2,) and reasons == [""] * 2
    assert forces.shape == batch.positions.shape
