"""Numbers typed in from real logs, and energies against gradients along real paths."""

import numpy as np
import pytest

from force2geo.logs import parse_log

BOHR = 0.529177210903  # Å, CODATA 2018
KCAL = 627.5094740631  # kcal/mol in a Hartree

# Energies of the first and last step (Hartree), an atom of the first step, its place (Å) and its
# gradient (Hartree/bohr), as the files print them.
PRINTED = {
    "us2017_dvb_gopt.out": (
        -382.0506353326, -382.0506677654, 0, [1.4141666009, -0.2368055361, 0.0],
        [-0.0006827, -0.0003362, 0.0],
    ),
    "ff80_dvb_gopt.out": (
        -379.7594672428, -379.7779552139, 2, [1.3270460200, 0.4299527200, 0.0],
        [-0.0062997, 0.0111686, 0.0],
    ),
    "v302_formic_acid_b3lyp_opt.out": (
        -189.741837517, -189.743484356, 0, [1.0842549, 0.0253512, -0.1385376],
        [-0.0103344, 0.0094767, 0.0275251],
    ),
    "v110_uhf_opt.out": (
        -38.900689330, -38.921496753, 1, [0.0, -0.8288400, 0.7079000],
        [0.0, 0.0222964, 0.0332105],
    ),
    "water_hf.pyscf.log": (
        -75.6782780112478, -75.680547725315, 1, [0.0, 0.8, -0.5],
        [0.0, 0.0250317518, 0.0024405689],
    ),
    "hf_molecule_b3lyp.pyscf.log": (
        -98.9154200198758, -98.926243503053, 1, [0.0, 0.0, 0.9], [0.0, 0.0, -0.1326429429],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRINTED)
def test_numbers_are_those_printed(real_log, name):
    first, last, atom, place, slope = PRINTED[name]
    log = parse_log(real_log(name))
    assert log.energies[0] == first
    assert log.energies[-1] == last
    assert log.positions[0, atom].tolist() == place
    assert log.gradients[0, atom].tolist() == slope


@pytest.mark.parametrize("name", PRINTED)
def test_energies_fall_as_the_gradients_say(real_log, name):
    """Between two steps of a path the energy changes by the mean gradient times the way."""
    log = parse_log(real_log(name))
    way = np.diff(log.positions, axis=0) / BOHR
    mean = (log.gradients[1:] + log.gradients[:-1]) / 2
    expected = (mean * way).sum(axis=(1, 2))
    change = np.diff(log.energies)
    large = np.abs(change) > 1e-4
    assert large.any() or name.startswith("us2017")
    # The trapezoid's error is cubic in the way.
    np.testing.assert_allclose(expected[large], change[large], rtol=0.2)
    assert np.corrcoef(expected, change)[0, 1] > 0.97


@pytest.mark.parametrize("kind", ["aux", "out"])
def test_mopac_gradient_is_the_slope_of_its_energies(real_log, kind):
    """Oxygen of methanol moved by 0.002 Å along x; heats and slopes typed in from the files."""
    near, far = (parse_log(real_log(f"methanol_1scf{s}.{kind}")) for s in ("", "_stretched"))
    assert near.positions[0, 1].tolist() == [1.5, 0.0, 0.0] and far.positions[0, 1, 0] == 1.502
    digits = 1e-7 if kind == "aux" else 1e-5
    assert near.energies[0] * KCAL == pytest.approx(-46.2416773969744, abs=digits)
    assert far.energies[0] * KCAL == pytest.approx(-46.1046454006737, abs=digits)
    assert near.gradients[0, 1, 0] * KCAL / BOHR == pytest.approx(67.94247, abs=1e-4)
    assert near.gradients[0, 2, 1] * KCAL / BOHR == pytest.approx(-14.62920, abs=1e-4)
    slope = (near.gradients[0, 1, 0] + far.gradients[0, 1, 0]) / 2
    assert slope * 0.002 / BOHR * KCAL == pytest.approx(-46.1046454 + 46.2416774, abs=1e-4)


def test_mopac_radical_is_a_doublet_without_being_told(real_log):
    for kind in ("aux", "out"):
        log = parse_log(real_log(f"methyl_pm3.{kind}"))
        assert (log.multiplicity, log.charge, log.converged) == (2, 0, True)
        assert log.energies[-1] * KCAL == pytest.approx(27.9546332660816, abs=1e-5)


def test_minus_zero_keeps_its_sign(gamess, monkeypatch):
    row = b"   11  C            6.0     0.0007682    -0.0006602     0.0000000\n"
    minus = gamess.replace(row, row.replace(b" 0.0000000", b"-0.0000000"), 1)
    assert np.signbit(parse_log(minus).gradients[0, 10]).tolist() == [False, True, True]
    assert np.signbit(parse_log(gamess).gradients[0, 10]).tolist() == [False, True, False]
    monkeypatch.setattr("force2geo.logs.columns.decode", lambda *_: None)
    assert np.signbit(parse_log(minus).gradients[0, 10]).tolist() == [False, True, True]
