"""Files of users in and out of `force2geo relax`."""

import itertools
import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from ase.io import read
from rdkit import Chem

from force2geo.cli import main
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential
from force2geo.relax import sdf, smiles
from force2geo.relax.result import read_relaxed
from force2geo.relax.structures import Lost
from structures_of import read_structures

SMILES = "CCO ethanol\n# a remark\nnonsense(\nC methane\n[Na+].[Cl-] salt\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(3)
    backbone = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
    network = Potential(backbone)
    network.config["elements"] = [1, 6, 8]
    path = tmp_path_factory.mktemp("model") / "m.pt"
    save(network, path, {})
    return path


def relaxed(model, source, target, *more):
    limits = ["--steps", "4", "--fmax", "1e-9"]
    return main(["relax", str(source), str(target), "--model", str(model), *limits, *more])


def test_smiles_to_sdf_to_xyz_keeps_order_names_and_properties(model, tmp_path, capsys):
    (tmp_path / "a.smi").write_text(SMILES)
    assert relaxed(model, tmp_path / "a.smi", tmp_path / "b.sdf") == 1
    shown = capsys.readouterr()
    assert "molecule 2: left out, 'nonsense(' is not a SMILES" in shown.err
    assert "left out" in shown.out and "step limit" in shown.out
    found = list(Chem.SDMolSupplier(str(tmp_path / "b.sdf"), removeHs=False))
    assert [m.GetProp("_Name") for m in found] == ["ethanol", "methane", "salt"]
    assert Chem.MolToSmiles(Chem.RemoveHs(found[0])) == "CCO"
    assert found[2].GetProp("status") == "refused: the model has never seen Na, Cl"
    assert float(found[0].GetProp("max_force")) > 0 and found[0].GetProp("converged") == "False"

    edited = Chem.SDWriter(str(tmp_path / "c.sdf"))
    for molecule in found[:2]:
        molecule.SetProp("batch", "A 7")
        edited.write(molecule)
    edited.close()
    assert relaxed(model, tmp_path / "c.sdf", tmp_path / "d.xyz") == 0
    frames = read(tmp_path / "d.xyz", index=":", format="extxyz")
    assert [f.info["name"] for f in frames] == ["ethanol", "methane"]
    assert all(f.info["batch"] == "A 7" and f.info["n_steps"] == 4 for f in frames)
    moved = frames[0].positions - found[0].GetConformer().GetPositions()
    assert 1e-4 < np.abs(moved).max() < 2.0

    assert relaxed(model, tmp_path / "d.xyz", tmp_path / "e.sdf") == 0
    last = list(Chem.SDMolSupplier(str(tmp_path / "e.sdf"), sanitize=False, removeHs=False))
    assert [m.GetProp("_Name") for m in last] == ["ethanol", "methane"]
    assert last[0].GetProp("batch") == "A 7" and last[0].GetNumAtoms() == 9


def test_plain_xyz_keeps_its_comment(tmp_path):
    (tmp_path / "w.xyz").write_text("3\nwater one\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n" * 2)
    structures, lost = read_structures(tmp_path / "w.xyz")
    assert [s.kept.info["name"] for s in structures] == ["water one"] * 2 and not lost
    np.testing.assert_array_equal(structures[1].numbers, [8, 1, 1])
    np.testing.assert_allclose(structures[1].positions[2], [-0.24, 0.93, 0])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Chem.MolToMolBlock(Chem.MolFromSmiles("CC")), "hydrogens are missing"),
        (Chem.MolToMolBlock(Chem.AddHs(Chem.MolFromSmiles("CC"))), "two dimensions"),
        ("x\n\n\nnonsense\n", "not a readable"),
    ],
)
def test_what_is_no_structure_is_told(tmp_path, record, reason):
    (tmp_path / "x.sdf").write_text(record + "\n$$$$\n")
    structures, lost = read_structures(tmp_path / "x.sdf")
    assert not structures and len(lost) == 1 and reason in lost[0][1]


