"""Labels minus a baseline, from the packed file to the trained potential."""

import json

import h5py
import numpy as np
import pytest
import torch
from test_runs import POTENTIAL

import force2geo
from force2geo.calling.named import record_of
from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.train import runs
from force2geo.train.objectives.energy_forces import EnergyForces
from force2geo.train.reference_energies import fit_references
from force2geo.train.registry import of_record
from force2geo.train.snapshots import Snapshots
from force2geo.train.sources import SNAPSHOTS, Inputs
from force2geo.training_data import baselines
from force2geo.training_data.baselines import write_baseline
from force2geo.training_data.packed import PackedWriter
from toy_baselines import WELLS, energy

RECORD = POTENTIAL | {"objective": "energy_forces", "data": "x", "baseline": WELLS}
PER_ELEMENT = {1: -13.0, 6: -1000.0, 8: -2000.0, 35: -70000.0}


def label(numbers, x, charge, multiplicity):
    """What DFT would say: the wells, energies of elements, and a field that no baseline knows."""
    own = sum(PER_ELEMENT[z] for z in numbers.tolist()) + 0.4 * x[:, 2].sum()
    return own + energy(x, charge, multiplicity), -3.0 * x - [0, 0, 0.4]


@pytest.fixture
def data(tmp_path):
    """Snapshots in three splits, two of an ion, and two of bromine, which the wells fail for."""
    rng = np.random.default_rng(2)
    writer = PackedWriter(tmp_path / "x.h5", ["a"])
    for number in range(12):
        charge, numbers = 0, np.array([8, 1, 1, 6, 1, 1][: (3, 6)[number % 2]])
        if number == 4:
            charge, numbers = 1, np.array([8, 1, 1, 1])
        if number == 7:
            numbers = np.array([35, 1])
        x = rng.normal(size=(2, len(numbers), 3)).astype(np.float32).astype(float)
        found = [label(numbers, one, charge, 1) for one in x]
        energies, forces = (np.array(part) for part in zip(*found, strict=True))
        part = ("train", "train", "val", "test")[number % 4]
        writer.add(f"{number:09d}", numbers, x, energies, forces, "a", part, (charge, 1))
    writer.close(None, None)
    return tmp_path / "x.h5"


@pytest.fixture
def baseline(data):
    write_baseline(data, data.with_name("b.h5"), WELLS, 2)
    return data.with_name("b.h5")


def test_the_file_has_the_calculator_s_numbers_row_by_row(data, baseline):
    with h5py.File(data) as packed, h5py.File(baseline) as found:
        ptr, x = packed["ptr"][:], packed["positions"][:]
        states = [(0, 1)] * 24
        states[8:10] = [(1, 1)] * 2
        assert list(zip(packed["charge"], packed["multiplicity"], strict=True)) == states
        for row, (charge, multiplicity) in enumerate(states):
            atoms = slice(ptr[row], ptr[row + 1])
            if row in (14, 15):
                assert np.isnan(found["energy"][row]) and np.isnan(found["forces"][atoms]).all()
                continue
            expected = energy(x[atoms].astype(float), charge, multiplicity)
            assert found["energy"][row] == pytest.approx(expected, abs=1e-9)
            np.testing.assert_allclose(found["forces"][atoms], -3 * x[atoms], rtol=1e-6)
        assert found["failed"][:].tolist() == [14, 15]
        assert set(found["reason"].asstr()) == {"RuntimeError: no bromine in 2 atoms"}
        assert json.loads(found.attrs["baseline"]) == WELLS


def test_a_killed_one_goes_on_and_one_of_other_data_begins_anew(data, baseline, monkeypatch):
    monkeypatch.setattr(baselines, "_BLOCK", 5)
    target, counts = data.with_name("again.h5"), []

    def killed(count):
        counts.append(count)
        if len(counts) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_baseline(data, target, WELLS, 1, killed)
    assert counts == [0, 5, 5] and not target.exists()
    folder = target.with_name(".again.h5.unfinished")
    # What a kill in the middle of a block leaves.
    for name in ("reasons", "forces"):
        with (folder / name).open("ab") as file:
            file.write(b"12 half\n")
    counts.clear()
    write_baseline(data, target, WELLS, 1, counts.append)
    assert counts == [10, 5, 5, 4] and not folder.exists()
    with h5py.File(baseline) as whole, h5py.File(target) as found:
        for name in ("energy", "forces", "failed", "reason"):
            np.testing.assert_array_equal(found[name][:], whole[name][:])
    counts[:] = [0, 0]
    with pytest.raises(KeyboardInterrupt):
        write_baseline(data, target, WELLS, 1, killed)
    counts.clear()
    other = {"calculator": "toy_baselines:Remembers", "options": {}}
    write_baseline(data, target, other, 1, counts.append)
    assert counts[0] == 0


