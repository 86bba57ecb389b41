"""QM9: the published numbers, the package and the raw files, and the parts that are drawn."""

import csv
import hashlib
import io
import json
import tarfile
from importlib import metadata
from itertools import chain
from pathlib import Path

import h5py
import numpy as np
import pytest

from force2geo.cli import main
from force2geo.datasets import qm9
from force2geo.errors import UserError
from force2geo.training_data import registry
from force2geo.training_data.conformers import read_conformers
from force2geo.training_data.dataset import File
from force2geo.training_data.pack import pack_molecules

# The collection's first files, as they were published.
RAW = {
    n: (Path(__file__).parents[1] / f"data/qm9/dsgdb9nsd_{n:06d}.xyz").read_text()
    for n in range(1, 5)
}
LIST = """Compounds that fail the consistency check

  Index  SMILES    InChI
======================================
     4   C#C       InChI=1S/C2H2
     6   C=O       InChI=1S/CH2O
======================================
     2 compounds
"""  # fmt: skip
# Hartree and cal/mol/K, table 3 and the first files of Ramakrishnan et al. 2014.
METHANE = {"u0": -40.47893, "u298": -40.476062, "h298": -40.475117, "g298": -40.498597,
           "gap": 0.5048, "homo": -0.3877, "lumo": 0.1171, "zpve": 0.044749}  # fmt: skip
# kcal/mol, MoleculeNet's table of QM9.
ATOMISATION = {"u0_atom": -395.999594594, "u298_atom": -398.643290011,
               "h298_atom": -401.014646522, "g298_atom": -372.471772148}  # fmt: skip
RINGS = ("CC", "C1CC1", "C1CCC1", "C1CCCC1", "C1CCCCC1", "C1CCCCCC1")
HARTREE = 27.211386245988  # eV, CODATA 2018


def ethane(number):
    """A raw file of ethane, at a length that tells its number."""
    length = 1.5 + number / 1000
    atoms = [("C", 0.0, 0.0, 0.0), ("C", length, 0.0, 0.0)]
    for sign, x in ((1, 0.0), (-1, length)):
        for k in range(3):
            turn = 2 * np.pi * k / 3 + (np.pi if sign < 0 else 0.0)
            atoms.append(("H", x - sign * 0.39, 1.02 * np.cos(turn), 1.02 * np.sin(turn)))
    lines = [str(len(atoms)), f"gdb {number}\t" + "\t".join(["1.0"] * 3 + [f"{number}.5"] * 12)]
    lines += ["\t".join([symbol, *(f"{x:.10f}" for x in xyz), "0.0"]) for symbol, *xyz in atoms]
    rings = RINGS[number % len(RINGS)]  # for its scaffold
    return "\n".join([*lines, "1.0", f"C1CC1\t{rings}", "InChI=1S/none\tInChI=1S/C2H6/c1-2/h1-2H3"])


def texts():
    found = {number: RAW.get(number) or ethane(number) for number in range(1, 21)}
    return {f"dsgdb9nsd_{number:06d}.xyz": text for number, text in found.items()}


@pytest.fixture
def counts(monkeypatch):
    monkeypatch.setattr(qm9, "_MOLECULES", 20)
    monkeypatch.setattr(qm9, "_LEFT_OUT", 2)
    monkeypatch.setattr(qm9, "_CHARACTERISED", 18)


@pytest.fixture
def raw(tmp_path, counts, monkeypatch):
    """The archive and the list, in a folder."""
    folder = tmp_path / "raw"
    folder.mkdir()
    with tarfile.open(folder / "dsgdb9nsd.xyz.tar.bz2", "w:bz2") as archive:
        for name, text in texts().items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    (folder / "uncharacterized.txt").write_text(LIST)
    for name in ("_ARCHIVE", "_UNCHARACTERISED"):
        file = getattr(qm9, name)
        content = (folder / file.path).read_bytes()
        digest = hashlib.md5(content).hexdigest()
        monkeypatch.setattr(qm9, name, File(file.path, len(content), md5=digest))
    return {"from": "qm9", "origin": "raw", "folder": str(folder)}


