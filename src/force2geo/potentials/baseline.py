"""What a network corrects: the energy and forces of a calculator, in workers beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from force2geo.calling.named import label, record_of
from force2geo.calling.pool import Pool, Task
from force2geo.potentials.batch import one_by_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from force2geo.calling.pool import Asked
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.models import Network


class Baseline:
    """The calculator of a record, `{calculator, options}`, in processes that outlive a call.

    There are as many as torch has threads where this is made.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record_of(record)
        self.pool = Pool(self.record, torch.get_num_threads())

    def __str__(self) -> str:
        return label(self.record)

    def start(self, batch: Batch) -> Asked:
        """Ask about the molecules of a batch, and return before they are computed."""
        names: Sequence[int | None] = batch.identity or [None] * batch.size
        molecules = zip(one_by_one(batch), names, strict=True)
        return self.pool.start([Task(*molecule, name) for molecule, name in molecules])


def evaluate(
    network: Network, baseline: Baseline | None, batch: Batch
) -> tuple[dict[str, Tensor], list[str]]:
    """Return what a network gives for a batch, on a baseline if there is one, in its precision.

    The baseline is computed while the network is, and at the positions as they are. Then `energy`
    (B,) eV float64 and `forces` (N,3) eV/Å are the sums, NaN where the baseline has none, for which
    there are reasons (B,). `binding` stays the network's own.
    """
    asked = None if baseline is None else baseline.start(batch)
    kind = next(network.parameters()).dtype
    output = network(replace(batch, positions=batch.positions.to(kind)))
    if asked is None:
        return output, [""] * batch.size
    found = asked.result()
    energy, forces = output["energy"], output["forces"]
    below, pulls = (torch.from_numpy(one).to(forces.device) for one in found[:2])
    output["energy"] = energy + below
    output["forces"] = (forces.double() + pulls).to(forces.dtype)  # added before it is rounded
    return output, found.reasons
