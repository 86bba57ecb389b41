"""Logs to store, splits, packed snapshots and the downstream set, held to the digit."""

import h5py
import miniature_known as known
import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from force2geo.store.lmdb_store import read_shard


def test_store_holds_every_digit_of_every_log(curated):
    found = {trajectory.cid: trajectory for trajectory in read_shard(curated / "store/logs.lmdb")}
    assert sorted(found) == known.CIDS
    for cid, trajectory in found.items():
        np.testing.assert_array_equal(trajectory.atomic_numbers, known.base(cid)[0])
        assert (trajectory.charge, trajectory.multiplicity) == (0, 1)
        assert list(trajectory.stages) == [s for s in known.STAGES if known.frames(cid, s)]
        for name, stage in trajectory.stages.items():
            for frame in range(known.frames(cid, name)):
                place = cid, name, frame
                assert stage.energies[frame] == known.energy(*place)
                np.testing.assert_allclose(
                    stage.positions[frame], known.positions(*place), atol=1e-9, err_msg=str(place)
                )
                if place == known.NO_GRADIENT:
                    assert np.isnan(stage.gradients[frame]).all()
                else:
                    np.testing.assert_array_equal(stage.gradients[frame], known.gradient(*place))
            assert len(stage) == known.frames(cid, name)
            if name != "dft_points":
                assert stage.converged == (name != "dft_1st" or int(cid) not in (13, 15))
                expected = (None, None) if int(cid) == 14 else known.orbitals(cid, name)
                assert (stage.homo, stage.lumo) == expected
            else:
                assert stage.origin == ["rattle_0", "rattle_1"]
        dft = trajectory.stages["dft_1st"]
        assert (dft.method, dft.functional, dft.basis, dft.spherical) == (
            "b3lyp", "b3lyp(vwn5)", "6-31g*", False,
        )  # fmt: skip
        assert trajectory.stages["hf"].basis == "sto-6g"
        assert [trajectory.stages[name].method for name in ("pm3", "hf")] == ["pm3", "hf"]


def test_counts_are_those_of_the_logs(curated):
    found = curated.json("store/statistics.json")
    numbers = [known.base(cid)[0] for cid in known.CIDS]
    assert found["trajectories"] == 15 and found["rejected_logs"] == 1
    # 15 × 3 + 15 × 2 + (7 × 4 + 8 × 5) + 4 × 2 + 3 × 2
    assert found["snapshots"] == 45 + 30 + 68 + 8 + 6
    assert [found[stage]["snapshots"] for stage in known.STAGES] == [45, 30, 68, 8, 6]
    assert [found[stage]["trajectories"] for stage in known.STAGES] == [15, 15, 15, 4, 3]
    assert found["dft_1st"]["mean_snapshots"] == pytest.approx(68 / 15)
    assert found["dft_1st"]["status"] == {"converged": 13, "not converged": 2}
    assert found["mean_atoms"] == pytest.approx(np.mean([len(z) for z in numbers]))
    assert found["mean_heavy_atoms"] == pytest.approx(np.mean([(z > 1).sum() for z in numbers]))
    assert found["elements"] == ["C", "Cl", "F", "H", "N", "O"]
    assert found["molecules_by_element"]["N"] == 4 and found["molecules_by_element"]["O"] == 7
    assert found["trajectories_with_breaks"] == 1
    index = pd.read_parquet(curated / "store/index.parquet").set_index("cid")
    assert index["notes"][known.CIDS[known.BREAK - 1]].startswith("hf starts 0.")
    for cid in known.ELIGIBLE:
        assert index["gap"][cid] == pytest.approx(known.gap(cid), rel=1e-9)
        assert index["dft_1st_energy_last"][cid] == known.energy(
            cid, "dft_1st", known.frames(cid, "dft_1st") - 1
        )
        largest = np.linalg.norm(known.gradient(cid, "dft_1st", 0), axis=1).max()
        assert index["dft_1st_max_gradient_first"][cid] == pytest.approx(largest)
        smiles = Chem.MolFromSmiles(known.SMILES[int(cid)])
        assert index["inchikey"][cid] == Chem.MolToInchiKey(smiles)