@pytest.fixture
def package(tmp_path, counts, monkeypatch):
    """A package of that name, whose code cannot be imported, with the characterised molecules."""
    site = tmp_path / "site"
    (site / "qm9pack/data").mkdir(parents=True)
    (site / "qm9pack/__init__.py").write_text("import pkg_resources_is_gone")
    (site / "qm9pack-1.0.3.dist-info").mkdir()
    (site / "qm9pack-1.0.3.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: qm9pack\nVersion: 1.0.3\n"
    )
    columns = ["XYZ_file", "Index", "SMILES", "InChi", "N_atoms", "Elements", "XYZ_Ang", "More",
               *(column for column, _, _ in qm9._TARGETS.values())]  # fmt: skip
    rows = []
    for name, text in texts().items():
        lines = text.replace("*^", "e").splitlines()
        count, number = int(lines[0]), int(lines[1].split()[1])
        if number in (4, 6):
            continue
        atoms = [line.split() for line in lines[2 : count + 2]]
        rows.append([
            name, number, lines[-2].split()[1], lines[-1].split()[1], count,
            "[" + ",".join(f"'{atom[0]}'" for atom in atoms) + "]",
            "[" + ",".join("[" + ",".join(atom[1:4]) + "]" for atom in atoms) + "]", "[0.1,0.2]",
            *lines[1].split()[5:],
        ])  # fmt: skip
    files = []
    for place, file in enumerate(qm9._TABLES):
        path = site / "qm9pack/data" / file.path
        with path.open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerows([columns, *rows[place * 6 : place * 6 + 6]])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append(File(file.path, path.stat().st_size, digest))
    monkeypatch.setattr(qm9, "_TABLES", tuple(files))
    monkeypatch.syspath_prepend(str(site))
    return {"from": "qm9"}


SIZES = {"train": 10, "validation": 4, "test": 4}


def read(entry, **more):
    data = registry.build({**entry, **SIZES, **more})
    data.check_files()
    found = {molecule.name: molecule for molecule in data.molecules()}
    return found, data.splits()


def test_published_molecules_have_their_published_numbers(raw):
    found, _ = read(raw)
    methane, water = found["gdb_1"], found["gdb_3"]
    for name, value in METHANE.items():
        assert methane.targets[name] == pytest.approx(value * HARTREE, rel=1e-7), name
    assert (methane.targets["cv"], methane.targets["r2"]) == (6.469, 35.3641)
    for name, value in ATOMISATION.items():
        assert methane.targets[name] * 23.0605478 == pytest.approx(value, rel=2e-6), name
    assert (water.targets["dipole"], water.targets["polarisability"]) == (1.8511, 6.31)
    assert water.atomic_numbers.tolist() == [8, 1, 1] and water.smiles == "O"
    assert water.geometries["dft"][1].tolist() == [0.0647664923, 0.0205721989, 0.0015346341]
    # The relaxed geometry's, which stands second.
    assert (found["gdb_8"].smiles, found["gdb_8"].inchi[:13]) == ("C1CCC1", "InChI=1S/C2H6")
    assert qm9.QM9.units == {
        **dict.fromkeys(["homo", "lumo", "gap", "zpve"], "eV"), "dipole": "D",
        **dict.fromkeys(["u0", "u298", "h298", "g298"], "eV"), "polarisability": "bohr^3",
        **dict.fromkeys(["u0_atom", "u298_atom", "h298_atom", "g298_atom"], "eV"),
        "r2": "bohr^2", "cv": "cal/mol/K",
    }  # fmt: skip
    assert set(methane.targets) == set(qm9.QM9.units)


def test_package_archive_and_folder_have_the_same_molecules_in_the_same_parts(
    raw, package, tmp_path
):
    (tmp_path / "open").mkdir()
    for name, text in {**texts(), "uncharacterized.txt": LIST}.items():
        (tmp_path / "open" / name).write_text(text)
    one = read(raw)
    for entry in (package, raw | {"folder": str(tmp_path / "open")}):
        other = read(entry)
        assert other[1] == one[1] and list(other[0]) == list(one[0])
        for name, molecule in one[0].items():
            np.testing.assert_array_equal(
                molecule.geometries["dft"], other[0][name].geometries["dft"]
            )
            assert molecule.targets == other[0][name].targets
            assert (molecule.smiles, molecule.inchi) == (
                other[0][name].smiles,
                other[0][name].inchi,
            )


def test_exponents_of_mathematica_are_read():
    """Some of the published files have them."""
    text = RAW[1].replace("0.0002765748", "2.1997*^-6")
    assert qm9._of_text(1, text).geometries["dft"][2, 2] == 2.1997e-6


def test_a_smaller_training_set_is_the_beginning_of_a_larger_one(raw):
    molecules, splits = read(raw)
    parts = splits["random"]
    assert {part: len(names) for part, names in parts.items()} == {"train": 10, "val": 4, "test": 4}
    assert sorted(chain(*parts.values())) == sorted(molecules)
    assert not {"gdb_4", "gdb_6"} & set(molecules) and len(molecules) == 18
    fewer, smaller = read(raw, train=3, validation=2)
    assert smaller["random"]["train"] == parts["train"][:3]
    assert smaller["random"]["test"] == parts["test"] and len(smaller["random"]["val"]) == 2
    assert set(smaller["random"]["val"]) <= set(parts["val"]) and len(fewer) == 9
    assert read(raw, test=None)[1] == splits  # all that are left
    assert read(raw, seed=5)[1]["random"] != parts


