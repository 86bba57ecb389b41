"""Objectives, data and references."""

import h5py
import numpy as np
import pytest
import torch

from force2geo.errors import UserError
from force2geo.potentials.batch import by_size, collate
from force2geo.potentials.models import Potential
from force2geo.train import losses
from force2geo.train.loader import BatchLoader
from force2geo.train.objectives.energy_forces import EnergyForces
from force2geo.train.objectives.property import PropertyGeometry
from force2geo.train.reference_energies import fit_references
from force2geo.train.schedule import Schedule
from force2geo.train.snapshots import Snapshots

BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}


def test_batches_hold_the_rows_asked_for(packed):
    batch = packed.batch(np.array([5, 0, 47]))
    assert batch.size == 3
    for place, row in enumerate((5, 0, 47)):
        part = slice(packed.ptr[row], packed.ptr[row + 1])
        mine = slice(int(batch.ptr[place]), int(batch.ptr[place + 1]))
        np.testing.assert_array_equal(batch.positions[mine], packed.positions[part])
        np.testing.assert_array_equal(batch.forces[mine], packed.forces[part])
        assert float(batch.energy[place]) == packed.energy[row]
        assert (batch.molecule[mine] == place).all()


def test_splits_and_sources_partition(packed):
    parts = [len(packed.where(split)) for split in ("train", "val", "test")]
    assert parts == [24, 12, 12] and len(packed.where("val", "dft_1st")) == 12
    assert len(packed.where("val", "dft_points")) == 0
    assert len(packed.where("train", "absent")) == 0


def test_every_item_comes_once_in_an_order_of_seed_and_epoch(packed):
    def order(seed, epoch):
        return [float(e) for b in BatchLoader(packed, 7, seed, epoch, True) for e in b.energy]

    assert sorted(order(1, 0)) == sorted(packed.energy.tolist())
    assert order(1, 0) == order(1, 0) != order(1, 1)


def test_a_packed_file_is_mapped_not_read(packed, tmp_path):
    again = Snapshots.read(tmp_path / "x.h5")
    again.positions[0] = 99.0  # in this process's own copy of the page
    assert (Snapshots.read(tmp_path / "x.h5").positions[0] == packed.positions[0]).all()
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["positions"].id.get_offset() is not None
        np.testing.assert_array_equal(file["positions"][:], packed.positions)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        for name, column in h5py.File(tmp_path / "x.h5").items():
            file.create_dataset(name, data=column[:], chunks=True)
        file.attrs["sources"] = ["dft_1st"]
    with pytest.raises(UserError, match="pack it again"):
        Snapshots.read(tmp_path / "old.h5")


@pytest.mark.parametrize("atoms", [None, 12])
def test_an_epoch_may_be_several_passes_each_in_another_order(packed, atoms):
    loaders = [BatchLoader(packed, 7, 3, epoch, True, batch_atoms=atoms, passes=3)
               for epoch in range(3)]  # fmt: skip
    assert len({len(loader) for loader in loaders}) == 1  # the schedule counts on it
    for loader in loaders:
        seen = np.concatenate(loader.batches)
        assert np.bincount(seen).tolist() == [3] * len(packed)
    if atoms is None:
        passes = np.concatenate(loaders[0].batches).reshape(3, -1)
        assert all(sorted(one) == list(range(len(packed))) for one in passes.tolist())
        assert len({tuple(one) for one in passes.tolist()}) == 3


def test_batches_by_atoms_keep_to_the_budget_and_hold_every_item_once(packed):
    def energies(loader):
        return sorted(float(e) for batch in loader for e in batch.energy)

    loaders = [BatchLoader(packed, 7, 3, epoch, True, batch_atoms=12) for epoch in range(5)]
    # As many batches in every epoch: a schedule counts on it.
    assert len({len(loader) for loader in loaders}) == 1
    for loader in loaders:
        batches = list(loader)
        assert all(len(batch.positions) <= 12 for batch in batches)
        spread = [int(b.atoms_per_molecule.max() - b.atoms_per_molecule.min()) for b in batches]
        assert max(spread) <= 1
        assert energies(batches) == sorted(packed.energy.tolist())
    assert [float(b.energy[0]) for b in loaders[0]] != [float(b.energy[0]) for b in loaders[1]]


