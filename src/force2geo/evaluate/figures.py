"""Plots: convergence of training and relaxation, parity of predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.files import atomic_path, reading

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from force2geo.relax.result import Relaxed

BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#718096"


def new_figure(columns: int = 1, rows: int = 1) -> tuple[Figure, Any]:
    """Return a figure with axes side by side, in the project's style."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * columns, 3.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns)
    for axis in np.atleast_1d(axes).flat:
        axis.grid(color="#e2e8f0", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plain_ticks(line: Any) -> None:
    """Write plain numbers at a handful of ticks of a logarithmic axis, when all is drawn on it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = line.get_view_interval()
    # Where there are few powers of ten, what lies between them has ticks, too.
    if high < 3 * low:
        line.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    elif high < 1000 * low:
        few = high > 15 * low
        line.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1, 2, 3, 5, 7)))
    line.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    line.set_minor_formatter(NullFormatter())


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as PNG and SVG."""
    for suffix in ("png", "svg"):
        with atomic_path(folder / f"{name}.{suffix}") as part:
            metadata = {"Date": None} if suffix == "svg" else {"Software": None}
            figure.savefig(part, format=suffix, dpi=140, metadata=metadata)


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a training's predictions."""
    with reading(path, "predictions, NPZ"), np.load(path, allow_pickle=False) as file:
        return dict(file)


def training_curves(runs: dict[str, list[dict[str, float]]]) -> Figure:
    """Return force RMSE and energy MAE of the validation set against the epoch, by run."""
    figure, axes = new_figure(2)
    for label, history in runs.items():
        epochs = [row["epoch"] + 1 for row in history]
        axes[0].plot(epochs, [row["val_force_rmse"] for row in history], label=label)
        axes[1].plot(epochs, [row["val_energy_mae"] for row in history], label=label)
    history = next(iter(runs.values()))
    zero = history[-1]["val_force_rmse_zero"]
    axes[0].axhline(zero, color=GREY, linestyle=":", label="predicting zero")
    axes[0].set(xlabel="epoch", ylabel="validation force RMSE (meV/Å)", yscale="log")
    axes[1].set(xlabel="epoch", ylabel="validation energy MAE (meV/atom)", yscale="log")
    for axis in axes:
        plain_ticks(axis.yaxis)
    axes[0].legend(frameon=False)
    return figure


def parity_potential(predictions: dict[str, np.ndarray]) -> Figure:
    """Return predicted against true force components and energies per atom, test set."""
    figure, axes = new_figure(2)
    true, found = predictions["test/forces_true"].ravel(), predictions["test/forces"].ravel()
    axes[0].scatter(true, found, s=6, alpha=0.4, color=BLUE, linewidth=0)
    axes[0].set(xlabel="DFT force component (eV/Å)", ylabel="predicted (eV/Å)")
    atoms = predictions["test/atoms"]
    error = 1e3 * (predictions["test/energy"] - predictions["test/energy_true"]) / atoms
    axes[1].hist(error, bins=30, color=ORANGE)
    axes[1].set(xlabel="energy error (meV/atom)", ylabel="snapshots")
    _diagonal(axes[0], true, found)
    return figure


def parity_property(predictions: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Return predicted against true gaps of the test set, by recipe."""
    figure, axis = new_figure()
    values = []
    for label, arrays in predictions.items():
        true, found = arrays["test/property_true"], arrays["test/property"]
        values += [true, found]
        axis.scatter(true, found, s=14, alpha=0.7, label=label, linewidth=0)
    axis.set(xlabel="DFT HOMO–LUMO gap (eV)", ylabel="predicted (eV)")
    axis.legend(frameon=False, fontsize=8)
    _diagonal(axis, np.concatenate(values), np.concatenate(values))
    return figure


def relaxation_curves(relaxed: Relaxed, threshold: float) -> Figure:
    """Return max|f| and the energy above the end against the step, one line per molecule."""
    figure, axes = new_figure(2)
    for energy, force in zip(relaxed.frame_energy, relaxed.frame_max_force, strict=True):
        axes[0].plot(np.arange(len(force)), force, color=BLUE, alpha=0.6, linewidth=1)
        axes[1].plot(np.arange(len(energy)), 1e3 * (energy - energy[-1]), color=ORANGE, alpha=0.6)
    axes[0].axhline(threshold, color=GREY, linestyle=":")
    axes[0].set(xlabel="BFGS step", ylabel="max |f| (eV/Å)", yscale="log")
    axes[1].set(xlabel="BFGS step", ylabel="energy above the end (meV)")
    axes[1].set_yscale("symlog", linthresh=1)
    return figure


def residual_energies(residual: np.ndarray, to_gain: np.ndarray) -> Figure:
    """Return DFT energy above the reference before and after relaxation, by molecule."""
    figure, axis = new_figure()
    order = np.argsort(to_gain)
    place = np.arange(len(order))
    axis.bar(place - 0.2, to_gain[order], 0.4, label="start", color=GREY)
    axis.bar(place + 0.2, residual[order], 0.4, label="relaxed", color=BLUE)
    axis.axhline(1.0, color=ORANGE, linestyle=":", label="chemical accuracy")
    axis.set(xlabel="molecule of D_opt", ylabel="DFT energy above reference (kcal/mol)")
    axis.set_yscale("symlog", linthresh=1)
    axis.set_xticks([])
    axis.legend(frameon=False)
    return figure


def _diagonal(axis: Any, true: np.ndarray, found: np.ndarray) -> None:
    low, high = min(true.min(), found.min()), max(true.max(), found.max())
    axis.plot([low, high], [low, high], color=GREY, linewidth=0.8)
