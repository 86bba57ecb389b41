"""Networks: a backbone with named heads."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from force2geo.errors import UserError
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import for_autograd
from force2geo.potentials.graph import Graph
from force2geo.potentials.heads import KINDS, EnergyHead, ExtensiveHead, Head, PropertyHead
from force2geo.potentials.registry import build_backbone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from force2geo.potentials.backbone import Features
    from force2geo.potentials.batch import Batch

POTENTIAL = {"energy": Head("energy"), "forces": Head("forces")}
PROPERTY = {"property": Head("property"), "displacement": Head("displacement")}


class Network(nn.Module):
    """A backbone and its heads by name; `forward` gives what they say.

    `config` is what a checkpoint keeps beside the weights: backbone, heads, statistics, and what
    training adds. `per_molecule` and `per_atom` name what `forward` gives a row of for each.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        heads: Mapping[str, Head],
        statistics: Statistics | None = None,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "backbone": dict(backbone),
            "heads": {name: asdict(head) for name, head in heads.items()},
        }
        self.statistics = statistics
        if statistics is not None:
            plain = asdict(statistics)
            self.config["statistics"] = plain | {"elements": list(statistics.elements)}
        self.backbone = build_backbone(backbone, statistics)
        self.heads = nn.ModuleDict()
        for name, head in heads.items():
            self._add(name, head, backbone["name"])
        self.conservative = "forces" in heads and "forces" not in self.heads
        if "forces" in heads and "energy" not in heads:
            raise UserError("heads: forces belong to an energy, and there is none")
        names = [name for name in heads if name in self.heads]
        self.per_molecule = tuple(n for n in names if not cast("Any", self.heads[n]).per_atom)
        self.per_atom = tuple(n for n in names if n not in self.per_molecule)
        if "energy" in heads:
            self.per_molecule += ("binding",)
        if self.conservative:
            self.per_atom += ("forces",)

    def _add(self, name: str, head: Head, backbone: str) -> None:
        """Make a head, where it is one that has something of its own."""
        if head.kind not in KINDS:
            raise UserError(f"head '{name}': unknown kind '{head.kind}', one of {', '.join(KINDS)}")
        own = {"energy", "binding", "forces", "displacement"}
        if (name in own or head.kind in own) and name != head.kind:
            raise UserError(f"head '{name}': this name is not for a head of kind {head.kind}")
        if "." in name or hasattr(self.heads, name):  # torch keeps these names for itself
            raise UserError(f"head '{name}': a model cannot call it so, rename the target")
        if head.kind in ("energy", "forces") and self.backbone.needs_bonds:
            raise UserError(
                f"backbone {backbone}: takes molecular graphs and no "
                "geometry, so that it gives properties but no forces"
            )
        try:
            made = KINDS[head.kind](self.backbone, head, self.statistics or Statistics())
        except UserError as error:
            raise UserError(f"backbone {backbone}: {error}") from None
        if made is not None:
            self.heads[name] = made

    @property
    def kind(self) -> str:
        """`potential` where it gives energies, else `property`."""
        return "potential" if "energy" in self.heads else "property"

    @property
    def energy(self) -> EnergyHead:
        """The head of energies."""
        return cast("EnergyHead", self.heads["energy"])

    def property_head(self, name: str = "property") -> PropertyHead | ExtensiveHead:
        """Return the head of a property."""
        return cast("PropertyHead | ExtensiveHead", self.heads[name])

    def forward(
        self, batch: Batch, training: bool = False, only: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """Return what the heads give, by name; with `training`, for gradients by the weights.

        Of a property model `only` may name the heads that are wanted: others take their time.

        Of an energy both `energy` (B,) eV float64 and `binding` (B,) eV, which is what is left
        without the energies of the free elements; `forces` (N,3) eV/Å, the energy's negative
        gradient unless the backbone or a head gives them; properties (B,) in their units;
        `displacement` (N,3) Å. In training, a gradient may be taken of all that by the batch's
        positions, where these require one.
        """
        if not self.conservative:
            with torch.set_grad_enabled(training):
                return self._read(batch, self._features(batch), only)
        with torch.inference_mode(False), torch.enable_grad():
            batch = for_autograd(batch)
            positions = batch.positions
            if not (training and positions.requires_grad):
                positions = positions.detach().requires_grad_(True)
            batch = replace(batch, positions=positions)
            output = self._read(batch, self._features(batch))
            # A single atom has no edges, so its energy does not depend on where it is.
            (gradient,) = torch.autograd.grad(
                output["binding"].sum(), positions, create_graph=training, materialize_grads=True
            )
        output["forces"] = -gradient
        return output if training else {key: value.detach() for key, value in output.items()}

    def described(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return what a property model's heads give, and of each molecule its own features (B,F).

        These are the mean over atoms of the backbone's scalars; None where it has none.
        """
        with torch.no_grad():
            features = self._features(batch)
            scalars, output = features.scalars, self._read(batch, features)
            if scalars is None:
                return output, None
            whole = scalars.new_zeros(batch.size, scalars.shape[1])
            whole = whole.index_add(0, batch.molecule, scalars)
            return output, whole / batch.atoms_per_molecule[:, None]

    def _features(self, batch: Batch) -> Features:
        return cast("Features", self.backbone(batch, Graph.of(batch, self.backbone.cutoff)))

    def _read(
        self, batch: Batch, features: Features, only: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """Return what the heads, or those named, make of the backbone's features."""
        output: dict[str, Tensor] = {}
        for name, head in self.heads.items():
            if only is not None and name not in only:
                continue
            found = head(features, batch)
            if isinstance(head, EnergyHead):
                output["energy"] = found.detach().double() + head.reference(batch)
                name = "binding"
            output[name] = found
        return output

    def renamed(self, state: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
        """Return a state dict with the names of before heads had names made those of today."""
        main = next(iter(self.heads))
        names = {f"{prefix}head.": f"{prefix}heads.{main}."}
        names[f"{prefix}displacement."] = f"{prefix}heads.displacement."
        found = {}
        for key, value in state.items():
            old = next((old for old in names if key.startswith(old)), "")
            found[names[old] + key[len(old) :] if old else key] = value
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        modern = self.renamed(state_dict, prefix)
        state_dict.clear()
        state_dict.update(modern)
        super()._load_from_state_dict(state_dict, prefix, *args)


class Potential(Network):
    """Energy and forces, which are the energy's slope unless the backbone predicts them itself."""

    def __init__(self, backbone: dict[str, Any], statistics: Statistics | None = None) -> None:
        super().__init__(backbone, POTENTIAL, statistics)


class PropertyModel(Network):
    """A property of the molecule and, with vectors, the displacement to its true geometry."""

    def __init__(self, backbone: dict[str, Any], statistics: Statistics | None = None) -> None:
        super().__init__(backbone, PROPERTY, statistics)


def build_model(config: dict[str, Any]) -> Network:
    """Return the network of a checkpoint's `{heads, backbone}`, or `{kind, backbone}` of old."""
    heads = _heads(config)
    if not isinstance(config.get("backbone"), dict):
        raise UserError("checkpoint: its config names no backbone")
    known = config.get("statistics")
    if known is not None:
        try:
            known = Statistics(**known | {"elements": tuple(known["elements"])})
        except (TypeError, KeyError) as error:
            raise UserError(f"checkpoint: its statistics are none ({error})") from None
    return Network(config["backbone"], heads, known)


def _heads(config: dict[str, Any]) -> dict[str, Head]:
    """Return the heads that a config names."""
    if "heads" in config:
        try:
            return {name: Head(**head) for name, head in config["heads"].items()}
        except (TypeError, AttributeError) as error:
            raise UserError(f"checkpoint: its heads are none ({error})") from None
    if config.get("kind") == "potential":
        return POTENTIAL
    if config.get("kind") == "property":
        return PROPERTY
    raise UserError(f"checkpoint: unknown kind of model '{config.get('kind')}'")
