"""What trainings learn from, are judged on, start from and write down."""

import h5py
import miniature_known as known
import numpy as np
import pytest
import torch
from ase import Atoms

import force2geo

RECIPES = {
    "painn": "dft", "schnet": "dft", "geometry_rdkit": "rdkit", "geometry_hf": "hf",
    "geometry_force2geo": "relaxed", "force2prop": "dft",
}  # fmt: skip


def known_energies(stages, cids):
    """`{energy in eV: (cid, stage, frame)}`."""
    places = known.snapshots(stages, cids)
    return {round(known.energy(*place) * known.HARTREE, 4): place for place in places}


def judged(run, folder, part, cids):
    """Predictions of a part by snapshot; fails where they are not of these molecules' DFT steps."""
    found = run.predictions(f"{folder}/predictions.npz")
    expected = known_energies(["dft_1st"], cids)
    ends = np.cumsum(found[f"{part}/atoms"])
    rows = {}
    for row, true in enumerate(found[f"{part}/energy_true"]):
        atoms = slice(ends[row] - found[f"{part}/atoms"][row], ends[row])
        place = expected.pop(round(float(true), 4))
        forces = found[f"{part}/forces"][atoms], found[f"{part}/forces_true"][atoms]
        np.testing.assert_allclose(forces[1], known.force(*place), rtol=1e-5)
        rows[place] = float(found[f"{part}/energy"][row]), forces[0]
    assert not expected, "a snapshot was not judged on"
    return rows


@pytest.fixture(scope="module", params=["pretrain", "benchmark.schnet"])
def potential(request):
    """A trained potential's run, folder, and the names of its split and packed stages."""
    if request.param == "pretrain":
        return request.getfixturevalue("pretrained"), "train/pretrain", "pretrain"
    return request.getfixturevalue("benchmarked"), "train/benchmark.schnet", "random"


def test_potential_is_judged_on_its_own_part_of_dft_steps(potential, selection):
    run, folder, split = potential
    metrics = run.json(f"{folder}/metrics.json")
    stages = ["dft_1st", "dft_points"] if split == "pretrain" else ["dft_1st"]
    sizes = {"train": len(known.snapshots(stages, selection[split]["train"]))}
    for part in ("val", "test"):
        cids = selection["random"][part]
        rows = judged(run, folder, part, cids)
        sizes[part] = len(rows)
        true = {place: known.energy(*place) * known.HARTREE for place in rows}
        errors = [1000 * abs(rows[p][0] - true[p]) / len(known.base(p[0])[0]) for p in rows]
        assert metrics[part]["energy_mae"] == pytest.approx(np.mean(errors), rel=1e-6)
        off = np.concatenate([rows[p][1] - known.force(*p) for p in rows])
        zero = np.concatenate([known.force(*p) for p in rows])
        rmse = [1000 * np.sqrt((values**2).mean()) for values in (off, zero)]
        found = metrics[part]["force_rmse"], metrics[part]["force_rmse_zero"]
        assert found == pytest.approx(rmse, rel=1e-5)
        assert metrics[part]["force_mae"] == pytest.approx(1000 * np.abs(off).mean(), rel=1e-5)
    assert metrics["sizes"] == sizes
    best = min(row["val_force_rmse"] for row in metrics["history"])
    assert metrics["val"]["force_rmse"] == pytest.approx(best, rel=1e-6)


def test_reference_energies_come_from_training_snapshots_alone(potential, selection):
    run, folder, split = potential
    stages = ["dft_1st", "dft_points"] if split == "pretrain" else ["dft_1st"]
    places = known.snapshots(stages, selection[split]["train"])
    counts = np.array([np.bincount(known.base(c)[0], minlength=101) for c, _, _ in places])
    energies = np.array([known.energy(*place) for place in places]) * known.HARTREE
    seen = counts.any(axis=0)
    expected = np.linalg.lstsq(counts[:, seen].astype(float), energies, rcond=None)[0]
    content = torch.load(run / f"{folder}/model.pt", weights_only=True)
    found = content["state_dict"]["heads.energy.references"].numpy()
    np.testing.assert_allclose(found[seen], expected, rtol=1e-6)
    assert not found[~seen].any()
    assert content["config"]["elements"] == np.flatnonzero(seen).tolist()


def test_written_forces_are_downhill_of_written_energies(potential, selection):
    run, folder, _ = potential
    model = force2geo.load(run / f"{folder}/model.pt")
    rows = judged(run, folder, "test", selection["random"]["test"])
    place = max(rows, key=lambda place: np.abs(rows[place][1]).max())
    energy, forces = rows[place]
    atom, axis = np.unravel_index(np.abs(forces).argmax(), forces.shape)
    moved = []
    for step in (0, 1e-3, -1e-3):
        atoms = Atoms(known.base(place[0])[0], known.positions(*place))
        atoms.positions[atom, axis] += step
        moved.append(model.predict([atoms], dtype="float64")[0]["energy"])
    assert energy == pytest.approx(moved[0], abs=1e-3)  # the whole energy, references and all
    assert energy < -100 * known.HARTREE
    assert -(moved[1] - moved[2]) / 2e-3 == pytest.approx(forces[atom, axis], rel=1e-2)
    assert abs(forces[atom, axis]) > 1e-4


