"""What a property model knows of its training set: how far another molecule is.

Nearness is judged in the model's own features, the mean over atoms of what its backbone makes of
them: what it cannot tell apart it cannot answer differently for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from force2geo.errors import UserError

REFERENCES = 1024
"""Training molecules that are kept, at most: as float16 of 64 features 128 kB."""
_QUANTILE = 0.95
_LEAST = 1e-3  # a spread of features or a distance that is no more than rounding


@dataclass(frozen=True)
class Neighbourhood:
    """Some training molecules in standardised features.

    `references` (K,F) float16 are (features − `mean`) / `deviation`, (F,) each; `near` is the
    distance that 95 % of the training molecules do not exceed from the nearest other reference.
    They are drawn evenly: of molecules chosen far apart, all others are as near as the choosing
    brought them, and distances from those tell less.
    """

    references: Tensor
    mean: Tensor
    deviation: Tensor
    near: float

    @classmethod
    def of(cls, features: Tensor) -> Neighbourhood | None:
        """Return what stands for training molecules with features (M,F); None for less than two."""
        if len(features) < 2:
            return None
        features = features.float().cpu()
        mean, deviation = features.mean(dim=0), features.std(dim=0, correction=0)
        # A feature that is the same for all says nothing, and would be all of another's distance.
        scale = float(deviation.mean()) or 1.0
        deviation = deviation.clamp(min=_LEAST * scale)
        standard = (features - mean) / deviation
        count = min(len(standard), REFERENCES)
        chosen = torch.linspace(0, len(standard) - 1, count, dtype=torch.float64).round().long()
        references = standard[chosen].half()
        apart = torch.cdist(standard, references.float())
        apart[chosen, torch.arange(len(chosen))] = torch.inf  # a molecule is not its own neighbour
        near = float(torch.quantile(apart.amin(dim=1), _QUANTILE))
        return cls(references, mean, deviation, max(near, _LEAST))

    def distance(self, features: Tensor) -> Tensor:
        """Return (B,) distances of features (B,F) from the nearest reference, in units of `near`.

        95 % of the training set, each molecule left out in turn, has 1 or less.
        """
        standard = (features.float().cpu() - self.mean) / self.deviation
        return torch.cdist(standard, self.references.float()).amin(dim=1) / self.near


@dataclass(frozen=True)
class Domain:
    """What there was to learn from, and how well it was learnt.

    `atoms` are the fewest and the most of a training molecule, `heavy` those of other elements than
    hydrogen; `errors` by target the absolute
    error that 95 % of the validation set do not exceed, in its unit; `neighbourhood` is None where
    the network has no features of its atoms.
    """

    atoms: tuple[int, int]
    heavy: tuple[int, int]
    errors: dict[str, float]
    neighbourhood: Neighbourhood | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as a checkpoint keeps it: numbers and tensors."""
        near = self.neighbourhood
        kept = None if near is None else dict(vars(near))
        sizes = {"atoms": list(self.atoms), "heavy": list(self.heavy)}
        return {**sizes, "errors": dict(self.errors), "neighbourhood": kept}

    @classmethod
    def of_plain(cls, values: dict[str, Any]) -> Domain:
        """Return what a checkpoint keeps; `UserError` where it is something else."""
        try:
            atoms, heavy = (
                (int(least), int(most)) for least, most in (values["atoms"], values["heavy"])
            )
            errors = {str(name): float(error) for name, error in values["errors"].items()}
            near = values["neighbourhood"]
            known = None if near is None else Neighbourhood(**near)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise UserError(
                f"checkpoint: what it says of its training set is none ({error})"
            ) from None
        return cls(atoms, heavy, errors, known)


def quantile(errors: Tensor) -> float:
    """Return the absolute error that 95 % of (M,) errors do not exceed."""
    return float(torch.quantile(errors.double().abs(), _QUANTILE))
