"""One copy of the workflow, with one small shard, for all tests; one run of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import reduce
from pathlib import Path

import pytest
import yaml

FILES = ("Snakefile", "config.yaml", "workflow", "slurm")


@pytest.fixture(scope="session")
def checkout(repository, tmp_path_factory):
    """A copy of what a run needs, with one small shard of the demo's logs."""
    folder = tmp_path_factory.mktemp("with space") / "check out"
    folder.mkdir()
    for name in FILES:
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.tar.xz"))
        else:
            shutil.copy(source, folder / name)
    demo = Path("workflow/resources/demo")
    shutil.copy(repository / demo / "shard_000.tar.xz", folder / demo)
    shutil.copy(repository / "tests/workflow/mini.yaml", folder)
    return folder


def run_snakemake(folder, *arguments, configs=("mini.yaml",), change=None, without=(), check=True):
    # Nothing may be written outside the checkout: the home is a folder nobody can write to.
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(folder / ".cache")}
    if without:
        (config,) = configs
        whole = yaml.safe_load((folder / config).read_text())
        for *above, key in without:
            del reduce(dict.__getitem__, above, whole)[key]
        (folder / "without.yaml").write_text(json.dumps(whole))
        configs = ["without.yaml"]
    if change is not None:
        (folder / "change.yaml").write_text(json.dumps(change))
        configs = [*configs, "change.yaml"]
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["timeout", "-k", "5", "900", "snakemake", "--configfile", *configs, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    assert not check or done.returncode == 0, text[-6000:] + failed_logs(folder)
    # Snakemake goes on where a rule that matches too much cannot say its inputs.
    assert not check or "InputFunctionException" not in text, text[:6000]
    return text


def failed_logs(folder):
    logs = folder / "results/mini/logs"
    return "".join(f"\n== {p}\n{p.read_text()[-1500:]}" for p in logs.rglob("*.log"))


def plan(folder, change=None, without=()):
    """The rules a dry run would execute, the settings' rule and `all` left out.

    `without` are the places of keys that the run's config does not have.
    """
    text = run_snakemake(folder, "-n", "--quiet", "rules", change=change, without=without)
    found = re.findall(r"^(\w+) +\d+$", text, re.MULTILINE)
    return set(found) - {"total", "all", "settings"}


def relaxed_pieces(folder, change):
    """The pieces of relaxations that a dry run would make, within the run's folder."""
    text = run_snakemake(folder, "-n", change=change)
    return set(
        re.findall(r"^ +output: results/mini/relax/([^/\s,]+/[^/\s,]+)$", text, re.MULTILINE)
    )


@pytest.fixture(scope="session")
def finished(checkout):
    run_snakemake(checkout, "--cores", "2")
    return checkout


@pytest.fixture(scope="session")
def snakemake():
    """Run Snakemake in a folder and return what it prints."""
    return run_snakemake


@pytest.fixture(scope="session")
def planned_pieces():
    """Return the pieces of relaxations that a changed configuration would make."""
    return relaxed_pieces


@pytest.fixture(scope="session")
def planned():
    """Return the rules that a changed configuration would run."""
    return plan
