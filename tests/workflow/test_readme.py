"""Every snippet and command of the README, on a small run."""

import inspect
import re
import shlex
import shutil
import subprocess
import tomllib

import pytest
import yaml

from force2geo.cli import COMMANDS, build_parser, main
from force2geo.config import resolve
from force2geo.errors import UserError
from force2geo.potentials.checkpoint import Model


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text()


@pytest.fixture(scope="module")
def as_demo(finished):
    """The small run under the name that the README uses, and the files it speaks of."""
    results = finished / "results"
    if not (results / "demo").exists():
        (results / "demo").symlink_to("mini")
    (finished / "in.sdf").write_text(WATER)
    (finished / "molecules.smi").write_text("O water\nCO\n")
    (finished / "mine.smi").write_text("O\n")
    shutil.copy(finished / "workflow/resources/demo/molecules.csv", finished / "cids.csv")
    return finished


WATER = """water
     RDKit          3D

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.1200 O   0  0
    0.0000    0.7600   -0.4700 H   0  0
    0.0000   -0.7600   -0.4700 H   0  0
  1  2  1  0
  1  3  1  0
M  END
$$$$
"""


def blocks(readme, language):
    return re.findall(rf"^```{language}\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)


def commands(readme):
    """Return the words of every command in a block without a language."""
    found = []
    # Blocks with a language go first: the end of one must not be taken for a start.
    for block in blocks(re.sub(r"^```\w+\n.*?^```$", "", readme, flags=re.M | re.S), ""):
        for line in block.replace("\\\n", " ").splitlines():
            if line.split(" ")[0] in ("make", "source", "snakemake", "force2geo", "pip"):
                found.append(shlex.split(line, comments=True))
    return found


def of(readme, program):
    return [words for words in commands(readme) if words[0] == program]


def test_the_commands_are_found(readme):
    counts = {program: len(of(readme, program)) for program in ("make", "snakemake", "force2geo")}
    assert counts["make"] >= 2 and counts["snakemake"] >= 7 and counts["force2geo"] >= 5


def test_python_snippets_run(readme, as_demo, monkeypatch):
    monkeypatch.chdir(as_demo)
    exported = []

    def export(self, *args, **options):
        # Compiling takes minutes' worth of seconds and has its own test.
        exported.append(inspect.signature(real).bind(self, *args, **options))

    real = Model.export
    monkeypatch.setattr(Model, "export", export)
    names = {}
    snippets = blocks(readme, "python")
    assert len(snippets) == 7
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), names)
    assert names["row"].name == "CO" and "gap" in names["row"].values
    assert names["result"]["forces"].shape == (9, 3) and len(exported) == 1
    assert names["shard"]["000000176"].stages["dft_1st"].gradients.shape[2] == 3
    assert names["ethanol"].get_potential_energy() == pytest.approx(
        names["result"]["energy"], abs=1e-3
    )


def test_its_own_config_is_planned(readme, as_demo, snakemake, tmp_path):
    """`my.yaml` of the README, its /data here, alone and on the published settings."""
    (text,) = (block for block in blocks(readme, "yaml") if block.startswith("# my.yaml"))
    (tmp_path / "pubchemqc").mkdir()
    demo = as_demo / "workflow/resources/demo"
    shutil.copy(demo / "shard_000.tar.xz", tmp_path / "pubchemqc")
    shutil.copy(demo / "molecules.csv", tmp_path / "pubchemqc/cids.csv")
    (tmp_path / "molecule3d_test.csv").write_text("smiles\nCCO\n")
    (as_demo / "my.yaml").write_text(text.replace("/data/", f"{tmp_path}/"))
    for words in of(readme, "snakemake"):
        configs = [words[at + 1] for at, word in enumerate(words) if word == "--configfile"]
        rest = [word for word in words[1:] if word != "--configfile" and word not in configs]
        # An option that names a stage's rule is a plan of this run; the others plan their own.
        done = snakemake(as_demo, "-n", "--quiet", "rules", *rest, configs=configs or ["mini.yaml"])
        assert "Nothing to be done" in done or re.search(r"^total +\d+$", done, re.MULTILINE), words
    text = snakemake(as_demo, "-n", "--quiet", "rules",
                     configs=["workflow/config/paper.yaml", "my.yaml"])  # fmt: skip
    assert re.search(r"^curate +1$", text, re.MULTILINE)
    assert "snakemake --cores all --configfile workflow/config/paper.yaml my.yaml" in readme


