"""Labels: DFT energies and gradients near a minimum, of ions and radicals as well."""

import os

import numpy as np
import pytest
from pyscf import gto, scf
from rdkit import Chem

from force2geo.cli import main
from force2geo.dft import label as module
from force2geo.dft.label import LabelError, downhill, label, label_molecule, read_list, state_of
from force2geo.dft.level import Level
from force2geo.interchange import protocol
from force2geo.interchange.protocol import read_protocol


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(protocol, "_POINTS", {})  # the level that others are refused for
    monkeypatch.setattr(
        module, "B3LYP", Level(method="hf", basis="sto-3g", density_fit=False, conv_tol=1e-10)
    )


def labels_of(tmp_path, smiles, multiplicity=None, **more):
    target = tmp_path / "000000007.npz"
    label_molecule("7", smiles, "", 3, target, multiplicity, **more)
    with np.load(target, allow_pickle=False) as data:
        return dict(data)


def test_label_writes_what_it_can_and_goes_on(tmp_path, monkeypatch):
    table = tmp_path / "m.csv"
    table.write_text("cid,smiles,inchi\n000000962,O,x\n000000001,not smiles,x\n")
    label(read_list(table), tmp_path / "out", seed=1, workers=2)
    with np.load(tmp_path / "out/000000962.npz", allow_pickle=False) as data:
        assert data["extra_pos"].shape == data["extra_grad"].shape == (3, 3, 3)
        assert data["extra_origin"].tolist() == ["force_field", "rattle_0.03", "rattle_0.07"]
        assert np.ptp(data["extra_energy"]) < 0.1
    rejects = (tmp_path / "out/rejects.csv").read_text()
    assert rejects.startswith("000000001,")
    before = (tmp_path / "out/000000962.npz").stat().st_mtime_ns
    label(read_list(table), tmp_path / "out", seed=1, workers=1)
    assert (tmp_path / "out/000000962.npz").stat().st_mtime_ns == before
    assert (tmp_path / "out/rejects.csv").read_text() == rejects


def test_the_estimate_lies_downhill(tmp_path, quick, monkeypatch):
    # 51.42 eV/Å are a Hartree/bohr; a bond that is 1 Hartree/bohr too short opens.
    gradient = np.array([[0.0, 0, 0.7], [0, 0, -0.7]])
    moved = downhill(np.array([[0.0, 0, 0], [0, 0, 1.0]]), gradient)
    np.testing.assert_allclose(moved[:, 2], [-0.5142207, 1.5142207], atol=1e-6)
    monkeypatch.setattr(module, "RATTLES", (0.0,))
    found = labels_of(tmp_path, "O")
    assert found["extra_energy"][1] < found["extra_energy"][0] - 1e-4
    # The force field's water and STO-3G's differ: most of the slope is gone.
    largest = np.abs(found["extra_grad"]).max(axis=(1, 2))
    assert largest[1] < 0.7 * largest[0]


@pytest.mark.parametrize(
    ("smiles", "given", "charge", "multiplicity"),
    [("[NH4+]", None, 1, 1), ("[OH]", None, 0, 2), ("[OH-]", None, -1, 1), ("[O][O]", None, 0, 3),
     ("O=O", 3, 0, 3)],
)  # fmt: skip
def test_ions_and_radicals_have_their_state(tmp_path, quick, smiles, given, charge, multiplicity):
    found = labels_of(tmp_path, smiles, given)
    assert (found["charge"], found["multiplicity"]) == (charge, multiplicity)
    atoms = [(int(z), tuple(x)) for z, x in zip(found["z"], found["extra_pos"][1], strict=True)]
    molecule = gto.M(
        atom=atoms, basis="sto-3g", charge=charge, spin=multiplicity - 1, verbose=0, unit="Angstrom"
    )
    energy = (scf.RHF if multiplicity == 1 else scf.UHF)(molecule).kernel()
    assert found["extra_energy"][1] == pytest.approx(energy, abs=1e-6)
    trajectory = read_protocol(tmp_path / "000000007.npz", "000000007")
    assert (trajectory.charge, trajectory.multiplicity) == (charge, multiplicity)


def test_a_spin_that_does_not_fit_is_refused():
    water = Chem.AddHs(Chem.MolFromSmiles("O"))
    assert state_of(water) == (0, 1) and state_of(water, 3) == (0, 3)
    for wrong in (2, 0, 13):
        with pytest.raises(LabelError, match="does not fit 10 electrons"):
            state_of(water, wrong)


