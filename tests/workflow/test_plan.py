"""What each rule reads, seen in the plan of a run: a table by hand, not the rules' own text."""

import json
import re
import shlex
from collections import defaultdict

import pytest

from force2geo.cli import build_parser

# Which rules read an artifact, the settings (checked below) apart.
READ_BY = {
    "store/shard_000.lmdb": {"audit", "data"},
    "store/shard_000.index.parquet": {"statistics"},
    "store/shard_000.rejects.csv": {"statistics"},
    "store/index.parquet": {"select", "d_opt"},
    "store/statistics.json": {"table", "figure", "report"},
    "store/audit.json": {"report"},
    "selection.json": {"data", "d_opt", "relax", "gather", "train"},
    "d_opt.json": {"relax", "gather"},
    "packed/benchmark.h5": {"train"},
    "packed/pretrain.h5": {"train", "baseline"},
    "baseline/pretrain.gfn2-xtb.h5": {"train"},
    "packed/downstream.h5": {"relax", "dft", "train", "judge"},
    "train/benchmark.painn/metrics.json": {"table", "figure"},
    "train/benchmark.schnet/metrics.json": {"table", "figure"},
    "train/pretrain/model.pt": {"relax", "train"},
    "train/pretrain/metrics.json": {"table", "figure", "report"},
    "train/pretrain/predictions.npz": {"figure"},
    "train/pretrain.published/model.pt": {"relax"},
    "train/pretrain.published/metrics.json": {"table"},
    "relax/subset/0-12.h5": {"gather"},
    "relax/d_opt.DFT/0-1.h5": {"gather"},
    "relax/subset.h5": {"train"},
    "relax/d_opt.h5": {"dft", "judge", "figure"},
    "relax/d_opt.DFT.h5": {"dft", "judge"},
    "relax/d_opt.published.h5": {"dft", "judge"},
    "dft/d_opt.csv": {"dft", "judge"},
    "dft/d_opt.DFT.csv": {"judge"},
    "judged/d_opt.csv": {"table", "figure"},
    "judged/d_opt.DFT.csv": {"table"},
    "train/property.random.painn/model.pt": {"train"},
    "train/property.random.painn/metrics.json": {"table"},
    "train/property.random.painn/predictions.npz": {"table", "figure"},
    "train/property.random.force2prop/metrics.json": {"table"},
    "train/property.random.geometry_force2geo.noise=0.05/metrics.json": {"table"},
    "train/property.random.geometry_force2geo.noise=0.05/predictions.npz": {"table"},
    "tables/table3.json": {"report"},
    "tables/table11.json": {"report"},
    "figures/residual.png": {"report"},
}
PAINN = "train/property.random.painn/model.pt"
# What each training reads beside its settings.
TRAINED_ON = {
    "benchmark.schnet": {"packed/benchmark.h5"},
    "benchmark.painn": {"packed/benchmark.h5"},
    "pretrain": {"packed/pretrain.h5"},
    "pretrain.published": {"packed/pretrain.h5", "baseline/pretrain.gfn2-xtb.h5"},
    "property.random.painn": {"packed/downstream.h5", "selection.json"},
    "property.random.force2prop": {
        "packed/downstream.h5", "selection.json", "train/pretrain/model.pt",
    },
    "property.random.geometry_force2geo": {
        "packed/downstream.h5", "selection.json", PAINN, "relax/subset.h5",
    },
    "property.random.geometry_force2geo.noise=0.05": {
        "packed/downstream.h5", "selection.json", PAINN, "relax/subset.h5",
    },
}  # fmt: skip
# What each table and figure is made of.
SHOWN = {
    "tables/table2.csv": {f"train/benchmark.{n}/metrics.json" for n in ("painn", "schnet")},
    "tables/table3.csv": {
        *(f"judged/d_opt{n}.csv" for n in ("", ".GFN2-xTB", ".DFT", ".published")),
        *(f"{kind}/d_opt.GFN2-xTB.finished.csv" for kind in ("judged", "finish")),
        "train/pretrain/metrics.json", "train/pretrain.published/metrics.json",
    },
    "tables/table3_paired.csv": {
        *(f"judged/d_opt{n}.csv" for n in ("", ".GFN2-xTB", ".DFT", ".published")),
        *(f"{kind}/d_opt.GFN2-xTB.finished.csv" for kind in ("judged", "finish")),
    },
    "tables/table11.csv": {
        f"train/property.random.geometry_force2geo.noise=0.05/{name}"
        for name in ("metrics.json", "predictions.npz")
    },
    "figures/relaxation.png": {"relax/d_opt.h5"},
}  # fmt: skip


