"""Total charge and unpaired electrons as an input, of every network that takes them."""

import numpy as np
import pytest
import torch
from ase import Atoms
from scipy.spatial.transform import Rotation

import force2geo
from force2geo.errors import UserError
from force2geo.potentials import registry
from force2geo.potentials.batch import collate
from force2geo.potentials.charge import ChargeFeatures
from force2geo.potentials.checkpoint import save
from force2geo.potentials.fast import atom_steps, pair_sums
from force2geo.potentials.interfaces import export
from force2geo.potentials.models import Potential
from force2geo.relax.batched import relax_runs
from force2geo.relax.evaluators import of_model
from force2geo.relax.relaxation import Relaxation
from force2geo.settings import hints

SIZE = {"layers": 2, "features": 8, "basis_size": 24, "cutoff": 4.0}
STATES = [(0, 1), (1, 1), (-1, 1), (2, 3), (0, 2)]


def names():
    found = []
    for name in registry.names():
        try:
            found += [name] * ("charge" in hints(registry.find(name).Settings))
        except UserError:  # its package is not installed
            continue
    return found


@pytest.fixture(params=names())
def network(request):
    return made(request.param)


def made(name, charge=True, seed=0):
    torch.manual_seed(seed)
    network = Potential({"name": name, **SIZE, "charge": charge}).double().eval()
    for own in network.modules():
        if isinstance(own, ChargeFeatures):
            torch.nn.init.normal_(own.affinity)
            torch.nn.init.normal_(own.vectors, std=3.0)
    return network


def batch_of(molecules, states=None, dtype=torch.float64):
    batch = collate(*zip(*molecules, strict=True), dtype)
    if states is not None:
        batch.charge, batch.multiplicity = torch.tensor(states).unbind(1)
    return batch


def test_painn_and_schnet_take_it_and_say_so(network):
    assert {"painn", "schnet"} <= set(names())
    assert network.backbone.takes_charge
    assert not made(network.config["backbone"]["name"], charge=False).backbone.takes_charge


def test_a_neutral_singlet_does_not_depend_on_it(network, ethanol):
    name = network.config["backbone"]["name"]
    expected = made(name, charge=False)
    lost, strange = expected.load_state_dict(network.state_dict(), strict=False)
    assert not lost and all(key.startswith("backbone.charge.") for key in strange)
    for states in (None, [(0, 1)] * 2):
        batch = batch_of([ethanol] * 2, states)
        for key, value in network(batch).items():
            assert torch.equal(value, expected(batch)[key])
    # And without the option nothing depends on charge.
    charged = expected(batch_of([ethanol] * 2, [(1, 2), (0, 1)]))["energy"]
    assert charged[0] == charged[1]


def test_what_is_added_is_worked_out_by_hand():
    """q = −2 with two unpaired electrons on O and two H, in ratios of ln(1 + eᵃ)."""
    own = ChargeFeatures(2).double()
    with torch.no_grad():
        own.affinity[8], own.affinity[1] = np.log(np.e**3 - 1), np.log(np.e - 1)
        own.vectors[8, 1], own.vectors[1, 1] = torch.tensor([[1.0, 0.0], [0.0, 5.0]])
        own.vectors[8, 2] = torch.tensor([0.0, 10.0])
        own.vectors[:, 0] = 99.0  # no electron lacks
    water = np.array([8, 1, 1]), np.zeros((3, 3))
    before = torch.ones(6, 2, dtype=torch.float64)
    after = own(before, batch_of([water] * 2, [(-2, 3), (0, 1)]))
    # O has 3/5 of all, each H 1/5.
    added = [[1.2, 12.0], [0.0, 2.0], [0.0, 2.0]]
    np.testing.assert_allclose((after - before)[:3].detach(), added, rtol=1e-12)
    assert torch.equal(after[3:], before[3:])
    one = own(before[:3], batch_of([water], [(-2, 3)]))
    assert torch.equal(one, after[:3])


def test_a_charge_is_shared_and_not_multiplied(ethanol):
    """However many of the same atoms there are, what they get in all is the same."""
    own = ChargeFeatures(4).double()
    torch.nn.init.normal_(own.affinity)
    torch.nn.init.normal_(own.vectors)
    numbers, x = ethanol
    added = []
    for count in (1, 5):
        many = np.tile(numbers, count), np.tile(x, (count, 1))
        nothing = torch.zeros(len(many[0]), 4, dtype=torch.float64)
        added.append(own(nothing, batch_of([many], [(1, 1)])).sum(dim=0))
    torch.testing.assert_close(*added, rtol=1e-12, atol=0)


