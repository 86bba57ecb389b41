"""The file of minima, and D_opt-120 made of one."""

import numpy as np
import pytest

from force2geo.training_data import registry
from force2geo.training_data.conformers import read_conformers
from force2geo.training_data.minima_file import Check, Minimum, read_minima, write_minima
from force2geo.training_data.pack import pack_molecules

PLACES = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])


def water(cid, start, energy, status="minimum", at=0.0, charge=0):
    """A water, or what is called one, that came to `at` Å from where it started."""
    began = PLACES * (2 if start == "rdkit" else 3)
    return Minimum(
        cid, "O", "InChI=1S/H2O/h1H2", charge, 1, start, np.array([8, 1, 1]), began, PLACES,
        PLACES + at, energy, 0.005, 3, 2.5, status, "", 1.0,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    minima = [
        water("1", "rdkit", -10.0, at=0.1), water("2", "rdkit", -20.0, at=0.2),
        water("3", "rdkit", -30.0, "saddle point"),
        water("4", "rdkit", -5.0, "saddle point", charge=-1),
        water("1", "gfn2", -11.0, at=0.3), water("2", "gfn2", -19.0, at=0.4),
        water("4", "gfn2", -4.0, at=0.5, charge=-1),
    ]  # fmt: skip
    write_minima(tmp_path / "minima.h5", minima, [Check("2", "converged", -20.5, 9)], {"seed": 7})
    return tmp_path


def test_the_lower_minimum_is_the_reference(folder):
    found = read_minima(folder / "minima.h5")
    assert found.starts == ["rdkit", "gfn2"] and found.about == {"seed": 7}
    assert found.texts("cid") == ["1", "2", "3", "4"]
    # A saddle point is none, however low; of the third there is nothing else.
    assert found.lowest().tolist() == [1, 0, -1, 1]
    assert found.columns["rdkit/checked_energy"].tolist()[1] == -20.5
    assert found.texts("rdkit/checked") == ["", "converged", "", ""]
    assert np.isnan(found.columns["gfn2/energy"][2]) and found.texts("gfn2/status")[2] == ""


def test_d_opt_120_packs_what_relaxes_and_what_it_is_judged_by(folder):
    data = registry.build({"from": "d_opt_120", "folder": str(folder), "seed": 7})
    data.check_files()
    pack_molecules(data, folder / "packed.h5", folder / "scratch")
    found = read_conformers(folder / "packed.h5")
    assert found.cids == ["1", "2", "4"]
    assert data.warnings == ["3: left out, DFT came to no minimum"]
    assert set(found.geometry) == {"dft", "rdkit", "gfn2", "dft_rdkit", "dft_gfn2"}
    for row, at in enumerate((0.3, 0.2, 0.5)):
        np.testing.assert_allclose(found.geometry["dft"][found.atoms(row)], PLACES + at)
    np.testing.assert_allclose(found.geometry["rdkit"][found.atoms(0)], 2 * PLACES)
    np.testing.assert_allclose(found.geometry["gfn2"][found.atoms(0)], 3 * PLACES)
    np.testing.assert_allclose(found.geometry["dft_rdkit"][found.atoms(0)], PLACES + 0.1)
    assert found.targets["energy"].values.tolist() == [-11.0, -20.0, -4.0]
    assert found.charge.tolist() == [0, 0, -1]
    assert data.start == "rdkit"
