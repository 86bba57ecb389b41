"""The words for how far a prediction can be trusted, at their limits; on real molecules."""

import json

import numpy as np
import pytest
import torch

import force2geo
from force2geo.cli import main
from force2geo.potentials.heads import Head
from force2geo.prediction.applicability import judged, worse
from force2geo.prediction.ensemble import Ensemble
from force2geo.training_data.conformers import Conformers, Target, write_conformers

ONE = {"property": Head("property", "gap", "eV")}
ETHANOL = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])
NONE, NEAR = {"gap": np.array([5.0])}, np.array([0.5])


def ensemble(make, count=1, **options):
    paths = [make(f"{place}.pt", place, heads=ONE, **options) for place in range(count)]
    return Ensemble.read(paths)


@pytest.mark.parametrize(
    ("atoms", "heavy", "word", "reason"),
    [
        ((9, 20), (3, 9), "in", ""),
        ((2, 9), (1, 3), "in", ""),
        ((10, 20), (3, 9), "edge", "9 atoms, training had 10 to 20"),
        ((12, 20), (3, 9), "outside", "9 atoms, training had 12 to 20"),
        ((2, 8), (1, 3), "edge", "9 atoms, training had 2 to 8"),
        ((2, 7), (1, 3), "outside", "9 atoms, training had 2 to 7"),
        ((2, 9), (1, 2), "outside", "3 heavy atoms, training had 1 to 2"),
    ],
)
def test_sizes(make, atoms, heavy, word, reason):
    found = ensemble(make)
    kept = found.models[0].network.config["domain"]
    kept["atoms"], kept["heavy"] = list(atoms), list(heavy)
    assert judged(found, ETHANOL, NONE, NEAR) == (word, reason)


@pytest.mark.parametrize(
    ("distances", "word"),
    [([1.0], "in"), ([1.01], "edge"), ([1.5], "edge"), ([1.51], "outside"),
     ([0.2, 1.4, 9.0], "edge"), ([0.2, 0.4, 9.0], "in"), ([np.nan], "unknown")],
)  # fmt: skip
def test_distances_of_several_models_are_told_by_their_median(make, distances, word):
    found = ensemble(make, len(distances))
    values = {"gap": np.full(len(distances), 5.0)}
    said, reason = judged(found, ETHANOL, values, np.array(distances))
    assert said == word and bool(reason) == (word != "in")


@pytest.mark.parametrize(
    ("values", "word"),
    [([5.0, 5.0 + 0.49 * 2**0.5], "in"), ([5.0, 5.0 + 0.51 * 2**0.5], "edge"),
     ([5.0, 5.0 + 0.99 * 2**0.5], "edge"), ([5.0, 5.0 + 1.01 * 2**0.5], "outside")],
)  # fmt: skip
def test_models_that_differ_by_half_of_what_validation_is_off_are_at_the_edge(make, values, word):
    """Two values d apart have the standard deviation d / √2."""
    found = ensemble(make, 2, errors={"gap": 1.0})
    said, reason = judged(found, ETHANOL, {"gap": np.array(values)}, np.array([0.5, 0.5]))
    assert said == word
    if word != "in":
        assert reason.startswith("models differ by") and "eV in gap" in reason


def test_the_worst_word_is_told_with_all_reasons(make):
    found = ensemble(make, errors={"gap": 1.0})
    found.models[0].network.config["domain"]["atoms"] = [2, 8]
    said = judged(found, ETHANOL, NONE, np.array([2.0]))
    assert said == ("outside", "9 atoms, training had 2 to 8; "
                    "2 times as far from training as 95 % of it from the rest")  # fmt: skip
    assert worse(("in", ""), ("edge", "a")) == ("edge", "a")
    assert worse(("outside", "b"), ("edge", "a")) == ("outside", "a; b")
    assert worse(("unknown", "b"), ("", "")) == ("unknown", "b")


def test_a_checkpoint_of_before_says_that_it_does_not_know(make):
    (row,) = force2geo.predict("CCO", models=make("m.pt", domain=False))
    assert row.values and row.applicability == "unknown"
    assert row.reason.startswith("unknown distance") and np.isnan(row.distance)


