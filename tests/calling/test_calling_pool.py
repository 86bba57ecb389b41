"""Workers: their numbers, their failures, and what is left of them."""

import os
import signal
import subprocess
import sys
import time
from collections import OrderedDict

import numpy as np
import pytest
from ase import Atoms
from tblite.ase import TBLite

from force2geo.calling.named import label, record_of
from force2geo.calling.pool import Pool, Task, _shares
from force2geo.errors import UserError
from force2geo.files import alive
from toy_baselines import WELLS, energy

WATER = np.array([8, 1, 1]), np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])
AMMONIUM = (
    np.array([7, 1, 1, 1, 1]),
    0.6 * np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.1]]),
)
METHYL = AMMONIUM[0][:4] - [1, 0, 0, 0], AMMONIUM[1][:4] * [1, 1, 0.1]


@pytest.fixture(scope="module")
def gfn2():
    pool = Pool(record_of("gfn2-xtb"), 2)
    yield pool
    pool.close()


def processes(pool):
    return sorted(worker.process.pid for worker in pool._workers.values())


def test_numbers_are_those_of_the_calculator_by_hand(gfn2):
    given = [(*WATER, 0, 1), (*AMMONIUM, 1, 1), (*METHYL, 0, 2), (*AMMONIUM, 1, 1)]
    found = gfn2.start([Task(*one) for one in given]).result()
    ends = np.cumsum([len(one[0]) for one in given])
    for one, value, forces in zip(
        given, found.energies, np.split(found.forces, ends), strict=False
    ):
        numbers, x, charge, multiplicity = one
        options = {"charge": charge, "multiplicity": multiplicity, "accuracy": 0.01}
        atoms = Atoms(numbers, x, calculator=TBLite(method="GFN2-xTB", verbosity=0, **options))
        assert value == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)
    assert found.reasons == [""] * 4 and len(processes(gfn2)) == 2


def test_one_that_is_no_acquaintance_depends_on_nothing_else(gfn2):
    alone = gfn2.start([Task(*WATER)]).result()
    moved = WATER[1] * 1.1
    gfn2.start([Task(WATER[0], moved, 0, 1, 5)]).result()
    crowd = [Task(WATER[0], moved, 0, 1, 5), Task(*METHYL, 0, 2), Task(*WATER)]
    found = gfn2.start(crowd).result()
    assert found.energies[2] == alone.energies[0]
    np.testing.assert_array_equal(found.forces[-3:], alone.forces)


def test_one_on_its_way_goes_on_from_its_last_to_the_same_numbers(gfn2):
    for step in range(4):
        x = WATER[1] * (1 + 0.02 * step)
        warm = gfn2.start([Task(WATER[0], x, 0, 1, 8)]).result()
        cold = gfn2.start([Task(WATER[0], x)]).result()
        np.testing.assert_allclose(warm.energies, cold.energies, atol=1e-6)
        np.testing.assert_allclose(warm.forces, cold.forces, atol=2e-5)
    assert warm.energies[0] != cold.energies[0]  # so that it did not begin anew
    # Under a name that was another's, nothing is of that other.
    other = gfn2.start([Task(*AMMONIUM, 1, 1, 8)]).result()
    assert other.energies[0] == gfn2.start([Task(*AMMONIUM, 1, 1)]).result().energies[0]


