"""What is to be said beside table 3: which molecules it rests on, which of them failed and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from force2geo.evaluate.basins import SAME_ENERGY, SAME_PLACE
from force2geo.evaluate.geometry import CHANGED, NO_END
from force2geo.evaluate.measures import CHEMICAL_ACCURACY
from force2geo.evaluate.wording import counted
from force2geo.plan.relaxations import BETWEEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from force2geo.evaluate.optimised import Row

EQUATION_14 = (
    "Equation 14 does not say whose forces are to be below 0.05 eV/Å. A relaxation stops when the "
    "potential's own are, so those tell how many came to an end; the published 4.2 %, which the "
    "paper explains by errors of the forces near a minimum, is by its size DFT's, and stands there."
)
INTERVALS = (
    "Intervals are 95 % of a bootstrap over molecules. Seconds are wall time of the machine that "
    "relaxed; rows that DFT finished have those of its processes, too."
)
BASINS = (
    "The basin's minimum is where DFT's finishing comes to from the relaxed structure itself; of "
    "one that ends at a saddle point or nowhere there is none. The lower minimum is that or the "
    "reference. They are two conformers' where their energies differ by more than "
    f"{SAME_ENERGY:g} kcal/mol, or their heavy atoms (mirror images being one) by an RMSD of more "
    f"than {SAME_PLACE:g} Å. Energy gained is the sum of all molecules'; one that failed had to "
    "gain what the reference says."
)


def notes_of(rows: Mapping[str, Row]) -> list[str]:
    """Return what is to be said beside the numbers of rows."""
    notes = [EQUATION_14, INTERVALS, _set_note(rows)]
    for name, row in rows.items():
        notes += _about(name, row)
    if any(BETWEEN in name for name in rows):
        notes.append(
            f"Rows that say {BETWEEN.strip(', ')} start from another geometry than the first DFT "
            "snapshot and have the energy of their own start to lose."
        )
    if any("basin" in row.molecules for row in rows.values()):
        notes.append(BASINS)
    notes.append(
        "The mean of the energy minimised is ruled by molecules with little to lose, the sum by "
        "those with much."
    )
    return notes


def _set_note(rows: Mapping[str, Row]) -> str:
    """Return which molecules the rows of table 3 share."""
    count = len(next(iter(rows.values())).molecules)
    note = f"All rows are judged on the same {counted(count, 'molecule')}."
    missing = [
        f"{int((~row.whole['judged']).sum())} of {len(row.whole)} for {name}"
        for name, row in rows.items()
        if not row.whole["judged"].all()
    ]
    if missing:
        note += f" Left out, as a single point was not computed: {', '.join(missing)}."
    return note


def _about(name: str, row: Row) -> list[str]:
    """Return notes on one row."""
    found, molecules = row.measures, row.molecules
    known = int(molecules["residual"].notna().sum())
    told = f"{name}: residual energy of {counted(known, 'molecule')}"
    if known:
        low, high = found["residual"].interval()
        told += (
            f", median {found['residual_median'].value():.2f} kcal/mol, mean "
            f"{found['residual'].value():.2f} ({low:.2f} to {high:.2f})"
        )
    gains = int(molecules["percent"].notna().sum())
    gained = f"{name}: energy minimised of the {gains} that had energy to lose"
    if gains:
        gained += (
            f", median {found['pct_energy_median'].value():.1f} %, all molecules together "
            f"{found['pct_energy_total'].value():.1f} %"
        )
    notes = [f"{told}.", f"{gained}.", *_failures(name, molecules)]
    if "basin" in molecules and row.ends is None:
        notes.append(_basins(name, molecules))
    if row.ends is not None:
        notes.append(_ends(name, row.ends))
    return notes


def _basins(name: str, molecules: pd.DataFrame) -> str:
    """Return how many molecules have a minimum of their own, and how many of these another."""
    known = molecules["basin"].notna()
    other = int(molecules["other_basin"].sum())
    return (
        f"{name}: DFT found a minimum from {int(known.sum())} of "
        f"{counted(len(molecules), 'relaxed molecule')}, {other} of them another conformer's than "
        "the reference."
    )


def _failures(row: str, molecules: pd.DataFrame) -> list[str]:
    """Return notes on molecules that failed, and on those that are others in the end."""
    notes = []
    status = molecules["status"]
    counts = {name: int((status == name).sum()) for name in NO_END}
    counts["without a self-consistent field"] = int(molecules["failed"].sum()) - sum(
        counts.values()
    )
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if told:
        notes.append(f"{row}: {told}; each is a failure in every rate and gained no energy.")
    other = molecules[status.isin(CHANGED)]
    if len(other):
        good = int((other["residual"] < CHEMICAL_ACCURACY).sum())
        notes.append(
            f"{row}: {len(other)} ended as another molecule (bonds changed or dissociated), {good} "
            "of them within chemical accuracy of the reference or below it."
        )
    return notes


def _ends(name: str, ends: pd.DataFrame) -> str:
    """Return how DFT's finishing of a row ended."""
    told = ", ".join(f"{count} {status}" for status, count in ends["status"].value_counts().items())
    reasons = ", ".join(dict.fromkeys(ends["reason"].dropna().loc[lambda texts: texts != ""]))
    return (
        f"{name}: quasi-Newton steps with DFT's gradients, whose number has the verifying one with "
        f"it; {told}" + (f" ({reasons})" if reasons else "") + "."
    )
