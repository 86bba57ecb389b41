"""The page of the run on QM9: its tables, and what it says, against the trainings' predictions."""

import csv
import io
import re
import tarfile

import numpy as np
import pytest

SEEDS = ("", ".seed8", ".seed9")


@pytest.fixture(scope="module")
def page(repository):
    return repository / "docs/results/qm9"


@pytest.fixture(scope="module")
def errors(page):
    """Absolute errors of tested molecules, {identifier: error}, by training."""
    found = {}
    with tarfile.open(page / "trainings.tar.xz") as archive:
        for member in archive:
            name = member.name.removeprefix("train/property.random.")
            if name != member.name and name.endswith("/predictions.npz"):
                file = np.load(io.BytesIO(archive.extractfile(member).read()), allow_pickle=False)
                off = abs(file["test/property"] - file["test/property_true"])
                found[name.partition("/")[0]] = dict(zip(file["test/cid"], off, strict=True))
    return found


def mean(errors, name, seeds=SEEDS):
    return np.mean([np.mean(list(errors[name + seed].values())) for seed in seeds])


def rows(path):
    with path.open(encoding="utf-8", newline="") as handle:
        return {next(iter(row.values())): row for row in csv.DictReader(handle)}


@pytest.mark.parametrize(
    ("prediction", "worse", "better"),
    [
        ("Geometry fine-tuning improves on the same predictor on the same relaxed geometries",
         "untuned_force2geo", "geometry_force2geo"),
        ("Relaxed geometries improve on RDKit's, for the predictor that learnt on true ones",
         "untuned_rdkit", "untuned_force2geo"),
        ("Force2Prop improves on training from scratch", "painn", "force2prop"),
        ("Force2Prop improves on training from scratch with SchNet",
         "schnet", "force2prop_schnet"),
        ("Force2Prop improves on training from scratch, 500 molecules",
         "painn.train_size=500", "force2prop.train_size=500"),
        ("Force2Prop improves on training from scratch, 20000 molecules",
         "painn.train_size=20000", "force2prop.train_size=20000"),
    ],
)  # fmt: skip
def test_an_ordering_is_the_predictions_difference(page, errors, prediction, worse, better):
    row = rows(page / "orderings.csv")[prediction]
    each = []
    for seed in SEEDS:
        one, other = errors[worse + seed], errors[better + seed]
        common = one.keys() & other.keys()
        assert len(common) == int(row["Test molecules"])
        each.append(np.mean([one[key] - other[key] for key in common]))
    assert float(row["Difference of test MAE (eV)"]) == pytest.approx(np.mean(each), rel=1e-3)
    low, high = map(float, row["Difference of test MAE (eV), 95 % interval"].split(" to "))
    said = "shown" if low > 0 else "opposite" if high < 0 else "not shown"
    assert row["Verdict"] == said


def test_targets_are_the_predictions(page, errors):
    for target, row in rows(page / "targets.csv").items():
        name = "painn" if target == "gap" else f"painn.target={target}"
        mae = mean(errors, name, [""])
        assert float(row["Test MAE"]) == pytest.approx(mae, rel=1e-3), target


def test_what_the_page_says_is_what_was_predicted(page, errors):
    text = " ".join((page / "README.md").read_text(encoding="utf-8").split())
    said = {
        "PaiNN from scratch / Force2Prop": ("painn", "force2prop"),
        "SchNet from scratch / Force2Prop": ("schnet", "force2prop_schnet"),
        "as it is": ("untuned_rdkit", "untuned_force2geo"),
        "fine-tuned (noise 0.1 Å)": ("geometry_rdkit", "geometry_force2geo"),
        "| from scratch": ("scratch_rdkit", "scratch_force2geo"),
    }
    for words, names in said.items():
        told = re.search(rf"{re.escape(words)} \| ([\d.]+) / ([\d.]+) \|", text).groups()
        assert told == tuple(f"{mean(errors, name):.3f}" for name in names), words
    shares = ["painn", *(f"force2prop.share={share}" for share in (0.05, 0.2, 0.5)), "force2prop"]
    told = re.search(r"([\d.]+) from scratch, ([\d.]+), ([\d.]+), ([\d.]+) and ([\d.]+)", text)
    assert told.groups() == tuple(f"{mean(errors, name):.3f}" for name in shares)
