"""A killed relaxation goes on where it was."""

import numpy as np
import pytest
from test_relaxation import springs, starts

from force2geo.relax.journal import Journal
from force2geo.relax.relaxation import relax


class KilledError(Exception):
    pass


def test_a_killed_run_goes_on_with_what_is_left(tmp_path):
    numbers, positions = starts()
    expected = relax(numbers, positions, springs, 0.01, 80)
    target, calls = tmp_path / "out.h5", []

    def run(die_at=None):
        journal = Journal(target, {"f": 0.01}, numbers, positions, seconds=0.0)
        left = [i for i in range(len(numbers)) if i not in journal.done]
        calls.append(len(left))

        def finished(place, result):
            journal.add(left[place], result)
            if len(left) - len(calls) == die_at:
                raise KilledError

        runs = relax(
            [numbers[i] for i in left], [positions[i] for i in left], springs, 0.01, 80,
            batch_atoms=9, on_finished=finished,
        )  # fmt: skip
        journal.done |= dict(zip(left, runs, strict=True))
        journal.close()
        return [journal.done[i] for i in range(len(numbers))]

    with pytest.raises(KilledError):
        run(die_at=5)
    runs = run()
    assert calls[0] == 6 and calls[1] < 6
    for one, two in zip(expected, runs, strict=True):
        assert (one.status, one.reason, one.steps) == (two.status, two.reason, two.steps)
        np.testing.assert_allclose(one.frames, two.frames, atol=1e-8)
        np.testing.assert_allclose(one.forces, two.forces, atol=1e-6)
        np.testing.assert_allclose(one.energies, two.energies, atol=1e-8)
    assert not any(tmp_path.iterdir())


def test_other_settings_or_starts_begin_anew(tmp_path):
    numbers, positions = starts()
    journal = Journal(tmp_path / "o", {"f": 1}, numbers, positions)
    journal.add(0, relax(numbers[:1], positions[:1], springs)[0])
    journal.flush()
    assert set(Journal(tmp_path / "o", {"f": 1}, numbers, positions).done) == {0}
    moved = [x + 0.1 for x in positions]
    assert not Journal(tmp_path / "o", {"f": 1}, numbers, moved).done
    assert not Journal(tmp_path / "o", {"f": 1}, numbers, positions).done
