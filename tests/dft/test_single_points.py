"""Single points against a textbook, and what becomes of those that do not come to an end."""

import json
from dataclasses import replace

import numpy as np
import pytest

from force2geo.dft import pool
from force2geo.dft import single_points as module
from force2geo.dft.level import Level, build_mean_field
from force2geo.dft.single_points import SinglePoint, Task, compute, converge, single_points

BOHR = 0.529177210544
# H2 at 1.4 bohr in STO-3G, integrals in Hartree (Szabo and Ostlund, Modern Quantum Chemistry,
# section 3.5): h, J and K of orbitals 1 (gerade) and 2 (ungerade).
H11, H22, J11, J12, K12, REPULSION = -1.2528, -0.4756, 0.6746, 0.6636, 0.1813, 1 / 1.4
H2 = np.array([1, 1]), np.array([[0, 0, 0], [0, 0, 1.4 * BOHR]])
STATES = {
    (0, 1): 2 * H11 + J11 + REPULSION,
    (1, 2): H11 + REPULSION,
    (0, 3): H11 + H22 + J12 - K12 + REPULSION,
}
LEVEL = Level(method="hf", basis="sto-3g", density_fit=False)


@pytest.fixture
def here(monkeypatch):
    """Work is done in this process; what was asked of the others is in the list."""
    asked = []

    def run(function, tasks, workers, seconds=None, megabytes=None):
        if tasks:
            asked.append(([task for task, _ in tasks], workers, seconds, megabytes))
        for place, task in enumerate(tasks):
            yield place, function(task), ""

    monkeypatch.setattr(pool, "run_limited", run)
    return asked


def h2(key="a", **more):
    return Task((key, "x"), *H2, **more)


@pytest.mark.parametrize("state", STATES)
def test_energies_of_charge_and_spin_are_the_textbook_s(state):
    result = compute(h2(charge=state[0], multiplicity=state[1]), LEVEL)
    assert (result.error, result.outcome) == ("", "computed")
    assert result.energy == pytest.approx(STATES[state], abs=3e-4)


def test_forces_are_the_slope_of_a_radical_s_energy():
    along = np.array([1.0, 2.0, 2.0]) / 3  # no axis: the largest component is not the force
    task = Task(("a", "x"), H2[0], np.array([0 * along, 1.4 * BOHR * along]), True, 1, 2)
    step = 1e-3
    ends = [
        compute(replace(task, positions=task.positions + np.array([0 * along, s * along])), LEVEL)
        for s in (-step, step)
    ]
    slope = (ends[1].energy - ends[0].energy) / (2 * step) * 27.211386
    assert abs(slope) > 0.5
    assert compute(task, LEVEL).max_force == pytest.approx(abs(slope), abs=1e-3)


def test_the_cache_knows_level_charge_and_spin(tmp_path, here):
    tasks = [h2(str(state), charge=state[0], multiplicity=state[1]) for state in STATES]
    for _ in range(2):
        found = {t.key[0]: r.energy for t, r in single_points(tasks, LEVEL, tmp_path, 1)}
        assert [found[str(state)] for state in STATES] == pytest.approx(
            list(STATES.values()), abs=3e-4
        )
    assert len(here) == 1
    other = replace(LEVEL, basis="6-31g")
    ((_, result),) = single_points(tasks[:1], other, tmp_path, 1)
    assert result.energy == pytest.approx(-1.1267, abs=1e-3)  # the larger basis lies lower
    moved = Task(("m", "x"), H2[0], H2[1] * 1.5)
    ((_, result),) = single_points([moved], LEVEL, tmp_path, 1)
    assert result.energy > STATES[0, 1] + 0.05
    ((_, result),) = single_points([Task(("z", "x"), np.array([2, 1]), H2[1], charge=1)],
                                   LEVEL, tmp_path, 1)  # fmt: skip
    assert result.energy < -2


def test_one_geometry_in_several_tasks_is_computed_once(tmp_path, here):
    start, end = h2("start"), h2("end", forces=True)
    found = {t.key[0]: r for t, r in single_points([start, end], LEVEL, tmp_path, 1)}
    assert [len(tasks) for tasks, *_ in here] == [1]
    assert found["start"].energy == found["end"].energy
    assert found["start"].max_force is None and found["end"].max_force > 0.1
    again = dict_of(single_points([start], LEVEL, tmp_path, 1))
    assert len(here) == 1 and again["start"] == found["start"]


def dict_of(results):
    return {task.key[0]: result for task, result in results}


def test_an_energy_without_forces_does_not_answer_for_them(tmp_path, here):
    first = dict_of(single_points([h2("a")], LEVEL, tmp_path, 1))["a"]
    forced = dict_of(single_points([h2("a", forces=True)], LEVEL, tmp_path, 1))["a"]
    assert len(here) == 2 and forced.energy == pytest.approx(first.energy, abs=1e-8)
    assert forced.max_force is not None and first.max_force is None


