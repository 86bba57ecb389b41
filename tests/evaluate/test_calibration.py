"""What spreads are worth: rank correlation, bins and scale of known ones; `force2geo calibrate`."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from ase import Atoms
from scipy import stats

import force2geo
from force2geo.calling.named import record_of
from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.evaluate import calibration as measured
from force2geo.evaluate.held_out import held_out
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential
from force2geo.prediction.spread import calibrated
from force2geo.train.judging import judge
from force2geo.train.objectives.energy_forces import EnergyForces, EnergyForcesSettings
from force2geo.train.snapshots import Snapshots
from force2geo.training_data.packed import PackedWriter
from toy_baselines import WELLS

PAINN = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 3.0}


def test_a_known_law_is_found():
    """Errors are normal with twice the spread as deviation; ranks beside Pearson's of ranks."""
    rng = np.random.default_rng(1)
    spread = np.exp(rng.normal(size=4000))
    error = np.abs(2 * spread * rng.normal(size=4000))
    found = measured.calibrated(spread, error, np.arange(4000))
    assert found["scale"] == pytest.approx(2, rel=0.1)
    ranks = np.corrcoef(stats.rankdata(spread), stats.rankdata(error))[0, 1]
    assert found["spearman"] == pytest.approx(ranks, abs=1e-9)
    low, high = found["interval"]
    assert low < ranks < high and high - low < 0.06
    bins = found["bins"]
    assert [one["snapshots"] for one in bins] == [400] * 10
    sorted_spread = np.sort(spread).reshape(10, 400)
    np.testing.assert_allclose([one["spread"] for one in bins], sorted_spread.mean(axis=1))
    for one in bins[:-1]:  # a deviation of 400 values is known to 3.5 %
        assert one["error"] == pytest.approx(2 * one["spread"], rel=0.15)


def test_what_follows_exactly_and_what_does_not():
    spread = np.linspace(0.1, 1, 20)
    found = measured.calibrated(spread, 3 * spread, np.arange(20))
    assert found["spearman"] == pytest.approx(1) and found["scale"] == pytest.approx(3)
    assert [one["snapshots"] for one in found["bins"]] == [5] * 4
    first = 3 * spread[:5]
    assert found["bins"][0]["error"] == pytest.approx(np.sqrt(np.mean(first**2)))
    backwards = measured.calibrated(spread, 1 - spread / 2, np.arange(20))
    assert backwards["spearman"] == pytest.approx(-1)
    silent = measured.calibrated(np.zeros(20), spread, np.arange(20))
    assert silent["spearman"] is None and silent["scale"] is None and silent["interval"] is None


def test_snapshots_of_a_molecule_are_no_more_than_one_molecule():
    rng = np.random.default_rng(2)
    spread = rng.random(60)
    error = spread + rng.normal(scale=0.5, size=60) ** 2
    alone = measured.calibrated(spread, error, np.arange(60))["interval"]
    often = [np.repeat(values, 9) for values in (spread, error, np.arange(60))]
    together = measured.calibrated(*often)["interval"]
    apart = measured.calibrated(*often[:2], np.arange(540))["interval"]
    width = np.ptp(alone)
    assert np.ptp(together) == pytest.approx(width, rel=0.15)
    assert np.ptp(apart) == pytest.approx(width / 3, rel=0.2)


def test_the_limit_is_that_of_molecules_near_their_minimum():
    rng = np.random.default_rng(3)
    near = rng.permutation(np.arange(21) / 100)  # 95 % of 0, 0.01 … 0.2 do not exceed 0.19
    far = pd.DataFrame({"cid": [f"{n}" for n in range(21)], "max_force": 2.0, "force_spread": 9.0})
    table = pd.concat([far, far.assign(max_force=0.01, force_spread=near), far])
    found = measured.limit(table.sample(frac=1, random_state=1).reset_index(drop=True), "mine")
    assert found.quantile_95 == pytest.approx(0.19)
    assert (found.molecules, found.on, found.unit) == (21, "mine", "eV/Å")


