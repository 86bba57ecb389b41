"""Trajectories to store."""

import numpy as np
import pytest

from force2geo.config.data import Curate
from force2geo.logs.log import Log
from force2geo.logs.names import LogName, NamePattern
from force2geo.store.lmdb_store import StoreWriter
from force2geo.trajectory import Stage, Trajectory

BASIS = {"b3lyp": "6-31g*", "hf": "sto-6g", "pm3": "pm3"}


@pytest.fixture(scope="session")
def pattern() -> NamePattern:
    return NamePattern(Curate().name_pattern)


@pytest.fixture
def make_stage():
    rng = np.random.default_rng(0)

    def make(steps, atoms, method="b3lyp", **more):
        values = {
            "program": "pyscf",
            "version": "1",
            "method": method,
            "basis": BASIS[method],
            "functional": "b3lyp(vwn5)" if method == "b3lyp" else "",
            "spherical": None if method == "pm3" else False,
            "converged": True,
            "positions": rng.normal(size=(steps, atoms, 3)).round(7),
            "energies": (rng.normal(size=steps) - 100).round(9),
            "gradients": (0.01 * rng.normal(size=(steps, atoms, 3))).round(7),
            "homo": -0.25,
            "lumo": 0.05,
            "dipole": [0.0, 0.5, -1.0],
        }
        return Stage(**(values | more))

    return make


@pytest.fixture
def trajectories(make_stage):
    water = np.array([8, 1, 1], dtype=np.uint8)
    methane = np.array([6, 1, 1, 1, 1], dtype=np.uint8)
    result = []
    for cid, numbers, smiles in (("000000297", methane, "C"), ("000000962", water, "O")):
        n = len(numbers)
        stages = {
            "pm3": make_stage(4, n, "pm3"),
            "hf": make_stage(3, n, "hf"),
            "dft_1st": make_stage(5, n),
            "dft_points": make_stage(2, n, origin=["rattle_0.03", "rattle_0.07"]),
        }
        for before, after in (("pm3", "hf"), ("hf", "dft_1st")):
            stages[after].positions[0] = stages[before].positions[-1]
        result.append(Trajectory(cid, numbers, smiles=smiles, inchi="", stages=stages))
    return result


@pytest.fixture
def write_shard_file():
    """Writes trajectories to a shard file."""

    def write(path, trajectories):
        writer = StoreWriter(path)
        for trajectory in trajectories:
            writer.put(trajectory)
        writer.finish()
        return path

    return write


@pytest.fixture
def log_of(make_stage):
    """Makes the log of a stage of water, and its name."""

    def make(stage_name, steps=3, origin="", **more):
        method = {"pm3": "pm3", "hf": "hf"}.get(stage_name, "b3lyp")
        stage = make_stage(steps, 3, method)
        values = {
            "program": "gamess", "version": "1", "method": method, "basis": stage.basis,
            "run": "gradient" if stage_name == "dft_points" else "optimize", "charge": 0,
            "multiplicity": 1, "finished": True, "converged": True,
            "atomic_numbers": np.array([8, 1, 1], dtype=np.uint8), "positions": stage.positions,
            "energies": stage.energies, "gradients": stage.gradients,
            "functional": stage.functional, "spherical": stage.spherical, "homo": stage.homo,
            "lumo": stage.lumo, "dipole": stage.dipole,
        }  # fmt: skip
        return Log(**(values | more)), LogName("000000962", stage_name, origin)

    return make


@pytest.fixture
def same_stage():
    """Asserts that two stages are equal in everything they say."""

    def check(found: Stage, expected: Stage) -> None:
        for key, value in expected.__dict__.items():
            np.testing.assert_array_equal(getattr(found, key), value, err_msg=key)

    return check
