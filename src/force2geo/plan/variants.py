"""Which property models a run asks for: a split, a recipe, a seed, and what else is varied."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from force2geo.train.recipes import DENOISER, DENS, POTENTIAL, RECIPES, recipe

SWEPT = ("noise", "geometry_weight")
SWEPT_RECIPE, SWEPT_SPLIT = "geometry_force2geo", "random"
FORCE2PROP, TARGETS_BY = "force2prop", "painn"
# Of a recipe that starts from another one: what varies its start, too.
_INHERITED = ("train_size", "target")


@dataclass(frozen=True)
class Variant:
    """A property model: `changed` stands in place of settings, `seed` of the run's own.

    Beside `SWEPT` settings of geometry fine-tuning there may be changed the `target`, the
    `train_size`, molecules to train on, and the `share` of the molecules that the potential which
    it starts from has learnt from.
    """

    split: str
    recipe: str
    seed: int | None = None
    changed: dict[str, Any] = field(default_factory=dict)

    def name(self) -> str:
        """Return the name of its training.

        The run's own seed is in no name, so that one seed more, wherever it stands, renames none.
        """
        parts = [f"property.{self.split}.{self.recipe}"]
        parts += [f"{key}={value}" for key, value in self.changed.items()]
        return ".".join(parts + ([] if self.seed is None else [f"seed{self.seed}"]))

    def start(self) -> Variant | None:
        """Return the property model that it starts from, None where it starts from none."""
        start = recipe(self.recipe).start
        if start not in RECIPES:
            return None
        kept = {key: value for key, value in self.changed.items() if key in _INHERITED}
        return replace(self, recipe=start, changed=kept)


def seeds(config: dict[str, Any]) -> list[int | None]:
    """Return the seeds of property models, None for the run's own, which is the first."""
    own = config["seed"]
    told = config["property"].get("seeds", [own])
    return [None if seed == own else seed for seed in sorted(told, key=lambda seed: seed != own)]


def scratch(config: dict[str, Any]) -> str:
    """Return the recipe that Force2Prop is compared with: its network without its start."""
    return str(config["pretrain"]["backbone"])


def recipes(config: dict[str, Any]) -> list[str]:
    """Return all recipes that a run names, those that are swept among them."""
    section = config["property"]
    swept = [SWEPT_RECIPE] if any(section["sweeps"].values()) else []
    curve = [scratch(config), FORCE2PROP] if section["sizes"] else []
    shared = [FORCE2PROP] if section["shares"] else []
    by = [TARGETS_BY] if section["targets"] else []
    named = [*section["recipes"], *section["once"], *swept, *curve, *shared, *by]
    return list(dict.fromkeys(named))


def variants(config: dict[str, Any]) -> list[Variant]:
    """Return the property models of a run, those that others start from among them."""
    section = config["property"]
    splits = section["splits"]
    own, *others = seeds(config)
    found = [Variant(split, one, own) for split in splits for one in section["recipes"]]
    found += _swept(config, own)
    found += [Variant(split, one) for split in splits for one in section["once"]]
    for seed in others:
        found += [Variant(split, one, seed) for split in splits for one in section["recipes"]]
        found += _swept(config, seed)
    for seed in (own, *others):
        for split in splits:
            found += sized(config, split, seed)
            found += shared(config, split, seed)
    found += [Variant(splits[0], TARGETS_BY, None, {"target": one}) for one in section["targets"]]
    every: dict[str, Variant] = {}
    for one in found:
        step: Variant | None = one
        while step is not None:
            every.setdefault(step.name(), step)
            step = step.start()
    return list(every.values())


def _swept(config: dict[str, Any], seed: int | None) -> list[Variant]:
    sweeps = config["property"]["sweeps"]
    return [
        Variant(SWEPT_SPLIT, SWEPT_RECIPE, seed, {key: value})
        for key in SWEPT
        for value in sweeps.get(key, [])
    ]


def sized(config: dict[str, Any], split: str, seed: int | None) -> list[Variant]:
    """Return the property models of figure 6, from scratch and not, by molecules to train on."""
    return [
        Variant(split, one, seed, {"train_size": size})
        for size in config["property"]["sizes"]
        for one in (scratch(config), FORCE2PROP)
    ]


def shared(config: dict[str, Any], split: str, seed: int | None) -> list[Variant]:
    """Return those of figure 5, by the share of the potential's molecules."""
    shares = config["property"]["shares"]
    return [Variant(split, FORCE2PROP, seed, {"share": share}) for share in shares]


def potential_of(config: dict[str, Any], variant: Variant) -> str | None:
    """Return the name of the pretraining that a property model starts from, if it is one.

    `pretrain` is the run's own; `.share=` one that learnt from a part of its molecules,
    `.network=` another network, `.denoising` one that learnt to tell noise, `.dens`
    one that was given forces for it.
    """
    made = recipe(variant.recipe)
    if made.start in (DENOISER, DENS):
        return f"pretrain.{'denoising' if made.start == DENOISER else DENS}"
    if made.start != POTENTIAL:
        return None
    network, share = made.backbone, variant.changed.get("share", 1)
    if network is not None and network != scratch(config):
        return f"pretrain.network={network}"
    return "pretrain" if share == 1 else f"pretrain.share={share}"
