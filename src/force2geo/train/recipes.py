"""How each property model of the tables is made; plain data the workflow reads too."""

from __future__ import annotations

from dataclasses import dataclass

POTENTIAL, DENOISER, DENS = "potential", "denoiser", "dens"
"""What a recipe may start from beside another one."""


@dataclass(frozen=True)
class Recipe:
    """Network, geometry learnt from and judged on, and what training starts from.

    `backbone` names a model, None is the potential's own. `start` is None (from scratch),
    `potential` or `denoiser` (the backbone of one pretrained on energies and forces, or on noise)
    or the name of another recipe. A `mixed` one learns from noised and relaxed geometries, and the
    way from them to the true ones (Force2Geo, section 2.4). Of a `frozen` one the heads alone
    learn; one that is not `tuned` is judged as it starts.
    """

    backbone: str | None
    geometry: str
    start: str | None = None
    mixed: bool = False
    frozen: bool = False
    tuned: bool = True

    @property
    def from_potential(self) -> bool:
        """Whether it is Force2Prop, or what that is compared with head by head."""
        return self.start in (POTENTIAL, DENOISER, DENS) or self.frozen


RECIPES: dict[str, Recipe] = {
    "painn": Recipe("painn", "dft"),
    "schnet": Recipe("schnet", "dft"),
    "force2prop": Recipe(None, "dft", POTENTIAL),
    "geometry_rdkit": Recipe("painn", "rdkit", "painn", mixed=True),
    "geometry_hf": Recipe("painn", "hf", "painn", mixed=True),
    "geometry_force2geo": Recipe("painn", "force2geo", "painn", mixed=True),
    "untuned_rdkit": Recipe("painn", "rdkit", "painn", mixed=True, tuned=False),
    "untuned_hf": Recipe("painn", "hf", "painn", mixed=True, tuned=False),
    "untuned_force2geo": Recipe("painn", "force2geo", "painn", mixed=True, tuned=False),
    "scratch_rdkit": Recipe("painn", "rdkit"),
    "scratch_hf": Recipe("painn", "hf"),
    "scratch_force2geo": Recipe("painn", "force2geo"),
    "force2prop_frozen": Recipe(None, "dft", POTENTIAL, frozen=True),
    "random_frozen": Recipe(None, "dft", frozen=True),
    "force2prop_schnet": Recipe("schnet", "dft", POTENTIAL),
    "force2prop_denoising": Recipe(None, "dft", DENOISER),
    "force2prop_dens": Recipe(None, "dft", DENS),
    "unimol_rdkit": Recipe("unimol_plus", "rdkit", mixed=True),
    "unimol_hf": Recipe("unimol_plus", "hf", mixed=True),
}
USUAL = ("painn", "schnet", "force2prop", "geometry_rdkit", "geometry_hf", "geometry_force2geo")
"""The recipes of a run that names none."""


def recipe(name: str) -> Recipe:
    """Return the recipe of a name; that of a model is to train it from scratch on the truth."""
    return RECIPES.get(name) or Recipe(name, "dft")


def starts(name: str) -> list[str]:
    """Return the recipes that must be trained before one, the last one first."""
    start = recipe(name).start
    return [start, *starts(start)] if start in RECIPES else []
