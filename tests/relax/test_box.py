"""What comes with the package: its cards are true, and ethanol relaxes to DFT's geometry."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read, write

from force2geo.cli import main
from force2geo.potentials.committee import load_together
from force2geo.prediction import shipped

MOST = 5_000_000  # bytes of all checkpoints together


def test_cards_name_what_is_there():
    known = shipped.cards()
    assert set(known) == {"delta", "plain", "qm9"} and shipped.DEFAULT in known
    files = [path for name in known for path in shipped.checkpoints(name)]  # hashes are checked
    assert sum(path.stat().st_size for path in files) < MOST
    assert {path.name for path in files} == {one.name for one in shipped.FOLDER.glob("*.pt")}
    for name in ("delta", "plain"):
        card = known[name]
        assert card.kind == "potential" and set(card.errors) == {"energy", "forces"}
        model = load_together(shipped.checkpoints(name))
        assert (model.baseline is None) == (name == "plain")
        assert model.charge_states() == [[0, 1]] and {1, 6, 7, 8} <= model.known_elements()


def test_what_the_readme_says_of_them_is_on_their_cards(repository):
    text = " ".join((repository / "README.md").read_text().split())
    forces = {name: shipped.cards()[name].errors["forces"] for name in ("delta", "plain")}
    assert f"relaxations of {forces['delta'].molecules} molecules" in text
    assert f"off by {forces['delta'].mae:.0f} meV/Å on average" in text
    assert f"(`--model plain`) by {forces['plain'].mae:.0f};" in text


@pytest.mark.parametrize(("name", "tolerance"), [("delta", 0.003), ("plain", 0.02)])
def test_ethanol_relaxes_to_the_geometry_that_dft_gives(name, tolerance, tmp_path):
    """Bonds of the anti minimum, B3LYP(VWN5)/6-31G* with Cartesian d by PySCF and geomeTRIC."""
    write(tmp_path / "in.xyz", molecule("CH3CH2OH"))  # anti, the geometry of MP2
    model = [] if name == "delta" else ["--model", name]
    assert main(["relax", str(tmp_path / "in.xyz"), str(tmp_path / "out.xyz"), *model]) == 0
    atoms = read(tmp_path / "out.xyz", format="extxyz")
    carbons, (oxygen,) = np.flatnonzero(atoms.numbers == 6), np.flatnonzero(atoms.numbers == 8)
    far = np.array([atoms.get_distance(one, oxygen) for one in carbons])
    hydrogen = min(atoms.get_distance(oxygen, one) for one in np.flatnonzero(atoms.numbers == 1))
    found = [atoms.get_distance(*carbons), far.min(), hydrogen]
    assert found == pytest.approx([1.5202, 1.4252, 0.9693], abs=tolerance)
    assert (name == "plain") == np.isnan(atoms.info.get("force_spread", np.nan))
