"""`force2geo property`: one property model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo property --settings property.json --recipe painn --split random "
        "\\\n    --conformers downstream.h5 --selection selection.json --out random/painn/model.pt"
    )
    add_settings(parser)
    parser.add_argument("--recipe", required=True, help="painn, schnet, force2prop, geometry_…")
    parser.add_argument("--split", choices=("random", "scaffold"), required=True)
    parser.add_argument("--conformers", type=Path, required=True, help="downstream set, HDF5")
    parser.add_argument("--selection", type=Path, required=True, help="selection, JSON")
    parser.add_argument("--relaxed", type=Path, help="relaxations of the set (Force2Geo), HDF5")
    parser.add_argument("--start", type=Path, help="checkpoint to start from")
    parser.add_argument("--noise", type=float, help="noise in Å, in place of the settings'")
    parser.add_argument("--geometry-weight", type=float, help="λ, in place of the settings'")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")


def run(args: argparse.Namespace) -> None:
    """Train the model."""
    from force2geo.commands.arguments import selected
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.relax.result import read_relaxed
    from force2geo.store.conformers import read_conformers
    from force2geo.train.geometry_mix import molecules
    from force2geo.train.recipes import RECIPES
    from force2geo.train.runs import train_property

    if args.recipe not in RECIPES:
        raise UserError(f"--recipe: '{args.recipe}' is none of {', '.join(RECIPES)}")
    recipe = RECIPES[args.recipe]
    for given, needed, name in (
        (args.start, recipe.start, "--start"),
        (args.relaxed, recipe.geometry == "force2geo", "--relaxed"),
    ):
        if bool(given) != bool(needed):
            raise UserError(
                f"{name}: recipe '{args.recipe}' {'needs' if needed else 'takes no'} it"
            )
    settings = read_settings(args.settings)
    settings["backbone"] = settings.pop("models")[recipe.backbone]
    for key in ("splits", "recipes", "sweeps"):
        settings.pop(key)
    kind = "fine_tuning" if recipe.start else "from_scratch"
    settings |= settings.pop(kind)
    settings.pop("fine_tuning" if kind == "from_scratch" else "from_scratch")
    for key in ("noise", "geometry_weight"):
        if getattr(args, key) is not None:
            settings[key] = getattr(args, key)
    if not recipe.fine_tunes_geometry:
        settings["geometry_weight"] = 0.0
    paths = None
    if args.relaxed:
        relaxed = read_relaxed(args.relaxed)
        usable = [status not in ("exploded", "refused") for status in relaxed.status]
        paths = {c: f for c, f, ok in zip(relaxed.cids, relaxed.frames, usable, strict=True) if ok}
    splits = selected(args.selection, args.split)
    conformers = read_conformers(args.conformers)
    sets = {
        name: molecules(
            conformers,
            cids,
            recipe.geometry,
            paths,
            settings["noise"],
            sample=recipe.fine_tunes_geometry and name == "train",
        )
        for name, cids in splits.items()
    }
    given = [args.conformers, args.selection, args.relaxed, args.start]
    inputs = [path for path in given if path is not None]
    settings |= {"recipe": args.recipe, "split": args.split}
    start_kind = "potential" if recipe.start == "potential" else "property"
    train_property("property", sets, args.start, settings, inputs, args.out, start_kind)
