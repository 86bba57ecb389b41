"""The runner of `make mutants`, on a toy package."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")

CODE = """
def add(one, other):
    return one + other


def wait(times):
    while times > 0:
        times -= 1
    return times
"""
TESTS = """
import time
from toy import add, wait

def test_add():
    assert add(2, 3) == 5

def test_add_zero():
    assert add(2, 0) == 2

def test_wait():
    assert wait(3) == 0

def test_broken():
    assert add(1, 1) == 3
"""
MUTANTS = '''
[[mutant]]
name = "sum as product"
file = "src/toy.py"
old = "one + other"
new = "one * other"
tests = ["tests/test_toy.py::test_add"]

[[mutant]]
name = "sum as difference, seen by nobody"
file = "src/toy.py"
old = "one + other"
new = "one - other"
tests = ["tests/test_toy.py::test_add_zero"]

[[mutant]]
name = "as before, and known"
file = "src/toy.py"
old = "one + other"
new = "one - other"
tests = ["tests/test_toy.py::test_add_zero"]
reason = "zero is zero"

[[mutant]]
name = "text that is there four times"
file = "src/toy.py"
old = "times"
new = "count"
tests = ["tests/test_toy.py::test_wait"]

[[mutant]]
name = "never ends"
file = "src/toy.py"
old = "times -= 1"
new = "times += 0"
tests = ["tests/test_toy.py::test_wait"]

[[mutant]]
name = "merely crashes"
file = "src/toy.py"
old = "one + other"
new = "one +"
tests = ["tests/test_toy.py::test_add"]

[[mutant]]
name = "breaks the import"
file = "src/toy.py"
old = "def wait(times):"
new = """import nowhere
def wait(times):"""
tests = ["tests/test_toy.py::test_add"]

[[mutant]]
name = "its test fails anyway"
file = "src/toy.py"
old = "one + other"
new = "one * other"
tests = ["tests/test_toy.py::test_broken"]

[[mutant]]
name = "its test is not there"
file = "src/toy.py"
old = "one + other"
new = "one * other"
tests = ["tests/test_toy.py::test_gone"]
'''


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    for name, text in {
        "src/toy.py": CODE,
        "tests/test_toy.py": TESTS,
        "tests/mutants/toy.toml": MUTANTS,
        "pyproject.toml": "[tool.pytest.ini_options]\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def run(root, *arguments):
    command = [
        sys.executable,
        str(RUN),
        "--root",
        str(root),
        "--jobs",
        "2",
        "--limit",
        "25",
        "--preload",
    ]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=200)
    with (root / "results/mutants.csv").open(newline="") as handle:
        verdicts = {row["name"]: row for row in csv.DictReader(handle)}
    return done, verdicts


def test_verdicts(toy):
    before = {path: path.read_bytes() for path in toy.rglob("*") if path.is_file()}
    done, found = run(toy)
    assert {name: row["verdict"] for name, row in found.items()} == {
        "sum as product": "killed",
        "sum as difference, seen by nobody": "survived",
        "as before, and known": "known",
        "text that is there four times": "stale",
        "never ends": "killed",
        "merely crashes": "invalid",
        "breaks the import": "invalid",
        "its test fails anyway": "broken",
        "its test is not there": "broken",
    }, done.stdout + done.stderr
    assert found["never ends"]["detail"] == "took longer than 25 s"
    assert "4 times" in found["text that is there four times"]["detail"]
    assert "no such test" in found["its test is not there"]["detail"]
    assert done.returncode == 1
    assert {path: path.read_bytes() for path in before} == before  # edits are of copies alone
    table = (toy / "results/mutants.md").read_text()
    assert "| toy | 2 | 1 | 1 | 1 | 2 | 2 |" in table and "sum as product" not in table
    assert "| known | toy | as before, and known | src/toy.py | zero is zero |" in table
    # What was found stands while nothing changes, and is found anew when the tree does.
    _, again = run(toy)
    assert again == found
    (toy / "tests/test_toy.py").write_text(TESTS.replace("add(2, 0) == 2", "add(0, 2) == 2"))
    done, changed = run(toy, "--only", "seen by nobody|known|product")
    assert {row["verdict"] for row in changed.values()} == {"killed"} and len(changed) == 3
    assert done.returncode == 0 and "3 mutants in" in done.stdout
