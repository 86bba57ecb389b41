"""A network on a baseline: the sum, wherever a potential is used."""

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from tblite.ase import TBLite

import force2geo
from force2geo.calling.named import record_of
from force2geo.errors import UserError
from force2geo.potentials.batch import collate
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential
from toy_baselines import WELLS, energy

BACKBONE = {"name": "painn", "layers": 2, "features": 8, "basis_size": 12, "cutoff": 3.0}


def made(folder, baseline="gfn2-xtb", **config):
    torch.manual_seed(0)
    network = Potential(BACKBONE)
    network.energy.references.uniform_(-2, 2)
    network.config |= {"baseline": record_of(baseline)} | config
    save(network.double(), folder / "m.pt", {})
    return force2geo.load(folder / "m.pt")


@pytest.fixture
def model(tmp_path):
    return made(tmp_path)


@pytest.fixture
def molecules(ethanol):
    water = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    return [Atoms(*ethanol), water, Atoms(*ethanol)[::-1], Atoms("H2", [[0, 0, 0], [0, 0, 0.8]])]


def by_hand(model, atoms):
    """Return the network's and tblite's, each by itself."""
    batch = collate([atoms.numbers], [atoms.positions], torch.float64)
    output = model.network(batch)
    own = atoms.copy()
    own.calc = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.01)
    return (
        float(output["energy"]) + own.get_potential_energy(),
        output["forces"].numpy() + own.get_forces(),
    )


def test_predictions_are_the_sum_in_any_company(model, molecules):
    together = model.predict(molecules)
    for atoms, row in zip(molecules, together, strict=True):
        value, forces = by_hand(model, atoms)
        assert row["energy"] == pytest.approx(value, abs=1e-8)
        np.testing.assert_allclose(row["forces"], forces, atol=1e-8)
        (alone,) = model.predict(atoms)
        assert alone["energy"] == pytest.approx(row["energy"], abs=1e-10)
        np.testing.assert_allclose(alone["forces"], row["forces"], atol=1e-10)


def test_the_baseline_is_computed_where_atoms_are_not_where_they_are_rounded_to(model, molecules):
    far = [atoms.copy() for atoms in molecules]
    for atoms in far:
        atoms.translate(1000.3)  # float32 knows places there to 3e-5 Å, forces then to 1e-3
    network = model.network_alone()
    exact, bare = model.predict(molecules), network.predict(molecules)
    rounded, bare_rounded = (one.predict(far, dtype="float32") for one in (model, network))
    for rows in zip(exact, bare, rounded, bare_rounded, strict=True):
        whole, own, whole_rounded, own_rounded = (row["forces"] for row in rows)
        assert whole_rounded.dtype == np.float32
        np.testing.assert_allclose(whole_rounded - own_rounded, whole - own, atol=1e-5)


def test_forces_are_the_slope_of_the_sum_and_the_energy_knows_no_place(model, ethanol):
    numbers, x = ethanol
    step, rng = 2e-3, np.random.default_rng(4)
    along = rng.normal(size=(4, *x.shape))
    along /= np.linalg.norm(along, axis=(1, 2), keepdims=True)
    ends = [Atoms(numbers, x + sign * step * one) for one in along for sign in (1, -1)]
    energies = np.array([row["energy"] for row in model.predict(ends)]).reshape(-1, 2)
    (here,) = model.predict(Atoms(numbers, x))
    slope = (energies[:, 0] - energies[:, 1]) / (2 * step)
    np.testing.assert_allclose(-(here["forces"] * along).sum(axis=(1, 2)), slope, atol=1e-4)
    assert abs(slope).min() > 1e-2
    turned = Atoms(numbers, x)
    turned.rotate(50, (1, 2, 3))
    turned.translate((4, -7, 1))
    order = rng.permutation(len(numbers))
    for other in (turned, Atoms(numbers, x)[order]):
        assert model.predict(other)[0]["energy"] == pytest.approx(here["energy"], abs=1e-6)


