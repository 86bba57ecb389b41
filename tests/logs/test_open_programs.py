"""Logs of the open programs, from this project's own runs."""

from pathlib import Path

import numpy as np
import pytest

from force2geo.logs import LogError, parse_log, read_log
from force2geo.logs.extended_xyz import path_text
from force2geo.units import EV_PER_KCAL_MOL, HARTREE_TO_EV

DATA = Path(__file__).parent / "data"
KCAL = EV_PER_KCAL_MOL / HARTREE_TO_EV


def test_pyscf_optimisation():
    log = read_log(DATA / "water_hf.pyscf.log")
    assert (log.program, log.version, log.method, log.basis) == ("pyscf", "2.14.0", "hf", "sto-6g")
    assert log.spherical is False and log.positions.shape == (5, 3, 3)
    assert log.energies[0] == -75.6782780112478 and log.energies[-1] == -75.680547725315
    assert log.positions[1, 1].tolist() == [-0.0, 0.720794049838, -0.521029737841]
    assert log.gradients[0, 1].tolist() == [0.0, 0.0250317518, 0.0024405689]
    assert log.homo == -0.398748115842216


def test_mopac_aux_has_a_gradient_for_the_last_structure_alone():
    log = read_log(DATA / "ethanol_pm3.aux")
    assert (log.program, log.method, log.multiplicity) == ("mopac", "pm3", 1)
    assert log.converged and log.finished and len(log.energies) == 25
    assert log.energies[0] == pytest.approx(-56.2677172345029 * KCAL, rel=1e-14)
    assert np.isnan(log.gradients[:-1]).all() and np.isfinite(log.gradients[-1]).all()
    assert log.positions[-1, 0].tolist() == [1.1634588891206, -0.4149281938059, 0.0009876200232]
    assert log.dipole == [0.15284340311973, 1.4409257737215, -0.0027343326124300]
    assert log.homo * HARTREE_TO_EV == pytest.approx(-10.89844, abs=1e-4)


def test_mopac_out_is_its_last_structure():
    aux, out = read_log(DATA / "ethanol_pm3.aux"), read_log(DATA / "ethanol_pm3.out")
    assert out.converged and out.finished and out.run == "optimize" and out.method == "pm3"
    np.testing.assert_allclose(out.positions[-1], aux.positions[-1], atol=1e-8)
    np.testing.assert_allclose(out.gradients[-1], aux.gradients[-1], atol=1e-9)
    assert out.energies[-1] == pytest.approx(aux.energies[-1], abs=1e-8)


@pytest.mark.parametrize("name", ["water_hf.pyscf.log", "ethanol_pm3.aux", "ethanol_pm3.out"])
def test_cut_logs_are_data_or_a_reason(name):
    content = (DATA / name).read_bytes()
    for end in range(0, len(content) - 100, 211):
        try:
            log = parse_log(content[:end])
        except LogError:
            continue
        assert np.isfinite(log.positions).all() and len(log.energies)


def test_paths_of_other_programs_come_back(tmp_path):
    log = read_log(DATA / "water_hf.pyscf.log")
    log.program, log.version, log.method = "tblite", "0.4", "gfn2-xtb"
    (tmp_path / "path.xyz").write_text(path_text(log))
    found = read_log(tmp_path / "path.xyz")
    assert (found.program, found.method, found.converged) == ("tblite", "gfn2-xtb", log.converged)
    np.testing.assert_allclose(found.positions, log.positions, atol=1e-8)
    np.testing.assert_allclose(found.gradients, log.gradients, atol=1e-9)
    np.testing.assert_allclose(found.energies, log.energies, atol=1e-9)


def test_cut_path_gives_the_steps_before_the_cut():
    log = read_log(DATA / "water_hf.pyscf.log")
    log.program, log.version, log.method, log.converged = "tblite", "0.4", "gfn2-xtb", True
    text = path_text(log)
    frame = len(text) // len(log.energies)
    for end in range(frame + 100, len(text) - 1, 29):
        found = parse_log(text[:end].encode())
        steps = text[:end].count("\n") // 5
        np.testing.assert_allclose(found.positions, log.positions[:steps], atol=1e-8)
        assert not found.converged
        between = text[:end].endswith("\n") and text[:end].count("\n") % 5 == 0
        assert found.notes == ([] if between else ["the path is cut off"])
    with pytest.raises(LogError, match="elements 1 to 100"):
        parse_log(text.replace("\nO ", "\nMd ").encode())
    with pytest.raises(LogError, match="atoms change"):
        parse_log(text.replace("\nO ", "\nS ", 1).encode())


def test_mopac_prints_no_gradient_of_a_lone_atom_whose_is_zero():
    """MOPAC 22.0.6's own lines of helium, those that are read."""
    text = b""" START OF MOPAC FILE
 MOPAC_VERSION=22.0.6
 METHOD=PM3
 KEYWORDS=" PM3 1SCF GRADIENTS AUX(PRECISION=9) CHARGE=0"
 COMMENTS="relaxation step"
 ATOM_EL[01]=
 He
 NUM_ELECTRONS=02
 HEAT_OF_FORMATION:KCAL/MOL=+0.454747350886464D-12
 GRADIENT_NORM:KCAL/MOL/ANGSTROM=+0.000000000000000D+00
 ATOM_X_OPT:ANGSTROMS[03]=
    0.0000000000000    0.0000000000000    0.0000000000000
 END OF MOPAC FILE
"""
    assert parse_log(text).gradients.tolist() == [[[0.0, 0.0, 0.0]]]
    other = parse_log(text.replace(b" GRADIENTS", b"")).gradients
    assert np.isnan(other).all()
