"""Many molecules at a time: what becomes of one is not what becomes of all."""

import pytest

from force2geo.dft import pool
from force2geo.dft.generate import Report, Settings
from force2geo.errors import UserError
from force2geo.molecules import Molecule

MOLECULES = [Molecule(f"{i:09d}", "O", "") for i in (1, 2, 3)]


def test_a_molecule_that_kills_its_process_ends_alone(tmp_path, monkeypatch):
    def run(function, jobs, workers):
        assert workers == 2 and [molecule.cid for molecule, *_ in jobs] == [
            "000000001", "000000002", "000000003",
        ]  # fmt: skip
        yield 1, None, "the process died (exit code -9): out of memory, perhaps"
        yield from ((place, function(jobs[place]), "") for place in (2, 0))

    monkeypatch.setattr(pool, "run_limited", run)
    monkeypatch.setattr(pool, "generate", lambda molecule, *_: Report(molecule.cid, "O", ""))
    reports = list(pool.generate_all(MOLECULES, tmp_path, Settings(), 2))
    assert [(report.cid, report.error.partition(" (")[0]) for report in reports] == [
        ("000000002", "the process died"), ("000000003", ""), ("000000001", ""),
    ]  # fmt: skip


def test_a_missing_program_ends_the_run(tmp_path, monkeypatch):
    def nothing(*_):
        raise UserError("MOPAC is not installed")

    monkeypatch.setattr(pool, "generate", nothing)
    monkeypatch.setattr(
        pool, "run_limited", lambda function, jobs, _: ((0, function(job), "") for job in jobs)
    )
    with pytest.raises(UserError, match="MOPAC is not installed"):
        list(pool.generate_all(MOLECULES, tmp_path, Settings(), 2))