@pytest.fixture(scope="module")
def jobs(checkout, snakemake):
    """Return `[(rule, inputs, outputs)]` of a whole run, paths within its results."""
    return jobs_in(snakemake(checkout, "-nF", change={"select": {"test_sets": ["held.csv"]}}))


def jobs_in(text):
    """Return `[(rule, inputs, outputs)]` that a dry run prints, paths within its results."""

    def paths(body, key):
        found = re.search(rf"^ +{key}: (.*)$", body, re.MULTILINE)
        names = found[1].split(", ") if found else []
        return {name.removeprefix("results/mini/") for name in names}

    found = re.findall(
        r"^(?:(?:local)?rule|checkpoint) (\w+):\n(.*?)(?=^\[|^Job stats)", text, re.M | re.S
    )
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


def settings_of(rule, outputs):
    """The name of the settings that a job is to read, by hand."""
    if rule == "train":
        (model,) = (path for path in outputs if path.endswith("model.pt"))
        return model.removesuffix("/model.pt")
    if rule in ("table", "figure"):
        (first, *_) = sorted(outputs)
        kind, name = first.split("/")
        return f"{kind.removesuffix('s')}/{name.rpartition('.')[0]}"
    if rule == "data":
        (path,) = outputs
        return f"data/{path.removeprefix('packed/').removesuffix('.h5')}"
    if rule == "baseline":
        return "baseline/pretrain.gfn2-xtb"
    if rule == "finish":
        (table,) = (path for path in outputs if path.endswith(".csv"))
        return table.removesuffix(".csv")
    if rule == "relax":
        (path,) = outputs
        return path.rpartition("/")[0]
    if rule == "gather":
        (path,) = outputs
        return path.removesuffix(".h5")
    return rule


def test_every_job_reads_its_own_settings(jobs):
    for rule, inputs, outputs in jobs:
        if rule not in ("all", "settings", "judge"):
            read = {path for path in inputs if path.startswith("settings/")}
            assert read == {f"settings/{settings_of(rule, outputs)}.json"}, rule


def test_every_training_reads_what_its_record_names(jobs):
    made = {}
    for rule, inputs, outputs in jobs:
        if rule == "train":
            name = settings_of(rule, outputs).removeprefix("train/")
            made[name] = {path for path in inputs if not path.startswith("settings/")}
    assert made == TRAINED_ON


def test_a_finish_reads_the_relaxation_and_the_checkpoint_that_relaxed(checkout, snakemake):
    change = {"finish": {"potentials": ["Force2Geo", "GFN2-xTB"]}}
    made = {}
    for rule, inputs, outputs in jobs_in(snakemake(checkout, "-nF", change=change)):
        if rule == "finish":
            name = settings_of(rule, outputs).removeprefix("finish/")
            made[name] = {path for path in inputs if not path.startswith("settings/")}
    assert made == {
        "d_opt.finished": {"relax/d_opt.h5", "train/pretrain/model.pt"},
        "d_opt.GFN2-xTB.finished": {"relax/d_opt.GFN2-xTB.h5"},
    }


def test_rounds_of_labels_follow_one_another(checkout, snakemake):
    (checkout / "pool.csv").write_text("cid,smiles\n1,C\n")
    own = {"start": 20, "budget": 5, "rounds": 2, "seeds": [7], "members": 2}

    def made(more):
        change = {"active": own | more, "tables": ["active"], "figures": []}
        found = jobs_in(snakemake(checkout, "-nF", "active", change=change))
        return {next(iter(outputs)): (rule, inputs) for rule, inputs, outputs in found if outputs}

    start, first = "active/active.seed7.start.csv", "active/active.seed7.spread.1.csv"
    committee = {f"train/active.seed7.spread.1.member{k}/model.pt" for k in (0, 1)}
    read = made({})
    assert read["active/active.seed7.spread.2.csv"] == ("choose", {
        "settings/choose/active.seed7.spread.2.json", "packed/pretrain.h5", start, first,
        *committee,
    })  # fmt: skip
    assert read["packed/active.seed7.spread.1.h5"] == (
        "round", {"packed/pretrain.h5", start, first}
    )  # fmt: skip
    assert sum(rule == "train" for rule, _ in read.values()) == 2 * (1 + 2 * 2)
    read = made({"pool": "pool.csv"})
    labels = [f"active/active.seed7.spread.{k}/labels.csv" for k in (1, 2)]
    assert read[labels[1]] == (
        "label", {"pool.csv", "selection.json", "store/index.parquet", labels[0], *committee}
    )  # fmt: skip
    assert read["packed/active.seed7.spread.2.h5"] == (
        "round", {"packed/pretrain.h5", start, *labels}
    )  # fmt: skip


