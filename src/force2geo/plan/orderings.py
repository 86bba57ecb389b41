"""The orderings of property models that the method predicts, and the trainings that tell."""

from __future__ import annotations

from typing import Any, NamedTuple

from force2geo.plan.properties import FROM_POTENTIAL, FROM_SCRATCH, about, files_of, label, sized
from force2geo.plan.variants import SWEPT_RECIPE, SWEPT_SPLIT, Variant, scratch


class Ordering(NamedTuple):
    """A claim: the recipe `worse` has larger errors than `better`; `published` (eV), if known.

    `FROM_SCRATCH` is the potential's network without its start.
    """

    claim: str
    worse: str
    better: str
    published: float | None = None


# Published differences are of tables 1, 4, 6, 7, 10 and 13; of validation where there is no test.
ORDERINGS = (
    Ordering(
        "Geometry fine-tuning improves on the same predictor on the same relaxed geometries",
        "untuned_force2geo", "geometry_force2geo",
    ),
    Ordering(
        "Geometry fine-tuning improves on the same predictor on RDKit's geometries",
        "untuned_rdkit", "geometry_rdkit",
    ),
    Ordering(
        "Geometry fine-tuning improves on training from scratch on relaxed geometries",
        "scratch_force2geo", "geometry_force2geo",
    ),
    Ordering(
        "Relaxed geometries improve on RDKit's, for the predictor that learnt on true ones",
        "untuned_rdkit", "untuned_force2geo",
    ),
    Ordering(
        "Relaxed geometries improve on RDKit's, both fine-tuned",
        "geometry_rdkit", "geometry_force2geo", 0.1598 - 0.0822,
    ),
    Ordering(
        "Relaxed geometries improve on RDKit's, both from scratch",
        "scratch_rdkit", "scratch_force2geo",
    ),
    Ordering(
        "Relaxed geometries improve on PM3 & HF's, both fine-tuned",
        "geometry_hf", "geometry_force2geo", 0.0916 - 0.0822,
    ),
    Ordering(
        "True geometries improve on relaxed ones, both from scratch",
        "scratch_force2geo", "painn", 0.4846 - 0.1137,
    ),
    Ordering(
        "Geometry improves on the molecular graph", "gin_virtual", "geometry_force2geo",
        0.1249 - 0.0794,
    ),
    Ordering(
        "Force2Prop improves on training from scratch", FROM_SCRATCH, "force2prop",
        0.0575 - 0.0486,
    ),
    Ordering(
        "Force2Prop improves on training from scratch with SchNet", "schnet", "force2prop_schnet",
        0.0718 - 0.0572,
    ),
    Ordering(
        "Forces are better to pretrain on than noise", "force2prop_denoising", "force2prop",
        0.0533 - 0.0471,
    ),
    Ordering("Fine-tuning all improves on the head alone", "force2prop_frozen", "force2prop"),
    Ordering("Pretrained features improve on random ones", "random_frozen", "force2prop_frozen"),
)  # fmt: skip


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the files of the claims' recipes, of the learning curve, and of the noise's sweep."""
    section = config["property"]
    split = section["splits"][0]
    names = {one for claim in ORDERINGS for one in (claim.worse, claim.better)}
    network = scratch(config) if "pretrain" in config else "painn"
    asked = {
        label(split, name): Variant(split, network if name == FROM_SCRATCH else name)
        for name in sorted(names)
    }
    sizes = sized(config, split) if section["sizes"] else {}
    values = section["sweeps"].get("noise", [])
    asked |= sizes | {
        label(SWEPT_SPLIT, f"noise {value}"): Variant(
            SWEPT_SPLIT, SWEPT_RECIPE, None, {"noise": value}
        )
        for value in values
    }
    return {
        "files": files_of(config, asked),
        **about(config),
        "split": split,
        "sizes": sorted(section["sizes"]),
        "noise": sorted(values),
    }


def size_row(split: str, scratched: bool, size: int) -> str:
    """Return the label of a learning curve's point."""
    return label(split, f"{FROM_SCRATCH if scratched else FROM_POTENTIAL}, {size}")


def noise_row(value: float) -> str:
    """Return the label of a value of the noise."""
    return label(SWEPT_SPLIT, f"noise {value}")
