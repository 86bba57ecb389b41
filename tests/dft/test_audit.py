"""The audit says which energies are not at the level they claim, and why."""

import json
from dataclasses import replace

import lmdb
import numpy as np
import pytest
from pyscf import gto, scf

from force2geo.cli import main
from force2geo.dft.audit import check_energy
from force2geo.store.lmdb_store import StoreWriter
from force2geo.trajectory import Stage, Trajectory

HCL = np.array([17, 1]), np.array([[0.0, 0, 0], [0, 0, 1.28]])
BOND = 1.4 * 0.529177210544


def energy_of(numbers, positions, fitted=False, cartesian=False, charge=0, spin=0):
    atoms = [(int(z), tuple(x)) for z, x in zip(numbers, positions, strict=True)]
    molecule = gto.M(
        atom=atoms, basis="sto-6g", charge=charge, spin=spin, cart=cartesian, verbose=0
    )
    field = scf.UHF(molecule) if spin else scf.RHF(molecule)
    return (field.density_fit() if fitted else field).kernel()


def molecule(energy, numbers=HCL[0], positions=HCL[1], cid="000000313", functional="", **state):
    stage = Stage(
        program="gamess", version="", method="hf", basis="sto-6g", converged=True,
        positions=positions[None], energies=np.array([energy]),
        gradients=np.zeros((1, len(numbers), 3)), functional=functional,
    )  # fmt: skip
    return Trajectory(cid, numbers.astype(np.uint8), stages={"hf": stage}, **state)


def test_density_fitting_is_told_from_another_level():
    exact, fitted = energy_of(*HCL), energy_of(*HCL, fitted=True)
    cartesian = energy_of(*HCL, fitted=True, cartesian=True)
    # Three numbers of one level, further apart than the tolerance of Hartree-Fock.
    assert min(abs(exact - fitted), abs(exact - cartesian), abs(fitted - cartesian)) > 1e-5
    for energy, way in (
        (exact, "exact integrals"), (cartesian, "density fitting"),
        (fitted, "density fitting, spherical"),
    ):  # fmt: skip
        found = check_energy(molecule(energy), "hf", 1e-4)
        assert found["verdict"] == f"agrees ({way})"
        assert abs(found["difference"]) < 1e-7 and found["tolerance"] == pytest.approx(4e-6)


def test_a_small_difference_is_no_agreement():
    exact = energy_of(*HCL)
    found = check_energy(molecule(exact - 1e-4), "hf", 1e-4)
    assert found["verdict"].startswith("differs") and found["difference"] == pytest.approx(1e-4)
    found = check_energy(molecule(exact - 3e-2), "hf", 1e-4)
    assert found["verdict"] == "agrees with no level tried"


def test_another_level_is_named_however_its_integrals_were_computed():
    for energy in (energy_of(*HCL), energy_of(*HCL, fitted=True, cartesian=True)):
        wrong = molecule(energy, functional="b3lyp(vwn5)")
        found = check_energy(wrong, "hf", 1e-5)
        assert found["verdict"] == "is at another level: hf, Cartesian functions"


def test_charge_and_spin_are_those_of_the_record():
    numbers, positions = np.array([1, 1]), np.array([[0, 0, 0], [0, 0, BOND]])
    energy = energy_of(numbers, positions, charge=1, spin=1)
    ion = molecule(energy, numbers, positions, charge=1, multiplicity=2)
    assert check_energy(ion, "hf", 1e-4)["verdict"].startswith("agrees (")
    neutral = molecule(energy, numbers, positions)
    assert check_energy(neutral, "hf", 1e-4)["verdict"] == "agrees with no level tried"


def test_the_report_warns_of_wrong_energies_and_of_no_others(tmp_path, capsys):
    exact = energy_of(*HCL)
    writer = StoreWriter(tmp_path / "s.lmdb")
    for cid, shift in (("000000001", 0.0), ("000000002", 6e-4), ("000000003", 0.1)):
        writer.put(molecule(exact + shift, cid=cid))
    writer.finish()
    out = tmp_path / "audit.json"
    assert main(["audit", "--store", str(tmp_path), "--sample", "3", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    verdicts = {check["cid"]: check["verdict"].split(" ")[0] for check in report["checks"]}
    assert verdicts["000000001"] == "agrees" and len(verdicts) == 3
    assert [text[:9] for text in sorted(report["warnings"])] == ["000000002", "000000003"]
    errors = capsys.readouterr().err
    assert "warning: 000000002" in errors and "000000001" not in errors
    assert "-0.000600 Hartree; the level leaves 4.0e-06 open" in errors
    assert "2e-06 Hartree per atom" in report["tolerances"]


def test_a_molecule_in_two_shards_is_counted_once_with_the_stage_that_counts(tmp_path):
    exact = energy_of(*HCL)
    cut = molecule(exact + 0.1)
    cut.stages["hf"].converged = False
    cut.stages["dft_1st"] = replace(molecule(exact).stages["hf"], functional="b3lyp(vwn5)")
    whole = molecule(exact)
    whole.stages["hf"] = replace(
        whole.stages["hf"], positions=np.stack([HCL[1] + 0.01, HCL[1]]),
        energies=np.array([exact + 1.0, exact]), gradients=np.zeros((2, 2, 3)),
    )  # fmt: skip
    # The first shard's run came to no end: the second one's counts.
    for name, held in (("a", [cut, molecule(exact, cid="000000999")]), ("b", [whole])):
        writer = StoreWriter(tmp_path / f"{name}.lmdb")
        for one in held:
            writer.put(one)
        writer.finish()
    out = tmp_path / "audit.json"
    assert main(["audit", "--store", str(tmp_path), "--sample", "2", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    counts = {row["stage"]: (row["molecules"], row["snapshots"]) for row in report["levels"]}
    assert counts == {"hf": (2, 3), "dft_1st": (1, 1)}
    checks = {(check["cid"], check["stage"]): check["verdict"] for check in report["checks"]}
    assert len(checks) == len(report["checks"]) == 3
    assert checks["000000313", "hf"].startswith("agrees (")
    assert checks["000000313", "dft_1st"].startswith("is at another level: hf")


def test_a_damaged_record_is_named(tmp_path, capsys):
    environment = lmdb.open(str(tmp_path / "s.lmdb"), subdir=False, lock=False)
    with environment.begin(write=True) as transaction:
        transaction.put(b"000000001", b"F2GRnonsense")
    environment.close()
    assert main(["audit", "--store", str(tmp_path), "--out", str(tmp_path / "a.json")]) == 2
    error = capsys.readouterr().err
    assert "s.lmdb, CID 000000001" in error and error.count("\n") == 1
