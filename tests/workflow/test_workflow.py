"""The workflow as users run it, in a copy whose path has a space in it."""

import json
import os
import re

import pytest

from force2geo.potentials.unimported import missing
from force2geo.prediction import shipped

BOX = {
    "delta": {
        "potential": "Force2Geo", "title": "a toy", "data": "the demo's", "limits": ["any use"],
        "licence": "MIT", "made_by": "a test",
    }
}  # fmt: skip
GAPS = {key: value for key, value in BOX["delta"].items() if key != "potential"}


def test_every_stage_runs_and_the_page_is_complete(finished):
    results = finished / "results/mini"
    page = (results / "report.html").read_text()
    for table in (2, 3, 4, 6, 11):
        assert f"Table {table}." in page
    assert page.count("data:image/png;base64,") == 11 and 'src="http' not in page
    for suffix in ("csv", "md", "tex", "json"):
        assert (results / f"tables/table3.{suffix}").stat().st_size > 100
    assert (finished / "results/mlflow.db").exists()
    leftovers = [p for p in results.rglob(".*") if "part" in p.name or "unfinished" in p.name]
    assert leftovers == []
    assert list((finished.parent / "home").iterdir()) == []


def test_every_computed_cell_leads_to_its_checkpoint_settings_and_inputs(finished):
    seen = 0
    for number in (2, 3, 4, 6):
        table = json.loads((finished / f"results/mini/tables/table{number}.json").read_text())
        for cell in table["cells"]:
            seen += 1
            assert cell["source_hash"] and cell["settings_hash"] and cell["inputs"], cell
            for path, digest in cell["inputs"].items():
                assert (finished / path).exists() and len(digest) == 16
    assert seen > 10


def test_a_second_run_does_nothing(finished, snakemake):
    assert "Nothing to be done" in snakemake(finished, "--cores", "2")


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"compare": {"mine": {"checkpoint": "results/mini/train/pretrain/model.pt"}}},
             {"relax", "gather", "dft", "judge", "table", "report"}),
        # One more value is one more training, for the table that shows it.
        ({"property": {"sweeps": {"noise": [0.05, 1e-5]}}}, {"train", "table", "report"}),
        ({"property": {"sweeps": {"geometry_weight": [1e-5]}}}, set()),
        ({"relax": {"max_steps": 6}},
             {"relax", "finish", "gather", "dft", "judge", "train", "table", "figure", "report"}),
        ({"relax": {"batch_atoms": 99}}, set()),
        # All pieces are the same ones.
        ({"relax": {"chunk": {"potential": 500, "calculator": 1}}}, set()),
        ({"relax": {"starts": ["rdkit"]}},
             {"relax", "gather", "dft", "judge", "table", "report"}),
        ({"select": {"d_opt_size": 2}},
             {"d_opt", "relax", "finish", "gather", "dft", "judge", "table", "figure", "report"}),
        ({"compare": {"GFN1-xTB": {"calculator": "tblite.ase:TBLite"}}},
             {"relax", "gather", "dft", "judge", "table", "report"}),
        ({"tracking": {"uri": "", "experiment": "other"}}, set()),
        ({"compare": {"GFN2-xTB": {"options": {"method": "GFN1-xTB"}}}},
             {"relax", "finish", "gather", "dft", "judge", "table", "report"}),
        ({"compare": {"published": {"training": {"epochs": 2}}}},
             {"train", "relax", "gather", "dft", "judge", "table", "report"}),
        ({"dft": {"grid_level": 3}}, {"finish", "dft", "judge", "table", "figure", "report"}),
        ({"property": {"noise": 0.2}}, {"train", "table", "figure", "report"}),
        ({"benchmark": {"ema": 0.5}}, {"train", "table", "figure", "report"}),
        ({"benchmark": {"backbones": ["painn"]}}, {"table", "figure", "report"}),
        ({"benchmark": {"seeds": [8, 7]}}, {"train", "table", "figure", "report"}),
        ({"finish": {"max_gradients": 3}}, {"finish", "dft", "judge", "table", "report"}),
        ({"finish": {"potentials": ["GFN2-xTB", "DFT"]}},
             {"finish", "dft", "judge", "table", "report"}),
        ({"pretrain": {"committee": [8]}},
             {"train", "relax", "gather", "dft", "judge", "table", "figure", "report"}),
        ({"box": BOX}, set()),
        ({"tables": ["table2"]}, {"report"}),
        ({"pretrain": {"ema": 0.5}},
             {"train", "relax", "gather", "dft", "judge", "table", "figure", "report"}),
    ],
)  # fmt: skip
def test_one_changed_value_reruns_the_stages_that_depend_on_it(finished, change, stages, planned):
    assert planned(finished, change) == stages


