"""Several runs in one file: which of them is kept, and what of the others."""

import re
from dataclasses import replace

import numpy as np
import pytest

from force2geo.logs import Log, LogError, parse_log
from force2geo.logs.runs import drop_repeated_steps, join_runs

BEGINNING = rb" BEGINNING GEOMETRY SEARCH POINT NSERCH="


def path(xs, energies, converged=False, finished=False, homo=None):
    """Return a run of three atoms, the last at a distance `xs` (T,) Å, with these energies."""
    frames = np.array([[[0.0, 0, 0], [0.9, 0.3, 0], [0, x, 0.2]] for x in xs])
    return Log(
        program="gamess", version="", run="optimize", method="hf", basis="sto-3g", charge=0,
        multiplicity=1, finished=finished, converged=converged,
        atomic_numbers=np.array([8, 1, 1], dtype=np.uint8), positions=frames,
        energies=np.array(energies, dtype=float),
        gradients=np.full(frames.shape, 0.1) * np.arange(1, len(xs) + 1)[:, None, None],
        homo=homo,
    )  # fmt: skip


WHOLE = path([2.0, 1.5, 1.2, 1.0], [-1, -2, -3, -4], converged=True, finished=True, homo=-0.5)


def turned(log, angle=1.0):
    """Return the run in another orientation and place."""
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    return replace(log, positions=log.positions @ rotation + 0.7)


def step_marks(text):
    return [found.start() for found in re.finditer(BEGINNING, text)]


def same(one, other):
    for key in ("positions", "energies", "gradients"):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key), err_msg=key)
    for key in ("converged", "finished", "homo", "lumo", "dipole"):
        assert getattr(one, key) == getattr(other, key), key


def test_a_converged_run_is_not_replaced_by_its_own_re_submission(gamess):
    whole = parse_log(gamess)
    marks = step_marks(gamess)
    # Submitted again and killed after three steps; then from its third step; then turned.
    log = parse_log(gamess + gamess[: marks[3]])
    same(log, whole)
    assert log.notes == ["another run in the file left out: 3 steps, not converged"]
    restart = gamess[: marks[0]] + gamess[marks[2] : marks[4]]
    same(parse_log(gamess + restart), whole)


@pytest.mark.parametrize("again", [WHOLE, turned(WHOLE)])
def test_equal_runs_count_once_and_the_first_is_kept(again):
    joined = join_runs([WHOLE, again])
    np.testing.assert_array_equal(joined.positions, WHOLE.positions)
    assert len(joined.energies) == 4 and "left out" in joined.notes[0]


@pytest.mark.parametrize("turn", [False, True])
def test_restart_goes_on_in_whatever_orientation(turn):
    begun = path([2.0, 1.5, 1.2], [-1, -2, -3])
    rest = path([1.2, 1.0], [-3, -4], converged=True, finished=True, homo=-0.5)
    joined = join_runs([begun, turned(rest) if turn else rest])
    assert joined.energies.tolist() == [-1, -2, -3, -4]
    assert joined.converged and joined.finished and joined.homo == -0.5
    assert joined.notes == ["a restart goes on from step 3" + (", turned" if turn else "")]


def test_mirror_image_is_another_start():
    begun = path([2.0, 1.5, 1.2], [-1, -2, -3])
    chiral = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1.5, 0], [0, 0, 2.2]])
    begun.positions = chiral[None] * np.array([1.0, 1.1, 1.2])[:, None, None]
    begun.gradients = np.ones((3, 4, 3))
    begun.atomic_numbers = np.array([6, 1, 9, 17], dtype=np.uint8)
    rest = replace(
        begun,
        positions=np.concatenate([begun.positions[1:2] * [-1, 1, 1], 5 * begun.positions[:2]]),
        energies=np.array([-9.0, -9.1, -9.2]),
    )
    assert join_runs([begun, rest]).energies.tolist() == [-1, -2, -3]
    rest.positions[0, :, 0] *= -1
    assert join_runs([begun, rest]).energies.tolist() == [-1, -2, -9, -9.1, -9.2]


def test_restart_may_begin_at_the_step_planned():
    begun = path([2.0, 1.5], [-1, -2])
    rest = path([1.3, 1.0], [-3, -4], converged=True)
    assert join_runs([begun, rest]).energies.tolist() == [-1, -2, -3, -4]
    far = path([0.7, 0.6], [-3, -4], converged=True)
    assert join_runs([begun, far]).energies.tolist() == [-3, -4]


def test_order_of_merit():
    converged = path([5.0], [-5], converged=True)
    long = path([2.0, 1.9, 1.8, 1.7], [-1, -2, -3, -4])
    normal = path([7.0, 6.9], [-1, -2], finished=True)
    for runs in ([converged, long, normal], [long, normal, converged], [normal, converged, long]):
        assert join_runs(runs).converged, "a longer run does not outdo a converged one"
    for runs in ([long, normal], [normal, long]):
        assert len(join_runs(runs).energies) == 2, "nor one that came to its end"
    shorter = path([9.0, 8.9], [-1, -2])
    for runs in ([long, shorter], [shorter, long]):
        assert len(join_runs(runs).energies) == 4
    equal = path([4.5, 4.4], [-7, -8])
    assert join_runs([shorter, equal]).energies.tolist() == [-1, -2], "of equals the first"


