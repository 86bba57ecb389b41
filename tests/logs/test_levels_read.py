"""Levels of theory, elements, spins: told as they are or refused by name."""

import re

import numpy as np
import pytest

from force2geo.logs import LogError, mopac, parse_log

BASIS = (
    b"     GBASIS=STO          IGAUSS=       3      POLAR=NONE    \n"
    b"     NDFUNC=       0     NFFUNC=       0     DIFFSP=       F\n"
    b"     NPFUNC=       0      DIFFS=       F     BASNAM=        \n"
)


def with_basis(gamess, kind, gaussians, d=0, f=0, p=0, sp="F", s="F"):
    assert BASIS in gamess
    text = (
        f"     GBASIS={kind:<12} IGAUSS={gaussians:>8}      POLAR=POPN31  \n"
        f"     NDFUNC={d:>8}     NFFUNC={f:>8}     DIFFSP={sp:>8}\n"
        f"     NPFUNC={p:>8}      DIFFS={s:>8}     BASNAM=        \n"
    )
    return gamess.replace(BASIS, text.encode())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"kind": "STO", "gaussians": 6}, "sto-6g"),
        ({"kind": "N31", "gaussians": 6}, "6-31g"),
        ({"kind": "N31", "gaussians": 6, "d": 1}, "6-31g*"),
        ({"kind": "N31", "gaussians": 6, "d": 1, "p": 1}, "6-31g**"),
        ({"kind": "N31", "gaussians": 6, "p": 1}, "6-31g(,p)"),
        ({"kind": "N31", "gaussians": 6, "d": 2}, "6-31g(2d)"),
        ({"kind": "N31", "gaussians": 6, "d": 2, "f": 1, "p": 2}, "6-31g(2df,2p)"),
        ({"kind": "N31", "gaussians": 6, "d": 1, "sp": "T"}, "6-31+g*"),
        ({"kind": "N31", "gaussians": 6, "d": 1, "s": "T"}, "6-31(+)g*"),
        ({"kind": "N311", "gaussians": 6, "d": 1, "p": 1, "sp": "T", "s": "T"}, "6-311++g**"),
        ({"kind": "N21", "gaussians": 3}, "3-21g"),
        ({"kind": "DZV", "gaussians": 0, "d": 1, "p": 1}, "dzv**"),
        ({"kind": "", "gaussians": 0}, ""),
    ],
)
def test_basis_names_every_function(gamess, options, name):
    assert parse_log(with_basis(gamess, **options)).basis == name


@pytest.mark.parametrize(("printed", "spherical"), [(b"-1", False), (b" 0", False), (b" 1", True)])
def test_spherical_functions_are_seen(gamess, printed, spherical):
    text = gamess.replace(b" ISPHER=      -1", b" ISPHER=      " + printed)
    assert parse_log(text).spherical is spherical


def test_b3lyp_of_each_program_has_its_own_form(gamess, firefly, smash):
    def firefly_with(name):
        return parse_log(firefly.replace(b" DFTTYP=NONE ", b" DFTTYP=" + name + b" "))

    assert parse_log(firefly).functional == "" and parse_log(firefly).method == "hf"
    for name, form in ((b"B3LYP", "vwn-rpa"), (b"B3LYP1", "vwn-rpa"), (b"B3LYP5", "vwn5")):
        log = firefly_with(name)
        assert (log.method, log.functional) == ("b3lyp", f"b3lyp({form})")
    assert parse_log(gamess).functional == "b3lyp(vwn5)"
    older = gamess.replace(b"FINAL R-B3LYP ENERGY", b"FINAL R-B3LYPV3 ENERGY")
    assert parse_log(older).functional == "b3lyp(vwn3)"
    assert parse_log(smash).functional == "b3lyp(vwn-rpa)"


@pytest.mark.parametrize(
    ("version", "name", "form"),
    [
        ("2.14.0", "b3lyp", "vwn-rpa"), ("2.3.0", "b3lyp", "vwn-rpa"), ("2.2.1", "b3lyp", "vwn5"),
        ("1.7.6", "B3LYP", "vwn5"), ("1.7.6", "b3lypg", "vwn-rpa"), ("2.14.0", "b3lypg", "vwn-rpa"),
        ("2.14.0", "b3lyp5", "vwn5"), ("1.7.6", "b3lyp5", "vwn5"),
    ],
)  # fmt: skip
def test_b3lyp_of_pyscf_depends_on_its_version(real_log, version, name, form):
    text = real_log("hf_molecule_b3lyp.pyscf.log")
    text = text.replace(b"PySCF version 2.14.0", f"PySCF version {version}".encode())
    log = parse_log(text.replace(b"XC functionals = b3lyp", f"XC functionals = {name}".encode()))
    assert (log.method, log.functional) == ("b3lyp", f"b3lyp({form})")


def test_pyscf_energies_beyond_the_scf_are_refused(real_log):
    text = real_log("hf_molecule_mp2.pyscf.log")
    with pytest.raises(LogError, match="gradients of RMP2_Scanner: energies beyond the SCF"):
        parse_log(text)
    # A double hybrid's gradient has the Kohn-Sham object's name; the optimiser's energy tells it.
    renamed = text.replace(b"RMP2_Scanner gradients", b"RKS_Scanner gradients")
    with pytest.raises(LogError, match="another energy than the SCF's"):
        parse_log(renamed)
    excited = text.replace(b"RMP2_Scanner gradients", b"TDRHF_Scanner gradients")
    with pytest.raises(LogError, match="TDRHF"):
        parse_log(excited)