def test_nothing_at_all_and_old_files_are_told(data, tmp_path):
    with pytest.raises(UserError, match="No module named"):
        write_baseline(data, tmp_path / "b.h5", {"calculator": "no.such:X", "options": {}}, 1)
    writer = PackedWriter(tmp_path / "br.h5", ["a"])
    x = np.zeros((1, 2, 3))
    writer.add("1", np.array([1, 35]), x, np.zeros(1), x, "a", "train")
    writer.close()
    with pytest.raises(UserError, match="not one snapshot has a baseline: RuntimeError: no"):
        write_baseline(tmp_path / "br.h5", tmp_path / "b.h5", WELLS, 1)
    with h5py.File(data, "a") as file:
        del file["charge"]
    with pytest.raises(UserError, match="kept no charges, pack it again"):
        write_baseline(data, tmp_path / "b.h5", WELLS, 1)
    with h5py.File(data, "a") as file:
        file.attrs["charge_states"] = [[0, 1]]
    write_baseline(data, tmp_path / "b.h5", WELLS, 1)
    with h5py.File(tmp_path / "b.h5") as file:
        x = Snapshots.read(data).positions[:3].double().numpy()
        assert file["energy"][0] == pytest.approx(energy(x), abs=1e-9)


def test_batches_have_what_is_left_and_failed_ones_are_left_out(data, baseline):
    snapshots = Snapshots.read(data, baseline)
    sets = SNAPSHOTS.sets(snapshots, None)
    assert {part: len(one) for part, one in sets.items()} == {"train": 12, "val": 6, "test": 4}
    assert sets["test"].left_out == {"the baseline finds no energy": 2}
    assert sets["train"].left_out == {} and sets["train"].seen()["baseline"] == WELLS
    batch = sets["train"].batch(np.array([0, 9, 4]))
    expected = torch.tensor([0, 0, -0.4]).expand(len(batch.positions), 3)
    np.testing.assert_allclose(batch.forces, expected, atol=2e-6)
    for place, own in enumerate(batch.energy.tolist()):
        atoms = slice(int(batch.ptr[place]), int(batch.ptr[place + 1]))
        z, x = batch.atomic_numbers[atoms].tolist(), batch.positions[atoms]
        left = sum(PER_ELEMENT[one] for one in z) + 0.4 * float(x[:, 2].sum())
        assert own == pytest.approx(left, abs=1e-4)
    # Energies of elements are fitted to what is left: no 10 eV of charge, no wells.
    references = fit_references(sets["train"], "per_element")
    energies = [PER_ELEMENT[z] for z in (1, 6, 8)]
    np.testing.assert_allclose(references[[1, 6, 8]], energies, atol=2.0)


def test_what_does_not_belong_together_is_refused(data, baseline, tmp_path):
    gfn2 = {"baseline": record_of("gfn2-xtb")}
    for record, file, says in (
        (RECORD | gfn2, baseline, "record has the baseline gfn2-xtb, the data Wells-"),
        (RECORD | {"baseline": None}, baseline, "the baseline none, the data Wells-"),
        (RECORD, None, "the baseline Wells-.*, the data none"),
    ):
        with pytest.raises(UserError, match=says):
            SNAPSHOTS.read(record, Inputs(data, baseline=file))
    sets = SNAPSHOTS.read(RECORD, Inputs(data, baseline=baseline))
    runs.train("t", of_record(RECORD, "x"), sets, RECORD, [], tmp_path / "m.pt")
    plain = {key: value for key, value in RECORD.items() if key != "baseline"}
    with pytest.raises(UserError, match=r"m.pt: its baseline is Wells-.*, that of the data none"):
        runs.train(
            "t", of_record(plain, "x"), SNAPSHOTS.read(plain, Inputs(data)), plain, [],
            tmp_path / "n.pt", tmp_path / "m.pt",
        )  # fmt: skip
    shaken = RECORD | {"objective": "denoising", "noise": 0.1}
    with pytest.raises(UserError, match="no energy that could correct a baseline"):
        runs.train("t", of_record(shaken, "x"), sets, shaken, [], tmp_path / "d.pt")
    with h5py.File(data, "a") as file:
        file["energy"][0] += 1.0
    with pytest.raises(UserError, match="the baseline of another file"):
        Snapshots.read(data, baseline)