def test_what_was_not_computed_is_tried_again_with_more_room(tmp_path, monkeypatch):
    calls = []

    def run(_function, tasks, workers, seconds, megabytes):
        calls.append(([task.key[0] for task, _ in tasks], workers, seconds, megabytes))
        for place, (task, _) in enumerate(tasks):
            if (task.key[0] == "late" and len(calls) == 1) or task.key[0] == "never":
                yield place, None, "took longer than 10 s"
            else:
                yield place, SinglePoint(-1.0, None, 1.0, "").__dict__, ""

    monkeypatch.setattr(pool, "run_limited", run)
    tasks = [
        Task((key, "x"), H2[0], H2[1] * (1 + place / 10))
        for place, key in enumerate(("good", "late", "never"))
    ]
    found = dict_of(single_points(tasks, LEVEL, tmp_path, 4, 10, 500))
    assert calls == [
        (["good", "late", "never"], 4, 10, 500), (["late", "never"], 2, 20, 1000),
    ]  # fmt: skip
    assert [found[k].outcome for k in ("good", "late", "never")] == [
        "computed", "computed", "not computed",
    ]  # fmt: skip
    assert found["never"].error == "took longer than 10 s" and found["never"].energy is None
    dict_of(single_points(tasks, LEVEL, tmp_path, 4))
    assert calls[2:] == [(["never"], 4, None, None), (["never"], 2, None, None)]


class Restless:
    """A field that never converges, whatever is tried."""

    converged, max_cycle, level_shift = False, 50, 0.0

    def kernel(self, dm0=None):
        return -1.0

    def make_rdm1(self):
        return None

    def newton(self):
        return self


def test_an_unconverged_energy_is_a_failure_and_is_kept_as_one(tmp_path, monkeypatch, here):
    monkeypatch.setattr(module, "build_mean_field", lambda *_: Restless())
    assert converge(*H2, LEVEL)[1:] == (None, "second order")
    for _ in range(2):
        result = dict_of(single_points([h2("a", forces=True)], LEVEL, tmp_path, 1))["a"]
        assert (result.outcome, result.energy, result.max_force) == ("failed", None, None)
        assert "did not converge" in result.error
    assert len(here) == 1


def test_no_number_is_no_energy(monkeypatch):
    class Nothing(Restless):
        converged = True

        def kernel(self, dm0=None):
            return float("nan")

    monkeypatch.setattr(module, "build_mean_field", lambda *_: Nothing())
    assert converge(*H2, LEVEL)[1] is None


@pytest.mark.parametrize(
    ("task", "level", "outcome", "said"),
    [
        (h2(), replace(LEVEL, basis="nonsense"), "not computed", "nonsense"),
        (h2(multiplicity=2), LEVEL, "not computed", "spin"),
        (Task(("a", "x"), H2[0], np.full((2, 3), np.nan)), LEVEL, "failed", "not finite"),
        (Task(("a", "x"), H2[0], np.zeros((2, 3))), LEVEL, "failed", "atoms 0 and 1 stand at one"),
    ],
)  # fmt: skip
def test_who_is_to_blame(task, level, outcome, said):
    result = compute(task, level)
    assert result.outcome == outcome and said in result.error and result.energy is None


def test_want_of_memory_is_not_the_geometry_s_fault(monkeypatch, tmp_path, here):
    def greedy(*_):
        raise error

    monkeypatch.setattr(module, "build_mean_field", greedy)
    error = np.linalg.LinAlgError("singular")
    assert compute(h2(), LEVEL).outcome == "failed"
    error = OSError("no space left")
    ((_, result),) = single_points([h2()], LEVEL, tmp_path, 1)
    assert result.outcome == "not computed" and len(here) == 2
    assert not list(tmp_path.iterdir())
    error = MemoryError()
    with pytest.raises(MemoryError):  # the process says how much was too much
        compute(h2(), LEVEL)


def test_cached_results_are_plain_files(tmp_path, here):
    dict_of(single_points([h2(forces=True)], LEVEL, tmp_path, 1))
    (stored,) = tmp_path.glob("*.json")
    content = json.loads(stored.read_text())
    assert content["outcome"] == "computed"
    assert content["energy"] == pytest.approx(STATES[0, 1], abs=3e-4)


def test_open_shells_are_built_with_their_spin():
    # A hydrogen atom of STO-3G: textbook, too.
    field = build_mean_field([1], np.zeros((1, 3)), LEVEL, 0, 2)
    assert field.kernel() == pytest.approx(-0.46658, abs=1e-5)
    assert field.mol.spin == 1


def test_nuclei_come_no_nearer_than_a_tenth_of_an_angstrom():
    def apart(distance):
        return np.array([[0.0, 0, 0], [1.0, 0, 0], [1.0, 0.6 * distance, 0.8 * distance]])

    assert module.unusable(apart(0.11)) == "" and module.unusable(np.zeros((1, 3))) == ""
    assert module.unusable(apart(0.09)) == "atoms 1 and 2 stand at one point"
    assert module.unusable(apart(np.inf)) == "positions are not finite"


def test_geometries_are_told_apart_to_the_eighth_decimal():
    def name(distance):
        positions = np.array([[0.0, 0, 0], [0, 0, distance]])
        return Task(("a", "x"), H2[0], positions).cache_name(LEVEL)

    assert name(0.7) == name(0.7 + 1e-10) and name(0.7) != name(0.7 + 2e-8)
    assert name(0.0) == name(-0.0)
