"""What objectives learn from: how a training's files become sets to train, validate and test on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from force2geo.calling.named import label
from force2geo.errors import UserError
from force2geo.train.molecules import molecules
from force2geo.train.processes import device
from force2geo.train.snapshots import Snapshots
from force2geo.training_data.conformers import read_conformers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

_GPU_SHARE = 0.6  # of a GPU's free memory that data may take; the rest is for batches


@dataclass(frozen=True)
class Inputs:
    """What a training is given beside its record.

    `data` is a file; `parts` are the CIDs of train, val and test; `paths` relaxations by CID,
    (T,n,3) Å each; `baseline` is the file of what is to be corrected.
    """

    data: Path
    parts: Mapping[str, list[str]] | None = None
    paths: Mapping[str, np.ndarray] | None = None
    baseline: Path | None = None


class Source(ABC):
    """A kind of data. Sets it makes have `seen` and `known_to` beside what a data set has."""

    selects: bool = False
    """Whether a selection says what is trained and judged on, or the file itself."""

    def takes_paths(self, record: dict[str, Any]) -> bool:
        """Say whether a training's record asks for relaxations."""
        return False

    @abstractmethod
    def read(self, record: dict[str, Any], given: Inputs) -> dict[str, Any]:
        """Return the sets `train`, `val` and `test`, none of them empty.

        They are on the GPU where there is one that holds them.
        """


class PackedSnapshots(Source):
    """Snapshots with energies and forces, packed; the file says which are judged on."""

    def read(self, record: dict[str, Any], given: Inputs) -> dict[str, Snapshots]:
        """Return all to train on, and of the others those of the record's `judged_on`."""
        snapshots = Snapshots.read(given.data, given.baseline)
        if snapshots.baseline != (wanted := record.get("baseline")):
            says = [label(one) if one else "none" for one in (wanted, snapshots.baseline)]
            raise UserError(
                f"{given.baseline or given.data}: the training's record has the baseline "
                f"{says[0]}, the data {says[1]}"
            )
        return self.sets(_near(snapshots), record.get("judged_on"))

    def sets(self, snapshots: Snapshots, judged_on: str | None) -> dict[str, Snapshots]:
        """Return the parts of snapshots; validation and test of one source, of all when None."""
        return {
            "train": snapshots.where("train").require("training set"),
            "val": snapshots.where("val", judged_on).require("validation set"),
            "test": snapshots.where("test", judged_on).require("test set"),
        }


class DownstreamMolecules(Source):
    """Molecules with targets by name, in the geometry that the record asks for."""

    selects = True

    def takes_paths(self, record: dict[str, Any]) -> bool:
        """Say whether the geometries are the ends of relaxations."""
        return bool(record["geometry"] == "force2geo")

    def read(self, record: dict[str, Any], given: Inputs) -> dict[str, Any]:
        """Return the molecules of each part; mixed geometries are those trained on alone."""
        assert given.parts is not None
        conformers = read_conformers(given.data)
        targets = record["target"]
        targets = [targets] if isinstance(targets, str) else list(targets)
        for name in targets:
            if name not in conformers.targets:
                known = ", ".join(
                    f"{one} ({target.unit})" for one, target in conformers.targets.items()
                )
                raise UserError(f"{given.data}: has no target '{name}', only {known or 'none'}")
        return {
            part: molecules(
                conformers,
                cids,
                record["geometry"],
                given.paths,
                record.get("noise", 0.0),
                sample=bool(record.get("mixed")) and part == "train",
                targets=targets,
            ).to(device())
            for part, cids in given.parts.items()
        }


SNAPSHOTS, MOLECULES = PackedSnapshots(), DownstreamMolecules()


def _near(snapshots: Snapshots) -> Snapshots:
    """Return the data on the GPU where there is one with room for it, else as it is."""
    here = device()
    if here.type != "cuda":
        return snapshots
    free, _ = torch.cuda.mem_get_info(here)
    return snapshots.to(here) if snapshots.bytes < _GPU_SHARE * free else snapshots
