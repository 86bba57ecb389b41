"""What real logs do to a parser, one trap after the other."""

import re

import numpy as np
import pytest

from force2geo.logs import LogError, parse_log


def same(one, other):
    for key in ("positions", "energies", "gradients", "atomic_numbers"):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key), err_msg=key)


def test_first_geometry_in_bohr_alone(gamess):
    whole = parse_log(gamess)
    begin = gamess.index(b" COORDINATES OF SYMMETRY UNIQUE ATOMS")
    end = gamess.index(b"          ********************\n          1 ELECTRON", begin)
    log = parse_log(gamess[:begin] + gamess[end:])
    assert len(log.energies) == len(whole.energies)
    np.testing.assert_allclose(log.positions[0], whole.positions[0], atol=2e-10)
    same_rest = log.positions[1:] == whole.positions[1:]
    assert same_rest.all() and (log.gradients == whole.gradients).all()


def test_numbers_that_run_together(gamess):
    # Fixed columns: a coordinate below -9 leaves no space before it.
    row = b" C           6.0   1.4141666009  -0.2368055361   0.0000000000\n"
    wide = b" C           6.0-141.4141666009-200.2368055361-300.0000000000\n"
    log = parse_log(gamess.replace(row, wide))
    assert log.positions[0, 0].tolist() == [-141.4141666009, -200.2368055361, -300.0]
    ragged = b" C           6.0 1.4141666009-0.2368055361 0.0000000000\n"
    same(parse_log(gamess.replace(row, ragged)), parse_log(gamess))


def test_exponents_with_d(gamess):
    row = b"   11  C            6.0     0.0007682    -0.0006602     0.0000000\n"
    other = b"   11  C            6.0     7.6820000D-04    -0.0006602     0.0000000\n"
    assert row in gamess
    same(parse_log(gamess.replace(row, other)), parse_log(gamess))


def test_overflow_is_rejected_with_its_place(gamess):
    broken = gamess.replace(b"    0.0007682", b"*************", 1)
    with pytest.raises(LogError, match=r"\*\*\*") as caught:
        parse_log(broken)
    table = broken.index(b"    1  C            6.0    -0.0006827")
    assert caught.value.offset == table


def test_step_without_gradient_keeps_geometry_and_energy(gamess):
    first = gamess.index(b"GRADIENT (HARTREE/BOHR)")
    second = gamess.index(b"GRADIENT (HARTREE/BOHR)", first + 10)
    end = gamess.index(b"MAXIMUM GRADIENT", second)
    log, whole = parse_log(gamess[:second] + gamess[end:]), parse_log(gamess)
    assert np.isnan(log.gradients[1]).all() and (log.energies == whole.energies).all()
    assert (np.delete(log.gradients, 1, 0) == np.delete(whole.gradients, 1, 0)).all()


def test_unconverged_energy_is_none(gamess):
    broken = gamess.replace(b"     -382.0506516290 AFTER  11", b"        0.0000000000 AFTER  30")
    log = parse_log(broken)
    assert np.isnan(log.energies[1]) and np.isfinite(np.delete(log.energies, 1)).all()


def test_restart_that_repeats_a_step_is_one_path(gamess):
    whole = parse_log(gamess)
    third = gamess.index(b" BEGINNING GEOMETRY SEARCH POINT NSERCH=   3")
    second = gamess.index(b" BEGINNING GEOMETRY SEARCH POINT NSERCH=   2")
    header = gamess[: gamess.index(b" BEGINNING GEOMETRY SEARCH POINT NSERCH=   0")]
    # The run is cut after step 2; a second one reads step 2's geometry and counts from 0 again.
    restart = header + gamess[second:].replace(b"NSERCH=   2", b"NSERCH=   0")
    log = parse_log(gamess[:third] + restart)
    same(log, whole)
    assert log.converged and any("restart" in note for note in log.notes)


def test_step_printed_twice_counts_once(gamess):
    second = gamess.index(b" BEGINNING GEOMETRY SEARCH POINT NSERCH=   2")
    third = gamess.index(b" BEGINNING GEOMETRY SEARCH POINT NSERCH=   3")
    log = parse_log(gamess[:third] + gamess[second:])
    same(log, parse_log(gamess))
    assert log.notes == ["1 repeated steps dropped"]


def test_run_begun_anew_counts_alone(gamess):
    whole = parse_log(gamess)
    third = gamess.index(b" BEGINNING GEOMETRY SEARCH POINT NSERCH=   3")
    same(parse_log(gamess[:third] + gamess), whole)
    elsewhere = re.sub(rb"( C           6\.0   )1\.4", rb"\g<1>9.4", gamess[:third])
    assert np.abs(parse_log(elsewhere).positions - whole.positions[:3]).max() == 8.0
    log = parse_log(elsewhere + gamess)
    same(log, whole)
    assert any("left out" in note for note in log.notes)


def test_runs_on_other_molecules_or_levels_are_rejected(gamess, smash, real_log):
    other = real_log("v302_formaldehyde_b3lyp_opt.out")
    with pytest.raises(LogError, match="different molecules"):
        parse_log(smash + other)
    with pytest.raises(LogError, match="differ in basis"):
        parse_log(
            gamess
            + gamess.replace(
                b"GBASIS=STO          IGAUSS=       3", b"GBASIS=STO          IGAUSS=       6"
            )
        )


def test_symmetry_unique_atoms_alone_are_not_the_molecule(gamess):
    broken = gamess.replace(b"COORDINATES OF ALL ATOMS ARE (ANGS)", b"NOT PRINTED BY THIS VERSION")
    with pytest.raises(LogError, match="symmetry-unique"):
        parse_log(broken)


@pytest.mark.parametrize("name", ["us2017_dvb_gopt.out", "v110_uhf_opt.out"])
def test_line_ends_and_stray_bytes_change_nothing(real_log, name):
    content = real_log(name).replace(b"\r\n", b"\n")
    whole = parse_log(content)
    same(parse_log(content.replace(b"\n", b"\r\n")), whole)
    found = parse_log(content.replace(b"\n", b"\r\n"))
    assert (found.homo, found.lumo, found.dipole) == (whole.homo, whole.lumo, whole.dipole)
    assert (found.version, found.basis, found.charge) == (whole.version, whole.basis, whole.charge)
    same(parse_log(content.replace(b"divinylbenzene", b"divinylbenz\xe8\xff\x00")), whole)


def test_wrong_charge_does_not_fit_the_atoms(gamess):
    line = b" CHARGE OF MOLECULE                           =    0"
    with pytest.raises(LogError, match="charge 1 and multiplicity 1") as caught:
        parse_log(gamess.replace(line, line[:-1] + b"1"))
    assert caught.value.atoms == 20 and caught.value.steps == 7


def test_energies_beyond_the_scf_are_not_misread(gamess):
    with pytest.raises(LogError, match="MPLEVL is 2"):
        parse_log(gamess.replace(b" MPLEVL=       0", b" MPLEVL=       2"))


def test_orbitals_of_the_first_step_are_not_those_of_the_last(gamess):
    end = gamess.index(b" MOLECULAR ORBITALS")
    log = parse_log(gamess[:end])
    assert (log.homo, log.lumo) == (None, None)


@pytest.mark.parametrize("content", [b"", b"\n" * 1000, b"\x00" * 100_000, b"x" * 3_000_000])
def test_empty_and_huge_nonsense(content):
    with pytest.raises(LogError):
        parse_log(content)