def test_unconverged_pyscf_energies_are_none(real_log, water):
    with pytest.raises(LogError, match="no step with a geometry and an energy"):
        parse_log(real_log("hf_molecule_unconverged.pyscf.log"))
    whole = parse_log(water)
    line = b"\nconverged SCF energy = -75.6805427293447"
    assert whole.energies[2] == -75.6805427293447 and water.count(line) == 1
    log = parse_log(water.replace(line, b"\nSCF not converged." + line.replace(b"converged ", b"")))
    # Neither the energy nor its gradient, and so not the step.
    np.testing.assert_array_equal(log.energies, np.delete(whole.energies, 2))
    np.testing.assert_array_equal(log.gradients, np.delete(whole.gradients, 2, 0))


def test_firefly_pm3_is_told_by_its_basis(firefly):
    """Its energy line names no method."""
    pm3 = firefly.replace(
        b"GBASIS=STO          IGAUSS=       3", b"GBASIS=PM3          IGAUSS=       0"
    )
    log = parse_log(pm3)
    assert (log.method, log.basis, log.functional, log.spherical) == ("pm3", "pm3", "", None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b" BR          7.0", "'BR' has the nuclear charge 7"),
        (b" C           7.0", "'C' has the nuclear charge 7"),
        (b" NITROGEN    8.0", "'NITROGEN' has the nuclear charge 8"),
        (b" MD        101.0", "nuclear charge 101 of 'MD'"),
        (b" X           0.0", "nuclear charge 0 of 'X'"),
        (b" XX        999.0", "nuclear charge 999"),
    ],
)
def test_symbols_and_charges_agree_or_the_log_is_refused(gamess, row, reason):
    with pytest.raises(LogError, match=re.escape(reason)):
        parse_log(gamess.replace(b" C           6.0", row))


def test_names_of_atoms_are_read(gamess):
    whole = parse_log(gamess)
    for name in (b"C1", b"CARBON", b"c"):
        coordinates = re.sub(
            rb"(?m)^ C   ( {%d}) {4}6\.0 " % 4, b" " + name.ljust(8) + b"    6.0 ", gamess
        )
        assert coordinates != gamess
        text = re.sub(
            rb"(?m)^( +\d+  )C      ( +6\.0 )", rb"\g<1>" + name.ljust(7) + rb"\2", coordinates
        )
        log = parse_log(text)
        np.testing.assert_array_equal(log.atomic_numbers, whole.atomic_numbers)
        np.testing.assert_array_equal(log.gradients, whole.gradients)


def test_elements_beyond_fermium_are_refused_in_every_program(smash, water, real_log):
    aux = real_log("ethanol_pm3.aux").replace(b"  C  C  O  H", b" Md  C  O  H", 1)
    for text in (re.sub(rb"(?m)^   C  ", b"   Md ", smash), water.replace(b" O ", b" Md "), aux):
        with pytest.raises(LogError, match=r"(?i)unknown element 'md'"):
            parse_log(text)
    with pytest.raises(LogError, match="dummy"):
        parse_log(re.sub(rb"(?m)^   C  ", b"   X  ", smash))


@pytest.mark.parametrize(
    ("keywords", "electrons", "multiplicity"),
    [
        ("PM3", 10, 1), ("PM3", 9, 2), ("PM3 TRIPLET", 10, 3), ("PM3 MS=1", 10, 3),
        ("PM3 MS=0.5", 9, 2), ("PM3 UHF MS=-1.5", 9, 4), ("PM3 OCTET", 9, 8), ("PM3 MS=0", 10, 1),
    ],
)  # fmt: skip
def test_mopac_multiplicity(keywords, electrons, multiplicity):
    assert mopac._multiplicity(set(keywords.split()), electrons) == multiplicity


@pytest.mark.parametrize("kind", ["aux", "out"])
def test_titles_are_no_keywords(real_log, kind):
    """The title says `for Force2Geo, triplet or not`."""
    log = parse_log(real_log(f"methanol_1scf.{kind}"))
    assert (log.multiplicity, log.run, log.charge) == (1, "gradient", 0)
    with pytest.raises(LogError, match="run type is 'force'"):
        parse_log(real_log(f"methyl_force.{kind}"))


def test_mopac_charge_and_spin_of_the_keywords(real_log):
    text = real_log("methyl_pm3.aux")
    cation = parse_log(text.replace(b"CHARGE=0", b"CHARGE=+1"))
    assert (cation.charge, cation.multiplicity) == (1, 1)
    quartet = parse_log(text.replace(b"CHARGE=0", b"CHARGE=0 QUARTET"))
    assert quartet.multiplicity == 4
    out = real_log("methyl_pm3.out").replace(b"GRADIENTS CHARGE=0\n", b"GRADIENTS &\n QUARTET\n")
    assert parse_log(out).multiplicity == 4


def test_geometry_of_a_mopac_output_is_the_last_and_whole(real_log):
    text = real_log("ethanol_pm3.out")
    heat = text.index(b"FINAL HEAT")
    table = text.index(b"CARTESIAN COORDINATES", heat)
    whole = parse_log(text)
    rows = [found.start() for found in re.finditer(rb"\n +\d+ +[CHO] +-?\d+\.\d{9}", text)]
    # Before the last geometry only the first one stands there, which has another heat.
    for end in (table - 10, table + 40, *(row + 1 for row in rows[1:])):
        with pytest.raises(LogError, match="the last geometry has"):
            parse_log(text[:end])
    assert whole.positions[0, 8].tolist() == [-1.914615352, 0.397472732, -0.001455984]
