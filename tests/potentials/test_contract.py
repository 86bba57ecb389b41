"""What every backbone must do, in float64: one suite over the registry.

A network is tried at the size `SMALL` of its own test, `backbones/test_<name>.py`. One whose
package is not installed is skipped by name.
"""

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from force2geo.dft.hessian import network_hessian
from force2geo.dft.points import Molecule
from force2geo.errors import UserError
from force2geo.potentials import checkpoint, registry
from force2geo.potentials.backbone import Backbone, Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.models import Potential, PropertyModel
from force2geo.settings import read
from force2geo.settings_schema import schema

HERE = Path(__file__).parent / "backbones"
KNOWN = Statistics(elements=(1, 6, 8), mean_neighbours=7.5, force_rms=1.5)


def small(name):
    """Return the settings that a backbone is tried with, and the class; skip what is missing."""
    path = HERE / f"test_{name}.py"
    assert path.exists(), f"backbone {name} has no test: write {path} with SMALL, its settings"
    try:
        found = registry.find(name)
    except UserError as error:
        pytest.skip(str(error))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {"name": name, **module.SMALL}, found


@pytest.fixture(params=registry.names())
def backbone(request):
    settings, found = small(request.param)
    if found.needs_bonds:
        pytest.skip(
            f"{request.param} takes bonds and gives no forces: its own test has its contract"
        )
    return settings, found


def made(settings, seed=0, kind=Potential):
    torch.manual_seed(seed)
    model = kind(settings, KNOWN).double().eval()
    if kind is Potential:
        model.energy.references.uniform_(-100, -1)
    return model


def evaluate(model, *molecules, **options):
    numbers, positions = zip(*molecules, strict=True)
    return model(collate(numbers, positions, torch.float64), **options)


@pytest.fixture
def water():
    """A second molecule, of another size."""
    return np.array([8, 1, 1]), np.array([[0, 0, 0.119], [0, 0.764, -0.477], [0, -0.764, -0.477]])


def close(found, expected, tolerance=1e-8):
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_what_it_says_of_itself(backbone):
    settings, cls = backbone
    assert issubclass(cls, Backbone) and cls.about.title and cls.about.source and cls.about.licence
    model = made(settings)
    assert model.backbone.cutoff == settings["cutoff"]
    described = schema(cls.Settings)
    assert set(settings) - {"name"} <= set(described["properties"])
    assert all(about["description"] for about in described["properties"].values())
    if cls.about.table8 is not None:
        values, batch_size = cls.about.table8
        read(cls.Settings, values, settings["name"])
        assert values["cutoff"] == 4.5 and batch_size >= 1


def test_features_have_the_sizes_they_are_said_to_have(backbone, ethanol, water):
    settings, cls = backbone
    model = made(settings)
    batch = collate(*zip(ethanol, water, strict=True), torch.float64)
    found = model.backbone(batch, Graph.of(batch, model.backbone.cutoff))
    if model.backbone.width is None:
        assert found.scalars is None and found.atomic_energy is not None
    else:
        assert found.scalars.shape == (12, model.backbone.width)
    wide = model.backbone.vector_width
    assert (found.vectors is None) == (wide == 0)
    assert found.vectors is None or found.vectors.shape == (12, 3, wide)
    assert found.atomic_energy is None or found.atomic_energy.shape == (12,)
    assert (found.forces is not None) == cls.direct_forces


def test_energy_is_invariant_and_forces_turn_along(backbone, ethanol):
    settings, cls = backbone
    model = made(settings)
    numbers, positions = ethanol
    before = evaluate(model, ethanol)
    assert float(before["forces"].abs().max()) > 1e-4
    for sign in (1, -1) if cls.mirror else (1,):
        rotation = sign * Rotation.random(random_state=4).as_matrix()
        after = evaluate(model, (numbers, positions @ rotation + [3.0, -2.0, 5.0]))
        close(after["energy"], before["energy"])
        close(after["forces"], before["forces"] @ torch.from_numpy(rotation))


def test_order_of_atoms_and_company_do_not_matter(backbone, ethanol, water):
    model = made(backbone[0])
    numbers, positions = ethanol
    order = np.random.default_rng(1).permutation(len(numbers))
    alone = evaluate(model, ethanol)
    both = evaluate(model, water, (numbers[order], positions[order]), ethanol)
    close(both["energy"][1:], alone["energy"].expand(2))
    close(both["forces"][12:], alone["forces"])
    close(both["forces"][3:12], alone["forces"][order])
    close(both["energy"][:1], evaluate(model, water)["energy"])


def test_forces_are_the_energy_s_negative_slope(backbone, ethanol):
    settings, cls = backbone
    if cls.direct_forces:
        pytest.skip(f"{settings['name']} predicts forces directly")
    model = made(settings)
    numbers, positions = ethanol
    # No symmetry: some networks jump there.
    positions = positions + 0.05 * np.random.default_rng(2).standard_normal(positions.shape)
    forces = evaluate(model, (numbers, positions))["forces"].numpy()
    step = 1e-4
    for atom, axis in ((0, 0), (2, 1), (8, 2)):
        shifted = np.array([positions, positions])
        shifted[:, atom, axis] += [step, -step]
        up, down = evaluate(model, (numbers, shifted[0]), (numbers, shifted[1]))["energy"]
        assert forces[atom, axis] == pytest.approx(-float(up - down) / (2 * step), 1e-6, 1e-6)


