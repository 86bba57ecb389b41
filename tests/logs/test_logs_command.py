"""`force2geo logs` on files, folders and archives."""

import json
import tarfile

import numpy as np
import pytest

from force2geo.cli import main
from force2geo.logs import parse_log


@pytest.fixture
def folder(tmp_path, gamess, real_log):
    """A folder with two logs at different depths, one that is refused, one that is no log."""
    home = tmp_path / "runs"
    (home / "deep/er").mkdir(parents=True)
    (home / "a.log").write_bytes(gamess)
    (home / "deep/er/b.out").write_bytes(real_log("v110_uhf_opt.out"))
    (home / "deep/mp2.log").write_bytes(real_log("us2017_water_mp2.out"))
    (home / "deep/readme.txt").write_text("not a log\n")
    return home


def test_one_object_a_file(gamess, real_log, capsys, tmp_path):
    good, cut, other = (tmp_path / name for name in ("good.log", "cut.log", "mp2.log"))
    good.write_bytes(gamess)
    cut.write_bytes(gamess[: gamess.rfind(b"GRADIENT (HARTREE/BOHR)")])
    other.write_bytes(real_log("us2017_water_mp2.out"))
    assert main(["logs", str(good), str(cut), "--json"]) == 0
    whole, part = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    log = parse_log(gamess)
    assert whole["gradients"] == log.gradients.tolist() and whole["status"] == "normal"
    assert whole["positions"] == log.positions.tolist() and whole["converged"] is True
    assert part["gradients"][-1] is None and part["gradients"][:-1] == whole["gradients"][:-1]
    assert part["energies"] == whole["energies"] and part["status"] == "abnormal"
    assert main(["logs", str(other), str(good), "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[0])["status"] == "rejected"
    assert "not an optimisation" in captured.err


def test_folder_is_read_with_all_below_it(folder, capsys):
    assert main(["logs", str(folder)]) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"{folder}/a.log", f"{folder}/deep/er/b.out"]
    assert "b3lyp(vwn5)/sto-3g, 20 atoms, 7 steps, converged, normal end" in lines[0]
    assert lines[0].endswith("last energy -382.05066777 Hartree")
    assert "multiplicity 3" in lines[1] and "multiplicity" not in lines[0]
    assert f"{folder}/deep/readme.txt: skipped: no banner" in captured.err
    assert f"{folder}/deep/mp2.log: rejected: run type is 'energy'" in captured.err
    assert "2 logs read, 1 rejected, 1 files that are no logs" in captured.err
    (folder / "deep/mp2.log").unlink()
    # A file beside the logs that is none does not make it a failure.
    assert main(["logs", str(folder)]) == 0


def test_archive_is_read_like_a_folder(folder, tmp_path, capsys):
    with tarfile.open(tmp_path / "shard.tar.xz", "w:xz") as archive:
        archive.add(folder, arcname="shard")
    assert main(["logs", str(tmp_path / "shard.tar.xz"), "--json"]) == 1
    names = {}
    for line in capsys.readouterr().out.splitlines():
        values = json.loads(line)
        names[values["file"].split("shard.tar.xz/")[1]] = values["status"]
    assert names == {
        "shard/a.log": "normal", "shard/deep/er/b.out": "normal", "shard/deep/mp2.log": "rejected",
    }  # fmt: skip


def test_nothing_read_is_status_2(tmp_path, capsys, real_log):
    assert main(["logs", str(tmp_path)]) == 2
    assert "0 logs read" in capsys.readouterr().err
    assert main(["logs", str(tmp_path / "nothing.log")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{tmp_path}/nothing.log: rejected: no such") and "Trace" not in error
    text = tmp_path / "text.log"
    text.write_text("not a log\n")
    # Named itself, what is no log is a failure.
    assert main(["logs", str(text)]) == 2
    assert "rejected: no banner" in capsys.readouterr().err
    (tmp_path / "water.log").write_bytes(real_log("water_hf.pyscf.log"))
    assert main(["logs", str(text), str(tmp_path / "water.log")]) == 1


def test_notes_are_shown(tmp_path, gamess, capsys):
    twice = tmp_path / "twice.log"
    twice.write_bytes(gamess + gamess[: len(gamess) * 2 // 3])
    assert main(["logs", str(twice)]) == 0
    assert "\n  note: another run in the file left out: 6 steps" in capsys.readouterr().out
    assert main(["logs", str(twice), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["notes"][0].startswith("another run in the file left out")
    np.testing.assert_array_equal(found["energies"], parse_log(gamess).energies)