def test_errors_in_groups():
    table = pd.DataFrame({
        "cid": ["a", "a", "b"], "elements": ["C H", "C H", "H O"], "atoms": [5, 5, 3],
        "heavy": [1, 1, 1], "charge": [0, 0, 1], "source": ["dft_1st", "dft_points", "dft_1st"],
        "energy_error": [0.01, -0.03, 0.05], "force_mae": [0.1, 0.2, 0.4],
    })  # fmt: skip
    whole = measured.errors(table)
    assert whole["energy"] == pytest.approx(30)  # meV/atom, over snapshots
    assert whole["forces"] == pytest.approx(1e3 * (0.5 + 1.0 + 1.2) / 13)  # over atoms
    rows = {(row["by"], row["of"]): row for row in measured.errors_by(table)}
    assert set(rows) == {
        ("element", "C"), ("element", "H"), ("element", "O"), ("heavy atoms", 1), ("charge", 0),
        ("charge", 1), ("source", "dft_1st"), ("source", "dft_points"),
    }  # fmt: skip
    carbon = rows["element", "C"]
    assert (carbon["molecules"], carbon["snapshots"]) == (1, 2)
    assert carbon["energy"] == pytest.approx(20) and carbon["forces"] == pytest.approx(150)
    assert rows["element", "H"]["snapshots"] == 3
    assert rows["charge", 1]["forces"] == pytest.approx(400)


@pytest.fixture
def members(tmp_path):
    """Three potentials on a baseline, which adds 10 eV to a charge."""
    paths = []
    for seed in (1, 2, 3):
        torch.manual_seed(seed)
        network = Potential(PAINN)
        network.energy.references.uniform_(-2, 2)
        network.config |= {
            "elements": [1, 6, 8], "charge_states": [[0, 1], [1, 2]],
            "baseline": record_of(WELLS),
        }  # fmt: skip
        save(network.double(), tmp_path / f"{seed}.pt", {"stage": "train"})
        paths.append(tmp_path / f"{seed}.pt")
    return paths


OFF, PUSH = 0.02, np.array([0.3, -0.4, 1.2])