def test_no_scaffold_is_in_two_parts(raw):
    molecules, splits = read(raw)
    assert sorted(chain(*splits["scaffold"].values())) == sorted(molecules)
    rings = {part: {molecules[n].smiles for n in names} & set(RINGS[1:])
             for part, names in splits["scaffold"].items()}  # fmt: skip
    assert not rings["train"] & rings["val"] and not rings["train"] & rings["test"]
    assert not rings["val"] & rings["test"] and all(splits["scaffold"].values())
    chains = {n for n, one in molecules.items() if one.smiles not in RINGS[1:]}
    assert chains <= set(splits["scaffold"]["train"])  # the commonest


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"origin": "raw"}, "origin raw needs 'folder'"),
        ({"train": 130_000, "validation": 831}, "130832 molecules or more, there are 130831"),
        ({"origin": "figshare"}, "'origin' is 'figshare', not one of package, raw"),
    ],
)
def test_settings_that_cannot_be_are_said(entry, said):
    with pytest.raises(UserError, match=said):
        registry.build({"from": "qm9", **entry})


def test_what_is_missing_is_named_with_what_to_do(raw, package, monkeypatch, tmp_path, capsys):
    def none(name):
        raise metadata.PackageNotFoundError(name)

    path = Path(raw["folder"]) / "uncharacterized.txt"
    path.write_text(LIST.replace("     6   C=O       InChI=1S/CH2O\n", ""))
    with pytest.raises(UserError, match="bytes, published are"):
        registry.build({**raw, **SIZES}).check_files()
    with pytest.raises(UserError, match="1 molecules, published are 2"):
        list(registry.build({**raw, **SIZES}).molecules())
    (tmp_path / "e.json").write_text(json.dumps(package | SIZES))
    monkeypatch.setattr(metadata, "version", lambda name: "1.0.2")
    call = ["data", "--settings", str(tmp_path / "e.json"), "--out", str(tmp_path / "o.h5")]
    assert main(call) == 2
    assert "qm9pack 1.0.2 is installed and 1.0.3" in capsys.readouterr().err
    monkeypatch.setattr(metadata, "version", none)
    assert main(call) == 2
    assert "qm9pack is not installed: pip install 'force2geo[qm9]'\n" in capsys.readouterr().err


def test_a_raw_file_that_is_another_s_is_named(raw, monkeypatch):
    one = texts() | {"dsgdb9nsd_000007.xyz": ethane(8)}
    monkeypatch.setattr(
        qm9.QM9, "_texts", lambda self: ((k, text.encode) for k, text in one.items())
    )
    with pytest.raises(UserError, match=r"raw: dsgdb9nsd_000007.xyz: not .* it is molecule 8"):
        list(registry.build({**raw, **SIZES}).molecules())


def test_the_published_package_is_that(tmp_path):
    try:
        metadata.version("qm9pack")
    except metadata.PackageNotFoundError:
        pytest.skip("qm9pack is not installed: pip install 'force2geo[qm9]'")
    entry = {"from": "qm9", "train": 60, "validation": 20, "test": 20, "seed": 1}
    data = registry.build(entry)
    data.check_files()
    assert len(data._tabled()) == 130_831  # and no number twice
    assert len(list(data.molecules())) == 100
    rows = {number: row() for number, row in data._lines() if number <= 4}
    for number, row in rows.items():
        ours, published = qm9._of_row(number, row), qm9._of_text(number, RAW[number])
        assert ours.targets == published.targets
        np.testing.assert_array_equal(ours.geometries["dft"], published.geometries["dft"])
    (tmp_path / "e.json").write_text(json.dumps(entry))
    out = tmp_path / "o.h5"
    assert main(["data", "--settings", str(tmp_path / "e.json"), "--out", str(out)]) == 0
    with h5py.File(out) as file:
        assert file["target/u0_atom"].attrs["unit"] == "eV" and len(file["cid"]) == 100
        assert np.isfinite(file["geometry/rdkit"][:]).all(axis=1).mean() > 0.95


@pytest.mark.parametrize("conformers", [True, False])
def test_conformers_are_made_where_they_are_asked_for(raw, tmp_path, conformers):
    data = registry.build({**raw, **SIZES, "conformers": conformers})
    lines = pack_molecules(data, tmp_path / "packed.h5", tmp_path / "scratch")
    found = read_conformers(tmp_path / "packed.h5")
    names = {"dft", "rdkit"} if conformers else {"dft"}
    assert set(found.geometry) == names == set(data.geometries())
    assert conformers or set(found.reasons) <= {"dft"}
    # Molecules, bonds and skeletons are there all the same.
    assert lines[0] == f"{len(found.cids)} molecules" and len(found.cids) == 18
    assert all(found.skeletons)
