"""The command line answers at once and its errors say what to do."""

import json
import subprocess
import sys

import pytest

from force2geo.cli import COMMANDS, main

HEAVY = ("torch", "lightning", "rdkit", "pyscf", "mlflow", "pandas", "h5py", "ase")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys\nfrom force2geo.cli import main\n"
        f"try:\n    main({[command, '--help'] if command else ['--help']})\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        f"heavy = set({HEAVY!r}) & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage: force2geo" in done.stdout and (not command or "example" in done.stdout)


def test_logs_prints_json_and_tells_what_it_rejected(shared_data, tmp_path, capsys):
    good = shared_data / "logs/smash/v302_formic_acid_b3lyp_opt.out"
    bad = tmp_path / "bad.log"
    bad.write_text("nothing")
    assert main(["logs", str(good), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["program"] == "smash" and len(found["energies"]) == 7
    assert found["status"] == "normal" and len(found["positions"][0]) == 5
    assert main(["logs", str(good), str(bad)]) == 1
    printed = capsys.readouterr()
    assert "7 steps" in printed.out and "bad.log: rejected: no banner" in printed.err


def test_user_errors_are_one_line(tmp_path, capsys):
    arguments = ["select", "--settings", str(tmp_path / "no.json"), "--index", "x", "--out", "y"]
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
