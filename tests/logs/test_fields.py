"""Pieces of text that all readers share, with answers that are typed in."""

import numpy as np
import pytest

from force2geo.logs import fields
from force2geo.logs.log import LogError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"-0.0123", -0.0123), (b"1.5D+02", 150.0), (b"-2.5d-03", -0.0025), (b"7", 7.0),
        (b".5", 0.5), (b"1.0E-01", 0.1),
    ],
)  # fmt: skip
def test_numbers_of_fortran(text, value):
    assert fields.number(text, 0) == value


@pytest.mark.parametrize("text", [b"*******", b"1_000", b"", b"1.0-2.0", b"NaN", b"1.0D+999"])
def test_what_is_no_number_is_refused_with_its_place(text):
    with pytest.raises(LogError, match="not a number") as caught:
        fields.number(text, 77)
    assert caught.value.offset == 77


def test_whole_numbers_may_have_a_point():
    texts = ["3", "-1.0", "1.9", "", "x", "inf"]
    assert [fields.whole(text, 5) for text in texts] == [3, -1, 1, 5, 5, 5]


def test_a_number_with_fewer_digits_is_cut_and_all_are_none():
    assert fields.printed([b"-0.2500", b"12.0041"], 4) == [-0.25, 12.0041]
    assert fields.printed([b"-0.2500", b"12.004"], 4) == []
    assert fields.printed([b"-0.2500", b"***"], 4) == [] and fields.printed([], 4) == []


def test_atoms_are_told_by_symbols_and_by_charges():
    assert fields.symbols_to_numbers([b"cl", b"H", b"C12", b"FM"], 0).tolist() == [17, 1, 6, 100]
    with pytest.raises(LogError, match="a dummy atom"):
        fields.symbols_to_numbers([b"H", b"X"], 3)
    labels = [b"CARBON 6.0", b"H1 1.0", b"D 1.0", b"CL 17.0", b"H1 1.0"]
    assert fields.charges_to_numbers(labels, 0).tolist() == [6, 1, 1, 17, 1]
    for label in (b"N 6.0", b"CARBON 7.0", b"H 101.0", b"H 0.0"):
        with pytest.raises(LogError) as caught:
            fields.charges_to_numbers([b"C 6.0", label], 9)
        assert caught.value.offset == 9


def test_words_lines_and_the_last_table():
    data = b" ENERGY= -1.5 , NEXT\nCHARGE MULT=1\nlast"
    assert fields.after(data, b"ENERGY", 0, len(data)) == "-1.5"
    assert fields.after(data, b"CHARGE", 0, len(data)) == ""  # the word behind is another key
    assert fields.after(data, b"MULT", 0, len(data)) == "1"
    assert fields.after(data, b"MULT", 0, 20) == ""
    assert [fields.skip_lines(data, 0, count) for count in (0, 1, 2, 3)] == [0, 21, 35, 39]
    assert fields.last_cut(False, [5, 40], [], [33]) == 40
    assert fields.last_cut(True, [5, 40]) == fields.last_cut(False, []) == -1


def test_rows_that_run_together_are_read_as_printed():
    row = fields.row_pattern(rb" *(\d+ [A-Z])", 4)
    text = b"  1 O   0.5000-12.2500 100.1250\n  2 H   1.0000   0.0000  -0.0001\n\n"
    tables = fields.Tables(row, 0, "gradient")
    assert tables.rows(text, 0) == [
        (b"1 O", b"0.5000", b"-12.2500", b"100.1250"), (b"2 H", b"1.0000", b"0.0000", b"-0.0001"),
    ]  # fmt: skip
    found = tables.read(text, [0], [b"1 O", b"2 H"])
    assert found.tolist() == [[[0.5, -12.25, 100.125], [1.0, 0.0, -0.0001]]]
    with pytest.raises(LogError, match="gradient of 2 of 3 atoms"):
        tables.read(text, [0], [b"1 O", b"2 H", b"3 H"])
    cut = tables.read(text, [0], [b"1 O", b"2 H", b"3 H"], cut=0)
    assert cut.shape == (1, 3, 3) and np.isnan(cut).all()


def test_steps_are_those_with_a_result():
    positions = np.arange(5.0)[:, None, None] * np.ones((5, 2, 3))
    positions[3, 1, 0] = np.nan
    slope = np.full((2, 3), 0.25)
    # Of the first an energy, of the second a gradient, of the third both; the fourth is cut.
    found = fields.assemble(positions, [-1.0, np.nan, -3.0, -4.0, np.nan], {1: slope, 2: 2 * slope})
    assert found.positions[:, 0, 0].tolist() == [0.0, 1.0, 2.0] and found.last == 2
    np.testing.assert_array_equal(found.energies, [-1.0, np.nan, -3.0])
    assert np.isnan(found.gradients[0]).all()
    assert found.gradients[1:, 1, 2].tolist() == [0.25, 0.5]
    with pytest.raises(LogError, match="no step"):
        fields.assemble(positions[3:], [-4.0, np.nan], {})
    said = "the run stops inside its last "
    assert fields.cut_notes(positions, found.gradients) == []
    assert fields.cut_notes(positions[:4], found.gradients[:1]) == [
        f"{said}geometry", f"{said}gradient",
    ]  # fmt: skip