def test_errors_say_what_to_give_and_leave_nothing(model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.smi").write_text("C\n")
    for arguments, message in (
        (
            [str(tmp_path / "a.smi"), "b.sdf", "--model", "m.pt", "--calculator", "a:B"],
            "either --model or --calculator",
        ),
        ([str(tmp_path / "a.smi"), "b.pdb", "--model", str(model)], "one of .sdf, .xyz"),
        ([str(tmp_path / "no.sdf"), "b.sdf", "--model", str(model)], "no such file"),
        (["--model", str(model)], "an input and an output file"),
        ([str(tmp_path / "a.smi"), "b.sdf", "--model", str(model), "--optimizer", "x"], "bfgs"),
    ):
        assert main(["relax", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.smi"]


def test_paths_asked_for_by_the_second_call_are_whole(model, tmp_path, monkeypatch):
    def killed(*_):
        raise RuntimeError("killed")

    (tmp_path / "a.smi").write_text("CCO\nC\n")
    files = model, tmp_path / "a.smi", tmp_path / "b.xyz"
    with monkeypatch.context() as broken:
        broken.setattr("force2geo.relax.structure_file.write_structures", killed)
        with pytest.raises(RuntimeError, match="killed"):
            relaxed(*files)
    assert (tmp_path / ".b.xyz.unfinished").is_dir()
    assert relaxed(*files, "--paths", str(tmp_path / "p.h5")) == 0
    assert [len(frames) for frames in read_relaxed(tmp_path / "p.h5").frames] == [5, 5]
    assert not (tmp_path / ".b.xyz.unfinished").exists()


def test_an_ase_calculator_relaxes_a_file(tmp_path):
    (tmp_path / "a.smi").write_text("O water\n")
    options = '{"method": "GFN2-xTB", "verbosity": 0}'
    command = ["relax", str(tmp_path / "a.smi"), str(tmp_path / "b.xyz")]
    assert main([*command, "--calculator", "tblite.ase:TBLite", "--options", options]) == 0
    water = read(tmp_path / "b.xyz", format="extxyz")
    assert water.info["converged"] and water.info["max_force"] < 0.05
    assert water.get_distance(0, 1) == pytest.approx(0.96, abs=0.01)


def test_ctrl_c_is_heard_while_molecules_are_embedded():
    """RDKit takes the signal over while it embeds, ends what it is at and tells nobody."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for workers in (1, 2):
            rows = (("C" * 30, str(place), {}) for place in itertools.count())
            many, found = smiles.embedded(rows, 7, workers), []
            found.append(next(many))
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            start = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                found.extend(itertools.islice(many, 60))
            assert time.monotonic() - start < 3
            assert not any(isinstance(one, Lost) for one in found)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_molecule_made_elsewhere_is_all_there():
    rows = [("C[C@H](O)[NH3+] |$a;b$|", "it", {"Note": "of mine", "charge": "1"})]
    (far,) = smiles.embedded(iter(rows), 7)
    near = smiles.structure_of(rows[0], 7)
    assert (far.name, far.properties) == (near.name, near.properties)
    everything = int(
        Chem.PropertyPickleOptions.AllProps | Chem.PropertyPickleOptions.CoordsAsDouble
    )
    assert sdf.record(far, {}).ToBinary(everything) == sdf.record(near, {}).ToBinary(everything)
    np.testing.assert_array_equal(far.kept.GetConformer().GetPositions(), far.positions)


def test_what_is_no_smiles_is_said_once(capfd):
    (lost,) = smiles.embedded(iter([("x(", "odd", {})]), 7)
    assert lost == Lost("'x(' is not a SMILES", "odd", "x(")
    assert capfd.readouterr() == ("", "")


def test_a_molecule_that_hangs_rdkit_is_a_row_with_its_reason(monkeypatch):
    monkeypatch.setattr(smiles, "HANGING_SECONDS", 0.5)
    monkeypatch.setattr("force2geo.limited._START", 0.0)
    rows = [("C" * 300, "long", {})]
    (lost,) = smiles.embedded(iter(rows), 7)
    assert isinstance(lost, Lost) and (lost.name, lost.smiles) == ("long", "C" * 300)
    assert "took longer than 0" in lost.reason
