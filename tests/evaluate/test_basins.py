"""Basins: whose minimum a relaxation ended beside, and what it lies above it."""

import numpy as np
import pandas as pd
import pytest

from force2geo.evaluate.basins import SAME_ENERGY, SAME_PLACE, heavy_rmsd, with_basins

PEROXIDE = np.array([8, 8, 1, 1])
# H-O-O-H, a screw: no rotation lays it on its mirror image.
SCREW = np.array([[0.0, 0, 0], [1.45, 0, 0], [-0.2, 0.95, 0], [1.65, 0.3, 0.9]])
CHAIN = np.array([[0.0, 0, 0], [1.5, 0, 0], [2.0, 1.4, 0], [2.5, 1.6, 1.4]])


def test_heavy_atoms_are_compared_and_hydrogens_are_not():
    moved = SCREW + np.array([[0, 0, 0], [0, 0, 0], [5.0, 0, 0], [0, 5.0, 0]])
    assert heavy_rmsd(PEROXIDE, moved, SCREW) == pytest.approx(0.0, abs=1e-9)
    # Two atoms on a line: half of what the bond is too long.
    stretched = SCREW * np.array([1.2 / 1.45, 1, 1])
    assert heavy_rmsd(PEROXIDE, stretched, SCREW) == pytest.approx(0.125)
    assert heavy_rmsd(np.array([8, 1, 1]), SCREW[:3], 2 * SCREW[:3]) == 0.0


def test_a_mirror_image_is_the_same_conformer():
    carbon = np.full(4, 6)
    assert heavy_rmsd(carbon, CHAIN * [1, 1, -1], CHAIN) == pytest.approx(0.0, abs=1e-9)
    assert heavy_rmsd(carbon, CHAIN * [1, 1, 0], CHAIN) > 0.2


def rows(residual, failed=False, **more):
    """Rows of `per_molecule` that had 10 kcal/mol to gain."""
    residual = np.array(residual)
    values = {"residual": residual, "failed": failed, "gained": 10.0 - residual, "to_gain": 10.0,
              "rmsd_heavy": 0.0}  # fmt: skip
    return pd.DataFrame(values | more)


def test_the_basin_s_minimum_is_what_finishing_found():
    relaxed = rows([0.5, 2.0, 7.5, -0.5])
    finished = rows([0.1, 1.9, 0.0, -0.75])
    found = with_basins(relaxed, finished, ["minimum", "minimum", "saddle point", "minimum"])
    assert found["basin"].tolist() == pytest.approx([0.4, 0.1, np.nan, 0.25], nan_ok=True)
    # The reference where that is lower, own minimum where this is.
    assert found["lower"].tolist() == pytest.approx([0.5, 2.0, np.nan, 0.25], nan_ok=True)
    assert found["basin_to_gain"].tolist() == pytest.approx([9.9, 8.1, np.nan, 10.75], nan_ok=True)


@pytest.mark.parametrize("end", ["saddle point", "gradient limit", "no lower energy", "failed",
                                 "not computed", "not begun"])  # fmt: skip
def test_without_a_minimum_nothing_is_said(end):
    found = with_basins(rows([0.5]), rows([0.4]), [end])
    assert found[["basin", "lower", "other_basin", "basin_to_gain"]].isna().all(axis=None)


def test_a_failure_had_to_gain_what_the_reference_says():
    relaxed = rows([np.nan], failed=True, gained=0.0)
    found = with_basins(relaxed, rows([np.nan], failed=True), ["not begun"])
    assert found["basin_to_gain"].tolist() == [10.0] and found["basin"].isna().all()


def test_another_conformer_is_told_by_energy_and_by_place():
    near, far = 0.9 * SAME_ENERGY, 1.1 * SAME_ENERGY
    finished = rows(
        [near, far, -far, 0.0, 0.0], rmsd_heavy=[0.0, 0.0, 0.0, 0.9 * SAME_PLACE, 1.1 * SAME_PLACE]
    )
    found = with_basins(rows([1.0] * 5), finished, ["minimum"] * 5)
    assert found["other_basin"].tolist() == [0, 1, 1, 0, 1]
