"""What each rule reads, seen in the plan of a run: a table by hand, not the rules' own text."""

import re
from collections import defaultdict

import pytest

# Which rules read an artifact, the settings (checked below) apart.
READ_BY = {
    "store/shard_000.lmdb": {"audit", "pack", "conformers"},
    "store/shard_000.index.parquet": {"statistics"},
    "store/shard_000.rejects.csv": {"statistics"},
    "store/index.parquet": {"select"},
    "store/statistics.json": {"evaluate", "report"},
    "store/audit.json": {"report"},
    "selection.json": {"pack", "conformers", "relax", "compare", "property"},
    "packed/benchmark.h5": {"benchmark"},
    "packed/pretrain.h5": {"pretrain"},
    "packed/downstream.h5": {"relax", "compare", "dft", "property", "evaluate"},
    "benchmark/painn/metrics.json": {"evaluate"},
    "benchmark/schnet/metrics.json": {"evaluate"},
    "pretrain/model.pt": {"relax", "property"},
    "pretrain/metrics.json": {"evaluate", "report"},
    "pretrain/predictions.npz": {"evaluate"},
    "pretrain.published/model.pt": {"relax"},
    "pretrain.published/metrics.json": {"evaluate"},
    "relax/subset.h5": {"property"},
    "relax/d_opt.h5": {"dft", "evaluate"},
    "relax/d_opt.DFT.h5": {"dft", "evaluate"},
    "relax/d_opt.published.h5": {"dft", "evaluate"},
    "dft/d_opt.csv": {"dft", "evaluate"},
    "dft/d_opt.DFT.csv": {"evaluate"},
    "property/random/painn/model.pt": {"property"},
    "property/random/painn/metrics.json": {"evaluate"},
    "property/random/force2prop/metrics.json": {"evaluate"},
    "property/random/geometry_force2geo.noise=0.05/metrics.json": {"evaluate"},
    "tables/table3.json": {"report"},
    "tables/table11.json": {"report"},
    "figures/residual.png": {"report"},
}
STARTS = {
    "painn": None,
    "force2prop": "pretrain/model.pt",
    "geometry_force2geo": "property/random/painn/model.pt",
    "geometry_force2geo.noise=0.05": "property/random/painn/model.pt",
}


@pytest.fixture(scope="module")
def jobs(checkout, snakemake):
    """Return `[(rule, inputs, outputs)]` of a whole run, paths within its results."""
    text = snakemake(checkout, "-nF", change={"select": {"test_sets": ["held.csv"]}})

    def paths(body, key):
        found = re.search(rf"^ +{key}: (.*)$", body, re.MULTILINE)
        names = found[1].split(", ") if found else []
        return {name.removeprefix("results/mini/") for name in names}

    found = re.findall(r"^(?:local)?rule (\w+):\n(.*?)(?=^\[|^Job stats)", text, re.M | re.S)
    return [(rule, paths(body, "input"), paths(body, "output")) for rule, body in found]


@pytest.fixture(scope="module", autouse=True)
def held(checkout):
    (checkout / "held.csv").write_text("smiles\nCCO\n")


def test_every_artifact_is_read_by_the_rules_that_use_it(jobs):
    read_by = defaultdict(set)
    for rule, inputs, _ in jobs:
        for path in inputs:
            read_by[path].add(rule)
    assert {path: read_by[path] for path in READ_BY} == READ_BY
    assert read_by["held.csv"] == {"select"}
    assert read_by["workflow/resources/demo/shard_000.tar.xz"] == {"curate"}
    assert read_by["workflow/resources/demo/molecules.csv"] == {"curate"}


def test_every_job_reads_its_own_stage_s_settings(jobs):
    named = {
        "pretrain.published/model.pt": "pretrain.published",
        "relax/d_opt.DFT.h5": "compare.DFT",
        "relax/d_opt.GFN2-xTB.h5": "compare.GFN2-xTB",
    }
    for rule, inputs, outputs in jobs:
        if rule not in ("all", "settings", "report"):
            own = next((name for path, name in named.items() if path in outputs), rule)
            read = {path for path in inputs if path.startswith("settings/")}
            assert read == {f"settings/{own}.json"}, rule


def test_every_recipe_starts_where_it_should(jobs):
    made = {}
    for rule, inputs, outputs in jobs:
        if rule == "property":
            (model,) = (path for path in outputs if path.endswith("model.pt"))
            starts = {path for path in inputs if path.endswith("model.pt")}
            made[model.split("/")[2]] = (starts, "relax/subset.h5" in inputs)
    assert made == {
        recipe: ({start} if start else set(), recipe.startswith("geometry_force2geo"))
        for recipe, start in STARTS.items()
    }


def test_tables_of_sweeps_are_made_where_the_config_asks_for_them(checkout, snakemake, jobs):
    (outputs,) = (outputs for rule, _, outputs in jobs if rule == "evaluate")
    assert "tables/table11.csv" in outputs and "tables/table12.csv" not in outputs
    sweeps = {"property": {"sweeps": {"noise": [], "geometry_weight": [1e-5]}}}
    text = snakemake(checkout, "-nF", "results/mini/tables/table12.csv", change=sweeps)
    assert "rule evaluate:" in text
    text = snakemake(checkout, "-nF", "results/mini/tables/table11.csv", change=sweeps, check=False)
    assert "MissingRuleException" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relax": {"max_step": 5}},
         "config: unknown key 'relax.max_step'; known here: batch_atoms, force_threshold, "
         "max_steps, optimizer"),
        ({"curate": {"name_pattern": "(?P<cid>\\d+"}},
         "config: curate.name_pattern: not a regular expression"),
        ({"compare": {"mine": {"calculator": "nowhere.at_all:Thing"}}},
         "config: compare.mine.calculator: no module 'nowhere.at_all' is installed"),
    ],
)  # fmt: skip
def test_a_dry_run_says_in_one_line_what_no_job_could_do(checkout, snakemake, change, message):
    text = snakemake(checkout, "-n", change=change, check=False)
    lines = [line for line in text.splitlines() if line.startswith("config: ")]
    assert len(lines) == 1 and lines[0].startswith(message)
    assert "Traceback" not in text


def test_a_file_changed_deep_in_a_folder_of_logs_runs_its_curation_again(checkout, snakemake):
    folder = checkout / "plain/deep"
    folder.mkdir(parents=True)
    (folder / "one.log").write_text("one")
    change = {"run": "plain", "raw": {"logs": ["plain"], "identifiers": None}}
    target = "results/plain/store/plain.lmdb"
    # Nothing in it is a log: all are rejects, and the shard is empty.
    snakemake(checkout, "--cores", "1", target, change=change)
    assert "Nothing to be done" in snakemake(checkout, "-n", target, change=change)
    (folder / "one.log").write_text("other")
    assert "rule curate:" in snakemake(checkout, "-n", target, change=change)
