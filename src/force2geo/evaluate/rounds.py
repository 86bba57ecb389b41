"""Rounds of labels compared: errors by labels, paired by seed, and the labels that a way saves."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from force2geo.evaluate.figures import BLUE, GREY, ORANGE, new_figure
from force2geo.evaluate.summaries import mean_and_deviation
from force2geo.files import read_json
from force2geo.plan.rounds import told_by

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

NAMES = {
    "spread": "least sure",
    "frames": "random within the limits",
    "random": "random",
}
"""What ways to choose are called."""
_COLORS = {"spread": BLUE, "frames": GREY, "random": ORANGE}


class Seed(NamedTuple):
    """A seed's test force RMSE of components (meV/Å), the mean of its members', and one's file."""

    error: float
    path: str


Rounds = dict[str, dict[int, dict[int, Seed]]]
"""Seeds by way to choose, labels and seed."""


def read_rounds(asked: dict[str, Any], folder: Path) -> Rounds:
    """Return the errors that `plan.rounds.request` asked for."""
    errors: dict[tuple[str, int, int], list[float]] = {}
    first: dict[tuple[str, int, int], str] = {}
    for told, name in asked["files"].items():
        key = told_by(told)
        errors.setdefault(key, []).append(read_json(folder / name)["test"]["force_rmse"])
        first.setdefault(key, name)
    found: Rounds = {}
    for (way, labels, seed), members in errors.items():
        one = Seed(float(np.mean(members)), first[way, labels, seed])
        found.setdefault(way, {}).setdefault(labels, {})[seed] = one
    return found


def labels_for(curve: dict[int, float], error: float) -> float:
    """Return how many labels a curve {labels: error} needs for an error.

    Between points it is straight in both logarithms; NaN beyond them.
    """
    at = sorted(curve)
    for low, high in pairwise(at):
        ends = np.log([curve[low], curve[high]])
        if ends.min() <= np.log(error) <= ends.max():
            share = 0.0 if ends[0] == ends[1] else (np.log(error) - ends[0]) / (ends[1] - ends[0])
            return float(low * (high / low) ** share)
    return float("nan")


def paired_notes(found: Rounds) -> list[str]:
    """Return how other ways stand to `random`, seed by seed, on the last round."""
    if "random" not in found:
        return []
    notes = []
    last = max(found["random"])
    aim = {seed: one.error for seed, one in found["random"][last].items()}
    for way in (way for way in found if way != "random"):
        apart = [one.error - aim[seed] for seed, one in found[way][last].items()]
        mean, deviation = mean_and_deviation(apart)
        needed = [
            labels_for({n: seeds[seed].error for n, seeds in found[way].items()}, error)
            for seed, error in aim.items()
        ]
        reached = [value for value in needed if np.isfinite(value)]
        bars = f" ± {deviation:.2g}" if len(apart) > 1 else ""
        notes.append(
            f"With {last} labels {NAMES[way]} ones differ from random ones by {mean:+.2g}{bars} "
            f"meV/Å, seed by seed. They reach the error of {last} random ones in "
            f"{len(reached)} of {len(needed)} seeds"
            + (
                f", with {', '.join(f'{value:.0f}' for value in reached)} labels, "
                f"{np.mean(reached) / last:.0%} on average."
                if reached
                else "."
            )
        )
    return notes


def label_curves(found: Rounds) -> Figure:
    """Return the test error against labels, a line a way to choose."""
    figure, axis = new_figure()
    for way, curve in found.items():
        at = sorted(curve)
        told = [mean_and_deviation([one.error for one in curve[n].values()]) for n in at]
        means, bars = np.array(told).T
        axis.errorbar(
            at, means, np.nan_to_num(bars), label=NAMES[way], color=_COLORS[way], marker="o",
            markersize=4, capsize=2,
        )  # fmt: skip
    axis.set(xlabel="labels to train on", ylabel="test force RMSE of components (meV/Å)")
    axis.set_ylim(bottom=0)
    if found:
        axis.legend(frameon=False)
    return figure
