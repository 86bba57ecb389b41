"""Fixtures: the repository, the real data beside it where there is some, small molecules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real logs and trajectories; the test is skipped where it is absent."""
    folder = SHARED / "data"
    if not folder.exists():
        pytest.skip("the shared data folder is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def ethanol() -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers (9,) and positions (9,3) Å of ethanol."""
    numbers = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])
    positions = np.array(
        [
            [1.17, -0.41, 0.0], [0.0, 0.55, 0.0], [-1.20, -0.22, 0.0],
            [2.12, 0.14, 0.01], [1.14, -1.05, 0.88], [1.13, -1.06, -0.88],
            [0.04, 1.19, 0.89], [0.03, 1.19, -0.89], [-1.95, 0.38, 0.0],
        ]
    )  # fmt: skip
    return numbers, positions
