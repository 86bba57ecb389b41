"""Shards, folders of logs and protocol files, their numbers typed in."""

import json
import re

import numpy as np
import pytest

from force2geo.interchange.export import logs_of, shards
from force2geo.interchange.protocol import read_protocol
from force2geo.trajectory import Stage, Trajectory


def test_shards_hold_so_many_in_the_order_of_cids():
    molecules = [Trajectory(f"{n:09d}", np.array([8])) for n in (30, 2, 11, 7, 25, 9, 1)]

    def found(size):
        return [[int(t.cid) for t in shard] for shard in shards(molecules, size)]

    assert found(3) == [[1, 2, 7], [9, 11, 25], [30]]
    assert found(7) == found(100) == [[1, 2, 7, 9, 11, 25, 30]] and found(1)[6] == [30]


@pytest.mark.parametrize(
    ("cid", "folder"),
    [
        (1, "Compound_000000001_000025000"), (25_000, "Compound_000000001_000025000"),
        (25_001, "Compound_000025001_000050000"), (962_000, "Compound_000950001_000975000"),
    ],
)  # fmt: skip
def test_a_folder_is_of_pubchem_s_25000(cid, folder):
    points = np.array([[[0.0, 0, 0], [0, 0, 0.9]], [[0, 0, 0], [0, 0, 1.0]]])
    stage = Stage(
        "pyscf", "2.14", "b3lyp", "6-31g*", True, points, np.array([-1.25, -1.5]), 0.25 * points,
        "b3lyp(vwn5)", False, origin=["force_field", "rattle_0.03"],
    )  # fmt: skip
    trajectory = Trajectory(f"{cid:09d}", np.array([1, 9]), stages={"dft_points": stage})
    logs = dict(logs_of(trajectory, "smash"))
    begin = f"{folder}/{cid:09d}/{cid:09d}.dft_points"
    assert list(logs) == [f"{begin}.000.force_field.log", f"{begin}.001.rattle_0.03.log"]
    for text, energy, place, other in zip(
        logs.values(), ("-1.25", "-1.5"), ("0.9", "1.0"), ("1.0", "0.9"), strict=True
    ):
        assert re.search(rf"{re.escape(energy)}0+\s", text)
        assert re.search(rf"\s{re.escape(place)}0+\s", text)
        assert not re.search(rf"\s{re.escape(other)}0+\s", text)


def test_a_protocol_file_is_read_as_stored(tmp_path):
    path, rest = np.arange(12.0).reshape(2, 2, 3), np.arange(6.0).reshape(1, 2, 3)
    info = {"dft": {"converged": False, "homo": -0.25, "lumo": 0.125, "dipole": [0, 0, 1.5]}}
    np.savez(
        tmp_path / "x.npz", z=np.array([9, 1]), smiles="F", inchi="", charge=-1, multiplicity=2,
        pm3_pos=rest, pm3_energy=np.array(-0.5), pm3_grad=2 * rest,
        dft_pos=path, dft_energy=np.array([-3.0, -4.0]), dft_grad=-path,
        extra_pos=3 * rest, extra_energy=np.array([-3.5]), extra_grad=4 * rest,
        extra_origin=np.array(["rattle_0.07"]), info=json.dumps(info),
    )  # fmt: skip
    found = read_protocol(tmp_path / "x.npz", "000000001")
    assert (found.charge, found.multiplicity, found.atomic_numbers.tolist()) == (-1, 2, [9, 1])
    assert list(found.stages) == ["pm3", "dft_1st", "dft_points"]
    pm3, dft, points = found.stages.values()
    assert pm3.energies.tolist() == [-0.5] and dft.energies.tolist() == [-3.0, -4.0]
    assert points.energies.tolist() == [-3.5] and points.origin == ["rattle_0.07"]
    for stage, positions, gradients in (
        (pm3, rest, 2 * rest), (dft, path, -path), (points, 3 * rest, 4 * rest),
    ):  # fmt: skip
        np.testing.assert_array_equal(stage.positions, positions)
        np.testing.assert_array_equal(stage.gradients, gradients)
    assert (dft.converged, dft.homo, dft.lumo, dft.dipole) == (False, -0.25, 0.125, [0, 0, 1.5])
    assert pm3.converged and [s.program for s in (pm3, dft, points)] == ["mopac", "pyscf", "pyscf"]