def weights(run, name):
    state = torch.load(run / name, weights_only=True)["state_dict"]
    return {key: value.double().numpy() for key, value in state.items()}


def same(one, other, prefix):
    keys = [key for key in one if key.startswith(prefix)]
    assert keys and all(key in other for key in keys)
    return all(np.allclose(one[key], other[key], atol=1e-6) for key in keys)


def test_recipes_start_from_what_they_say(properties):
    potential = weights(properties, "train/pretrain/model.pt")
    painn = weights(properties, "train/property.random.painn/model.pt")
    assert not same(painn, potential, "backbone.")
    force2prop = weights(properties, "train/property.random.force2prop/model.pt")
    assert same(force2prop, potential, "backbone.")
    for recipe in ("geometry_rdkit", "geometry_hf", "geometry_force2geo"):
        tuned = weights(properties, f"train/property.random.{recipe}/model.pt")
        assert same(tuned, painn, "")  # head, displacement and all: nothing moved the weights


def test_properties_are_scaled_by_training_molecules_alone(properties, selection):
    for split, recipe in (("random", "painn"), ("scaffold", "schnet"), ("random", "force2prop")):
        gaps = [known.gap(cid) for cid in selection[split]["train"]]
        state = weights(properties, f"train/property.{split}.{recipe}/model.pt")
        assert state["heads.property.mean"] == pytest.approx(np.mean(gaps), rel=1e-6)
        assert state["heads.property.deviation"] == pytest.approx(np.std(gaps), rel=1e-5)


def geometry_of(run, name, cid):
    """The geometry (n,3) a recipe judges a molecule by, read without the package."""
    if name == "dft":
        return known.reference(cid)
    if name == "hf":
        return known.start(cid)
    file = "relax/subset.h5" if name == "relaxed" else "packed/downstream.h5"
    with h5py.File(run / file) as data:
        row = [key.decode() for key in data["cid"]].index(cid)
        positions = data["positions" if name == "relaxed" else "geometry/rdkit"]
        return positions[slice(*data["ptr"][row : row + 2])]


def gaps_by_cid(run, split, recipe, part):
    """`{cid: predicted gap}`; the true gaps tell which molecule a row is."""
    found = run.predictions(f"train/property.{split}.{recipe}/predictions.npz")
    names = {round(known.gap(cid), 3): cid for cid in known.ELIGIBLE}
    true = found[f"{part}/property_true"]
    predicted = found[f"{part}/property"]
    return {names[round(float(t), 3)]: p for t, p in zip(true, predicted, strict=True)}


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_is_judged_on_its_own_geometry_and_molecules(properties, selection, recipe):
    model = force2geo.load(properties / f"train/property.random.{recipe}/model.pt")
    metrics = properties.json(f"train/property.random.{recipe}/metrics.json")
    apart = 0.0
    for part in ("val", "test"):
        found = gaps_by_cid(properties, "random", recipe, part)
        assert sorted(found) == sorted(selection["random"][part])
        for cid, value in found.items():
            numbers = known.base(cid)[0]
            shapes = {g: geometry_of(properties, g, cid) for g in set(RECIPES.values())}
            answers = {
                name: model.predict([Atoms(numbers, shape)])[0]["property"]
                for name, shape in shapes.items()
            }
            own = answers.pop(RECIPES[recipe])
            assert value == pytest.approx(own, abs=2e-6)
            apart = max(apart, min(abs(own - other) for other in answers.values()))
        errors = [abs(value - known.gap(cid)) for cid, value in found.items()]
        assert metrics[part]["property_mae"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert apart > 1e-5  # or exchanging geometries would not show
    assert metrics["sizes"] == {"train": 6, "val": 3, "test": 3}


def test_scaffold_split_is_trained_and_judged_on_its_own_parts(properties):
    for part in ("val", "test"):
        found = gaps_by_cid(properties, "scaffold", "schnet", part)
        assert sorted(found) == [f"{number:09d}" for number in known.SCAFFOLD[part]]
    sizes = properties.json("train/property.scaffold.schnet/metrics.json")["sizes"]
    assert sizes == {"train": 7, "val": 2, "test": 3}


def test_settings_and_inputs_are_written_beside_each_model(properties):
    record = properties.json("train/property.random.geometry_hf/model.pt.provenance.json")
    assert record["settings"]["geometry"] == "hf" and record["settings"]["seed"] == 3
    assert record["settings"]["optimizer"]["learning_rate"] == 1e-12  # fine-tuning's
    assert record["settings"]["geometry_weight"] == 0.1
    names = {name.split("/", 3)[-1].rpartition("/")[2] for name in record["inputs"]}
    assert names == {"downstream.h5", "selection.json", "model.pt"}
    plain = properties.json("train/property.random.painn/model.pt.provenance.json")["settings"]
    assert plain["optimizer"]["learning_rate"] == 5e-4 and plain["geometry_weight"] == 0.0