def record(seed):
    return {
        "objective": "property", "target": "gap", "split": "random", "geometry": "dft",
        "start": None, "mixed": False, "seed": seed, "epochs": 50, "batch_size": 32, "ema": 0.9,
        "gradient_clip": 10.0,
        "backbone": {"name": "painn", "layers": 2, "features": 24, "basis_size": 12, "cutoff": 4.0},
        "optimizer": {"name": "adam", "learning_rate": 4e-3, "betas": [0.9, 0.999],
                      "weight_decay": 0.0},
        "schedule": {"name": "cosine", "warmup": 0.05},
    }  # fmt: skip


TRAIN, SMALL = 420, slice(483, 783)


@pytest.fixture(scope="module")
def trained(sample, tmp_path_factory):
    """Two seeds of a model for the gaps of 420 molecules with up to six heavy atoms."""
    folder, count = tmp_path_factory.mktemp("gap"), len(sample.cids)
    gap = {"gap": Target(sample.gap, "eV")}
    geometries = dict.fromkeys(("dft", "hf", "rdkit"), sample.positions)
    write_conformers(folder / "c.h5", Conformers(
        sample.cids, sample.ptr, sample.numbers, gap, geometries, np.zeros(count, int),
        np.ones(count, int),
    ))  # fmt: skip
    parts = {"train": sample.cids[:TRAIN], "val": sample.cids[TRAIN : SMALL.start],
             "test": sample.cids[SMALL]}  # fmt: skip
    (folder / "selection.json").write_text(json.dumps({"random": parts}))
    models = []
    for seed in (1, 2):
        (folder / f"{seed}").mkdir()
        (folder / f"{seed}.json").write_text(json.dumps(record(seed)))
        models.append(folder / f"{seed}" / "model.pt")
        arguments = ["--settings", folder / f"{seed}.json", "--data", folder / "c.h5",
                     "--selection", folder / "selection.json", "--out", models[-1]]  # fmt: skip
        assert main(["train", *map(str, arguments)]) == 0
    return models


def test_a_training_keeps_what_it_learnt_from_and_how_well(sample, trained):
    known = force2geo.load(trained[0]).domain
    heavy = [(sample.atoms(row).numbers > 1).sum() for row in range(TRAIN)]
    assert known.atoms == (sample.sizes[:TRAIN].min(), sample.sizes[:TRAIN].max())
    assert known.heavy == (min(heavy), max(heavy)) == (1, 6)
    with np.load(trained[0].with_name("predictions.npz")) as file:
        errors = np.abs(file["val/property"] - file["val/property_true"])
    assert known.errors == {"gap": pytest.approx(np.quantile(errors, 0.95), rel=1e-5)}
    model = force2geo.load(trained[0])
    assert len(known.neighbourhood.references) == TRAIN
    molecules = [sample.atoms(row) for row in range(TRAIN)]
    rows = list(force2geo.predict(molecules, models=trained[0]))
    assert max(row.distance for row in rows) < 0.02  # each is its own reference
    assert model.network.config["domain"]["neighbourhood"]["references"].dtype == torch.float16


def test_real_molecules_farther_away_are_predicted_worse(sample, trained):
    """On molecules of QM9 that training never saw: of its own size, and half as large again."""
    places = range(SMALL.start, len(sample.cids))
    rows = list(force2geo.predict([sample.atoms(row) for row in places], "gap", trained))
    errors = np.abs([row.values["gap"] for row in rows] - sample.gap[SMALL.start :])
    words = np.array([row.applicability for row in rows])
    distances = np.array([row.distance for row in rows])
    like = np.arange(len(rows)) < SMALL.stop - SMALL.start
    inside, larger = errors[like & (words == "in")], errors[~like]
    doubted = errors[like & (words != "in")]
    assert (words[~like] == "outside").all()  # nine heavy atoms, training had six
    assert larger.mean() > 1.3 * inside.mean()
    # Of its own size nine in ten are in; the others are off by far more.
    assert (words[like] == "in").mean() > 0.85 and len(doubted) >= 5
    assert doubted.mean() > 1.5 * inside.mean()
    order = np.argsort(distances[like])
    near, far = np.array_split(errors[like][order], 2)
    assert far.mean() > 1.1 * near.mean()
