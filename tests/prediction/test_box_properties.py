"""The property model that comes with the package: its card is true, and it knows its molecules."""

from __future__ import annotations

import pytest
from ase.build import molecule

import force2geo
from force2geo.files import read_json
from force2geo.prediction import shipped

# eV and D, QM9's of ethanol and benzene (gdb_14, gdb_214): B3LYP/6-31G(2df,p).
PUBLISHED = {
    "CH3CH2OH": {"gap": 9.2981, "homo": -7.1267, "lumo": 2.1715, "dipole": 1.4131},
    "C6H6": {"gap": 6.811, "homo": -6.7348, "lumo": 0.0789, "dipole": 0.0},
}


def test_its_card_says_what_it_predicts_and_the_readme_says_the_same(repository):
    card = shipped.cards()["qm9"]
    assert card.kind == "property" and card.geometry == "dft"
    units = {name: error.unit for name, error in card.errors.items()}
    assert units == {"gap": "eV", "homo": "eV", "lumo": "eV", "dipole": "D"}
    text = " ".join((repository / "README.md").read_text().split())
    gap = card.errors["gap"]
    assert f"on {gap.molecules:,} others the gap is off by {gap.mae:.3f} eV" in text
    measured = read_json(repository / "benchmarks/properties/geometries.json")
    errors = measured["mean absolute errors"]
    assert f"{measured['molecules']:,} of these by {errors['relaxed']['gap']:.3f} where" in text
    assert f"and by {errors['rdkit']['gap']:.3f} at the conformers themselves" in text


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_gives_published_numbers_of_well_known_molecules(name):
    # At MP2's geometries, on which these numbers depend little.
    (row,) = force2geo.predict(molecule(name), models="qm9")
    for target, value in PUBLISHED[name].items():
        assert row.values[target] == pytest.approx(value, abs=0.3), target
    # Small molecules are few in QM9, and what is far from all others is told so.
    assert (row.applicability == "outside") == (name == "CH3CH2OH")
    # HOMO and LUMO are not exchanged, and the gap is between them.
    assert row.values["lumo"] - row.values["homo"] == pytest.approx(row.values["gap"], abs=0.2)


def test_what_it_never_saw_has_no_number():
    odd = list(force2geo.predict(["c1ccsc1", "[NH4+]", "[OH]"], "gap"))
    assert [row.values for row in odd] == [{}, {}, {}]
    assert all(row.applicability == "outside" for row in odd)
    assert "S" in odd[0].reason and "charge" in odd[1].reason
