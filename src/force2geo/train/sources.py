"""What objectives learn from: how a training's files become sets to train, validate and test on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from force2geo.calling.named import label
from force2geo.errors import UserError
from force2geo.potentials.registry import find
from force2geo.train.molecules import molecules
from force2geo.train.processes import device
from force2geo.train.snapshots import Snapshots
from force2geo.train.subsets import of_share, of_size
from force2geo.training_data.conformers import read_conformers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from force2geo.training_data.conformers import Conformers

_GPU_SHARE = 0.6  # of a GPU's free memory that data may take; the rest is for batches


@dataclass(frozen=True)
class Inputs:
    """What a training is given beside its record.

    `data` is a file; `parts` are the CIDs of train, val and test, None where the file has its own;
    `paths` relaxations by CID, (T,n,3) Å each; `seen` the skeletons that tests do without, None for
    any; `baseline` is the file of what is to be corrected.
    """

    data: Path
    parts: Mapping[str, list[str]] | None = None
    paths: Mapping[str, np.ndarray] | None = None
    seen: frozenset[str] | None = None
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
        if _looks_at_bonds(record):
            raise UserError(
                f"{given.data}: snapshots have no bonds, and backbone {record['backbone']['name']} "
                "looks at these alone; train it on molecules, for a property"
            )
        snapshots = Snapshots.read(given.data, given.baseline)
        if snapshots.baseline != (wanted := record.get("baseline")):
            says = [label(one) if one else "none" for one in (wanted, snapshots.baseline)]
            raise UserError(
                f"{given.baseline or given.data}: the training's record has the baseline "
                f"{says[0]}, the data {says[1]}"
            )
        sets = self.sets(_near(snapshots), record.get("judged_on"))
        return sets | {"train": of_share(sets["train"], record.get("train_share"))}

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
        bonds = _looks_at_bonds(record)
        conformers = read_conformers(given.data, graphs=bonds)
        parts = given.parts or _own_parts(given.data, conformers, record["split"])
        targets = record["target"]
        targets = [targets] if isinstance(targets, str) else list(targets)
        for name in targets:
            if name not in conformers.targets:
                known = ", ".join(
                    f"{one} ({target.unit})" for one, target in conformers.targets.items()
                )
                raise UserError(f"{given.data}: has no target '{name}', only {known or 'none'}")
        seen: dict[str, int] = {}
        if given.seen is not None:
            told, seen = _unseen(conformers, parts["test"], given.seen)
            parts = {**parts, "test": told}
        sets = {
            part: molecules(
                conformers,
                cids,
                record["geometry"],
                given.paths,
                record.get("noise", 0.0),
                sample=bool(record.get("mixed")) and part == "train",
                targets=targets,
                bonds=bonds,
            ).to(device())
            for part, cids in of_size(parts, record).items()
        }
        sets["test"].left_out |= seen
        return sets


def _looks_at_bonds(record: dict[str, Any]) -> bool:
    """Return whether a training's network takes molecular graphs."""
    return find(record["backbone"]["name"]).needs_bonds


def _unseen(
    conformers: Conformers, cids: list[str], seen: frozenset[str]
) -> tuple[list[str], dict[str, int]]:
    """Return the molecules whose skeletons a potential has not seen, and why others are left out.

    One without a skeleton cannot be told from those.
    """
    if conformers.skeletons is None:
        raise UserError(
            f"{conformers.origin}: it has no skeletons, which an older version did not write; make "
            "it again"
        )
    found = conformers.skeletons[conformers.index(cids)]
    kept = [cid for cid, key in zip(cids, found, strict=True) if key and key not in seen]
    counted = {
        "the potential has learnt from it": sum(key in seen for key in found),
        "it cannot be told from what the potential has learnt from": sum(not key for key in found),
    }
    return kept, {reason: int(count) for reason, count in counted.items() if count}


def _own_parts(path: Path, conformers: Conformers, split: str) -> Mapping[str, list[str]]:
    """Return the parts of a split that came with the molecules."""
    if split not in conformers.splits:
        known = ", ".join(conformers.splits) or "none"
        raise UserError(f"{path}: has no split '{split}' of its own, only {known}")
    return conformers.splits[split]


SNAPSHOTS, MOLECULES = PackedSnapshots(), DownstreamMolecules()


def _near(snapshots: Snapshots) -> Snapshots:
    """Return the data on the GPU where there is one with room for it, else as it is."""
    here = device()
    if here.type != "cuda":
        return snapshots
    free, _ = torch.cuda.mem_get_info(here)
    return snapshots.to(here) if snapshots.bytes < _GPU_SHARE * free else snapshots
