"""Allegro: the package's own energies and forces, products in another order, its sums of pairs."""

import numpy as np
import pytest
import torch
from ase import Atoms

pytest.importorskip("allegro")

from force2geo.errors import UserError
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.models import Potential
from force2geo.potentials.registry import find

SMALL = {"layers": 2, "features": 8, "tensor_features": 4, "cutoff": 4.5}
KNOWN = Statistics(mean_neighbours=7.5, force_rms=1.5)
SAME = {
    "num_layers": 3,
    "num_scalar_features": 8,
    "num_tensor_features": 4,
    "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed"},
    "scalar_embed_mlp_hidden_layers_width": 8,
    "allegro_mlp_hidden_layers_width": 8,
    "readout_mlp_hidden_layers_width": 8,
    "avg_num_neighbors": 7.5,
    "per_type_energy_scales": 1.5,
}
EVEN = {"irreps_edge_sh": "0e+1e+2e", "tensor_track_allowed_irreps": "0e+1e+2e"}


def made(**settings):
    torch.manual_seed(0)
    return Potential({"name": "allegro", **SMALL, **settings}, KNOWN).double().eval()


def evaluate(model, *molecules):
    return model(collate(*zip(*molecules, strict=True), torch.float64))


def test_size_of_table_8():
    settings, batch_size = find("allegro").about.table8
    assert settings == {"layers": 2, "features": 128, "cutoff": 4.5}
    assert batch_size == 8


@pytest.mark.parametrize(
    ("parity", "options"),
    [("even", EVEN), ("natural", {"l_max": 2, "parity": False}), ("both", {"l_max": 2})],
)
def test_energies_and_forces_are_the_package_s(nequip_s_own, ten_molecules, parity, options):
    from allegro.model.allegro_models import AllegroModel, FullAllegroModel

    # Of three layers the first two have products with cross terms.
    model = made(parity=parity, layers=3)
    build = FullAllegroModel if parity == "even" else AllegroModel
    calculator = nequip_s_own(build, model.backbone, **SAME, **options)
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


def test_scalars_are_sums_over_pairs_that_fade_out_at_the_cutoff(ethanol):
    numbers, positions = ethanol
    backbone = made().backbone

    def scalars(numbers, positions):
        batch = collate([numbers], [positions], torch.float64)
        return backbone(batch, Graph.of(batch, 4.5)).scalars.detach()

    alone = scalars(numbers, positions)
    assert alone.shape == (9, 24) and alone.abs().max() > 1e-3
    hydrogen = positions[0] + [4.5 - 1e-5, 0, 0]
    beside = scalars(np.append(numbers, 1), np.vstack([positions, hydrogen]))
    # The first carbon sees that atom from nearly the cutoff, and nothing of it.
    torch.testing.assert_close(beside[0], alone[0], rtol=0, atol=1e-8)
    assert scalars(numbers[:1], positions[:1]).abs().max() == 0
    # Twice the mean number of neighbours: 1/√2 of each sum.
    few = scalars(numbers[[0, 3]], positions[[0, 3]])
    backbone.share *= 2**0.5
    torch.testing.assert_close(scalars(numbers[[0, 3]], positions[[0, 3]]), 2**0.5 * few)


def test_features_are_even_in_number():
    with pytest.raises(UserError, match="'features' is 7, not an even number"):
        made(features=7)