D_OPT = ("d_opt", "d_opt.DFT", "d_opt.GFN2-xTB", "d_opt.published")


@pytest.mark.parametrize(
    ("change", "pieces"),
    [
        # The finished run has 0-1 of each D_opt, and 0-12 of the subset.
        ({"select": {"d_opt_size": 2}}, {f"{name}/0-2.h5" for name in D_OPT}),
        ({"relax": {"chunk": {"potential": 5}}},
             {"subset/0-5.h5", "subset/5-10.h5", "subset/10-12.h5"}),
        # The first piece of a set that grew at its end is the one that is there.
        ({"relax": {"chunk": {"potential": 12, "calculator": 1}}, "select": {"d_opt_size": 2}},
             {"d_opt/0-2.h5", "d_opt.published/0-2.h5",
              "d_opt.DFT/1-2.h5", "d_opt.GFN2-xTB/1-2.h5"}),
        ({"compare": {"GFN1-xTB": {"calculator": "tblite.ase:TBLite"}}}, {"d_opt.GFN1-xTB/0-1.h5"}),
        ({"compare": {"DFT": {"options": {"basis": "3-21g"}}}}, {"d_opt.DFT/0-1.h5"}),
        ({"relax": {"optimizer": "fire"}}, {"subset/0-12.h5", *(f"{n}/0-1.h5" for n in D_OPT)}),
    ],
)  # fmt: skip
def test_only_the_pieces_that_changed_relax_again(finished, change, pieces, planned_pieces):
    assert planned_pieces(finished, change) == pieces


def test_a_whole_subset_s_pieces_wait_for_the_selection(finished, planned_pieces):
    # The selection must be made again: until it is, nobody knows the subset's pieces.
    assert planned_pieces(finished, {"select": {"subset_size": None}}) == {
        f"{name}/0-1.h5" for name in D_OPT
    }


@pytest.mark.parametrize(
    ("without", "stages"),
    [
        ([("compare", "GFN2-xTB"), ("finish",)], {"table", "report"}),
        # Data sets and trainings of other sections are as they were.
        ([("benchmark",), ("tables",), ("figures",)], {"report"}),
    ],
)
def test_what_is_taken_out_of_a_config_reruns_what_showed_it(finished, without, stages, planned):
    assert planned(finished, without=without) == stages


def test_a_touched_input_reruns_its_shard_and_what_follows(finished, snakemake):
    archive = finished / "workflow/resources/demo/shard_000.tar.xz"
    before = archive.stat()
    content = archive.read_bytes()
    archive.write_bytes(content + b"\0" * 4)
    try:
        summary = snakemake(finished, "-n", "--summary")
    finally:
        archive.write_bytes(content)
        os.utime(archive, ns=(before.st_atime_ns, before.st_mtime_ns))
    rows = [line.split("\t") for line in summary.splitlines() if line.startswith("results/")]
    pending = {row[0] for row in rows if row[-1] == "update pending"}
    assert {"results/mini/store/shard_000.lmdb", "results/mini/train/pretrain/model.pt"} <= pending
    assert not any("settings/" in path for path in pending)
    assert all(row[-1] == "no update" for row in rows if "settings/" in row[0])


def test_paper_settings_plan(checkout, snakemake):
    text = snakemake(checkout, "-n", "--quiet", "rules", configs=["workflow/config/paper.yaml"])
    # Two backbones; the potential, three of shares of its data, SchNet's and the denoiser; fifteen
    # recipes and three networks on the random split, on the other those eleven that a table shows;
    # three sizes of two and three shares on both; and of the twelve values of tables 11 and 12
    # those ten that are not the recipe's own.
    others = ("faenet", "nequip", "sevennet", "mace", "pace", "allegro", "equiformer")
    installed = sum(not missing(name) for name in others)
    assert installed >= 3 and re.search(rf"^train +{65 + installed}$", text, re.MULTILINE)
    assert re.search(r"^table +14$", text, re.MULTILINE)


