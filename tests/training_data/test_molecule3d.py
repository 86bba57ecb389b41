"""Molecule3D: files in its format, made of real molecules, and the run's own geometries beside."""

import csv
import json
from copy import deepcopy

import numpy as np
import pytest
from ase.units import Hartree
from published_sdf import printed, record
from rdkit import Chem

from force2geo.datasets import molecule3d
from force2geo.errors import UserError
from force2geo.interchange.protocol import read_protocol
from force2geo.superposition import rmsd
from force2geo.training_data import registry

NAMES = ("0007", "0047", "0078", "0091", "0106", "0112", "0168", "0187")
HEADER = ["cid", "dipole x", "dipole y", "dipole z", "homo", "lumo", "homolumogap", "scf energy"]


@pytest.fixture(scope="module")
def relaxed(shared_data):
    """Return eight relaxed molecules, by CID 11, 22, …."""
    return [
        read_protocol(shared_data / f"dft_trajectories/{name}.npz", f"{11 * n:09d}")
        for n, name in enumerate(NAMES, start=1)
    ]


@pytest.fixture
def folder(tmp_path, relaxed, monkeypatch):
    """Write the files: five molecules in the first, three in the second."""
    monkeypatch.setattr(molecule3d, "_FILES", {"mols_0_to_5.sdf": 5, "mols_5_to_8.sdf": 3})
    rows = []
    for name, own in zip(molecule3d._FILES, (relaxed[:5], relaxed[5:]), strict=True):
        texts = []
        for one in own:
            last = one.final_dft
            texts.append(record(one.atomic_numbers, last.positions[-1]))
            homo, lumo = last.homo * Hartree, last.lumo * Hartree
            energy = last.energies[0] * Hartree
            rows.append([int(one.cid), *last.dipole, homo, lumo, lumo - homo, energy])
        (tmp_path / name).write_text("".join(texts))
    write_rows(tmp_path, rows)
    splits = {
        "random_split": ([5, 0, 3], [1], [7, 2, 4, 6]),
        "random_test_split": ([3, 0], [2], [1]),
        "scaffold_split": ([0, 1, 2, 3], [4, 5], [6, 7]),
    }
    for name, parts in splits.items():
        text = json.dumps(dict(zip(("train", "valid", "test"), parts, strict=True)))
        (tmp_path / f"{name}_inds.json").write_text(text)
    return tmp_path