def test_any_calculator_of_ase_begins_anew_at_each_other_molecule(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    pool = Pool({"calculator": "toy_baselines:Remembers", "options": {}}, 1)
    names = [4, 4, 4, 9, 4, None, None, 4, 4]
    tasks = [Task(WATER[0], WATER[1] + i, 0, 1, name) for i, name in enumerate(names)]
    found = pool.start(tasks).result()
    assert found.energies.tolist() == [1, 2, 3, 1, 1, 1, 1, 1, 2]
    assert (found.forces == 1.0).all()  # each worker's own threads, not the caller's three


def test_what_fails_has_its_reason_and_what_kills_a_worker_has_it_alone():
    pool = Pool(WELLS, 2)
    numbers = [[1, 1], [35, 1], [53, 1], [8], [1, 1], [53]]
    rng = np.random.default_rng(1)
    tasks = [
        Task(np.array(z), rng.normal(size=(len(z), 3)), i % 2, 1 + i) for i, z in enumerate(numbers)
    ]
    for _ in range(2):  # it goes on with new ones
        found = pool.start(tasks).result()
        assert found.reasons[1] == "RuntimeError: no bromine in 2 atoms"
        assert found.reasons[2] == found.reasons[5] == "its process died (exit code 7)"
        for i in (0, 3, 4):
            assert not found.reasons[i]
            assert found.energies[i] == pytest.approx(energy(tasks[i].positions, i % 2, 1 + i))
        assert np.isnan(found.energies[[1, 2, 5]]).all()
        expected = np.concatenate([-3.0 * task.positions for task in tasks])
        expected[[2, 3, 4, 5, 9]] = np.nan
        np.testing.assert_allclose(found.forces, expected)


def test_a_calculator_that_cannot_be_had_is_told():
    for record, says in (
        ({"calculator": "no_such.module:X", "options": {}}, "no_such.module:X.*No module named"),
        ({"calculator": "tblite.ase:TBLite", "options": {"method": "GFN9"}}, "GFN9"),
    ):
        with pytest.raises(UserError, match=says):
            Pool(record, 1).start([Task(*WATER)]).result()
    with pytest.raises(UserError, match=r"gfn9.*only gfn2-xtb, gfn1-xtb"):
        record_of("gfn9")
    with pytest.raises(UserError, match="charge, which is each molecule's own"):
        record_of({"calculator": "a:B", "options": {"charge": 1}})


def test_names_are_of_all_that_decides():
    assert label(record_of("gfn2-xtb")) == label(dict(record_of("gfn2-xtb"))) == "gfn2-xtb"
    names = {
        label(record_of({"calculator": "a.b:Kind", "options": options}))
        for options in ({}, {"x": 1}, {"x": 2}, {"y": 1})
    }
    assert len(names) == 4 and all(name.startswith("Kind-") for name in names)


def test_shares_are_even_and_molecules_stay_where_they_are():
    def tasks(sizes, names):
        return [
            Task(np.ones(n), np.zeros((n, 3)), 0, 1, k) for n, k in zip(sizes, names, strict=True)
        ]

    homes = OrderedDict()
    first = _shares(tasks([4, 3, 3, 2, 2, 2], range(6)), homes, 2)
    loads = [sum([4, 3, 3, 2, 2, 2][i] ** 2 for i in own) for own in first.values()]
    assert sorted(loads) == [22, 24]
    assert sorted(i for own in first.values() for i in own) == list(range(6))
    before = dict(homes)
    assert _shares(tasks([4, 3, 3, 2, 2, 2], range(6)), homes, 2) == first
    stayed = [name for name in range(6) if before[name] == before[0]]
    # Those of one worker alone are left: one must go, the others stay.
    left = _shares(tasks([3] * len(stayed), stayed), homes, 2)
    assert len(left) == 2
    assert sum(homes[name] != before[name] for name in stayed) == len(stayed) // 2
    assert len(_shares(tasks([5], [None]), OrderedDict(), 2)) == 1


SCRIPT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
from force2geo.calling.pool import Pool, Task
pool = Pool({"calculator": "toy_baselines:Wells", "options": {}}, 2)
pool.start([Task(np.array([1]), np.zeros((1, 3)))] * 2).result()
print(*(worker.process.pid for worker in pool._workers.values()), flush=True)
how = sys.argv[1]
if how == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "interrupted":
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
if how == "forked" and not os.fork():
    sys.exit()
if how == "left to a child":
    if os.fork():
        os._exit(0)
    os.close(1), os.close(2)
    time.sleep(30)
if how == "forked":
    os.wait()
    print(pool.start([Task(np.array([1]), np.ones((1, 3)))]).result().energies[0], flush=True)
"""


@pytest.mark.parametrize("how", ["ends", "killed", "interrupted", "forked", "left to a child"])
def test_no_worker_outlives_its_caller_however_that_ends(how, repository):
    """A script without a guard, too: none of it runs in a worker."""
    environment = os.environ | {"PYTHONPATH": f"{repository}/src:{repository}/tests"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, timeout=60,
        env=environment,
    )  # fmt: skip
    workers, *more = run.stdout.splitlines()
    assert len(workers.split()) == 2, run.stderr
    assert more == (["4.5"] if how == "forked" else [])
    deadline = time.monotonic() + 20
    while any(alive(int(pid)) for pid in workers.split()):
        assert time.monotonic() < deadline, f"left: {workers}"
        time.sleep(0.05)


def test_a_worker_survives_an_interrupt_and_ends_with_its_pool():
    pool = Pool(WELLS, 1)
    task = Task(np.array([1]), np.ones((1, 3)))
    pool.start([task]).result()
    (pid,) = processes(pool)
    os.kill(pid, signal.SIGINT)
    time.sleep(0.5)
    assert pool.start([task]).result().energies[0] == 4.5
    assert processes(pool) == [pid] and pool._workers[0].process.poll() is None
    del pool
    assert not alive(pid)
