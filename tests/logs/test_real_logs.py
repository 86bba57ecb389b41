"""The parsers on real program output."""

import re

import numpy as np
import pytest

from force2geo.logs import LogError, columns, parse_log, read_log

EXPECTED = {
    "us2017_dvb_gopt.out": ("gamess", "b3lyp", "sto-3g", 7, -382.0506353326),
    "ff80_dvb_gopt.out": ("firefly", "hf", "sto-3g", 24, -379.7594672428),
    "v302_formic_acid_b3lyp_opt.out": ("smash", "b3lyp", "6-31g*", 7, -189.741837517),
    "v302_formaldehyde_b3lyp_opt.out": ("smash", "b3lyp", "6-31g*", 6, None),
    "v110_uhf_opt.out": ("smash", "hf", "6-31g*", 5, None),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_optimisation_is_read_to_the_last_digit(real_log, name):
    program, method, basis, steps, first = EXPECTED[name]
    log = parse_log(real_log(name))
    assert (log.program, log.method, log.basis) == (program, method, basis)
    assert log.converged and log.finished and log.run == "optimize"
    assert log.positions.shape == log.gradients.shape == (steps, len(log.atomic_numbers), 3)
    if first is not None:
        assert log.energies[0] == first


def test_gamess_blocks_match_their_printed_rows(gamess):
    log = parse_log(gamess)
    assert log.positions[0][0].tolist() == [1.4141666009, -0.2368055361, 0.0]
    assert log.gradients[0][10].tolist() == [0.0007682, -0.0006602, 0.0]
    assert log.energies[-1] == -382.0506677654
    assert (log.homo, log.lumo) == (-0.1495, 0.0410)
    assert np.abs(log.gradients[0]).max() == 0.0013457


def test_smash_blocks_match_their_printed_rows(smash):
    log = parse_log(smash)
    assert log.gradients[0][2].tolist() == [0.0249780, -0.0060964, -0.0177428]
    assert log.dipole == [1.2391, 1.1952, 3.4718]
    assert log.charge == 0 and log.multiplicity == 1


def test_uhf_triplet(real_log):
    log = parse_log(real_log("v110_uhf_opt.out"))
    assert log.multiplicity == 3 and log.version == "1.1.0"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("us2017_nh3_ts_ir.out", "hessian"),
        ("us2017_water_mp2.out", "energy"),
        ("v302_point_charge.out", "energy"),
    ],
)
def test_runs_that_relax_nothing_are_told_apart(real_log, name, reason):
    with pytest.raises(LogError, match=reason):
        parse_log(real_log(name))


def test_gradient_run_is_one_step(real_log):
    log = parse_log(real_log("v110_medium_grad_trimmed.out"))
    assert log.energies.tolist() == [-2911.822014832]
    assert log.gradients[0, 0].tolist() == [0.0115117, 0.0291281, 0.0022064]
    assert log.run == "gradient" and log.positions.shape == (1, 113, 3)


@pytest.mark.parametrize("name", EXPECTED)
def test_fast_and_slow_readers_agree_on_every_bit(real_log, name, monkeypatch):
    content = real_log(name)
    fast = parse_log(content)
    monkeypatch.setattr(columns, "decode", lambda *_: None)
    slow = parse_log(content)
    for key in ("positions", "energies", "gradients", "atomic_numbers"):
        np.testing.assert_array_equal(getattr(fast, key), getattr(slow, key))


@pytest.mark.parametrize("name", EXPECTED)
def test_level_of_theory_is_told(real_log, name):
    log = parse_log(real_log(name))
    expected = {
        "us2017_dvb_gopt.out": ("b3lyp(vwn5)", False),
        "ff80_dvb_gopt.out": ("", False),
        "v110_uhf_opt.out": ("", False),
    }.get(name, ("b3lyp(vwn-rpa)", True))
    assert (log.functional, log.spherical) == expected


@pytest.mark.parametrize("name", EXPECTED)
def test_log_cut_at_any_byte_is_data_or_a_reason(real_log, name):
    content = real_log(name)
    whole = parse_log(content)
    # Around the first step's tables byte by byte, elsewhere at random.
    table = content.find(b"ngstrom)" if name.startswith("v") else b"OF ALL ATOMS ARE")
    last = max(content.rfind(b"TERMINATED NORMALLY"), content.rfind(b"calculation finished"))
    ends = np.random.default_rng(0).integers(0, last, 60).tolist()
    outcomes = set()
    for end in [*ends, *range(table, table + 400, 3)]:
        try:
            log = parse_log(content[:end])
        except LogError:
            outcomes.add("rejected")
            continue
        outcomes.add("read")
        steps = len(log.energies)
        assert not log.finished and log.status == "abnormal"
        np.testing.assert_array_equal(log.positions, whole.positions[:steps])
        # Only the last step can have lost something, and then all of it.
        np.testing.assert_array_equal(log.energies[:-1], whole.energies[: steps - 1])
        np.testing.assert_array_equal(log.gradients[:-1], whole.gradients[: steps - 1])
        assert log.energies[-1] in (whole.energies[steps - 1],) or np.isnan(log.energies[-1])
        last = log.gradients[-1]
        assert np.isnan(last).all() or (last == whole.gradients[steps - 1]).all()
    assert outcomes == {"rejected", "read"}


def test_overflowing_number_is_rejected_with_its_place(gamess):
    broken = gamess.replace(b"    0.0007682", b"*************", 1)
    with pytest.raises(LogError, match=r"\*\*\*") as caught:
        parse_log(broken)
    assert caught.value.offset > 0


def test_every_shared_log_is_data_or_a_reason(shared_data):
    """Also those that are too long to ship."""
    read = []
    for path in sorted(shared_data.whole("logs").glob("*/*.out")):
        try:
            log = read_log(path)
        except LogError as error:
            assert re.search("energy|hessian", str(error)), path.name
            continue
        read.append(path.stem)
        assert np.isfinite(log.gradients).all() and log.finished, path.name
    assert len(read) == 7 and "v302_b3lyp_opt" in read