def test_states_differ_and_a_batch_of_them_is_each_by_itself(network, ethanol):
    numbers, x = ethanol
    water = numbers[[2, 3, 4]], x[[2, 3, 4]]
    molecules = [ethanol, water] * 5
    states = [state for state in STATES for _ in range(2)]
    found = network(batch_of(molecules, states))
    energies = found["binding"].reshape(5, 2)
    for column in energies.T:
        assert len({round(float(value), 6) for value in column}) == 5
    parts = found["forces"].split([9, 3] * 5)
    for molecule, state, energy, forces in zip(
        molecules, states, found["energy"], parts, strict=True
    ):
        alone = network(batch_of([molecule], [state]))
        torch.testing.assert_close(alone["energy"][0], energy, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(alone["forces"], forces, rtol=0, atol=1e-12)


def test_a_cation_s_forces_are_its_energy_s_slope_and_turn_along(network, ethanol):
    numbers, x = ethanol
    x = x + 0.05 * np.random.default_rng(2).standard_normal(x.shape)
    state = [(1, 2)]
    before = network(batch_of([(numbers, x)], state))
    rotation = -Rotation.random(random_state=4).as_matrix()
    after = network(batch_of([(numbers, x @ rotation + [3.0, -2.0, 5.0])], state))
    torch.testing.assert_close(after["energy"], before["energy"], rtol=0, atol=1e-9)
    turned = before["forces"] @ torch.from_numpy(rotation)
    torch.testing.assert_close(after["forces"], turned, rtol=0, atol=1e-9)
    order = np.random.default_rng(1).permutation(len(numbers))
    mixed = network(batch_of([(numbers[order], x[order])], state))
    torch.testing.assert_close(mixed["forces"], before["forces"][order], rtol=0, atol=1e-9)
    step = 1e-4
    for atom, axis in ((0, 0), (2, 1), (8, 2)):
        shifted = np.array([x, x])
        shifted[:, atom, axis] += [step, -step]
        up, down = network(batch_of([(numbers, one) for one in shifted], state * 2))["energy"]
        slope = float(up - down) / (2 * step)
        assert float(before["forces"][atom, axis]) == pytest.approx(-slope, 1e-6, 1e-6)


def test_loops_and_operations_give_the_same(network, ethanol, monkeypatch):
    batch = batch_of([ethanol] * 3, [(1, 1), (0, 1), (-1, 2)])

    def found():
        output = network(batch, training=True)
        loss = output["binding"].square().sum() + output["forces"].square().sum()
        weights = list(network.backbone.charge.parameters())
        return [*network(batch).values(), *torch.autograd.grad(loss, weights)]

    looped = found()
    assert all(float(value.abs().max()) > 1e-6 for value in looped)
    monkeypatch.setattr(pair_sums, "pair_loops", None)
    monkeypatch.setattr(atom_steps, "atom_loops", None)
    for one, other in zip(looped, found(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_two_states_of_one_geometry_are_learnt_with_it_and_not_without(network, ethanol):
    name = network.config["backbone"]["name"]
    batch = batch_of([ethanol] * 2, [(0, 1), (1, 2)], torch.float32)
    target = torch.tensor([-1.0, 1.0])
    errors = []
    for charge in (True, False):
        torch.manual_seed(0)
        learner = Potential({"name": name, **SIZE, "charge": charge})
        optimizer = torch.optim.Adam(learner.parameters(), lr=0.03)
        for _ in range(80):
            optimizer.zero_grad()
            error = learner(batch, training=True)["binding"] - target
            error.square().mean().backward()
            optimizer.step()
        errors.append(float(error.square().mean().detach()))
    assert errors[0] < 1e-2 and errors[1] > 0.99  # one answer for both is off by 1 at best


@pytest.fixture
def model(network, tmp_path):
    network.config |= {"elements": [1, 6, 8], "charge_states": [[0, 1], [1, 2]]}
    save(network, tmp_path / "m.pt", {})
    return force2geo.load(tmp_path / "m.pt")


def test_a_checkpoint_keeps_it_and_every_user_hands_it_on(model, network, ethanol):
    numbers, x = ethanol
    neutral, cation = Atoms(*ethanol), Atoms(*ethanol, info={"charge": 1})
    expected = network(batch_of([ethanol] * 2, [(0, 1), (1, 2)]))
    assert abs(float(expected["energy"].diff())) > 1e-3
    rows = model.predict([neutral, cation])
    np.testing.assert_allclose([row["energy"] for row in rows], expected["energy"], rtol=1e-12)
    np.testing.assert_allclose(rows[1]["forces"], expected["forces"][9:], atol=1e-10)
    cation.calc = model.calculator()
    assert cation.get_potential_energy() == pytest.approx(rows[1]["energy"], rel=1e-12)
    runs = [Relaxation(numbers, x, place, charge=place, multiplicity=1 + place) for place in (0, 1)]
    relax_runs(runs, of_model(model), limit=1)
    for run in runs:
        assert run.energies[0] == pytest.approx(rows[run.place]["energy"], rel=1e-12)
    with pytest.raises(UserError, match="never seen charge -1 with multiplicity 2"):
        model.predict(Atoms(*ethanol, info={"charge": -1}))


def test_torch_sim_is_handed_charges_and_refuses_states_without(model, ethanol):
    import torch_sim

    atoms = [Atoms(*ethanol), Atoms(*ethanol)]
    state = torch_sim.io.atoms_to_state(atoms, torch.device("cpu"), torch.float64)
    own = model.torch_sim()
    if not hasattr(state, "charge"):
        with pytest.raises(UserError, match="takes charges and the state has none"):
            own(state)
    state.charge, state.spin = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0])
    rows = model.predict([atoms[0], Atoms(*ethanol, info={"charge": 1})])
    np.testing.assert_allclose(own(state)["energy"], [row["energy"] for row in rows], rtol=1e-12)


def test_export_refuses_it(model, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_check_compiler", pytest.fail)  # before any work is done
    with pytest.raises(UserError, match="takes charge and multiplicity"):
        model.export(tmp_path / "m.pt2")


def test_a_checkpoint_of_before_still_loads(network, ethanol, tmp_path):
    name = network.config["backbone"]["name"]
    old = made(name, charge=False)
    del old.config["backbone"]["charge"]
    save(old, tmp_path / "m.pt", {})
    loaded = force2geo.load(tmp_path / "m.pt").network
    assert not loaded.backbone.takes_charge
    assert torch.equal(loaded(batch_of([ethanol]))["energy"], old(batch_of([ethanol]))["energy"])