def test_restart_from_an_early_step_replaces_the_rest_only_by_a_better_path():
    begun = path([2.0, 1.5, 1.2, 1.1], [-1, -2, -3, -3.5])
    short = path([1.5, 1.4], [-2, -2.5])
    joined = join_runs([begun, short])
    assert joined.energies.tolist() == [-1, -2, -3, -3.5] and "left out" in joined.notes[0]
    better = path([1.5, 1.4], [-2, -2.5], converged=True)
    assert join_runs([begun, better]).energies.tolist() == [-1, -2, -2.5]


def test_restart_of_a_run_that_was_left_out_is_found():
    # 1: killed; 2: elsewhere, killed; 3: goes on with 2 and converges.
    first = path([2.0, 1.5, 1.2], [-1, -2, -3])
    second = path([9.0, 8.5], [-1.5, -2.5])
    third = path([8.5, 8.0], [-2.5, -6], converged=True)
    joined = join_runs([first, second, third])
    assert joined.energies.tolist() == [-1.5, -2.5, -6] and joined.converged
    assert any("left out: 3 steps" in note for note in joined.notes)


def test_restart_belongs_to_the_run_that_has_its_step_not_to_one_near_by():
    near = path([2.0, 1.52, 1.25], [-1, -1.9, -2.9])  # its end is 0.15 Å from the other's
    begun = path([2.0, 1.4], [-1, -2.2])
    restart = path([1.4, 1.0], [-2.2, -4], converged=True, finished=True)
    log = join_runs([near, begun, restart])
    assert log.energies.tolist() == [-1, -2.2, -4]
    assert log.notes[-1] == "another run in the file left out: 3 steps, not converged"


def test_tighter_run_from_a_converged_end_adds_its_steps():
    tighter = path([1.0, 0.99], [-4, -4.1], converged=True, finished=True, homo=-0.6)
    joined = join_runs([WHOLE, tighter])
    assert joined.energies.tolist() == [-1, -2, -3, -4, -4.1] and joined.homo == -0.6
    unfinished = path([1.0, 0.99], [-4, -4.1])
    same(join_runs([WHOLE, unfinished]), WHOLE)
    # A second run that only finds the end again, cut before its orbitals.
    same(join_runs([WHOLE, path([1.0], [-4], converged=True)]), WHOLE)


def test_point_computed_twice_is_taken_from_the_whole_one():
    begun = path([2.0, 1.5], [-1, -2])
    begun.gradients[1] = np.nan  # killed before the gradient
    rest = path([1.5, 1.0], [-2, -4])
    joined = join_runs([begun, rest])
    assert joined.energies.tolist() == [-1, -2, -4]
    assert joined.gradients[1, 0, 0] == 0.1 and np.isfinite(joined.gradients).all()
    # And the other way about: the restart is the one that was killed.
    whole, killed = path([2.0, 1.5], [-1, -2]), path([1.5], [-2])
    killed.gradients[:] = np.nan
    assert np.isfinite(join_runs([whole, killed]).gradients).all()


def test_two_states_at_one_point_are_two_results():
    joined = join_runs([path([2.0, 1.5], [-1, -2]), path([1.5, 1.0], [-2.5, -4])])
    assert joined.energies.tolist() == [-1, -2, -2.5, -4]


def test_repeat_without_energy_does_not_lose_it():
    log = path([2.0, 1.5, 1.5], [-1, -2, np.nan])
    log.gradients[2] = np.nan
    found = drop_repeated_steps(log)
    assert found.energies.tolist() == [-1, -2] and found.gradients[1, 0, 0] == 0.2
    other = path([2.0, 1.5, 1.5], [-1, np.nan, -2])
    other.gradients[1] = np.nan
    found = drop_repeated_steps(other)
    assert found.energies.tolist() == [-1, -2]
    assert found.gradients[1, 0, 0] == pytest.approx(0.3)
    assert found.notes == ["1 repeated steps dropped"]


def test_a_thousand_short_runs_take_no_hours():
    runs = [path([2.0 + 2 * index], [-1]) for index in range(1000)]
    joined = join_runs(runs)
    assert len(joined.energies) == 1 and len(joined.notes) == 999


def test_runs_of_two_programs_are_not_mixed(gamess, firefly, real_log):
    # One layout, two programs: steps of the second were once counted as the first's.
    with pytest.raises(LogError, match="differ in program"):
        parse_log(gamess + firefly)
    with pytest.raises(LogError, match="differ in program"):
        parse_log(firefly + gamess)
    uhf = real_log("v110_uhf_opt.out")
    with pytest.raises(LogError, match="different molecules"):
        parse_log(uhf + gamess)
    with pytest.raises(LogError, match="different molecules"):
        parse_log(gamess + uhf)
    log = parse_log(gamess + real_log("us2017_water_mp2.out"))
    same(log, parse_log(gamess))
    assert log.notes == ["a run left out: run type is 'energy', not an optimisation"]


def test_two_mopac_outputs_are_two_runs(real_log):
    one = real_log("methanol_1scf.out")
    other = real_log("methanol_1scf_stretched.out")
    log = parse_log(one + other)
    # The heat of the first stood once beside the geometry of the second.
    assert log.positions[:, 1, 0].tolist() == [1.5, 1.502]
    np.testing.assert_array_equal(
        log.energies, [parse_log(text).energies[0] for text in (one, other)]
    )