def test_splits_and_who_is_kept_out_of_pretraining(selection):
    assert selection["subset"] == known.ELIGIBLE  # 13, 14 and 15 have no converged stage or no gap
    expected = {part: [f"{n:09d}" for n in members] for part, members in known.SCAFFOLD.items()}
    assert {part: sorted(cids) for part, cids in selection["scaffold"].items()} == expected
    random = selection["random"]
    assert [len(random[part]) for part in ("train", "val", "test")] == [6, 3, 3]
    assert sorted(random["train"] + random["val"] + random["test"]) == known.ELIGIBLE
    assert sorted(selection["d_opt"]) == sorted(random["test"])
    pretrain = selection["pretrain"]
    assert (pretrain["val"], pretrain["test"]) == (random["val"], random["test"])
    held = {*random["val"], *random["test"], *expected["val"], *expected["test"]}
    # 14 has the skeleton of 10, a scaffold test molecule; 15 is in another data set's test set.
    kept_out = held | {known.CIDS[13], known.CIDS[14]}
    assert pretrain["train"] == [cid for cid in known.CIDS if cid not in kept_out]
    assert known.CIDS[12] in pretrain["train"]
    assert selection["counts"]["pretrain"] == len(pretrain["train"])


@pytest.mark.parametrize(
    ("use", "split", "stages"),
    [("benchmark", "random", ["dft_1st"]), ("pretrain", "pretrain", ["dft_1st", "dft_points"])],
)
def test_packed_snapshots_are_electronvolt_and_forces(packed, selection, use, split, stages):
    with h5py.File(packed / f"packed/{use}.h5") as file:
        data = {name: file[name][:] for name in file}
        assert list(file.attrs["sources"]) == stages
    expected = {}
    for number, part in enumerate(("train", "val", "test")):
        for place in known.snapshots(stages, selection[split][part]):
            expected[place] = number
    assert len(data["energy"]) == len(expected)
    for row, cid in enumerate(data["cid"]):
        stage = stages[data["source"][row]]
        hartree = data["energy"][row] / known.HARTREE
        place = (cid.decode(), stage, round(-1000 * (hartree + 0.1 * known.STAGES[stage])) % 1000)
        assert hartree == pytest.approx(known.energy(*place), abs=1e-9)
        assert expected.pop(place) == data["split"][row], place
        atoms = slice(*data["ptr"][row : row + 2])
        np.testing.assert_array_equal(data["atomic_numbers"][atoms], known.base(place[0])[0])
        np.testing.assert_allclose(data["positions"][atoms], known.positions(*place), atol=1e-6)
        np.testing.assert_allclose(data["forces"][atoms], known.force(*place), rtol=1e-6)
    assert not expected


def kabsch(moving, fixed):
    """RMSD (Å) of two structures (n,3), by scipy."""
    from scipy.spatial.transform import Rotation

    one, other = moving - moving.mean(axis=0), fixed - fixed.mean(axis=0)
    return Rotation.align_vectors(other, one)[1] / np.sqrt(len(one))


def test_downstream_geometries_are_the_ones_they_are_called(downstream, selection):
    with h5py.File(downstream / "packed/downstream.h5") as file:
        columns = ("cid", "ptr", "atomic_numbers", "charge", "multiplicity")
        data = {name: file[name][:] for name in columns}
        gap, unit = file["target/gap"][:], file["target/gap"].attrs["unit"]
        geometry = {name: file[f"geometry/{name}"][:] for name in ("dft", "hf", "rdkit")}
    cids = [cid.decode() for cid in data["cid"]]
    assert sorted(cids) == known.ELIGIBLE and unit == "eV"
    for row, cid in enumerate(cids):
        atoms = slice(*data["ptr"][row : row + 2])
        numbers, best = known.base(cid)
        np.testing.assert_array_equal(data["atomic_numbers"][atoms], numbers)
        np.testing.assert_allclose(geometry["dft"][atoms], known.reference(cid), atol=1e-9)
        np.testing.assert_allclose(geometry["hf"][atoms], known.start(cid), atol=1e-9)
        assert gap[row] == pytest.approx(known.gap(cid), rel=1e-9)
        assert (data["charge"][row], data["multiplicity"][row]) == (0, 1)
        # RDKit's conformer lies on the reference, its atoms in this order and its bonds MMFF's.
        embedded = geometry["rdkit"][atoms]
        shift = embedded.mean(axis=0) - known.reference(cid).mean(axis=0)
        np.testing.assert_allclose(shift, 0, atol=1e-6)
        apart = [np.linalg.norm(x[:, None] - x, axis=2) for x in (best, embedded)]
        bonded = (apart[0] > 0) & (apart[0] < 1.65)
        bonded &= (numbers > 1) | (numbers[:, None] > 1)
        assert np.abs(apart[0] - apart[1])[bonded].max() < 0.02, cid
        off = np.sqrt(((embedded - known.reference(cid)) ** 2).sum(axis=1).mean())
        assert off == pytest.approx(kabsch(embedded, known.reference(cid)), abs=1e-6)
