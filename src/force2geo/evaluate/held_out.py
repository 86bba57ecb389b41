"""Potentials on labelled snapshots they never saw: how far off, and how far apart, they are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from force2geo.elements import SYMBOLS
from force2geo.errors import UserError
from force2geo.potentials.batch import by_size
from force2geo.potentials.threads import threads_for
from force2geo.train.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from force2geo.potentials.model import Model

SPREADS = ("energy_spread", "force_spread")
"""What several potentials together tell beside their mean."""


def held_out(
    model: Model,
    data: Path,
    split: str = "test",
    source: str | None = None,
    batch_atoms: int = 4096,
    progress: Callable[[int], Any] = lambda _: None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return a row for each snapshot of a packed file's part, and how many have none, by reason.

    Columns: `cid`, `snapshot` (its row in the file), `source`, `elements` ("C H O"), `atoms`,
    `heavy`, `charge` (e), `multiplicity`; `max_force`, the label's longest force on an atom (eV/Å);
    `energy_error`, prediction minus label (eV/atom); `force_error`, the longest difference on an
    atom, and `force_mae`, the mean over components (eV/Å); of several potentials together the
    `SPREADS` (eV/atom, eV/Å). `UserError` where there is no snapshot, or none can be answered.
    """
    snapshots = Snapshots.read(data)
    if source is not None and source not in snapshots.sources:
        raise UserError(f"{data}: no source '{source}', only {', '.join(snapshots.sources)}")
    snapshots = snapshots.where(split, source).require(f"{split} part of {data}")
    rows = snapshots.rows
    states = torch.stack([snapshots.charge[rows].long(), snapshots.multiplicity[rows].long()], 1)
    about = _about(snapshots, states)
    reasons = _refusals(model, snapshots, states)
    kept = np.array([not why for why in reasons])
    left_out = Counter(why for why in reasons if why)
    sizes = snapshots.sizes()
    progress(int((~kept).sum()))
    parts = []
    for chosen in by_size(sizes[kept], batch_atoms):
        places = np.flatnonzero(kept)[chosen]
        found, failed = _judged(model, snapshots, states, places)
        left_out.update(why for why in failed if why)
        good = np.array([not why for why in failed])
        parts.append(pd.DataFrame(found, index=places)[good])
        progress(len(places))
    table = about.join(pd.concat(parts), how="inner") if parts else about[:0]
    if table.empty:
        why = left_out.most_common(1)[0][0]
        raise UserError(f"{data}: none of {len(about)} snapshots can be answered: {why}")
    return table.reset_index(drop=True), dict(left_out)


def _about(snapshots: Snapshots, states: Tensor) -> pd.DataFrame:
    """Return what the snapshots are, a row each."""
    compositions = torch.cat([counts for counts, _ in snapshots.compositions()]).numpy()
    present = compositions > 0
    names = np.array([SYMBOLS[number] for number in range(present.shape[1])])
    sizes = snapshots.sizes()
    return pd.DataFrame(
        {
            "cid": [cid.decode() for cid in snapshots.ids()],
            "snapshot": snapshots.rows.numpy(),
            "source": [
                snapshots.sources[code] for code in snapshots.source[snapshots.rows].tolist()
            ],
            "elements": [" ".join(names[own]) for own in present],
            "atoms": sizes,
            "heavy": (sizes - compositions[:, 1]).astype(int),
            "charge": states[:, 0].numpy(),
            "multiplicity": states[:, 1].numpy(),
        }
    )


def _refusals(model: Model, snapshots: Snapshots, states: Tensor) -> list[str]:
    """Return why the model cannot answer for snapshots, empty where it can."""
    compositions = torch.cat([counts for counts, _ in snapshots.compositions()])
    # The same few kinds of molecules again and again.
    kinds, kind = torch.cat([(compositions > 0).long(), states], dim=1).unique(
        dim=0, return_inverse=True
    )
    told = [
        model.refusal(row[:-2].nonzero()[:, 0].numpy(), int(row[-2]), int(row[-1])) for row in kinds
    ]
    return [told[place] for place in kind]


def _judged(
    model: Model, snapshots: Snapshots, states: Tensor, places: np.ndarray
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the columns of numbers for a batch of snapshots, and why some have none."""
    network = model.in_dtype(torch.float64)
    batch = snapshots.batch(places)
    batch.positions = batch.positions.double()
    batch.charge, batch.multiplicity = states[torch.from_numpy(places)].unbind(1)
    batch = batch.to(model.device)
    assert batch.energy is not None and batch.forces is not None
    with threads_for(len(batch.positions)):
        output, reasons = model.evaluate(network, batch)
    counts = batch.atoms_per_molecule
    off = output["forces"].double() - batch.forces

    def largest(vectors: Tensor) -> Tensor:
        lengths = vectors.double().norm(dim=1)
        return lengths.new_zeros(batch.size).scatter_reduce(0, batch.molecule, lengths, "amax")

    mean = off.abs().mean(dim=1)
    columns = {
        "max_force": largest(batch.forces),
        "energy_error": (output["energy"] - batch.energy) / counts,
        "force_error": largest(off),
        "force_mae": mean.new_zeros(batch.size).index_add(0, batch.molecule, mean) / counts,
        **{name: output[name] for name in SPREADS if name in output},
    }
    return {name: values.detach().cpu().numpy() for name, values in columns.items()}, reasons
