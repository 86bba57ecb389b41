"""∇²DFT: its own small databases, read as ASE reads them, and files built like the others."""

import gzip
import hashlib
import json
import shutil
import sqlite3

import numpy as np
import pytest
from ase import Atoms
from ase.db import connect
from ase.units import Hartree

from force2geo.datasets import nabladft
from force2geo.errors import UserError
from force2geo.training_data import registry

COLUMNS = "MOSES id,CONFORMER id,DFT HOMO,DFT LUMO,DFT FORMATION ENERGY,SMILES"


def etag(path):
    """Return an object store's checksum of a file of one part."""
    inner = hashlib.md5(path.read_bytes()).digest()
    return f"{hashlib.md5(inner).hexdigest()}-1"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Return a function that makes given databases the ones that are published."""

    def publish(train, test=None, **entry):
        for table, name, path in (
            (nabladft._TRAIN, "tiny", train),
            (nabladft._TEST, "structures", test),
        ):
            if path is not None:
                if path.parent != tmp_path:
                    path = shutil.copy(path, tmp_path / path.name)
                monkeypatch.setitem(table, name, (path.name, etag(path)))
        test = None if test is None else "structures"
        entry = {"from": "nabladft", "folder": str(tmp_path), "train": "tiny", "test": test} | entry
        data = registry.build(entry)
        data.check_files()
        return data

    return publish


@pytest.fixture
def five(shared_data):
    return shared_data / "nabladft/test_optim_database.db"


def test_conformations_are_those_that_ase_reads(published, five):
    data = published(five, validation=0.2)
    frames = list(data.snapshots())
    rows = list(connect(five).select())
    assert len(frames) == len(rows) == 5 and not data.notes
    for frame, row in zip(frames, rows, strict=True):
        assert frame.name == str(row.moses_id)
        np.testing.assert_array_equal(frame.atomic_numbers, row.numbers)
        np.testing.assert_array_equal(frame.positions[0], row.positions)
        np.testing.assert_array_equal(frame.forces[0], row.data["forces"] * Hartree)
        lone = sum(nabladft._ATOMS[number] for number in row.numbers.tolist())
        assert frame.energies[0] == pytest.approx(
            (row.data["energy"][0] + lone) * Hartree, abs=1e-9
        )
        # Bound, by what organic molecules are: 3.5 to 6 eV an atom.
        assert -6 < row.data["energy"][0] * Hartree / row.natoms < -3.5
    assert sorted(frame.part for frame in frames) == ["train"] * 4 + ["val"]


def test_energies_and_forces_are_those_of_another_program(published, five, shared_data):
    """PySCF 2.14, ωB97X-D/def2-SVP with density fitting and the dispersion that belongs to it."""
    computed = json.loads((shared_data / "nabladft/pyscf.json").read_text())
    frame = list(published(five).snapshots())[computed["row"] - 1]
    assert frame.energies[0] == pytest.approx(computed["energy"] * Hartree, abs=5e-3)
    forces = np.array(computed["forces"]) * Hartree
    assert np.sqrt(((frame.forces[0] - forces) ** 2).mean()) < 5e-3
    assert np.sqrt((forces**2).mean()) > 0.5


def test_lone_atoms_and_units_are_those_of_the_metadata(shared_data):
    metadata = connect(shared_data.whole("nabladft") / "test_database.db").metadata
    known = {z: energy for z, energy in enumerate(metadata["atomrefs"]["energy"]) if energy}
    assert known == nabladft._ATOMS
    assert metadata["_distance_unit"] == "Ang"
    assert metadata["_property_unit_dict"] == {"energy": "Hartree", "forces": "Hartree/Ang"}


def test_validation_is_a_share_of_the_molecules(published, shared_data):
    whole = shared_data.whole("nabladft") / "test_database.db"
    data = published(whole, validation=0.3, seed=2)
    parts = [(frame.part, frame.name) for frame in data.snapshots()]
    assert len(parts) == 100 and sum(part == "val" for part, _ in parts) == 30
    again = published(whole, validation=0.3, seed=2)
    assert [(frame.part, frame.name) for frame in again.snapshots()] == parts
    other = published(whole, validation=0.3, seed=3)
    assert [(frame.part, frame.name) for frame in other.snapshots()] != parts
    split = data.splits()["published"]
    assert {part: len(names) for part, names in split.items()} == {
        "train": 70,
        "val": 30,
        "test": 0,
    }
    held = {name for part, name in parts if part == "val"}
    assert {name.split("_")[0] for name in split["val"]} == held


def database(path, rows, **pairs):
    """Write rows of (moses, conformation, energy, atoms) as the published databases have them."""
    with connect(path) as base:
        for moses, conformation, energy, atoms in rows:
            base.write(
                atoms,
                key_value_pairs={"moses_id": moses, "conformation_id": conformation, "smiles": "O"},
                data={"energy": [energy], "forces": np.full((len(atoms), 3), 0.01)},
            )
    return path


def water(shift=0.0):
    return Atoms("OHH", positions=np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]) + shift)


def summary(folder, lines):
    with gzip.open(folder / "summary.csv.gz", "wt") as file:
        file.write("\n".join([COLUMNS, *lines]) + "\n")


def test_orbital_energies_come_from_the_summary_whatever_its_order(published, tmp_path):
    train = [(7, n, -0.35 - n / 100, water()) for n in range(3)] + [(9, 0, -0.3, water(1.0))]
    test = [(8, 62, -0.31, water(2.0))]
    summary(
        tmp_path,
        [
            "8,62,-0.4,0.1,-0.31,O", "5,0,-9,9,9,O", "7,1,-0.3,0.2,-0.36,O",
            "7,0,-0.25,0.05,-0.35,O", "9,0,,0.1,-0.3,O", "7,2,-0.3,0.2,-0.99,O",
        ],
    )  # fmt: skip
    data = published(
        database(tmp_path / "train.db", train), database(tmp_path / "test.db", test),
        orbitals=True, validation=0.5,
    )  # fmt: skip
    assert [file.path for file in data.files()] == ["train.db", "test.db", "summary.csv.gz"]
    found = {one.name: one for one in data.molecules()}
    assert list(found) == ["7_0", "7_1", "8_62"]
    gaps = [found[name].targets["gap"] / Hartree for name in found]
    np.testing.assert_allclose(gaps, [0.3, 0.5, 0.5], rtol=1e-12)
    assert found["8_62"].targets["homo"] == pytest.approx(-0.4 * Hartree)
    # O and two H, and what binds them.
    total = -0.31 - 74.97667809850873 - 2 * 0.5024932583661139
    assert found["8_62"].targets["energy"] == pytest.approx(total * Hartree)
    np.testing.assert_array_equal(found["8_62"].geometries["dft"], water(2.0).positions)
    assert found["7_0"].smiles == "O"
    assert data.notes == [
        "1 conformations left out: another energy in summary.csv.gz",
        "1 conformations left out: no orbital energies in summary.csv.gz",
    ]
    split = data.splits()["published"]
    assert split["test"] == ["8_62"]
    assert {frozenset(split["train"]), frozenset(split["val"])} == {
        frozenset(),
        frozenset(["7_0", "7_1"]),
    }


def test_rows_that_are_damaged_are_counted(published, tmp_path):
    path = database(tmp_path / "train.db", [(n, 0, -0.3, water(n)) for n in range(6)])
    with sqlite3.connect(path) as base:
        base.execute("UPDATE systems SET data = ? WHERE id = 1", (b"cut",))
        base.execute("UPDATE systems SET key_value_pairs = '{}' WHERE id = 2")
        base.execute("UPDATE systems SET positions = ? WHERE id = 3", (np.zeros((2, 3)).tobytes(),))
        base.execute(
            "UPDATE systems SET numbers = ? WHERE id = 4", (np.int32([92, 1, 1]).tobytes(),)
        )
        forces = np.full((3, 3), np.nan).tobytes()
        (data,) = base.execute("SELECT data FROM systems WHERE id = 5").fetchone()
        base.execute("UPDATE systems SET data = ? WHERE id = 5", (data[:8] + forces + data[80:],))
    data = published(path)
    assert [frame.name for frame in data.snapshots()] == ["5"]
    assert sorted(data.notes) == sorted(
        f"1 conformations left out: {reason}"
        for reason in (
            "neither moses_id nor conformation_id",
            "cannot be read (ValueError)",
            "positions or forces of another number of atoms",
            "the energy of the lone atom with number 92 is not published",
            "energy, forces or positions are no numbers",
        )
    )
    assert data.splits()["published"]["val"] + data.splits()["published"]["train"] == ["5_0"]


def test_counts_are_held_against_the_paper_s(published, tmp_path, monkeypatch):
    monkeypatch.setitem(nabladft._COUNTS, "tiny", {"molecules": 2, "conformations": 4})
    path = database(tmp_path / "train.db", [(n // 2, n % 2, -0.3, water()) for n in range(3)])
    data = published(path)
    assert len(list(data.snapshots())) == 3
    assert data.warnings == [f"{path}: 3 conformations, published are 4"]


def test_what_is_no_database_or_another_is_named(published, tmp_path):
    (tmp_path / "train.db").write_text("no database, whatever its name says")
    data = published(tmp_path / "train.db")
    with pytest.raises(UserError, match=r"train\.db: not an ASE database"):
        list(data.snapshots())
    (tmp_path / "train.db").write_text("changed")
    with pytest.raises(UserError, match=r"train\.db: another MD5 than the published"):
        data.check_files()
    plain = registry.build({"from": "nabladft", "folder": str(tmp_path)})
    assert [file.path for file in plain.files()] == [
        "train_100k_v2_formation_energy_w_forces.db",
        "test_full_structures_v2_formation_energy_forces.db",
    ]


def test_checksums_of_parts_are_an_object_store_s(tmp_path, monkeypatch):
    from force2geo.training_data import dataset

    monkeypatch.setattr(dataset, "_PART", 4)
    (tmp_path / "f").write_bytes(b"abcdefgh12")
    parts = [hashlib.md5(part).digest() for part in (b"abcd", b"efgh", b"12")]
    known = hashlib.md5(b"".join(parts)).hexdigest() + "-3"
    assert dataset._digest(tmp_path / "f", "md5", of_parts=True) == known