def test_slurm_profile_plans_and_asks_for_gpus_where_told(checkout, snakemake):
    def asking(gpus):
        change = {"resources": {"gpus": gpus}}
        text = snakemake(checkout, "--profile", "slurm", "-npF", "all", change=change)
        several = "torchrun --standalone --nproc-per-node 2 -m force2geo.cli train"
        assert (several in text) == (gpus == 2)
        jobs = re.findall(
            r"^(?:rule|checkpoint) (\w+):(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL
        )
        assert {"curate", "select", "train", "dft", "report"} <= {name for name, _ in jobs}
        asked = ((name, re.search(r"\bgpu=([1-9])", body)) for name, body in jobs)
        return {(name, int(found[1])) for name, found in asked if found}

    assert asking(0) == set()
    assert asking(2) == {("train", 2), ("train", 1), ("relax", 1)}


def test_what_another_version_of_the_code_made_is_named_and_not_made_again(finished, snakemake):
    assert "another version" not in snakemake(finished, "-n")
    record = finished / "results/mini/selection.json.provenance.json"
    text = record.read_text()
    record.write_text(re.sub(r'("code": "[^"]* source )\w+', r"\g<1>0123456789ab", text))
    try:
        told = snakemake(finished, "-n")
    finally:
        record.write_text(text)
    assert "another version of the package's code made results of: select." in told
    assert "Nothing to be done" in told


def test_own_molecules_are_relaxed_once_whatever_the_list_and_limits(checkout, snakemake):
    def relax(*molecules, max_steps=200):
        (checkout / "mine.smi").write_text("\n".join(molecules))
        change = {
            "run": "own", "raw": None,
            "generate": {"molecules": "mine.smi", "shard_size": 2, "max_steps": max_steps},
        }  # fmt: skip
        target = "results/own/store/statistics.json"
        text = snakemake(checkout, "--cores", "2", target, change=change)
        return json.loads((checkout / target).read_text()), text

    def logs():
        return {p: p.stat().st_mtime_ns for p in results.rglob("*.log") if "logs/" in str(p)}

    results = checkout / "results/own/generated/logs"
    found, _ = relax("[H][H]", "nonsense")
    assert found["trajectories"] == 1 and found["elements"] == ["H"]
    assert found["dft_1st"]["status"] == {"converged": 1}
    reports = (checkout / "results/own/generated/reports").glob("*.json")
    errors = {r["smiles"]: r["error"] for r in (json.loads(p.read_text()) for p in reports)}
    assert errors["[H][H]"] == "" and "Open Babel" in errors["nonsense"]
    before = logs()
    assert len(before) == 3
    # Another molecule on top of the list is the only one that is computed.
    found, text = relax("[He]", "[H][H]", "nonsense")
    assert (
        found["trajectories"] == 2
        and len(re.findall(r"^(?:local)?rule generate:", text, re.M)) == 1
    )
    assert before.items() <= logs().items()
    # Under another limit of steps nothing is.
    before = logs()
    found, _ = relax("[He]", "[H][H]", "nonsense", max_steps=100)
    assert found["trajectories"] == 2 and logs() == before


def test_potentials_of_a_run_are_made_for_the_box(finished, snakemake):
    both = BOX | {"gaps": {**GAPS, "recipe": "painn"}}
    change = {"pretrain": {"committee": [8]}, "box": both, "tables": []}
    snakemake(finished, "--cores", "2", "box", change=change)
    results = finished / "results/mini"
    measured = json.loads((results / "calibration/delta.json").read_text())
    known = shipped.cards(results / "box")["delta"]
    assert [path.name for path in shipped.checkpoints("delta", results / "box")] == [
        "delta.1.pt", "delta.2.pt"
    ]  # fmt: skip
    assert known.spread.quantile_95 == measured["spread"]["quantile_95"] > 0
    assert known.errors["forces"].on == "test part of pretrain.h5, dft_1st"
    metrics = json.loads((results / "train/pretrain/metrics.json").read_text())
    other = json.loads((results / "train/pretrain.seed=8/metrics.json").read_text())
    worst = max(one["test"]["force_mae"] for one in (metrics, other))
    assert 0 < known.errors["forces"].mae < worst * (1 + 1e-4)  # a mean of two is no worse
    gaps = shipped.cards(results / "box")["gaps"]
    record = json.loads((results / "train/property.random.painn/metrics.json").read_text())
    assert gaps.errors["gap"].mae == pytest.approx(record["test"]["property_mae"], rel=1e-4)
    assert gaps.errors["gap"].molecules == record["sizes"]["test"] and gaps.geometry == "dft"