def test_charge_and_multiplicity_are_handed_over(tmp_path, ethanol):
    states = [[0, 1], [1, 2], [-1, 2], [0, 3]]
    model = made(tmp_path, WELLS, charge_states=states)
    network = model.network_alone()
    for charge, multiplicity in states:
        atoms = Atoms(*ethanol, info={"charge": charge, "multiplicity": multiplicity})
        (row,), (bare,) = model.predict(atoms), network.predict(atoms)
        below = energy(atoms.positions, charge, multiplicity)
        assert row["energy"] - bare["energy"] == pytest.approx(below, abs=1e-9)
        np.testing.assert_allclose(row["forces"] - bare["forces"], -3 * atoms.positions, atol=1e-9)
    with pytest.raises(
        UserError, match=r"molecule 1: Wells-\w+: RuntimeError: no bromine in 2 atoms"
    ):
        model.predict([Atoms(*ethanol), Atoms("HBr", [[0, 0, 0], [0, 0, 1.4]])])


def test_checkpoints_say_what_they_correct(model, tmp_path, molecules):
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    assert content["version"] == 3 and content["baseline"] == record_of("gfn2-xtb")
    assert "corrects: gfn2-xtb" in repr(model)
    alone = model.network_alone()
    assert "corrects" not in repr(alone) and model.baseline is not None
    batch = collate([molecules[1].numbers], [molecules[1].positions], torch.float64)
    expected = float(model.network(batch)["energy"])
    assert alone.predict(molecules[1])[0]["energy"] == pytest.approx(expected, abs=1e-10)
    # One without is the version that any reader takes.
    del model.network.config["baseline"]
    save(model.network, tmp_path / "plain.pt", {})
    plain = torch.load(tmp_path / "plain.pt", weights_only=True)
    assert plain["version"] == 2 and "baseline" not in plain
    assert force2geo.load(tmp_path / "plain.pt").baseline is None
    for wrong, says in (
        ({key: v for key, v in content.items() if key != "baseline"}, "without baseline"),
        (content | {"baseline": {"options": {}}}, "names none"),
    ):
        torch.save(wrong, tmp_path / "wrong.pt")
        with pytest.raises(UserError, match=says):
            force2geo.load(tmp_path / "wrong.pt")
    with pytest.raises(UserError, match="corrects gfn2-xtb, which a compiled package cannot call"):
        model.export(tmp_path / "m.pt2")


def test_torch_sim_and_ase_get_what_predict_gives(model, molecules):
    import torch_sim

    expected = model.predict(molecules)
    state = torch_sim.io.atoms_to_state(molecules, torch.device("cpu"), torch.float64)
    found = model.torch_sim()(state)
    np.testing.assert_allclose(found["energy"], [row["energy"] for row in expected], rtol=1e-12)
    forces = np.concatenate([row["forces"] for row in expected])
    np.testing.assert_allclose(found["forces"], forces, atol=1e-10)
    calculator = model.calculator()
    for atoms, row in zip(molecules, expected, strict=True):
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(row["energy"], abs=1e-6)
        np.testing.assert_allclose(atoms.get_forces(), row["forces"], atol=2e-5)


def test_torch_sim_is_told_which_system_has_none(tmp_path):
    import torch_sim

    model = made(tmp_path, WELLS)
    pair = [[0, 0, 0], [0, 0, 1.4]]
    given = [Atoms("H2", pair), Atoms("HBr", pair)]
    state = torch_sim.io.atoms_to_state(given, torch.device("cpu"), torch.float64)
    with pytest.raises(UserError, match=r"system 1: Wells.*no bromine"):
        model.torch_sim()(state)


def test_dynamics_keep_their_energy(model, molecules):
    water = molecules[1]
    water.calc = model.calculator()
    rng = np.random.default_rng(0)
    water.set_velocities(0.2 * rng.normal(size=(3, 3)))
    told = []
    dynamics = VelocityVerlet(water, 0.2 * units.fs)
    dynamics.attach(
        lambda: told.append((water.get_potential_energy(), water.get_total_energy())), interval=1
    )
    dynamics.run(60)
    potential, total = np.ptp(told, axis=0)
    assert potential > 0.02 and total < 0.02 * potential