def test_autograd_s_hessian_is_the_slope_of_forces(backbone, water):
    settings, cls = backbone
    if not cls.second_derivatives:
        pytest.skip(f"{settings['name']} says that its forces have no derivative")
    model = made(settings)
    numbers, positions = water
    # No symmetry, as above; all its atoms see each other.
    positions = positions + 0.05 * np.random.default_rng(2).standard_normal(positions.shape)
    found = network_hessian(Molecule(numbers, positions), model)
    step = 1e-4
    moves = step * np.eye(9).reshape(9, 3, 3)
    places = [(numbers, positions + sign * move) for sign in (1, -1) for move in moves]
    forces = evaluate(model, *places)["forces"].numpy().reshape(2, 9, 9)
    slopes = (forces[1] - forces[0]) / (2 * step)
    expected = (slopes + slopes.T) / 2
    scale = abs(expected).max()
    assert scale > 1e-4
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


def test_far_molecules_do_not_feel_each_other(backbone, ethanol):
    settings, cls = backbone
    model = made(settings)
    numbers, positions = ethanol
    one = evaluate(model, ethanol)
    pair = (np.concatenate([numbers] * 2), np.concatenate([positions, positions + 100.0]))
    two = evaluate(model, pair)
    if not getattr(cls, "whole_molecule", False):  # these look at all pairs of a molecule
        close(two["energy"], 2 * one["energy"])
        close(two["forces"], one["forces"].repeat(2, 1))


def test_energy_and_force_are_continuous_through_the_cutoff(backbone, ethanol):
    settings, cls = backbone
    if not cls.smooth:
        pytest.skip(f"{settings['name']} is published without a smooth end at the cutoff")
    model = made(settings)
    cutoff = model.backbone.cutoff
    numbers, positions = ethanol
    numbers = np.append(numbers, 8)
    direction = np.array([0.6, 0.8, 0.0])
    # The added atom crosses the cutoff of the first one, alone.
    gaps = cutoff + np.array([-2e-6, 2e-6])
    molecules = [
        (numbers[[0, -1]], np.array([positions[0], positions[0] + gap * direction])) for gap in gaps
    ]
    found = evaluate(model, *molecules)
    close(found["energy"][0], found["energy"][1], 1e-6)
    close(found["forces"][:2], found["forces"][2:], 1e-4)


def test_a_lone_atom_and_a_pair(backbone):
    model = made(backbone[0])
    lone = (np.array([8]), np.zeros((1, 3)))
    pair = (np.array([1, 8]), np.array([[0.0, 0, 0], [0, 0, 0.97]]))
    found = evaluate(model, lone, pair, lone)
    assert all(torch.isfinite(value).all() for value in found.values())
    close(found["forces"][[0, 3]], torch.zeros(2, 3, dtype=torch.float64), 1e-12)
    close(found["energy"][0], found["energy"][2])
    close(evaluate(model, lone)["energy"], found["energy"][:1])


def test_every_parameter_has_a_gradient(backbone, ethanol, water):
    model = made(backbone[0]).train()
    output = evaluate(model, ethanol, water, training=True)
    (output["binding"].square().sum() + output["forces"].square().sum()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not name.startswith(tuple(model.backbone.spare)):
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_copies_and_checkpoints_give_the_same(backbone, ethanol, tmp_path):
    settings, _ = backbone
    model = made(settings)
    expected = evaluate(model, ethanol)
    for copied in (copy.deepcopy(model), made(settings, seed=5)):
        copied.load_state_dict(model.state_dict())
        close(evaluate(copied, ethanol)["forces"], expected["forces"], 1e-12)
    checkpoint.save(model, tmp_path / "model.pt", {"stage": "test"})
    loaded = checkpoint.load(tmp_path / "model.pt").network
    assert loaded.statistics == KNOWN
    close(evaluate(loaded, ethanol)["energy"], expected["energy"], 1e-12)
    close(evaluate(loaded, ethanol)["forces"], expected["forces"], 1e-12)
    # The precision of weights is kept, that of a network's exact constants beside them.
    checkpoint.save(model.float(), tmp_path / "narrow.pt", {"stage": "test"})
    assert checkpoint.load(tmp_path / "narrow.pt").dtype == torch.float32


def test_default_dtype_is_left_alone(backbone):
    before = torch.get_default_dtype()
    made(backbone[0])
    assert torch.get_default_dtype() == before == torch.float32


def test_it_learns(backbone, ethanol, water):
    torch.manual_seed(0)
    model = Potential(backbone[0], KNOWN)
    molecules = [ethanol, water] * 2
    batch = collate(*zip(*molecules, strict=True))
    batch.positions += 0.05 * torch.randn(batch.positions.shape, generator=torch.manual_seed(1))
    target = {"binding": torch.tensor([-3.0, -1.0, -3.1, -0.9]),
              "forces": 0.5 * torch.randn(batch.positions.shape)}  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        output = model(batch, training=True)
        loss = sum(torch.nn.functional.mse_loss(output[key], target[key]) for key in target)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.97 * losses[0] and np.isfinite(losses).all()


def test_properties_and_displacements(backbone, ethanol, water):
    settings, _ = backbone
    model = made(settings, kind=PropertyModel)
    numbers, positions = ethanol
    rotation = Rotation.random(random_state=4).as_matrix()
    one = evaluate(model, ethanol, water)
    other = evaluate(model, (numbers, positions @ rotation), water)
    close(other["property"], one["property"])
    if model.backbone.vector_width:
        close(other["displacement"][:9], one["displacement"][:9] @ torch.from_numpy(rotation))
    assert ("displacement" in one) == bool(model.backbone.vector_width)