@pytest.fixture
def packed(members, tmp_path):
    """Snapshots of methane and water, neutral and charged, labelled off by what is known."""
    model = force2geo.load(members)
    rng = np.random.default_rng(4)
    water = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    corners = np.array([[0, 0, 0], [1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]])
    methane = Atoms("CH4", 0.63 * corners)
    writer = PackedWriter(tmp_path / "packed.h5", ["dft_1st", "dft_points"])
    for place in range(12):
        atoms, charge = (water, methane)[place % 2], int(place % 4 == 3)
        frames = np.float32(atoms.positions + rng.normal(scale=0.08, size=(4, len(atoms), 3)))
        rows = model.predict(
            [Atoms(atoms.numbers, frame, info={"charge": charge, "multiplicity": 1 + charge})
             for frame in frames]
        )  # fmt: skip
        energy = np.array([row["energy"] for row in rows]) - OFF * len(atoms)
        forces = np.array([row["forces"] for row in rows]) - PUSH
        source = ("dft_1st", "dft_points")[place // 6]
        split = "test" if place < 10 else "train"
        arguments = atoms.numbers, frames, energy, forces, source, split, (charge, 1 + charge)
        writer.add(f"{place:09d}", *arguments)
    thiyl = np.array([[[0.0, 0, 0], [0, 0, 1.3]]])
    writer.add("000000099", np.array([16, 1]), thiyl, np.zeros(1), 0 * thiyl, "dft_1st", "test")
    writer.close()
    return tmp_path / "packed.h5"


def test_errors_and_spreads_of_snapshots_are_those_that_were_made(members, packed):
    model = force2geo.load(members)
    table, left_out = held_out(model, packed, batch_atoms=40)
    assert len(table) == 40 and left_out == {"the model has never seen S": 1}
    np.testing.assert_allclose(table["energy_error"], OFF, atol=1e-6)
    np.testing.assert_allclose(table["force_error"], np.linalg.norm(PUSH), atol=1e-5)
    np.testing.assert_allclose(table["force_mae"], np.abs(PUSH).mean(), atol=1e-5)
    assert set(table["charge"]) == {0, 1} and set(table["multiplicity"]) == {1, 2}
    np.testing.assert_array_equal(table["heavy"], 1)
    assert set(zip(table["elements"], table["atoms"], strict=True)) == {("H O", 3), ("H C", 5)}
    data = Snapshots.read(packed)
    for _, row in table.iloc[::7].iterrows():
        own = slice(*data.ptr[row["snapshot"] : row["snapshot"] + 2])
        numbers, places = data.atomic_numbers[own].numpy(), data.positions[own].double().numpy()
        state = {"charge": row["charge"], "multiplicity": row["multiplicity"]}
        atoms = Atoms(numbers, places, info=state)
        (expected,) = model.predict(atoms)
        assert row["force_spread"] == pytest.approx(expected["force_spread"], abs=1e-9)
        assert row["energy_spread"] == pytest.approx(expected["energy_spread"], abs=1e-9)
        lengths = np.linalg.norm(data.forces[own].numpy(), axis=1)
        assert row["max_force"] == pytest.approx(lengths.max(), rel=1e-6)
    few, _ = held_out(model, packed, source="dft_points")
    assert len(few) == 16 and set(few["source"]) == {"dft_points"}


def test_errors_are_what_training_would_say(packed, tmp_path):
    torch.manual_seed(5)
    network = Potential(PAINN)
    network.config |= {"elements": [1, 6, 8], "charge_states": [[0, 1], [1, 2]]}
    save(network, tmp_path / "m.pt", {})
    table, _ = held_out(force2geo.load(tmp_path / "m.pt"), packed)
    data = Snapshots.read(packed).where("test").of_elements([1, 6, 8])
    expected = judge(network, EnergyForces(EnergyForcesSettings()), data, {"batch_size": 4})
    found = measured.errors(table)
    assert found["energy"] == pytest.approx(expected["energy_mae"], rel=1e-5)
    assert found["forces"] == pytest.approx(expected["force_mae"], rel=1e-4)
    assert "force_spread" not in table


def test_what_cannot_be_measured(members, packed):
    model = force2geo.load(members[0])
    with pytest.raises(UserError, match="no source 'pm3', only dft_1st, dft_points"):
        held_out(model, packed, source="pm3")
    with pytest.raises(UserError, match="no snapshot to use as val part"):
        held_out(model, packed, "val")
    model.network.config["elements"] = [9]
    with pytest.raises(UserError, match="none of 41 snapshots can be answered: the model has"):
        held_out(model, packed)


def test_the_command_writes_what_relax_takes(members, packed, tmp_path, capsys):
    models = ["--model", *map(str, members)]
    out = tmp_path / "spread.json"
    options = ["--data", str(packed), "--out", str(out)]
    assert main(["calibrate", *models, *options]) == 0
    told = capsys.readouterr().out
    assert "energy: MAE 20 meV/atom on 10 molecules, 40 snapshots" in told
    found = json.loads(out.read_text())
    assert found["errors"]["forces"]["mae"] == pytest.approx(1e3 * np.abs(PUSH).mean(), rel=1e-4)
    assert found["left_out"] == {"the model has never seen S": 1}
    table = pd.read_csv(out.with_suffix(".csv"))
    assert len(table) == 40
    sure = calibrated(out)
    assert sure.molecules == 10 and sure.on == "test part of packed.h5"
    rms = np.sqrt(np.mean(table["energy_spread"] ** 2))
    assert found["energy"]["scale"] == pytest.approx(OFF / rms, rel=1e-4)
    assert found["energy"]["spearman"] is not None and len(found["forces"]["bins"]) == 8
    for suffix in (".png", ".svg", ".json.provenance.json"):
        assert out.with_name(f"spread{suffix}").stat().st_size > 0
    (tmp_path / "a.smi").write_text("O\n")
    files = [str(tmp_path / name) for name in ("a.smi", "b.sdf")]
    assert main(["relax", *files, *models, "--calibration", str(out), "--steps", "1"]) == 0
    # Of one there is no spread, and no plot.
    single = ["--data", str(packed), "--out", str(tmp_path / "one.json")]
    assert main(["calibrate", "--model", str(members[0]), *single]) == 0
    assert "spread" not in json.loads((tmp_path / "one.json").read_text())
    assert not (tmp_path / "one.png").exists()
    assert main(["calibrate", *models, "--data", str(packed), "--out", "x.csv"]) == 2
    assert "give a .json file" in capsys.readouterr().err