def test_tables_and_figures_read_no_more_than_they_show(jobs):
    for name, expected in SHOWN.items():
        (inputs,) = (inputs for _, inputs, outputs in jobs if name in outputs)
        assert {path for path in inputs if not path.startswith("settings/")} == expected


def test_a_table_is_made_by_its_name_and_by_no_other_s_trainings(checkout, snakemake):
    text = snakemake(checkout, "-nF", "table2")
    assert set(re.findall(r"^(?:(?:local)?rule|checkpoint) (\w+):", text, re.M)) == {
        "settings", "curate", "statistics", "select", "data", "train", "table", "table2",
    }  # fmt: skip
    assert "rule figure:" in snakemake(checkout, "-nF", "figure_residual")
    text = snakemake(checkout, "-nF", "table2", change={"benchmark": {"seeds": [7, 8]}})
    assert set(re.findall(r"output: \S+/train/(benchmark[\w.]+)/model\.pt", text)) == {
        "benchmark.schnet", "benchmark.schnet.seed8", "benchmark.painn", "benchmark.painn.seed8",
    }  # fmt: skip
    text = snakemake(checkout, "-nF", "all_tables")
    assert len(re.findall(r"^rule table:", text, re.M)) == 7 and "rule figure:" not in text


def planned_jobs(text):
    return dict(re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE))


def test_a_run_s_config_is_not_put_on_the_demo_s(checkout, snakemake):
    """Nothing of `config.yaml`'s runs where another config does not ask for it."""
    logs = {"logs": ["workflow/resources/demo"]}
    (checkout / "bare.yaml").write_text(json.dumps({"run": "bare", "raw": logs}))
    jobs = planned_jobs(snakemake(checkout, "-n", "--quiet", "rules", configs=["bare.yaml"]))
    assert jobs == {"settings": "4", "curate": "1", "audit": "1", "statistics": "1",
                    "report": "1", "all": "1", "total": "9"}  # fmt: skip


def test_d_opt_is_relaxed_and_judged_by_others_alone(checkout, snakemake):
    """Without a potential of its own, no single points wait for those of that one."""
    config = {
        "run": "others", "raw": {"logs": ["workflow/resources/demo"]},
        "compare": {"xTB": {"calculator": "tblite.ase:TBLite"}}, "tables": ["table3"],
    }  # fmt: skip
    (checkout / "others.yaml").write_text(json.dumps(config))
    text = snakemake(checkout, "-n", "--quiet", "rules", configs=["others.yaml"])
    jobs = planned_jobs(text)
    assert jobs["dft"] == jobs["judge"] == "1" and not {"train", "figure"} & set(jobs)


def test_a_set_in_d_opt_s_place_needs_no_selection(checkout, snakemake):
    (checkout / "apart").mkdir()
    (checkout / "apart/minima.h5").touch()
    config = {
        "run": "apart", "data": {"apart": {"from": "d_opt_120", "folder": "apart"}},
        "relax": {"d_opt": "apart"}, "tables": ["table3"],
        "compare": {"xTB": {"calculator": "tblite.ase:TBLite"}}, "finish": {"potentials": ["xTB"]},
    }  # fmt: skip
    (checkout / "apart.yaml").write_text(json.dumps(config))
    text = snakemake(checkout, "-n", "--quiet", "rules", configs=["apart.yaml"])
    jobs = planned_jobs(text)
    assert jobs["data"] == jobs["gather"] == jobs["finish"] == "1"
    assert jobs["dft"] == jobs["judge"] == "2"  # before and after DFT's steps
    assert not {"curate", "select", "d_opt", "train"} & set(jobs)