def test_three_points_are_those_of_ever_and_fewer_are_drawn(tmp_path, quick):
    for points in (3, 2, 1):
        found = labels_of(tmp_path, "O", points=points)
        rng = np.random.default_rng([3, 7])
        rng.integers(2**31)  # the conformer's seed
        scales = [0.03, 0.07]
        if points < 3:
            scales = sorted(rng.choice([0.03, 0.07], points - 1, replace=False))
        names = ["force_field", *(f"rattle_{scale:g}" for scale in scales)]
        assert found["extra_origin"].tolist() == names
        start, gradient = found["extra_pos"][0], found["extra_grad"][0]
        estimate = start + gradient * -51.422067476325886 / 70.0
        expected = [estimate + rng.normal(scale=scale, size=(3, 3)) for scale in scales]
        np.testing.assert_allclose(
            found["extra_pos"][1:], np.reshape(expected, (-1, 3, 3)), atol=1e-6
        )
        assert len(found["extra_energy"]) == len(found["extra_grad"]) == points
        if points == 3:
            whole = found
    # Another molecule's generator draws the other one.
    label_molecule("12", "O", "", 3, tmp_path / "x.npz", points=2)
    with np.load(tmp_path / "x.npz") as other:
        names = {
            str(other["extra_origin"][1]),
            str(labels_of(tmp_path, "O", points=2)["extra_origin"][1]),
        }
    assert names == {"rattle_0.03", "rattle_0.07"}
    # Threads add up a gradient in any order.
    again = labels_of(tmp_path, "O")["extra_pos"]
    np.testing.assert_allclose(again, whole["extra_pos"], rtol=0, atol=1e-9)


def dies(task):
    """A worker that some molecules bring down."""
    if task[0] == "000000002":
        os._exit(9)
    if task[0] == "000000003":
        raise MemoryError
    return "" if task[0] == "000000001" else "LabelError: no"


def writes(task):
    task[4].write_bytes(b"labels")
    return ""


def test_what_the_machine_failed_is_told_and_tried_again(tmp_path, capsys, monkeypatch):
    (tmp_path / "m.csv").write_text("cid,smiles\n" + "".join(f"{i:09d},O\n" for i in range(1, 5)))
    arguments = ["--molecules", str(tmp_path / "m.csv"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(module, "_worker", dies)
    assert main(["label", *arguments, "--workers", "2"]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert [line[:18] for line in sorted(told)] == ["warning: 000000002", "warning: 000000003"]
    assert "the process died (exit code 9)" in "".join(told) and "no memory" in "".join(told)
    rejects = tmp_path / "out" / "rejects.csv"
    assert rejects.read_text() == "000000004,LabelError: no\n"
    monkeypatch.setattr(module, "_worker", writes)
    assert main(["label", *arguments]) == 0
    made = sorted(path.stem for path in (tmp_path / "out").glob("*.npz"))
    assert made == ["000000001", "000000002", "000000003"]
    assert rejects.read_text() == "000000004,LabelError: no\n"


@pytest.mark.parametrize(
    ("problem", "found"), [(MemoryError(), None), (OSError("disk full"), None),
                           (ValueError("no"), "ValueError: no")],
)  # fmt: skip
def test_want_of_memory_is_no_fault_of_a_molecule(tmp_path, monkeypatch, problem, found):
    def fail(*_):
        raise problem

    monkeypatch.setattr(module, "label_molecule", fail)
    task = "1", "O", "", 1, tmp_path / "x.npz", None, 3
    if found is None:
        with pytest.raises(type(problem)):
            module._worker(task)
    else:
        assert module._worker(task) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [("O\n", "needs a column 'cid'"), ("cid,inchi\n1,x\n", "needs a column 'smiles'"),
     ("cid,smiles\nwater,O\n", "line 2: cid 'water' is not a number"),
     ("cid,smiles,multiplicity\n1,O,two\n", "line 2: multiplicity 'two'")],
)  # fmt: skip
def test_lists_that_are_none_are_one_line(tmp_path, capsys, text, said):
    (tmp_path / "m.smi").write_text(text)
    arguments = ["--molecules", str(tmp_path / "m.smi"), "--out", str(tmp_path / "out")]
    assert main(["label", *arguments]) != 0
    error = capsys.readouterr().err.strip()
    assert said in error and "m.smi" in error and "\n" not in error
    assert not (tmp_path / "out").exists()
