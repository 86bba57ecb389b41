"""Precision, gradients, threads and the words of a model that is loaded."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

import force2geo
from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.potentials import threads
from force2geo.potentials.batch import collate
from force2geo.potentials.checkpoint import save
from force2geo.potentials.fast.radial import GaussianBasis
from force2geo.potentials.model import Model
from force2geo.potentials.models import Potential, PropertyModel
from force2geo.potentials.pairs import find_pairs
from force2geo.potentials.threads import FEW_ATOMS, share

BACKBONE = {"name": "painn", "layers": 2, "features": 8, "basis_size": 8, "cutoff": 4.5}
DEEP = -123456.789012345  # eV: in float32 it has steps of 8 meV


def potential(dtype=torch.float32, **backbone):
    torch.manual_seed(0)
    network = Potential(BACKBONE | backbone).to(dtype)
    network.config["elements"] = [1, 6, 8]
    network.energy.references[8] = DEEP
    return network


@pytest.fixture
def water():
    return molecule("H2O")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def binding(network, atoms):
    return float(network(collate([atoms.numbers], [atoms.positions], torch.float64))["binding"])


def test_a_float64_checkpoint_is_float64_again(tmp_path, water):
    network = potential(torch.float64)
    for weight in network.parameters():
        weight.data += 1e-9 * torch.randn_like(weight)  # digits that float32 has not
    expected = binding(network, water)
    save(network, tmp_path / "m.pt", {})
    model = force2geo.load(tmp_path / "m.pt")
    assert model.dtype == torch.float64
    for key, value in model.network.state_dict().items():
        assert (value == network.state_dict()[key]).all(), key
    (found,) = model.predict(water)
    assert found["forces"].dtype == np.float64
    assert found["energy"] == pytest.approx(DEEP + expected, abs=1e-10)


def test_centres_of_another_precision_are_measured_again():
    """Built in float32, a basis of thirds has another spacing than the one in the checkpoint."""
    basis, exact = GaussianBasis(4, 1.0).double(), torch.linspace(0, 1, 4, dtype=torch.float64)
    basis.load_state_dict({"centres": exact})
    assert basis.spacing == 1 / 3 and basis.coefficient == -0.5 / (1 / 3) ** 2


def test_one_call_in_another_precision_leaves_the_model_as_it_was(water):
    model = Model(potential(), {}, "cpu")
    before = model.predict(water)[0]
    precise = model.predict(water, dtype="float64")[0]
    after = model.predict(water)[0]
    assert before["forces"].dtype == after["forces"].dtype == np.float32
    assert precise["forces"].dtype == np.float64
    assert before["energy"] == after["energy"] != precise["energy"]
    assert (before["forces"] == after["forces"]).all()
    assert model.dtype == torch.float32
    assert model.in_dtype("float64") is model.in_dtype(torch.float64)


def test_references_are_float64_in_whatever_precision_the_weights_are(water):
    network = potential(torch.float64)
    expected = DEEP + binding(network, water)
    for found in (
        Model(network, {}, "cpu").predict(water, dtype="float32")[0]["energy"],
        float(network.float()(collate([water.numbers], [water.positions]))["energy"]),
    ):
        assert found == pytest.approx(expected, abs=1e-5)
    assert network.energy.references.dtype == torch.float64
    assert network.to("meta").energy.references.device.type == "meta"


def test_torch_sim_energies_are_not_rounded(water):
    import torch_sim

    model = Model(potential(), {}, "cpu")
    state = torch_sim.io.atoms_to_state([water], torch.device("cpu"), torch.float32)
    found = model.torch_sim("float32")(state)
    assert found["energy"].dtype == torch.float64 and found["forces"].dtype == torch.float32
    expected = DEEP + binding(model.in_dtype("float64"), water)
    assert float(found["energy"]) == pytest.approx(expected, abs=1e-5)
    relaxed = torch_sim.optimize(
        system=state, model=model.torch_sim(), optimizer=torch_sim.optimizers.fire, max_steps=3
    )
    assert float(relaxed.energy) == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize("kind", [Potential, PropertyModel])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inference_mode_changes_nothing(tmp_path, water, kind, dtype):
    torch.manual_seed(0)
    save(kind(BACKBONE), tmp_path / "m.pt", {})
    expected = force2geo.load(tmp_path / "m.pt").predict(water, dtype=dtype)[0]
    with torch.inference_mode():
        model = force2geo.load(tmp_path / "m.pt")
        found = model.predict(water, dtype=dtype)[0]
        batch = collate([water.numbers], [water.positions], model.dtype)
        straight = model.network(batch)
    again = model.predict(water, dtype=dtype)[0]  # and spoils nothing for later
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-6)
        np.testing.assert_allclose(again[key], expected[key], rtol=1e-6)
        shown = straight[key].clone().numpy().reshape(np.shape(expected[key]))
        np.testing.assert_allclose(shown, expected[key], atol=1e-5)


def test_means_over_atoms_and_totals(water):
    """A published model's energies are means; what ASE and `totals` get is the molecule's."""
    network = potential(torch.float64)
    means = Model(network, {"stage": "published"}, "cpu", mean_energy=True)
    output = network(collate([water.numbers], [water.positions], torch.float64))
    energy, forces = float(output["energy"]), output["forces"].numpy()
    (mean,), (total,) = means.predict(water), means.predict(water, totals=True)
    assert mean["energy"] == pytest.approx(energy / 3, rel=1e-14)
    np.testing.assert_allclose(mean["forces"], forces / 3, rtol=1e-12)
    water.calc = means.calculator()
    assert total["energy"] == water.get_potential_energy() == pytest.approx(energy, rel=1e-14)
    np.testing.assert_allclose(water.get_forces(), forces, rtol=1e-12)
    np.testing.assert_allclose(total["forces"], forces, rtol=1e-12)


class Dipoles(Potential):
    """A vector for each molecule, a number for each atom: shapes tell nothing."""

    def __init__(self, backbone):
        super().__init__(backbone)
        self.per_molecule += ("dipole",)
        self.per_atom += ("charges",)

    def forward(self, batch, training=False):
        output = super().forward(batch, training)
        charges = 0.1 * torch.arange(len(batch.positions))
        dipole = torch.zeros(batch.size, 3).index_add(
            0, batch.molecule, charges[:, None] * batch.positions
        )
        return output | {"charges": charges, "dipole": dipole}


def test_what_is_of_atoms_and_what_of_molecules_is_said_and_not_guessed(water):
    torch.manual_seed(0)
    model = Model(Dipoles(BACKBONE), {}, "cpu")
    hydrogen = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    found = model.predict([water, hydrogen])  # by size: hydrogen comes first
    np.testing.assert_allclose(found[1]["charges"], [0.0, 0.1], atol=1e-6)
    np.testing.assert_allclose(found[0]["charges"], [0.2, 0.3, 0.4], atol=1e-6)
    np.testing.assert_allclose(found[1]["dipole"], [0, 0, 0.074], atol=1e-6)
    expected = [0.2, 0.3, 0.4] @ water.positions
    np.testing.assert_allclose(found[0]["dipole"], expected, atol=1e-6)
    model.network.per_atom = ("forces",)
    with pytest.raises(ValueError, match="Dipoles does not say what 'charges' belongs to"):
        model.predict(water)
    model.network.per_atom = ("forces", "charges", "dipole")
    model.network.per_molecule = ("energy", "binding")
    with pytest.raises(ValueError, match="'dipole' has 1 rows of 3"):
        model.predict(water)


def watch(network):
    """Note by which thread and with how many threads the network is called, and how many atoms."""
    calls = []

    def note(_, given):
        calls.append((threading.get_ident(), torch.get_num_threads(), len(given[0].positions)))

    network.register_forward_pre_hook(note)
    return calls


def test_a_few_atoms_are_computed_by_one_thread(two_threads, water):
    model = Model(potential(), {}, "cpu")
    calls = watch(model.network)
    water.calc = model.calculator()
    water.get_forces()
    model.predict([water] * 3)
    grid = np.stack(np.meshgrid(*[np.arange(7.0)] * 3), axis=-1).reshape(-1, 3)
    large = Atoms(np.full(FEW_ATOMS, 6), 1.6 * grid[:FEW_ATOMS])
    model.predict(large)
    me = threading.get_ident()
    assert calls == [(me, 1, 3), (me, 1, 9), (me, 2, FEW_ATOMS)]
    assert torch.get_num_threads() == 2


def test_many_small_molecules_are_shared_among_all_threads(two_threads, water):
    model = Model(potential(), {}, "cpu")
    rng = np.random.default_rng(0)
    many = []
    for _ in range(100):
        many.append(water.copy())
        many[-1].rattle(0.1, rng=rng)
    calls = watch(model.in_dtype("float64"))
    found = model.predict(many, dtype="float64", batch_atoms=90)
    assert {one for _, one, _ in calls} == {1} and threading.get_ident() not in {
        c[0] for c in calls
    }
    assert max(atoms for *_, atoms in calls) == 45 and sum(c[2] for c in calls) == 300
    assert torch.get_num_threads() == 2
    for atoms, row in zip(many, found, strict=True):
        (alone,) = model.predict(atoms, dtype="float64")
        assert row["energy"] == pytest.approx(alone["energy"], abs=1e-9)
        np.testing.assert_allclose(row["forces"], alone["forces"], atol=1e-10)
    many[57].positions[1] = many[57].positions[0]
    with pytest.raises(UserError, match="molecule 57: atoms 0 and 1 stand at one point"):
        model.predict(many)
    assert torch.get_num_threads() == 2


def test_sharing_keeps_the_order_and_uses_every_thread():
    meet = threading.Barrier(3, timeout=30)  # nobody goes on alone

    def work(task):
        meet.wait()
        return task**2

    assert share(work, [1, 2, 3], 3) == [1, 4, 9]
    assert share(lambda task: task**2, [3, 1], 1) == [9, 1]
    assert threads.FEW_ATOMS > 30


@pytest.mark.parametrize("variant", ["smooth", "published"])  # the latter has no envelope
def test_pairs_are_kept_for_their_own_cutoff_alone(variant):
    network = potential(torch.float64, variant=variant, cutoff=4.5)
    chain = Atoms("OOOOO", [[k * 1.5, 0.1 * k * k, 0] for k in range(5)])
    batch = collate([chain.numbers], [chain.positions], torch.float64)
    expected = network(batch)
    for cutoff in (2.0, 9.0):
        brought = replace(batch, pairs=find_pairs(batch, cutoff))
        found = network(brought)
        torch.testing.assert_close(found["forces"], expected["forces"], rtol=0, atol=1e-12)
    mine = find_pairs(batch, 4.5)
    assert find_pairs(replace(batch, pairs=mine), 4.5) is mine


def test_pairs_go_along_to_another_device():
    batch = collate([np.array([8, 1])], [np.eye(3)[:2]])
    batch.pairs = find_pairs(batch, 3.0)
    moved = batch.to("meta")
    assert moved.pairs.first.device == moved.pairs.second.device == moved.positions.device
    assert moved.pairs.first.device.type == "meta" and moved.pairs.sorted is None
    here = batch.to("cpu").pairs
    assert here.sorted is not None and here.first.tolist() == [0] and here.cutoff == 3.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"basis_size": None}, "backbone painn: 'basis_size' is missing"),
        ({"lmax": 2}, "backbone painn: it takes no 'lmax', only layers, features, basis_size, cut"),
        ({"name": None}, "backbone: unknown name 'None', choose one of "),
        (
            {"name": "schnet", "variant": "published"},
            "unknown variant 'published', choose one of s",
        ),
        ({"layers": 0}, "'layers' is 0, not a whole number of at least 1"),
        ({"features": 1}, "'features' is 1, not a whole number of at least 2"),
        ({"basis_size": 1}, "'basis_size' is 1, not a whole number of at least 2"),
        ({"features": "64"}, "'features' is '64', not a whole"),
        ({"cutoff": 0.0}, "'cutoff' is 0.0, not a number above 0"),
        ({"cutoff": float("inf")}, "'cutoff' is inf, not a number above 0"),
    ],
)
def test_a_backbone_s_settings_are_checked_key_by_key(changes, message):
    settings = {k: v for k, v in (BACKBONE | changes).items() if v is not None}
    for kind in (Potential, PropertyModel):
        with pytest.raises(UserError, match=message) as caught:
            kind(settings)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "device 'gpu': unknown, give cpu or cuda"),
        ("cuda", "device 'cuda': torch finds no GPU here, give cpu"),
        ("cuda:7", "device 'cuda:7': torch finds no GPU"),
        ("meta", "device 'meta': holds no numbers"),
        ("xpu", "device 'xpu': not usable here"),
    ],
)
def test_a_device_that_is_not_there_is_no_unreadable_checkpoint(
    tmp_path, monkeypatch, device, message
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    save(potential(), tmp_path / "m.pt", {})
    with pytest.raises(UserError, match=message) as caught:
        force2geo.load(tmp_path / "m.pt", device)
    assert "\n" not in str(caught.value) and "checkpoint" not in str(caught.value)


def test_what_is_wrong_with_a_checkpoint_is_said_in_one_line(tmp_path, capsys):
    path = tmp_path / "m.pt"
    save(potential(), path, {})
    whole = torch.load(path, weights_only=True)
    state = whole["state_dict"]
    lacking = {key: value for key, value in state.items() if key != "heads.energy.references"}
    narrow = state | {"backbone.embedding.weight": torch.zeros(101, 4)}
    config = whole["config"]
    strange = config | {"backbone": config["backbone"] | {"lmax": 1}}
    for content, message in (
        (whole | {"version": 9}, "checkpoint version 9, this reads 1, 2, 3"),
        ({k: v for k, v in whole.items() if k != "config"}, "a checkpoint without config"),
        (whole | {"state_dict": lacking}, "a potential without heads.energy.references"),
        (whole | {"state_dict": state | {"x": torch.zeros(1)}}, "a potential with unknown x"),
        (whole | {"state_dict": narrow}, r"shape \(101, 4\), its config says \(101, 8\)"),
        (whole | {"config": strange}, "backbone painn: it takes no 'lmax'"),
        (whole | {"config": {}}, "names no backbone"),
        (
            whole | {"heads": {"energy": {"kind": "magic"}}},
            "head 'energy': unknown kind 'magic', o",
        ),
        (whole | {"heads": {"energy": {"sort": "energy"}}}, "its heads are none"),
        (whole | {"dtype": "float16"}, "dtype 'float16' is neither float32 nor float64"),
        ({k: v for k, v in whole.items() if k != "heads"}, "a checkpoint without heads"),
    ):
        torch.save(content, path)
        with pytest.raises(UserError, match=rf"m\.pt: .*{message}") as caught:
            force2geo.load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="a folder, give the file in it"):
        force2geo.load(tmp_path)
    assert main(["export", str(tmp_path / "absent.pt"), str(tmp_path / "x.pt2")]) == 2
    assert capsys.readouterr().err.endswith("absent.pt: no such checkpoint\n")


def test_a_model_says_what_it_is():
    network = potential()
    network.config["levels"] = ["pyscf b3lyp/6-31g*"]
    text = repr(Model(network, {"stage": "pretrain", "code": "0.1.0 source abc"}, "cpu"))
    count = sum(weight.numel() for weight in network.parameters())
    assert text.splitlines() == [
        "potential: painn, layers 2, features 8, basis_size 8, cutoff 4.5 Å",
        "elements: H C O",
        "level of theory: pyscf b3lyp/6-31g*",
        f"parameters: {count:,} (float32, cpu)",
        "trained by: pretrain, force2geo 0.1.0 source abc",
    ]
    plain = repr(Model(PropertyModel(BACKBONE), {}, "cpu"))
    assert plain.startswith("property: painn") and plain.count("not recorded") == 3