def write_rows(folder, rows):
    with (folder / "properties.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])


def read_rows(folder):
    with (folder / "properties.csv").open(newline="") as file:
        return list(csv.reader(file))[1:]


def build(folder, paths=None, **entry):
    data = registry.build({"from": "molecule3d", "folder": str(folder)} | entry, paths)
    data.check_files()
    return data


def test_molecules_are_the_files(folder, relaxed):
    data = build(folder)
    assert [file.path for file in data.files()] == [
        "mols_0_to_5.sdf", "mols_5_to_8.sdf", "properties.csv", "random_split_inds.json",
    ]  # fmt: skip
    found = list(data.molecules())
    assert [one.name for one in found] == [one.cid for one in relaxed] and not data.notes
    for one, own in zip(found, relaxed, strict=True):
        last = own.final_dft
        np.testing.assert_array_equal(one.atomic_numbers, own.atomic_numbers)
        np.testing.assert_array_equal(one.geometries["dft"], printed(last.positions[-1]))
        assert one.targets["gap"] == pytest.approx((last.lumo - last.homo) * Hartree)
        assert one.targets["homo"] == pytest.approx(last.homo * Hartree)
        assert one.targets["lumo"] == pytest.approx(last.lumo * Hartree)
        assert one.targets["energy"] == pytest.approx(last.energies[0] * Hartree)
        assert one.targets["dipole"] == pytest.approx(np.linalg.norm(last.dipole))
        assert set(one.targets) == set(data.units)
        assert (one.charge, one.multiplicity) == (0, 1)
        keys = [Chem.MolToInchiKey(Chem.MolFromSmiles(text)) for text in (one.smiles, own.smiles)]
        assert keys[0][:14] == keys[1][:14]  # the files have a configuration, too


@pytest.mark.parametrize(
    ("entry", "train", "val", "test"),
    [
        ({}, [6, 1, 4], [2], [8, 3, 5, 7]),
        ({"split": "scaffold"}, [1, 2, 3, 4], [5, 6], [7, 8]),
        # Places among those of the test part, as they follow each other in the files.
        ({"among": "test"}, [8, 3], [7], [5]),
    ],
)
def test_splits_are_molecule3d_s_own(folder, entry, train, val, test):
    data = build(folder, **entry)
    names = [one.name for one in data.molecules()]
    (split,) = data.splits().values()
    assert list(data.splits()) == [entry.get("split", "random")]
    for part, places in (("train", train), ("val", val), ("test", test)):
        assert split[part] == [f"{11 * place:09d}" for place in places]
    assert names == sorted(name for part in split.values() for name in part)


def test_a_sample_is_drawn_from_each_part_and_grows(folder, monkeypatch):
    assert molecule3d.shares(600_000, [2_339_788, 779_929, 779_930]) == [360_000, 120_000, 120_000]
    assert molecule3d.shares(5, [3, 1, 4]) == [2, 1, 2]
    assert molecule3d.shares(7, [3, 1, 4]) == [3, 1, 3]
    with pytest.raises(UserError, match="sample: 9, of 8 molecules"):
        molecule3d.shares(9, [3, 1, 4])
    before = {"train": set(), "val": set(), "test": set()}
    seen = set()
    for seed in range(6):
        data = build(folder, sample=5, seed=seed)
        names = {one.name for one in data.molecules()}
        split = data.splits()["random"]
        assert [len(split[part]) for part in before] == [2, 1, 2]
        assert names == {name for part in split.values() for name in part}
        seen.add(frozenset(names))
    assert len(seen) > 1
    for sample in (4, 5, 6, 8):
        split = build(folder, sample=sample, seed=1).splits()["random"]
        assert all(before[part] <= set(split[part]) for part in before)
        before = {part: set(names) for part, names in split.items()}


def test_bad_records_are_counted_and_in_no_part(folder):
    rows = read_rows(folder)
    rows[0][6] = "9.5"  # the gap
    rows[1][4] = "n/a"
    rows[2][0] = ""
    rows[3] = rows[3][:5]
    write_rows(folder, rows)
    first = folder / "mols_5_to_8.sdf"
    texts = first.read_text().split("$$$$\n")
    broken = texts[0].replace("V2000", "V9999")
    other = "77" + texts[1]  # a title: molecule 7 is CID 77
    wrong = "99" + texts[2]
    first.write_text("$$$$\n".join([broken, other, wrong, ""]))
    data = build(folder)
    assert [one.name for one in data.molecules()] == ["000000055", "000000077"]
    assert sorted(data.notes) == sorted(
        [
            "1 molecules left out: its gap is not LUMO minus HOMO",
            "2 molecules left out: properties are no numbers",
            "1 molecules left out: no CID in properties.csv",
            "1 molecules left out: RDKit cannot read it",
            "1 molecules left out: its title is another CID than properties.csv has there",
        ]
    )
    split = data.splits()["random"]
    assert split == {"train": [], "val": [], "test": ["000000055", "000000077"]}


def test_files_of_other_counts_are_refused(folder):
    rows = read_rows(folder)
    write_rows(folder, rows[:-1])
    with pytest.raises(UserError, match=r"properties\.csv: 7 molecules, published are 8"):
        list(build(folder).molecules())
    write_rows(folder, [*rows, rows[-1]])
    with pytest.raises(UserError, match=r"properties\.csv: 9 molecules, published are 8"):
        list(build(folder).molecules())
    write_rows(folder, rows)
    path = folder / "mols_0_to_5.sdf"
    whole = path.read_text()
    path.write_text(whole[: whole.rindex("$$$$", 0, -5) + 5])
    with pytest.raises(UserError, match=r"mols_0_to_5\.sdf: 4 molecules, published are 5"):
        list(build(folder).molecules())
    path.write_text(whole + whole)
    with pytest.raises(UserError, match=r"at least 6 molecules, published are 5"):
        list(build(folder).molecules())
    (folder / "random_split_inds.json").write_text('{"train": [0, 1], "valid": [1], "test": [2]}')
    with pytest.raises(UserError, match="its parts are not 8 molecules, each once"):
        list(build(folder).molecules())


@pytest.fixture
def store(tmp_path, relaxed, write_shard_file):
    """Write the relaxations, atoms of each in another order, in two shards; the third is absent."""
    rng = np.random.default_rng(4)
    shuffled = []
    for one in relaxed:
        order = rng.permutation(len(one.atomic_numbers))
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        turn *= np.sign(np.linalg.det(turn))
        one = deepcopy(one)
        one.atomic_numbers = one.atomic_numbers[order]
        for stage in one.stages.values():
            stage.positions = stage.positions[:, order] @ turn
            stage.gradients = stage.gradients[:, order] @ turn
        shuffled.append(one)
    (tmp_path / "store").mkdir()
    write_shard_file(tmp_path / "store/a.lmdb", [shuffled[n] for n in (0, 3, 4, 7)])
    write_shard_file(tmp_path / "store/b.lmdb", [shuffled[n] for n in (1, 5, 6)])
    return {"store": tmp_path / "store"}


def test_the_store_s_geometries_come_in_the_order_of_the_atoms(folder, store, relaxed):
    assert build(folder).needs == ()
    data = build(folder, store, align="pubchemqcr")
    assert data.needs == ("store",)
    assert {path.name for path in data.read_from()} >= {"a.lmdb", "b.lmdb", "properties.csv"}
    found = list(data.molecules())
    assert data.notes == ["1 molecules without the geometry hf: not in the store"]
    assert "hf" not in found[2].geometries
    for one, own in zip(found, relaxed, strict=True):
        if one.name == "000000033":
            continue
        first, last = own.stages["dft_1st"].positions[0], own.final_dft.positions[-1]
        assert rmsd(one.geometries["hf"], first) < 1e-5
        # The wrong end, and the order in the store, would be seen.
        assert rmsd(last, first) > 1e-4


def test_what_is_another_structure_is_told_and_has_no_geometry(folder, store):
    path = folder / "mols_5_to_8.sdf"
    first, second, third, _ = path.read_text().split("$$$$\n")
    # The sixth and the seventh exchange their structures, and an atom of the eighth moves.
    lines = third.split("\n")
    lines[4] = f"{float(lines[4][:10]) + 0.4:10.4f}{lines[4][10:]}"
    path.write_text("$$$$\n".join([second, first, "\n".join(lines), ""]))
    data = build(folder, store, align="pubchemqcr")
    found = {one.name: one for one in data.molecules()}
    assert len(found) == 8
    assert {name for name, one in found.items() if "hf" not in one.geometries} == {
        "000000033", "000000066", "000000077", "000000088",
    }  # fmt: skip
    assert sorted(data.notes) == [
        "1 molecules without the geometry hf: another structure, an atom over 0.1 Å away",
        "1 molecules without the geometry hf: not in the store",
        "2 molecules without the geometry hf: another formula",
    ]


def test_cids_that_do_not_ascend_are_told(folder, store):
    rows = read_rows(folder)
    rows[4][0] = "12"
    write_rows(folder, rows)
    data = build(folder, store, align="pubchemqcr")
    list(data.molecules())
    assert (
        "1 molecules without the geometry hf: CIDs of properties.csv do not ascend there"
        in data.notes
    )


def test_a_run_s_shards_are_told_where_a_set_is_aligned():
    from force2geo.plan.data import data_settings

    entry = {"from": "molecule3d", "folder": "x", "align": "pubchemqcr"}
    config = {"data": {"plain": {"from": "molecule3d", "folder": "x"}, "both": entry}, "seed": 7}
    assert data_settings(config, "both", ["a", "b"])["shards"] == ["a", "b"]
    assert "shards" not in data_settings(config, "plain", ["a", "b"])