def test_commands_train_a_potential_that_is_the_sum(data, tmp_path, monkeypatch):
    """Where the baseline is all there is but a field, what is told of forces is the field's."""
    (tmp_path / "b.json").write_text(json.dumps({"data": "x", "baseline": WELLS}))
    record = RECORD | {"epochs": 1, "seed": 3}
    record["tracking"] = {}
    (tmp_path / "t.json").write_text(json.dumps(record))
    files = {name: str(tmp_path / name) for name in ("b.json", "b.h5", "t.json", "m/model.pt")}
    command = ["baseline", "--settings", files["b.json"], "--data", str(data)]
    assert main([*command, "--workers", "2", "--out", files["b.h5"]]) == 0
    command = ["train", "--settings", files["t.json"], "--data", str(data)]
    assert main([*command, "--out", files["m/model.pt"]]) == 2
    command += ["--baseline", files["b.h5"]]
    assert main([*command, "--out", files["m/model.pt"]]) == 0
    model = force2geo.load(tmp_path / "m/model.pt")
    assert model.baseline.record == WELLS
    metrics = json.loads((tmp_path / "m/metrics.json").read_text())
    # The wells are wrong by 0.4 along z, and the network by no more than it has learnt yet.
    assert metrics["val"]["force_rmse_baseline"] == pytest.approx(400 / 3**0.5, rel=1e-4)
    assert metrics["val"]["force_rmse_zero"] > 2000 and metrics["units"]["force_rmse_baseline"]
    assert metrics["left_out"] == {"test": {"the baseline finds no energy": 2}}
    packed, found = Snapshots.read(data), np.load(tmp_path / "m/predictions.npz")
    rows = packed.where("val").rows.numpy()
    np.testing.assert_allclose(found["val/energy_true"], packed.energy[rows], rtol=1e-12)
    from ase import Atoms

    forces = []
    for row, value in zip(rows, found["val/energy"], strict=True):
        atoms = slice(packed.ptr[row], packed.ptr[row + 1])
        (own,) = model.predict(
            Atoms(packed.atomic_numbers[atoms].numpy(), packed.positions[atoms].numpy())
        )
        assert own["energy"] == pytest.approx(value, abs=1e-3)
        forces.append(own["forces"])
    np.testing.assert_allclose(found["val/forces"], np.concatenate(forces), atol=2e-5)
    error = found["val/forces"] - found["val/forces_true"]
    assert metrics["val"]["force_rmse"] == pytest.approx(1e3 * np.sqrt((error**2).mean()), rel=1e-5)
    provenance = json.loads((tmp_path / "m/model.pt.provenance.json").read_text())
    assert provenance["settings"]["baseline"] == WELLS
    assert files["b.h5"] in provenance["inputs"]


def test_the_loss_is_that_of_what_is_left(data, baseline):
    """A network that says the field and nothing else has none, on the baseline's labels alone."""
    train = SNAPSHOTS.sets(Snapshots.read(data, baseline), None)["train"]
    plain = SNAPSHOTS.sets(Snapshots.read(data), None)["train"]
    objective = of_record(RECORD, "x")
    assert isinstance(objective, EnergyForces)

    class Field(torch.nn.Module):
        def forward(self, batch, training=False):
            binding = torch.zeros(batch.size).index_add(
                0, batch.molecule, 0.4 * batch.positions[:, 2]
            )
            return {
                "binding": binding,
                "forces": torch.tensor([0, 0, -0.4]).expand_as(batch.positions),
            }

        @property
        def energy(self):
            return self

        def reference(self, batch):
            own = torch.tensor([PER_ELEMENT[z] for z in batch.atomic_numbers.tolist()]).double()
            return torch.zeros(batch.size).double().index_add(0, batch.molecule, own)

    rows = np.arange(len(train))
    assert float(objective.loss(Field(), train.batch(rows))["loss"]) < 1e-3
    assert float(objective.loss(Field(), plain.batch(rows))["loss"]) > 1