def test_a_molecule_over_the_budget_is_a_batch_of_its_own():
    batches = by_size(np.array([3, 50, 4, 3]), 8)
    assert [batch.tolist() for batch in batches] == [[0, 3], [2], [1]]
    assert by_size(np.array([], dtype=int), 8) == []


def test_processes_share_every_batch(packed):
    whole = [batch.energy.tolist() for batch in BatchLoader(packed, 6, 1, 0, True)]
    parts = [
        [batch.energy.tolist() for batch in BatchLoader(packed, 6, 1, 0, True, share=(k, 2))]
        for k in (0, 1)
    ]
    for batch, one, two in zip(whole, *parts, strict=True):
        assert sorted(one + two) == sorted(batch) and len(one) == len(two) == 3
    # A last batch too small to share is given to all, whole, so that each molecule counts alike.
    few = packed.where("val")
    few.rows = few.rows[:3]
    for k in range(4):
        (batch,) = BatchLoader(few, 6, share=(k, 4))
        assert batch.energy.tolist() == packed.energy[few.rows].tolist()


def test_references_explain_energies_linear_in_composition(packed):
    references = fit_references(packed.where("train"), "per_element")
    np.testing.assert_allclose(references[[1, 6, 8]], [-10, -60, -80], atol=0.5)
    per_atom = (packed.energy / packed.ptr.diff()).numpy()
    np.testing.assert_allclose(fit_references(packed, "mean"), np.full(101, per_atom.mean()))
    packed.energy[packed.where("train").rows[0]] = torch.nan
    with pytest.raises(UserError, match="not finite"):
        fit_references(packed.where("train"), "per_element")


def test_energy_force_loss_is_equations_4_to_6(packed):
    torch.manual_seed(0)
    model = Potential(BACKBONE)
    batch = packed.batch(np.arange(8))
    output = model(batch)
    energy = (output["energy"] - batch.energy).abs().mean()
    force = torch.sqrt(((output["forces"] - batch.forces) ** 2).sum(dim=1).mean())
    loss = EnergyForces.of(energy_weight=0.5, force_weight=2.0, energy_per_atom=False).loss(
        model, batch
    )
    torch.testing.assert_close(loss["loss"].double(), 0.5 * energy + 2.0 * force, rtol=1e-5, atol=0)
    per_atom = EnergyForces.of(force_weight=0.0).loss(model, batch)["energy"]
    expected = ((output["energy"] - batch.energy).abs() / batch.atoms_per_molecule).mean()
    torch.testing.assert_close(per_atom.double(), expected, rtol=1e-5, atol=0)


def test_losses_by_name_match_their_definitions():
    errors = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.1, 0.0]], dtype=torch.float64)
    weights = torch.tensor([1.0, 2.0], dtype=torch.float64)
    expected = {
        "mae": (5 + 2 * 0.1) / 2, "mse": (25 + 2 * 0.01) / 2, "rmse": ((25 + 0.02) / 2) ** 0.5,
        "huber": (5 - 0.25 + 2 * 0.01 / (2 * 0.5)) / 2,
    }  # fmt: skip
    for name, value in expected.items():
        assert float(losses.of_vectors(name, errors, weights, 0.5)) == pytest.approx(value, 1e-6)
        plain = losses.of_vectors(name, errors, torch.ones_like(weights), 0.5)
        assert float(losses.of_numbers(name, errors.norm(dim=1), 0.5)) == pytest.approx(
            float(plain), 1e-6
        )
    with pytest.raises(UserError, match="'energy' is 'l3', not one of mae, mse, rmse, huber"):
        EnergyForces.of(energy="l3")


def test_force_scale_lets_small_forces_count_more():
    class Fixed:
        @property
        def energy(self):
            return self

        def reference(self, batch):
            return torch.zeros(batch.size, dtype=torch.float64)

        def __call__(self, batch, training=False):
            return {"binding": torch.zeros(1), "forces": batch.forces + 1.0}

    batch = collate([np.array([8, 1])], [np.zeros((2, 3))])
    batch.energy, batch.forces = torch.zeros(1), torch.tensor([[0.0, 3.0, 4.0], [0.0, 0.0, 0.5]])
    loss = EnergyForces.of(forces="mae", force_scale=0.5).loss(Fixed(), batch)
    # Both errors are √3; forces of 5 and 0.5 eV/Å count 1/5.5 and 1/1.
    assert float(loss["force"]) == pytest.approx(3**0.5 * (1 / 5.5 + 1) / 2)


