"""Whether models that answer together differ where they are wrong, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from matplotlib.figure import Figure

    from force2geo.prediction.spread import Spread

    Kinds = Mapping[str, tuple[str, str, str]]

BINS, DRAWS = 10, 1000
_LEAST = 5  # snapshots of a bin
# What is calibrated of potentials: its spread, its error, its unit.
_KINDS: Kinds = {
    "forces": ("force_spread", "force_error", "eV/Å"),
    "energy": ("energy_spread", "energy_error", "eV/atom"),
}


def of_properties(units: Mapping[str, str]) -> Kinds:
    """Return what is calibrated of property models: columns of their table, and the unit."""
    return {name: (f"{name}_spread", f"{name}_error", unit) for name, unit in units.items()}


def calibration(table: pd.DataFrame, kinds: Kinds | None = None) -> dict[str, dict[str, Any]]:
    """Return how spread and error go together, of `kinds` (`forces` and `energy`).

    See `calibrated`; `table` is that of `held_out` for several potentials, or property models.
    """
    return {
        kind: {"unit": unit, **calibrated(table[spread], table[error].abs(), table["cid"])}
        for kind, (spread, error, unit) in (kinds or _KINDS).items()
    }


def calibrated(spread: Any, error: Any, molecules: Any) -> dict[str, Any]:
    """Return what spreads (S,) say of absolute errors (S,) of snapshots of molecules (S,).

    `spearman` is their rank correlation, `interval` where it lies with 95 %, by a bootstrap over
    molecules, whose snapshots are alike; `scale` the RMS error over the RMS spread, 1 where a
    spread is an error bar as it stands; `bins` those of `reliability`. None where nothing varies.
    """
    spread, error = (np.asarray(values, dtype=float) for values in (spread, error))
    rms = float(np.sqrt(np.mean(spread**2)))
    return {
        "spearman": _ranks(spread, error),
        "interval": _interval(spread, error, np.asarray(molecules)),
        "scale": float(np.sqrt(np.mean(error**2))) / rms if rms > 0 else None,
        "bins": reliability(spread, error),
    }


def reliability(spread: np.ndarray, error: np.ndarray, bins: int = BINS) -> list[dict[str, Any]]:
    """Return bins of as many snapshots each, by spread: `snapshots`, mean `spread`, RMS `error`.

    There are fewer where snapshots are few.
    """
    order = np.argsort(spread, kind="stable")
    parts = np.array_split(order, max(1, min(bins, len(order) // _LEAST)))
    return [
        {
            "snapshots": len(part),
            "spread": float(spread[part].mean()),
            "error": float(np.sqrt(np.mean(error[part] ** 2))),
        }
        for part in parts
    ]


def _ranks(spread: np.ndarray, error: np.ndarray) -> float | None:
    from scipy.stats import spearmanr

    if len(spread) < 3 or np.ptp(spread) == 0 or np.ptp(error) == 0:
        return None
    return float(spearmanr(spread, error).statistic)


def _interval(spread: np.ndarray, error: np.ndarray, molecules: np.ndarray) -> list[float] | None:
    names, kind = np.unique(molecules, return_inverse=True)
    rows = np.split(np.argsort(kind, kind="stable"), np.cumsum(np.bincount(kind))[:-1])
    rng = np.random.default_rng(7)
    found = []
    for _ in range(DRAWS):
        drawn = np.concatenate([rows[place] for place in rng.integers(len(names), size=len(names))])
        rank = _ranks(spread[drawn], error[drawn])
        if rank is not None:
            found.append(rank)
    return np.percentile(found, [2.5, 97.5]).tolist() if found else None


def limit(table: pd.DataFrame, on: str) -> Spread:
    """Return by how much potentials may differ at a relaxation's end, from molecules held out.

    Of each molecule that snapshot counts which is nearest to its minimum, that with the smallest
    `max_force`: what a relaxation ends at is alike. `on` says which molecules these are.
    """
    from force2geo.prediction.spread import Spread

    nearest = table.loc[table.groupby("cid")["max_force"].idxmin()]
    largest = float(np.quantile(nearest["force_spread"], 0.95))
    return Spread(quantile_95=largest, unit="eV/Å", molecules=len(nearest), on=on)


def errors(table: pd.DataFrame) -> dict[str, float]:
    """Return MAEs of a table of `held_out`: `energy` (meV/atom), `forces` (meV/Å, of components).

    That of energies is over snapshots, that of forces over all their atoms.
    """
    atoms = table["atoms"]
    return {
        "energy": 1e3 * float(table["energy_error"].abs().mean()),
        "forces": 1e3 * float((table["force_mae"] * atoms).sum() / atoms.sum()),
    }


def property_errors(table: pd.DataFrame) -> dict[str, float]:
    """Return MAEs of a table of `held_out_properties`, by property in its unit."""
    names = [name.removesuffix("_error") for name in table if name.endswith("_error")]
    return {name: float(table[f"{name}_error"].abs().mean()) for name in names}


def errors_by(
    table: pd.DataFrame, errors: Callable[[pd.DataFrame], dict[str, float]] = errors
) -> list[dict[str, Any]]:
    """Return errors in detail: `by` what, `of` which, `molecules`, `snapshots`, and `errors`.

    A snapshot counts for each of its elements; property models know no snapshots.
    """
    held = table["elements"].str.split(" ")
    elements = sorted({name for names in held for name in names})
    groups: list[tuple[str, Any, Any]] = [
        ("element", element, held.map(lambda names, one=element: one in names))
        for element in elements
    ]
    for column in ("heavy", "charge", "source", "applicability"):
        if column in table:
            by = {"heavy": "heavy atoms"}.get(column, column)
            known = sorted(table[column].unique())
            groups += [(by, value, table[column] == value) for value in known]
    return [
        {
            "by": by,
            "of": value if isinstance(value, str) else int(value),
            "molecules": int(table[chosen]["cid"].nunique()),
            **({"snapshots": int(chosen.sum())} if "source" in table else {}),
            **errors(table[chosen]),
        }
        for by, value, chosen in groups
    ]


def figure(
    table: pd.DataFrame, found: dict[str, dict[str, Any]], kinds: Kinds | None = None
) -> Figure:
    """Return the reliability of `found` (by `calibration`): RMS error against mean spread."""
    from matplotlib.ticker import NullFormatter

    from force2geo.evaluate.figures import BLUE, GREY, ORANGE, new_figure

    kinds = kinds or _KINDS
    drawn, axes = new_figure(len(kinds))
    for axis, (kind, (spread, error, unit)) in zip(axes, kinds.items(), strict=True):
        bins, scale = found[kind]["bins"], found[kind]["scale"]
        axis.scatter(
            table[spread], table[error].abs(), s=5, alpha=0.3, color=GREY, linewidth=0,
            label="a snapshot" if "snapshot" in table else "a molecule",
        )  # fmt: skip
        middle = [one["spread"] for one in bins]
        axis.plot(middle, [one["error"] for one in bins], "o-", color=BLUE, label="RMS of a bin")
        ends = np.array([min(middle), max(middle)])
        axis.plot(ends, ends, color=GREY, linestyle=":", label="error = spread")
        if scale is not None:
            axis.plot(ends, scale * ends, color=ORANGE, label=f"error = {scale:.2g} × spread")
        axis.set(xlabel=f"spread of {kind} ({unit})", ylabel=f"error of {kind} ({unit})")
        if ends[0] > 0:
            axis.set(xscale="log", yscale="log")
            # Of less than a decade all ticks would have numbers, one over the other.
            axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0].legend(frameon=False, fontsize=8)
    return drawn
