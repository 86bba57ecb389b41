"""Real logs that ship with the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from force2geo.logs.archives import read_file

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def real_log():
    """Return a function from a real log's name, without the suffix of its compression, to bytes."""

    def read(name: str) -> bytes:
        packed = DATA / f"{name}.xz"
        return read_file(packed if packed.exists() else DATA / name)

    return read


@pytest.fixture(scope="session")
def gamess(real_log) -> bytes:
    """GAMESS: B3LYP/STO-3G, divinylbenzene, 20 atoms, 7 steps, converged."""
    return real_log("us2017_dvb_gopt.out")


@pytest.fixture(scope="session")
def firefly(real_log) -> bytes:
    """Firefly: HF/STO-3G, divinylbenzene, 20 atoms, 24 steps, converged."""
    return real_log("ff80_dvb_gopt.out")


@pytest.fixture(scope="session")
def smash(real_log) -> bytes:
    """SMASH: B3LYP/6-31G(d), formic acid, 5 atoms, 7 steps, converged."""
    return real_log("v302_formic_acid_b3lyp_opt.out")


@pytest.fixture(scope="session")
def water(real_log) -> bytes:
    """PySCF: HF/STO-6G, water, 5 steps; geomeTRIC tells nobody that it converged."""
    return real_log("water_hf.pyscf.log")
