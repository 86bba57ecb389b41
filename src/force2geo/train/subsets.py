"""Fewer molecules to train on: parts of one another, whatever the order they come in."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, TypeVar

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from force2geo.train.snapshots import Snapshots

Name = TypeVar("Name", str, bytes)


def nested(names: Sequence[Name], count: int) -> list[Name]:
    """Return so many of the names, in their order; fewer of the same are among more.

    Chance is in the names themselves: neither their order nor their company changes which.
    """
    drawn = sorted(names, key=lambda name: (zlib.crc32(_bytes(name)), _bytes(name)))
    kept = set(drawn[:count])
    return [name for name in names if name in kept]


def _bytes(name: str | bytes) -> bytes:
    return name.encode() if isinstance(name, str) else name


def of_size(parts: Mapping[str, list[str]], record: dict[str, Any]) -> dict[str, list[str]]:
    """Return the parts of a split with as many to train on as the record's `train_size` says."""
    size, train = record.get("train_size"), parts["train"]
    if size is None:
        return dict(parts)
    if size > len(train):
        raise UserError(
            f"property.train_size: {size}, and the training part of the {record['split']} split "
            f"has {len(train)} molecules"
        )
    return {**parts, "train": nested(train, size)}


def of_share(train: Snapshots, share: float | None) -> Snapshots:
    """Return the snapshots of a share of the molecules, of at least one."""
    if share is None:
        return train
    names = sorted(set(train.ids().tolist()))
    return train.of_molecules(nested(names, max(1, round(share * len(names)))))
