"""Jobs killed inside a table, alone and with what was written behind them."""

import re

import numpy as np
import pytest

from force2geo.logs import LogError, parse_log

# Program, its log, and where a table of the third step is cut: behind which text, how far.
TABLES = {
    "gamess coordinates": ("us2017_dvb_gopt.out", b"OF ALL ATOMS ARE (ANGS)"),
    "gamess gradient": ("us2017_dvb_gopt.out", b"GRADIENT (HARTREE/BOHR)"),
    "firefly gradient": ("ff80_dvb_gopt.out", b"GRADIENT (HARTREE/BOHR)"),
    "smash coordinates": ("v302_formic_acid_b3lyp_opt.out", b"Molecular Geometry (Angstrom)"),
    "smash gradient": ("v302_formic_acid_b3lyp_opt.out", b"Gradient (Hartree/Bohr)"),
    "pyscf coordinates": ("water_hf.pyscf.log", b"\nNew geometry\n"),
    "pyscf gradient": ("water_hf.pyscf.log", b" gradients ---------------\n"),
    "mopac": ("ethanol_pm3.aux", b"ATOM_X_UPDATED"),
}
KILLED = b"slurmstepd: error: *** JOB 4711 CANCELLED ***\nThe job ended.\n"
STARS = b" " + b"*" * 54 + b"\n          *\n"


def third(text, mark):
    place = -1
    for _ in range(3):
        place = text.index(mark, place + 1)
    return place


def holds(log, whole, steps):
    """Tell whether a log holds the first steps of another, to the last bit."""
    assert len(log.energies) >= steps
    np.testing.assert_array_equal(log.positions[:steps], whole.positions[:steps])
    np.testing.assert_array_equal(log.energies[:steps], whole.energies[:steps])
    np.testing.assert_array_equal(log.gradients[:steps], whole.gradients[:steps])


@pytest.mark.parametrize("behind", [b"", KILLED, STARS, b"\n" + KILLED])
@pytest.mark.parametrize("table", TABLES)
def test_cut_table_costs_nothing_but_itself(real_log, table, behind):
    name, mark = TABLES[table]
    text = real_log(name)
    whole, place = parse_log(text), third(text, mark)
    for length in range(len(mark), 620, 7):
        log = parse_log(text[: place + length] + behind)
        holds(log, whole, 2)
        assert len(log.energies) <= 3 and not log.finished and not log.converged
        if len(log.energies) == 3:  # the third step's gradient is whole or not there at all
            assert log.energies[2] == whole.energies[2]
            full = np.array_equal(log.gradients[2], whole.gradients[2], equal_nan=True)
            assert full or np.isnan(log.gradients[2]).all()


@pytest.mark.parametrize("table", TABLES)
def test_restart_behind_a_cut_table_goes_on(real_log, table):
    name, mark = TABLES[table]
    text = real_log(name)
    whole, place = parse_log(text), third(text, mark)
    for length in range(len(mark), 620, 31):
        log = parse_log(text[: place + length] + text)
        holds(log, whole, len(whole.energies))
        assert log.converged == whole.converged and log.homo == whole.homo


def test_the_note_says_where_a_run_stops(gamess):
    place = third(gamess, b"GRADIENT (HARTREE/BOHR)") + 500
    assert parse_log(gamess[:place]).notes == ["the run stops inside its last gradient"]
    place = third(gamess, b"OF ALL ATOMS ARE (ANGS)") + 500
    log = parse_log(gamess[:place] + KILLED)
    assert log.notes == ["the run stops inside its last geometry"] and len(log.energies) == 2


def test_a_table_that_lost_a_row_is_still_damage(gamess):
    row = b"   11  C            6.0     0.0007682    -0.0006602     0.0000000\n"
    with pytest.raises(LogError, match="atoms change"):
        parse_log(gamess.replace(row, b""))
    # In the last table of a run that came to its end, too.
    last = gamess.rindex(b"GRADIENT (HARTREE/BOHR)")
    end = gamess.index(b"   20  H ", last)
    with pytest.raises(LogError, match="gradient of 19 of 20 atoms"):
        parse_log(gamess[:end] + gamess[gamess.index(b"\n", end) + 1 :])
    end = gamess.rindex(b" H           1.0   4.9353327682")
    with pytest.raises(LogError, match="coordinates of 19 of 20 atoms"):
        parse_log(gamess[:end] + gamess[gamess.index(b"\n", end) + 1 :])


@pytest.mark.parametrize(
    ("name", "energy"),
    [
        ("us2017_dvb_gopt.out", b"-382.0506627191"),
        ("v302_formic_acid_b3lyp_opt.out", None),
        ("water_hf.pyscf.log", None),
    ],
)
def test_digits_of_an_energy_are_all_there_or_none(real_log, name, energy):
    text = real_log(name)
    whole = parse_log(text)
    energy = energy or str(whole.energies[2]).encode()
    place = [found.start() for found in re.finditer(re.escape(energy), text)]
    for start in place:
        for digits in range(5, len(energy)):
            log = parse_log(text[: start + digits] + b" \nSystem: Linux\n")
            seen = log.energies[np.isfinite(log.energies)]
            assert set(seen) <= set(whole.energies)


def test_orbitals_that_are_cut_are_none(smash, gamess):
    whole = parse_log(smash)
    place = smash.index(b"Alpha Virtual :", smash.rindex(b"Orbital Energies (H")) + 15
    for length in range(30):
        log = parse_log(smash[: place + length] + b"\n")
        assert log.lumo in (whole.lumo, None) and log.homo in (whole.homo, None)
        assert len(log.energies) == len(whole.energies)
    whole = parse_log(gamess)
    level = gamess.index(b"   0.0410 ", gamess.index(b" MOLECULAR ORBITALS"))
    for length in range(12):
        log = parse_log(gamess[: level + length] + b"\n")
        assert log.lumo in (whole.lumo, None) and log.homo in (whole.homo, None)
    dipole = gamess.rindex(b"/D/  (DEBYE)")
    for length in range(12, 60):
        log = parse_log(gamess[: dipole + length] + b"\n")
        assert log.dipole in (whole.dipole, None) and log.homo == whole.homo


def test_orbitals_belong_to_the_last_step(gamess, water):
    """Those of a step before, or of an SCF that was not done, are none of the log's."""
    second = gamess.index(b"FINAL R-B3LYP", gamess.index(b"NSERCH=   1 ..."))
    log = parse_log(gamess[: second + 200])
    assert len(log.energies) == 2 and log.homo is None  # printed at the first step alone
    first = parse_log(gamess[: gamess.index(b"BEGINNING GEOMETRY SEARCH POINT NSERCH=   1")])
    assert len(first.energies) == 1 and (first.homo, first.lumo) == (-0.1494, 0.0411)
    third_cycle = water.index(b"Geometry optimization cycle 3")
    cut = water.index(b"cycle= 2 E=", third_cycle)
    log = parse_log(water[:cut])
    assert len(log.energies) == 2
    assert log.homo == parse_log(water[:third_cycle]).homo == -0.402280585590825
