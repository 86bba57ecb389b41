"""Writers and parsers agree on every printed digit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from force2geo.logs import Log, LogError, parse_log
from force2geo.logs.write_gamess import write_gamess
from force2geo.logs.write_smash import write_smash

DIGITS = {"gamess": (10, 10, 4), "firefly": (10, 10, 4), "smash": (7, 9, 5)}


def decimals(draw, count, digits, limit):
    whole = st.integers(-int(limit * 10**digits), int(limit * 10**digits))
    return np.array(draw(st.lists(whole, min_size=count, max_size=count))) / 10**digits


@st.composite
def logs(draw):
    program = draw(st.sampled_from(sorted(DIGITS)))
    position_digits, energy_digits, orbital_digits = DIGITS[program]
    atoms, steps = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    numbers = draw(st.lists(st.sampled_from([1, 5, 6, 8, 17, 35]), min_size=atoms, max_size=atoms))
    if sum(numbers) % 2:
        numbers[0] = 6 if numbers[0] != 6 else 1
    if sum(numbers) % 2:
        numbers.append(1)
    atoms = len(numbers)
    method, basis = draw(
        st.sampled_from([("b3lyp", "6-31g*"), ("hf", "sto-6g")])
        if program != "gamess"
        else st.sampled_from([("b3lyp", "6-31g*"), ("hf", "sto-6g"), ("pm3", "pm3")])
    )
    positions = decimals(draw, steps * atoms * 3, position_digits, 99).reshape(steps, atoms, 3)
    positions[:, 0, 0] = np.arange(steps)  # a step printed twice would count once
    energies = decimals(draw, steps, energy_digits, 9999)
    return Log(
        program=program,
        version="8.0.1",
        run="optimize",
        method=method,
        basis=basis,
        charge=0,
        multiplicity=1,
        finished=draw(st.booleans()),
        converged=draw(st.booleans()),
        atomic_numbers=np.array(numbers, dtype=np.uint8),
        positions=positions,
        # An energy of zero is how the programs print a field that did not converge.
        energies=np.where(energies == 0, -1.0, energies),
        gradients=decimals(draw, steps * atoms * 3, 7, 9).reshape(steps, atoms, 3),
        homo=float(decimals(draw, 1, orbital_digits, 9)[0]),
        lumo=float(decimals(draw, 1, orbital_digits, 9)[0]),
        dipole=[float(v) for v in decimals(draw, 3, 4, 20)],
        origin="a property test",
    )


@settings(max_examples=150, deadline=None)
@given(logs())
def test_what_is_written_is_read_back(log):
    write = write_smash if log.program == "smash" else write_gamess
    text = write(log)
    found = parse_log(text.encode("ascii"))
    for name in ("positions", "energies", "gradients", "atomic_numbers"):
        np.testing.assert_array_equal(getattr(found, name), getattr(log, name), err_msg=name)
    for name in ("program", "version", "run", "method", "basis", "charge", "multiplicity"):
        assert getattr(found, name) == getattr(log, name), name
    for name in ("finished", "converged", "homo", "lumo", "dipole", "origin"):
        assert getattr(found, name) == getattr(log, name), name
    assert write(found) == text


@settings(max_examples=60, deadline=None)
@given(logs(), st.data())
def test_damaged_text_is_read_or_rejected_never_worse(log, data):
    write = write_smash if log.program == "smash" else write_gamess
    content = bytearray(write(log).encode("ascii"))
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = parse_log(bytes(content))
    except LogError:
        return
    assert found.positions.shape == found.gradients.shape
    assert len(found.positions) == len(found.energies) > 0


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"not a log\n"])
def test_other_files_are_rejected(content):
    with pytest.raises(LogError, match=r"banner|empty"):
        parse_log(content)


def test_windows_line_ends_change_nothing(smash):
    plain, windows = parse_log(smash), parse_log(smash.replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(plain.gradients, windows.gradients)
