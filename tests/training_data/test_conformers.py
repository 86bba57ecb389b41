"""The downstream set: which geometry, of which stage and step, stands where."""

import json

import h5py
import numpy as np
import pytest

from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.store.lmdb_store import StoreWriter
from force2geo.training_data.conformers import (
    Conformers,
    Target,
    own_splits,
    read_conformers,
    write_conformers,
)
from force2geo.training_data.embed import embed
from force2geo.trajectory import Stage, Trajectory


def aside(points, distance):
    return points + np.array([distance, 0.0, 0.0])


def path_of(start, steps, shift, homo, lumo, method="b3lyp"):
    """Return a stage whose step k lies `shift` + k thousandths of an Å aside of a structure."""
    positions = np.array([aside(start, shift + k / 1000) for k in range(steps)])
    return Stage(
        program="gamess", version="", method=method, basis="6-31g*", converged=True,
        positions=positions.round(7), energies=np.full(steps, -1.0),
        gradients=np.zeros((steps, len(start), 3)), homo=homo, lumo=lumo,
    )  # fmt: skip


def trajectory(cid, text, second, **more):
    molecule = embed(text, seed=3)
    start = molecule.GetConformer().GetPositions()
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], dtype=np.uint8)
    stages = {
        "hf": path_of(start, 2, 0.0, -0.9, 0.9, method="hf"),
        "dft_1st": path_of(start, 4, 1.0, -0.30, 0.10),
    }
    if second:
        stages["dft_2nd"] = path_of(start, 3, 2.0, -0.25, 0.05)
    return start, Trajectory(cid, numbers, stages=stages, **more)


@pytest.fixture(scope="module")
def downstream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("downstream")
    water, one = trajectory("000000962", "O", second=False, smiles="O")
    ammonium, two = trajectory(
        "000000223", "[NH4+]", second=True, inchi="InChI=1S/H3N/h1H3/p+1", charge=1
    )
    methyl, three = trajectory("000003034", "[CH3]", second=False, smiles="CO", multiplicity=2)
    methane, four = trajectory(
        "000000298", "C", second=False, smiles="C(", inchi="InChI=1S/CH4/h1H4"
    )
    _, outside = trajectory("000000297", "C", second=False, smiles="C")
    writer = StoreWriter(folder / "s.lmdb")
    for each in sorted((one, two, three, four, outside), key=lambda t: t.cid):
        writer.put(each)
    writer.finish()
    (folder / "selection.json").write_text(
        json.dumps({"subset": ["000000962", "000000223", "000003034", "000000298"]})
    )
    entry = {"from": "pubchemqcr", "as": "molecules", "split": "subset", "shards": ["s"]}
    (folder / "settings.json").write_text(json.dumps(entry | {"seed": 7}))
    assert main([
        "data", "--settings", str(folder / "settings.json"), "--selection",
        str(folder / "selection.json"), "--store", str(folder), "--out", str(folder / "d.h5"),
    ]) == 0  # fmt: skip
    with h5py.File(folder / "d.h5") as file:
        cids = [cid.decode() for cid in file["cid"][:]]
        rows = {}
        for row, cid in enumerate(cids):
            atoms = slice(file["ptr"][row], file["ptr"][row + 1])
            rows[cid] = {name: file[f"geometry/{name}"][atoms] for name in file["geometry"]}
            rows[cid] |= {key: file[key][row] for key in ("charge", "multiplicity")}
            rows[cid]["gap"] = file["target/gap"][row]
    starts = {"000000962": water, "000000223": ammonium, "000003034": methyl}
    return rows, starts | {"000000298": methane}


def test_only_molecules_of_the_subset_are_there(downstream):
    assert set(downstream[0]) == {"000000962", "000000223", "000003034", "000000298"}


@pytest.mark.parametrize(
    ("cid", "end"), [("000000962", 1.003), ("000003034", 1.003), ("000000223", 2.002)]
)
def test_dft_is_where_the_last_stage_ended_and_hf_where_the_first_one_began(downstream, cid, end):
    row, start = downstream[0][cid], downstream[1][cid]
    np.testing.assert_allclose(row["dft"], aside(start, end), atol=1e-6)
    np.testing.assert_allclose(row["hf"], aside(start, 1.0), atol=1e-6)


def test_the_gap_is_that_of_the_last_stage_in_ev(downstream):
    # CODATA 2018: 27.211386245988 eV a Hartree.
    assert downstream[0]["000000962"]["gap"] == pytest.approx(0.40 * 27.211386245988, rel=1e-7)
    assert downstream[0]["000000223"]["gap"] == pytest.approx(0.30 * 27.211386245988, rel=1e-7)


def test_charge_and_multiplicity_come_along(downstream):
    states = {cid: (row["charge"], row["multiplicity"]) for cid, row in downstream[0].items()}
    assert states.pop("000000298") == (0, 1)
    assert states == {"000000962": (0, 1), "000000223": (1, 1), "000003034": (0, 2)}


def test_conformers_are_embedded_from_smiles_or_inchi_and_lie_on_the_reference(downstream):
    for cid in ("000000962", "000000223", "000000298"):  # the last one's SMILES cannot be read
        row = downstream[0][cid]
        assert np.abs(row["rdkit"] - row["dft"]).max() < 0.1
    # CO is not what was relaxed: bonds differ, and there is no conformer.
    assert np.isnan(downstream[0]["000003034"]["rdkit"]).all()


def test_a_file_of_before_is_read(tmp_path):
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["cid"] = np.array(["000000962"], dtype="S9")
        file["ptr"], file["atomic_numbers"] = [0, 3], np.array([8, 1, 1])
        file["gap"], file["charge"], file["multiplicity"] = [9.0], [0], [1]
        for name in ("dft", "hf", "rdkit"):
            file[f"geometry/{name}"] = np.eye(3)
    found = read_conformers(tmp_path / "old.h5", graphs=True)
    assert found.cids == ["000000962"] and list(found.geometry) == ["dft", "hf", "rdkit"]
    assert (found.splits, found.skeletons, found.graphs) == ({}, None, None)
    assert found.reason(0, "rdkit") == "" and own_splits(tmp_path / "old.h5") == []


def test_what_is_written_is_what_is_read(tmp_path):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 5, size=1500)  # more than are written at once
    atoms = int(sizes.sum())
    made = Conformers(
        [f"m{number}" for number in range(1500)], np.r_[0, np.cumsum(sizes)],
        rng.integers(1, 90, size=atoms), {"a": Target(rng.normal(size=1500), "eV")},
        {"dft": rng.normal(size=(atoms, 3)), "xtb": rng.normal(size=(atoms, 3))},
        rng.integers(-2, 2, size=1500), rng.integers(1, 4, size=1500),
        splits={"random": {"train": ["m7", "m3"], "val": ["m1400"], "test": ["m0"]}},
    )  # fmt: skip
    write_conformers(tmp_path / "c.h5", made)
    found = read_conformers(tmp_path / "c.h5")
    for name in ("cids", "splits"):
        assert getattr(found, name) == getattr(made, name)
    for name in ("ptr", "atomic_numbers", "charge", "multiplicity"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
    np.testing.assert_array_equal(found.targets["a"].values, made.targets["a"].values)
    for name, positions in made.geometry.items():
        np.testing.assert_array_equal(found.positions(name), positions)
    with pytest.raises(UserError, match=r"c\.h5: no geometry 'hf', only dft, xtb"):
        found.positions("hf")
    made.cids[5] = "m4"
    with pytest.raises(UserError, match="'m4': there are two of this name"):
        write_conformers(tmp_path / "d.h5", made)
