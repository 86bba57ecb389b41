"""Labels: DFT energies and gradients near a minimum, of ions and radicals as well."""

import numpy as np
import pytest
from pyscf import gto, scf
from rdkit import Chem

from force2geo.cli import main
from force2geo.datasets.protocol import read_protocol
from force2geo.dft import label as module
from force2geo.dft.label import LabelError, downhill, label, label_molecule, state_of
from force2geo.dft.level import Level


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(
        module, "B3LYP", Level(method="hf", basis="sto-3g", density_fit=False, conv_tol=1e-10)
    )


def labels_of(tmp_path, smiles, multiplicity=None):
    target = tmp_path / "000000007.npz"
    label_molecule("7", smiles, "", 3, target, multiplicity)
    with np.load(target, allow_pickle=False) as data:
        return dict(data)


def test_label_writes_what_it_can_and_goes_on(tmp_path, monkeypatch):
    table = tmp_path / "m.csv"
    table.write_text("cid,smiles,inchi\n000000962,O,x\n000000001,not smiles,x\n")
    label(table, tmp_path / "out", seed=1, workers=2)
    with np.load(tmp_path / "out/000000962.npz", allow_pickle=False) as data:
        assert data["extra_pos"].shape == data["extra_grad"].shape == (3, 3, 3)
        assert data["extra_origin"].tolist() == ["force_field", "rattle_0.03", "rattle_0.07"]
        assert np.ptp(data["extra_energy"]) < 0.1
    rejects = (tmp_path / "out/rejects.csv").read_text()
    assert rejects.startswith("000000001,")
    before = (tmp_path / "out/000000962.npz").stat().st_mtime_ns
    label(table, tmp_path / "out", seed=1, workers=1)
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