def test_predictions_are_the_model_s_total_energies_and_its_forces_as_they_are(packed):
    class Fixed:
        def __call__(self, batch):
            count = torch.arange(batch.size).double()
            return {"energy": -70.0 - count, "binding": count, "forces": 3 * batch.positions}

    batches = [packed.batch(np.array([4, 9])), packed.batch(np.array([2]))]
    parts = [EnergyForces.of().predict(Fixed(), batch) for batch in batches]
    found = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    assert found["energy"].tolist() == [-70.0, -71.0, -70.0]
    positions = np.concatenate([batch.positions.numpy() for batch in batches])
    np.testing.assert_array_equal(found["forces"], 3 * positions)
    rows = [4, 9, 2]
    np.testing.assert_array_equal(found["energy_true"], packed.energy.numpy()[rows])
    parts = [packed.forces[packed.ptr[row] : packed.ptr[row + 1]] for row in rows]
    np.testing.assert_array_equal(found["forces_true"], np.concatenate(parts))


def factors(settings, metrics, batches=3, total=12):
    """Return the rate (of 1.0) at the beginning of each epoch, and after the last."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    schedule, rates = Schedule(optimizer, settings, total), []
    for metric in metrics:
        rates.append(optimizer.param_groups[0]["lr"])
        for _ in range(batches):
            optimizer.step()
            schedule.after_batch()
        schedule.after_epoch(metric)
    return [*rates, optimizer.param_groups[0]["lr"]]


def test_schedules_have_the_values_worked_out_by_hand():
    worse = [3.0, 2.0, 2.0, 2.5, 2.1, 1.9, 2.0, 2.0, 2.0]
    # Two epochs without an improvement are borne, the third halves the rate.
    plateau = {"name": "plateau", "factor": 0.5, "patience": 2}
    assert factors(plateau, worse) == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    step = {"name": "step", "step_size": 2, "gamma": 0.1}
    assert factors(step, [1.0] * 5) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    # Twelve batches, three of them to warm up, then half a cosine over nine.
    cosine = {"name": "cosine", "warmup": 0.25}
    expected = [1 / 3, 1.0, 0.75, 0.25, 0.0]
    assert factors(cosine, [1.0] * 4) == pytest.approx(expected, abs=1e-12)


def test_metrics_are_per_atom_and_per_component_of_sums_that_add():
    one = {
        "energy": torch.tensor([1.0]), "energy_true": torch.tensor([1.3]),
        "atoms": torch.tensor([3]), "forces": torch.zeros(1, 3),
        "forces_true": torch.tensor([[3.0, 0, 0]]),
    }  # fmt: skip
    two = one | {"energy": torch.tensor([1.3]), "forces_true": torch.tensor([[0, 4.0, 0]])}
    objective = EnergyForces.of()
    parts = [objective.sums(None, found) for found in (one, two)]
    assert all(value.dtype == torch.float64 and not value.shape for value in parts[0].values())
    found = objective.metrics({key: float(parts[0][key] + parts[1][key]) for key in parts[0]})
    assert found["energy_mae"] == pytest.approx(50.0)
    assert found["force_mae"] == pytest.approx(1e3 * 7 / 6)
    assert found["force_rmse"] == pytest.approx(1e3 * np.sqrt(25 / 6))
    assert found["force_rmse_vector"] == pytest.approx(1e3 * np.sqrt(25 / 2))
    assert found["force_rmse_zero"] == found["force_rmse"]
    assert objective.units(None).keys() == found.keys()


def test_geometry_loss_is_one_minus_cosine():
    class Fixed:
        def __call__(self, batch, training=False, only=None):
            right_angle = torch.tensor([[0.0, 1, 0], [0, 1, 0], [1, 0, 0]])
            return {"property": torch.zeros(1), "displacement": right_angle}

    batch = collate([np.array([8, 1, 1])], [np.zeros((3, 3))])
    batch.targets["gap"] = torch.tensor([2.0])
    batch.displacement = torch.tensor([[0.0, 2, 0], [1, 0, 0], [0, 0, 0]])
    loss = PropertyGeometry.of(target=["gap"], geometry_weight=0.5).loss(Fixed(), batch)
    # Cosines 1 and 0; the third atom does not move and is left out.
    assert float(loss["geometry"]) == pytest.approx(0.5)
    assert float(loss["loss"]) == pytest.approx(2.0 + 0.5 * 0.5)