def test_networks_are_compared_on_a_data_set_without_logs(checkout, snakemake):
    (checkout / "frames").mkdir()
    for part in ("train", "test"):
        (checkout / f"frames/ethanol_{part}_01.xyz.gz").touch()
    frames = {"from": "rmd17", "folder": "frames", "molecules": ["ethanol"]}
    config = {
        "run": "frames", "data": {"frames": frames},
        "models": {"painn": {"layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}},
        "benchmark": {"backbones": ["painn"], "batch_size": {"painn": 8}, "data": "frames"},
        "tables": ["table2"], "figures": ["cost_accuracy"],
    }  # fmt: skip
    (checkout / "own.yaml").write_text(json.dumps(config))
    jobs = planned_jobs(snakemake(checkout, "-n", "--quiet", "rules", configs=["own.yaml"]))
    assert jobs == {"settings": "5", "data": "1", "train": "1", "table": "1", "figure": "1",
                    "report": "1", "all": "1", "total": "11"}  # fmt: skip
    text = snakemake(checkout, "-n", "results/frames/packed/frames.h5", configs=["own.yaml"])
    (inputs,) = re.findall(r"^checkpoint data:\n +input: (.*)$", text, re.MULTILINE)
    # Other files are other snapshots.
    assert inputs.split(", ") == [
        "results/frames/settings/data/frames.json",
        "frames/ethanol_train_01.xyz.gz", "frames/ethanol_test_01.xyz.gz",
    ]  # fmt: skip


def test_property_models_learn_from_molecules_with_splits_of_their_own(checkout, snakemake):
    """Their geometries relax from RDKit's, and the selection has no say in them."""
    (checkout / "raw").mkdir()
    for name in ("dsgdb9nsd_000001.xyz", "uncharacterized.txt"):
        (checkout / "raw" / name).touch()
    qm9 = {"from": "qm9", "origin": "raw", "folder": "raw", "train": 9, "test": 9}
    recipes = {"recipes": ["painn", "geometry_force2geo"], "data": "mols", "target": "u0_atom"}
    change = {"data": {"mols": qm9}, "property": recipes, "tables": ["table4"], "figures": []}
    name = "results/mini/train/property.random.geometry_force2geo/model.pt"
    text = snakemake(checkout, "-n", name, change=change)
    inputs = {
        rule: found.split(", ")
        for rule, found in re.findall(r"^\w+ (\w+):\n +input: (.*)$", text, re.MULTILINE)
    }
    assert "results/mini/relax/all.mols.h5" in inputs["train"]
    assert "results/mini/selection.json" not in inputs["train"]
    assert "results/mini/seen.json" in inputs["train"]  # tests do without what is in it
    assert "results/mini/packed/mols.h5" in inputs["gather"]
    (files,) = (one for one in re.findall(r"input: (.*)", text) if "data/mols.json" in one)
    assert files == "results/mini/settings/data/mols.json, raw/uncharacterized.txt"
    jobs = planned_jobs(text)
    # How many relax, and by what, is planned when they are there.
    assert (jobs["data"], jobs["train"], jobs["gather"]) == ("1", "2", "1")
    # Those of D_opt stay the store's.
    text = snakemake(checkout, "-n", "results/mini/judged/d_opt.csv", change=change)
    (inputs,) = re.findall(r"^rule judge:\n +input: (.*)$", text, re.MULTILINE)
    assert inputs.split(", ")[2] == "results/mini/packed/downstream.h5"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"property": {"target": ["gap", "mass"]}},
         "config: property.target: 'downstream' has no target 'mass', only gap"),
        ({"relax": {"max_step": 5}},
         "config: unknown key 'relax.max_step'; known here: batch_atoms, chunk, "
         "d_opt, force_threshold, max_steps, optimizer, potential, starts"),
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


@pytest.mark.parametrize("uri", ["", "sqlite:///my runs.db"])
def test_a_training_s_command_is_one_wherever_it_is_tracked(checkout, snakemake, uri):
    target = "results/mini/train/benchmark.painn/model.pt"
    text = snakemake(checkout, "-npF", target, change={"tracking": {"uri": uri, "experiment": "x"}})
    (line,) = (line for line in text.splitlines() if "force2geo train" in line)
    words = shlex.split(line.partition(">")[0])
    args = build_parser("train").parse_args(words[words.index("train") :])
    assert (args.tracking, args.experiment) == (uri, "x")
