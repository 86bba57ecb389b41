"""How each property model of tables 4 and 6 is made; plain data the workflow reads too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Backbone, geometry judged on, and what training starts from.

    `start` is None (from scratch), `potential` (the pretrained potential's backbone) or the
    name of another recipe; a recipe that starts from another one is geometry fine-tuning.
    """

    backbone: str
    geometry: str
    start: str | None = None

    @property
    def fine_tunes_geometry(self) -> bool:
        """Whether training mixes noised and relaxed geometries (Force2Geo, section 2.4)."""
        return self.start is not None and self.start != "potential"


RECIPES: dict[str, Recipe] = {
    "painn": Recipe("painn", "dft"),
    "schnet": Recipe("schnet", "dft"),
    "force2prop": Recipe("painn", "dft", "potential"),
    "geometry_rdkit": Recipe("painn", "rdkit", "painn"),
    "geometry_hf": Recipe("painn", "hf", "painn"),
    "geometry_force2geo": Recipe("painn", "force2geo", "painn"),
}
