"""Which logs make up a molecule, and which of two counts."""

from dataclasses import replace

import numpy as np
import pytest

from force2geo.curation.assemble import RejectedError, add_log
from force2geo.trajectory import Trajectory


@pytest.fixture
def molecule():
    return Trajectory("000000962", np.array([8, 1, 1], dtype=np.uint8))


def test_of_two_logs_the_converged_counts_then_the_normal_then_the_longer_then_the_first(
    molecule, log_of
):
    ranked = [
        {"steps": 3, "converged": True, "finished": False},
        {"steps": 9, "converged": False, "finished": True},
        {"steps": 8, "converged": False, "finished": True},
        {"steps": 20, "converged": False, "finished": False},
    ]
    for better in range(len(ranked)):
        for worse in range(better + 1, len(ranked)):
            for first in (better, worse):
                trajectory = replace(molecule, stages={})
                add_log(trajectory, *log_of("hf", **ranked[first]))
                second = better + worse - first
                if second == better:
                    assert "gave way" in add_log(trajectory, *log_of("hf", **ranked[second]))
                else:
                    with pytest.raises(RejectedError, match="no better"):
                        add_log(trajectory, *log_of("hf", **ranked[second]))
                assert len(trajectory.stages["hf"]) == ranked[better]["steps"]
    trajectory = replace(molecule, stages={})
    one, two = log_of("hf"), log_of("hf")
    add_log(trajectory, *one)
    with pytest.raises(RejectedError, match="no better"):
        add_log(trajectory, *two)
    np.testing.assert_array_equal(trajectory.stages["hf"].positions, one[0].positions)


def test_a_set_of_points_has_one_level_and_each_point_once(molecule, log_of):
    first = log_of("dft_points", 1, origin="rattle_0.03", homo=-0.3)
    second = log_of("dft_points", 1, origin="rattle_0.07", homo=-0.2)
    add_log(molecule, *first)
    with pytest.raises(RejectedError, match="the same log"):
        add_log(molecule, *first)
    add_log(molecule, *second)
    with pytest.raises(RejectedError, match="the same log"):
        add_log(molecule, *second)
    for other in ({"program": "smash"}, {"functional": "b3lyp(vwn-rpa)"}, {"spherical": True}):
        with pytest.raises(RejectedError, match="one set, one level"):
            add_log(molecule, *log_of("dft_points", 1, **other))
    stage = molecule.stages["dft_points"]
    assert stage.origin == ["rattle_0.03", "rattle_0.07"]
    np.testing.assert_array_equal(stage.energies, [first[0].energies[0], second[0].energies[0]])
    np.testing.assert_array_equal(stage.positions[1], second[0].positions[0])
    # Orbital energies are those of the last structure.
    assert stage.homo == -0.2


def test_the_same_geometry_with_another_energy_is_another_point(molecule, log_of):
    log, name = log_of("dft_points", 1)
    add_log(molecule, log, name)
    add_log(molecule, replace(log, energies=log.energies + 1e-6), name)
    add_log(molecule, replace(log, gradients=log.gradients + 1e-7), name)
    assert len(molecule.stages["dft_points"]) == 3


@pytest.mark.parametrize(
    ("stage", "wrong", "said"),
    [
        ("dft_1st", {"basis": "6-311g"}, "b3lyp/6-311g, expected b3lyp/6-31g"),
        ("dft_2nd", {"basis": "6-31+g*"}, "expected b3lyp/6-31g"),
        ("dft_points", {"basis": ""}, "expected b3lyp/6-31g"),
        ("hf", {"basis": "sto-3g"}, "hf/sto-3g, expected hf/sto-6g"),
        ("hf", {"method": "b3lyp", "basis": "6-31g*"}, "method is 'b3lyp', expected 'hf'"),
        ("pm3", {"method": "am1"}, "expected 'pm3' or 'gfn2-xtb'"),
        ("dft_1st", {"run": "gradient"}, "a single point"),
    ],
)
def test_a_log_of_another_level_than_its_name_says_is_rejected(
    molecule, log_of, stage, wrong, said
):
    with pytest.raises(RejectedError) as caught:
        add_log(molecule, *log_of(stage, **wrong))
    assert said in str(caught.value) and not molecule.stages


def test_the_semiempirical_stage_may_name_its_basis_or_not(molecule, log_of):
    for log in ({"basis": ""}, {"basis": "pm3", "steps": 5}, {"method": "gfn2-xtb", "steps": 7}):
        add_log(molecule, *log_of("pm3", **log))
    assert len(molecule.stages["pm3"]) == 7


def test_atoms_charge_and_spin_are_the_molecules(molecule, log_of):
    add_log(molecule, *log_of("hf", charge=1, multiplicity=2))
    assert (molecule.charge, molecule.multiplicity) == (1, 2)
    for wrong in ({"charge": 0, "multiplicity": 1}, {"charge": 1, "multiplicity": 4}):
        with pytest.raises(RejectedError, match="charge or multiplicity"):
            add_log(molecule, *log_of("dft_1st", **wrong))
    numbers = np.array([1, 8, 1], dtype=np.uint8)
    with pytest.raises(RejectedError, match="atoms differ"):
        add_log(molecule, *log_of("dft_1st", charge=1, multiplicity=2, atomic_numbers=numbers))
    # A log that is left out for its level changes nothing.
    with pytest.raises(RejectedError):
        add_log(molecule, *log_of("dft_1st", charge=1, multiplicity=2, basis="6-311g"))
    assert list(molecule.stages) == ["hf"] and molecule.atomic_numbers.tolist() == [8, 1, 1]


def test_what_reading_mended_goes_with_the_stage(molecule, log_of):
    add_log(molecule, *log_of("hf", notes=["a run left out: cut"]))
    assert molecule.stages["hf"].notes == ["a run left out: cut"]
    add_log(molecule, *log_of("dft_points", 1, notes=["one"]))
    add_log(molecule, *log_of("dft_points", 1, notes=["two"]))
    assert molecule.stages["dft_points"].notes == ["one", "two"]