def test_its_other_potentials_are_valid(readme, repository, monkeypatch):
    monkeypatch.chdir(repository)
    (text,) = (block for block in blocks(readme, "yaml") if block.startswith("compare:"))
    config = yaml.safe_load((repository / "config.yaml").read_text())
    config["compare"] = yaml.safe_load(text)["compare"]
    config["compare"]["earlier"]["checkpoint"] = "config.yaml"
    # Of MACE-OFF the README says that it must be installed first, and so does the check.
    with pytest.raises(UserError, match=r"MACE-OFF\.calculator: no module 'mace"):
        resolve(config)
    del config["compare"]["MACE-OFF"]
    resolve(config)


def test_what_pip_is_to_install_and_source_to_read_is_there(readme, repository):
    """Neither is run here: there is no network, and the environment is the one that runs this."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    calls = of(readme, "pip")
    assert calls and all(words[:2] == ["pip", "install"] for words in calls)
    for words in calls:
        *options, wanted = words[2:]
        if options:
            assert options[0] == "-c" and (repository / options[1]).is_file()
        ((name, extra),) = re.findall(r"^(\w+|\.)(?:\[([\w-]+)\])?$", wanted)
        assert name in (project["name"], ".")
        assert not extra or extra in project["optional-dependencies"]
    made = (repository / "Makefile").read_text()
    assert {words[1] for words in of(readme, "source")} == {".venv/bin/activate"}
    assert ". .venv/bin/activate" in made or "source .venv/bin/activate" in made


def test_make_targets_are_there(readme, repository):
    rules = subprocess.run(["make", "-pRrq", ":"], cwd=repository, capture_output=True, text=True,
                           check=False).stdout  # fmt: skip
    for words in of(readme, "make"):
        for target in words[1:]:
            assert re.search(rf"^{target}:", rules, re.MULTILINE), target


def test_force2geo_commands_are_valid_and_relax_as_said(readme, as_demo, monkeypatch):
    monkeypatch.chdir(as_demo)
    given = of(readme, "force2geo")
    for words in given:
        build_parser(words[1]).parse_args(words[1:])
    relaxations = [words[1:] for words in given if words[1] == "relax"]
    assert [words.count("--finish") for words in relaxations] == [0, 1, 0, 0, 1]
    for words in relaxations:
        # The small run's potential is no good: a molecule may end badly, and is then said to.
        assert main(words) in (0, 1), words
        written = (as_demo / words[2]).read_text()
        molecules = 1 if words[1] == "in.sdf" else 2
        status = "<status>" if words[2].endswith(".sdf") else " status="
        assert written.count(status) == molecules
        assert written.count("<finish_status>") == molecules * words.count("--finish")
    predictions = [words[1:] for words in given if words[1] == "predict"]
    assert [words.count("--relax") for words in predictions] == [1, 1, 0, 1]
    for words in predictions:
        # The small potential may take a molecule apart or away: then there is no number.
        assert main(words) in (0, 1) + (2,) * words.count("--relax"), words
    assert len((as_demo / "gaps.csv").read_text().splitlines()) == 3
    assert (as_demo / "gaps.sdf").read_text().count("<status>") == 1
    # The two directions of the published format, the way out first.
    inward, outward = (words[1:] for words in given if words[1] == "published")
    assert main(outward) == 0
    (as_demo / "Data01.lmdb").rename(as_demo / "Data06.lmdb")
    assert main(inward) == 0


def test_commands_named_in_the_text_exist(readme, repository):
    named = set(re.findall(r"`force2geo ([a-z-]+)", readme))
    assert len(named) > 15 and named <= set(COMMANDS)
    for path in re.findall(r"`((?:workflow|slurm|benchmarks|envs|tests)/[\w./]+)`", readme):
        assert (repository / path).exists(), path
    wrapped = " ".join(readme.split())
    (command,) = re.findall(r"`srun [^`]*?(force2geo train [^`]*)`", wrapped)
    build_parser("train").parse_args(command.split()[1:])
