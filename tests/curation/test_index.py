"""What the index says of the DFT stages, against numbers set by hand."""

import json

import h5py
import numpy as np
import pytest

from force2geo.cli import main
from force2geo.curation.index import breaks, index_row
from force2geo.trajectory import Trajectory

Z = np.array([8, 1, 1], dtype=np.uint8)


@pytest.fixture
def water(make_stage):
    """Water with stages that differ in orbital energies: method -> (homo, lumo, converged)."""

    def make(**stages):
        trajectory = Trajectory("000000962", Z, charge=-1, multiplicity=2)
        for name, (homo, lumo, converged) in stages.items():
            method = {"pm3": "pm3", "hf": "hf"}.get(name, "b3lyp")
            trajectory.stages[name] = make_stage(
                2, 3, method, homo=homo, lumo=lumo, converged=converged
            )
        return trajectory

    return make


@pytest.mark.parametrize(
    ("first", "second", "converged", "homo"),
    [
        ((-0.20, 0.10, True), None, True, -0.20),
        ((-0.20, 0.10, True), (-0.25, 0.15, True), True, -0.25),
        # A second run that failed takes nothing from the first.
        ((-0.20, 0.10, True), (-0.25, 0.15, False), True, -0.20),
        ((-0.20, 0.10, False), (-0.25, 0.15, True), True, -0.25),
        ((-0.20, 0.10, False), (-0.25, 0.15, False), False, -0.25),
    ],
)
def test_gap_and_convergence_are_those_of_the_last_converged_dft_stage(
    water, first, second, converged, homo
):
    stages = {"hf": (-0.50, 0.30, True), "dft_1st": first}
    stages |= {"dft_2nd": second} if second else {}
    stages["dft_points"] = (-0.9, 0.9, True)
    trajectory = water(**stages)
    row = index_row(trajectory, "s.lmdb")
    assert row["dft_converged"] is converged and row["homo"] == homo
    lumo = {-0.20: 0.10, -0.25: 0.15}[homo]
    assert row["lumo"] == lumo
    assert row["gap"] == pytest.approx((lumo - homo) * 27.211386, rel=1e-7)
    assert trajectory.final_dft.homo == homo
    assert (row["charge"], row["multiplicity"]) == (-1, 2)


def test_without_dft_there_is_no_gap(water):
    row = index_row(water(pm3=(-0.5, 0.3, True), hf=(-0.5, 0.3, True)), "s.lmdb")
    assert "gap" not in row and "dft_converged" not in row
    assert water(hf=(-0.5, 0.3, True)).final_dft is None


def test_energies_and_gradients_are_of_the_first_and_last_step(make_stage):
    gradients = np.zeros((3, 3, 3))
    gradients[0, 1] = [0.3, 0.0, 0.4]
    gradients[2, 0] = [0.0, 0.06, -0.08]
    gradients[2, 2] = [0.09, 0.0, 0.0]
    stage = make_stage(3, 3, energies=np.array([-1.0, -3.0, -2.0]), gradients=gradients)
    row = index_row(Trajectory("000000962", Z, stages={"dft_1st": stage}), "s.lmdb")
    assert (row["dft_1st_energy_first"], row["dft_1st_energy_last"]) == (-1.0, -2.0)
    assert row["dft_1st_max_gradient_first"] == pytest.approx(0.5)
    assert row["dft_1st_max_gradient_last"] == pytest.approx(0.1)
    stage.gradients[2] = np.nan
    row = index_row(Trajectory("000000962", Z, stages={"dft_1st": stage}), "s.lmdb")
    assert row["dft_1st_max_gradient_last"] is None


@pytest.mark.parametrize("converged", [True, False])
def test_the_reference_geometry_is_of_the_stage_that_the_gap_is_of(
    tmp_path, trajectories, make_stage, write_shard_file, converged
):
    for trajectory in trajectories:
        trajectory.stages["dft_2nd"] = make_stage(
            3, len(trajectory.atomic_numbers), converged=converged, homo=-0.3, lumo=0.1
        )
    write_shard_file(tmp_path / "s.lmdb", trajectories)
    (tmp_path / "selection.json").write_text(json.dumps({"subset": ["000000962"]}))
    entry = {"from": "pubchemqcr", "as": "molecules", "split": "subset", "seed": 1}
    (tmp_path / "settings.json").write_text(json.dumps(entry))
    assert main([
        "data", "--settings", str(tmp_path / "settings.json"), "--selection",
        str(tmp_path / "selection.json"), "--store", str(tmp_path), "--out",
        str(tmp_path / "d.h5"),
    ]) == 0  # fmt: skip
    stages = trajectories[1].stages
    last = stages["dft_2nd" if converged else "dft_1st"]
    with h5py.File(tmp_path / "d.h5") as file:
        assert file["cid"][:].tolist() == [b"000000962"]
        np.testing.assert_array_equal(file["geometry/dft"][:], last.positions[-1])
        np.testing.assert_array_equal(file["geometry/hf"][:], stages["dft_1st"].positions[0])
        gap = (0.1 + 0.3 if converged else 0.05 + 0.25) * 27.211386
        assert file["target/gap"][0] == pytest.approx(gap, rel=1e-7)


def test_a_break_is_as_large_as_the_distance_that_changed_most(make_stage):
    bent = np.array([[0.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])
    stages = {name: make_stage(2, 3, name) for name in ("pm3", "hf")}
    stages["dft_1st"] = make_stage(2, 3)
    for stage in stages.values():
        stage.positions[:] = bent
    trajectory = Trajectory("000000962", Z, stages=stages)
    assert breaks(trajectory) == []
    # 1.00 becomes 1.25 Å, and √2 becomes 1.60.
    stages["hf"].positions[0, 1, 0] = 1.25
    stages["dft_1st"].positions[0, 2, 1] = 1.009
    stages["dft_points"] = make_stage(2, 3)
    assert breaks(trajectory) == ["hf starts 0.25 A off"]
    stages["dft_1st"].positions[0, 2, 1] = 3.0
    assert breaks(trajectory) == ["hf starts 0.25 A off", "dft_1st starts 2.00 A off"]
    # Between the stages there are.
    del stages["hf"]
    assert index_row(trajectory, "s")["notes"] == "dft_1st starts 2.00 A off"
