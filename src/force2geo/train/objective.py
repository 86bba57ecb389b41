"""What an objective is: what is predicted, how it is learnt and how far off it is.

An objective is one file in `train/objectives` (or in another package, by an entry point of the
group `force2geo.objectives`) that names its class `OBJECTIVE`. The rest of the project finds it by
the file's name and asks nothing else of it than what stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch

from force2geo.settings import plain, read

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from force2geo.potentials.backbone import Statistics
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.heads import Head
    from force2geo.potentials.models import Network
    from force2geo.train.sources import Source

Kind = TypeVar("Kind", bound="Objective")


@dataclass(frozen=True)
class ParameterGroup:
    """Weights that learn at `rate` times the optimiser's learning rate."""

    parameters: list[nn.Parameter]
    rate: float = 1.0


class Objective(ABC):
    """Base of all objectives.

    Subclasses set `Settings`, `source` (what they learn from, `train/sources.py`), `monitor` (the
    metric to minimise) and `per_atom` (of what is predicted, the rest is per molecule).
    """

    Settings: ClassVar[type]
    source: ClassVar[Source]
    per_atom: ClassVar[frozenset[str]] = frozenset()
    monitor: str

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @classmethod
    def of(cls: type[Kind], **values: Any) -> Kind:
        """Return the objective of settings by name; `UserError` names a wrong one."""
        return cls(read(cls.Settings, values, f"objective {cls.__name__}"))

    @classmethod
    def values(cls, record: dict[str, Any]) -> dict[str, Any]:
        """Return the settings that stand in a training's record: the keys of their names."""
        names = [one.name for one in fields(cls.Settings)]
        return {name: record[name] for name in names if name in record}

    def defaults(self) -> dict[str, Any]:
        """Return what a record that does not say it is trained with, for its provenance."""
        return plain(self.settings)

    @abstractmethod
    def heads(self, train: Any = None) -> dict[str, Head]:
        """Return the heads, by name, of a network that is trained for this on `train`.

        None is a set of which nothing is known.
        """

    def statistics(self, train: Any, backbone: dict[str, Any]) -> Statistics | None:
        """Return what a network of `{name, …}` is made with; None where nothing is known."""
        return None

    def fit(self, model: Network, train: Any) -> None:
        """Set the constants of the heads to the training set's, before any weight is learnt.

        `UserError` where model and training set do not go together.
        """
        return

    def conclude(self, model: Network, train: Any, found: dict[str, np.ndarray]) -> None:
        """Note in a trained network's `config` what its users are to know of its training.

        `found` is what `predict` gave of the whole validation set.
        """
        return

    def check_start(self, start: Network, path: str) -> None:
        """Raise `UserError` where training cannot start from the network of a checkpoint."""
        return

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch to learn from; `generator` decides anything random about it."""
        return batch

    @abstractmethod
    def loss(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts, each a scalar, over the batch of all processes."""

    @abstractmethod
    def predict(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return predictions and targets of a batch, a row for each molecule or atom."""

    @abstractmethod
    def sums(self, model: Any, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return float64 scalars of `predict`'s result that add up over batches and processes."""

    @abstractmethod
    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Return the metrics of summed `sums`; `monitor` names the one to minimise."""

    @abstractmethod
    def units(self, model: Network) -> dict[str, str]:
        """Return the metrics' units."""

    def parameter_groups(self, model: nn.Module) -> list[ParameterGroup]:
        """Return the weights that learn; those in no group stay what they are."""
        return [ParameterGroup(list(model.parameters()))]


def total(values: Tensor) -> Tensor:
    """Return the sum of all values as a float64 scalar, where they are."""
    return values.detach().double().sum()


def count(values: Tensor) -> Tensor:
    """Return the number of rows as a float64 scalar, on the values' device, made without a wait."""
    return torch.full((), len(values), dtype=torch.float64, device=values.device)
