"""What is to be said beside table 3: which molecules it rests on, which of them failed and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from force2geo.evaluate.geometry import CHANGED, CHEMICAL_ACCURACY, NO_END
from force2geo.evaluate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

EQUATION_14 = (
    "Equation 14 does not say whose forces are to be below 0.05 eV/Å. A relaxation stops when the "
    "potential's own are, so those tell how many came to an end; the published 4.2 %, which the "
    "paper explains by errors of the forces near a minimum, is by its size DFT's, and stands there."
)


def set_note(relaxed: dict[str, tuple[pd.DataFrame, Path]], judged: dict[str, pd.DataFrame]) -> str:
    """Return which molecules the rows of table 3 share."""
    count = len(next(iter(judged.values())))
    note = f"All rows are judged on the same {counted(count, 'molecule')}."
    missing = [
        f"{int((~molecules['judged']).sum())} of {len(molecules)} for {row}"
        for row, (molecules, _) in relaxed.items()
        if not molecules["judged"].all()
    ]
    if missing:
        note += f" Left out, as a single point was not computed: {', '.join(missing)}."
    return note


def failures(row: str, molecules: pd.DataFrame) -> list[str]:
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


def gradients_of(row: str, path: Path, cids: Sequence[str]) -> tuple[float, str]:
    """Return DFT's gradients per molecule of a finished row, and a note on how molecules ended.

    The mean is over those of `cids` that DFT was asked of, the verifying gradient counted.
    """
    import pandas as pd

    from force2geo.dft.finish_set import NOT_BEGUN
    from force2geo.files import reading

    with reading(path, "finished molecules, CSV"):
        table = pd.read_csv(path, dtype={"cid": str, "status": str, "reason": str})
        table = table.set_index("cid").loc[list(cids)]
    begun = table[table["status"] != NOT_BEGUN]
    mean = float(begun["gradients"].mean()) if len(begun) else float("nan")
    ended = ", ".join(
        f"{count} {status}" for status, count in table["status"].value_counts().items()
    )
    reasons = ", ".join(dict.fromkeys(table["reason"].dropna()))
    return mean, (
        f"{row}: quasi-Newton steps with DFT's gradients, whose number has the verifying one with "
        f"it; {ended}" + (f" ({reasons})" if reasons else "") + "."
    )
