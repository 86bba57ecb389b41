"""Properties of molecules by name and, where geometries are mixed, the way to the true one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from force2geo.errors import UserError
from force2geo.potentials.domain import quantile
from force2geo.potentials.heads import ExtensiveHead, Head
from force2geo.settings import setting
from force2geo.train.domain import domain_of
from force2geo.train.objective import Objective, ParameterGroup, count, total
from force2geo.train.processes import mean
from force2geo.train.reference_energies import fit_target_references
from force2geo.train.sources import MOLECULES

if TYPE_CHECKING:
    import numpy as np

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.models import Network
    from force2geo.train.molecules import Molecules


@dataclass(frozen=True)
class PropertySettings:
    """What is predicted of molecules, and what of a start is kept."""

    target: tuple[str, ...] = setting("what is predicted, by its name in the data: one or several")
    geometry_weight: float = setting("weight of the displacements' loss, eq. 9", 0.0, least=0)
    mixed: bool | None = setting(
        "whether it starts from a property model (else from a potential; null: either)", None
    )
    frozen_backbone: bool = setting("whether the heads alone learn", False)


class PropertyGeometry(Objective):
    """Property MAE plus the alignment of displacements (Force2Geo, eqs 8 and 9).

    One target is called `property` in outputs and metrics, whatever its name; several have their
    own names. The loss of one is in its unit; that of several the mean of their MAEs, each over the
    training set's standard deviation.
    """

    Settings = PropertySettings
    source = MOLECULES
    settings: PropertySettings

    def __init__(self, settings: PropertySettings) -> None:
        super().__init__(settings)
        targets = settings.target
        if not targets or len(set(targets)) < len(targets):
            raise UserError(f"objective property: 'target' is {list(targets)}, not different names")
        self.targets = {"property": targets[0]} if len(targets) == 1 else {t: t for t in targets}
        self.monitor = "property_mae" if len(targets) == 1 else "scaled_mae"

    @classmethod
    def values(cls, record: dict[str, Any]) -> dict[str, Any]:
        """Return the settings; one target may stand without a list."""
        found = super().values(record)
        target = found.get("target")
        return found | ({"target": [target]} if isinstance(target, str) else {})

    def defaults(self) -> dict[str, Any]:
        """Return what a record may leave out."""
        own = self.settings
        return {"geometry_weight": own.geometry_weight, "frozen_backbone": own.frozen_backbone}

    def heads(self, train: Molecules | None = None) -> dict[str, Head]:
        """Return a property for each target, and displacements."""
        sums = frozenset() if train is None else train.extensive
        found = {
            name: Head("property", target, extensive=target in sums)
            for name, target in self.targets.items()
        }
        return found | {"displacement": Head("displacement")}

    def fit(self, model: Network, train: Molecules) -> None:
        """Set means or references, deviations and units to those of the training set."""
        for name, target in self.targets.items():
            head, values = model.property_head(name), train.targets[target].cpu()
            if isinstance(head, ExtensiveHead):
                references, left = fit_target_references(train, target)
                head.references.copy_(torch.from_numpy(references))
                head.atoms.fill_(float(train.sizes().mean()))
                values = torch.from_numpy(left)
            else:
                head.mean.fill_(float(values.mean()))
            # Where all values are one, the output must still depend on the network.
            head.deviation.fill_(float(values.std(correction=0)) or 1.0)
            model.config["heads"][name]["unit"] = train.units.get(target, "")
        learnt = self.settings.geometry_weight and train.frames is not None
        if learnt and "displacement" not in model.heads:
            raise UserError(
                f"property.geometry_weight: backbone '{model.config['backbone']['name']}' has no "
                "vectors to learn displacements with; set it to 0, or start from a PaiNN"
            )

    def conclude(self, model: Network, train: Molecules, found: dict[str, np.ndarray]) -> None:
        """Keep how far training reached and how well it was learnt (`potentials/domain.py`)."""
        errors = {
            target: quantile(torch.from_numpy(found[name] - found[f"{name}_true"]))
            for name, target in self.targets.items()
        }
        model.config["domain"] = domain_of(model, train, errors)

    def check_start(self, start: Network, path: str) -> None:
        """Raise `UserError` where a start is not of the kind that `mixed` says."""
        wanted = {None: start.kind, True: "property", False: "potential"}[self.settings.mixed]
        if start.kind != wanted:
            raise UserError(f"{path}: holds a {start.kind} model, the recipe starts from another")
        if self.settings.mixed:
            heads = [h for h in start.config["heads"].values() if h["kind"] == "property"]
            known = {head["target"] for head in heads}
            # Of a published network's nothing is known.
            strange = [t for t in self.targets.values() if t not in known and "" not in known]
            if strange:
                names = ", ".join(sorted(known))
                raise UserError(f"{path}: predicts {names} and no '{strange[0]}'")

    def loss(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, each property's MAE and `geometry` (1 − cosine, mean over moved atoms)."""
        aligned = self.settings.geometry_weight and batch.displacement is not None
        output = model(batch, training=True, only=None if aligned else list(self.targets))
        errors = {
            name: mean((output[name] - batch.targets[target].to(output[name].dtype)).abs())
            for name, target in self.targets.items()
        }
        parts = {name: error.detach() for name, error in errors.items()}
        loss = errors["property"] if len(errors) == 1 else self._scaled(model, errors)
        if batch.displacement is not None and aligned:
            # An atom already in place has no direction to predict.
            moved = batch.displacement.norm(dim=1) > 1e-6
            cosine = torch.cosine_similarity(
                output["displacement"][moved], batch.displacement[moved], dim=1
            )
            geometry = mean(1 - cosine)
            loss = loss + self.settings.geometry_weight * geometry
            parts["geometry"] = geometry.detach()
        return {"loss": loss, **parts}

    def _scaled(self, model: Network, errors: dict[str, Tensor]) -> Tensor:
        """Return the mean over targets of errors, each over its deviation."""
        parts = [error / model.property_head(name).deviation for name, error in errors.items()]
        return torch.stack(parts).mean()

    def predict(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return predicted and true properties, (B,) each, the true ones as `<name>_true`."""
        output = model(batch, only=list(self.targets))
        found = {}
        for name, target in self.targets.items():
            found[name], found[f"{name}_true"] = output[name].detach(), batch.targets[target]
        return found

    def sums(self, model: Any, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return each property's sum of errors, and the number of molecules."""
        errors = {name: total((found[name] - found[f"{name}_true"]).abs()) for name in self.targets}
        parts = {"molecules": count(next(iter(found.values()))), **errors}
        return parts if len(errors) == 1 else parts | {"scaled": self._scaled(model, errors)}

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Return each property's MAE in its unit; of several, `scaled_mae` as well."""
        names = [*self.targets, *(["scaled"] if "scaled" in sums else [])]
        return {f"{name}_mae": sums[name] / sums["molecules"] for name in names}

    def units(self, model: Network) -> dict[str, str]:
        """Return the metrics' units; `scaled_mae` is in standard deviations."""
        heads = model.config["heads"]
        found = {f"{name}_mae": heads[name]["unit"] for name in self.targets}
        return found if len(found) == 1 else found | {"scaled_mae": "standard deviations"}

    def parameter_groups(self, model: Any) -> list[ParameterGroup]:
        """Return all weights, or the heads' alone."""
        learning = model.heads if self.settings.frozen_backbone else model
        return [ParameterGroup(list(learning.parameters()))]


OBJECTIVE = PropertyGeometry
