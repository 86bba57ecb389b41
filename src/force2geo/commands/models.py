"""`force2geo models`: the property models that come with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from force2geo.prediction.shipped import Card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo models\n  force2geo models qm9-gap\n\n"
        "lists name, properties, test errors and title of each; of one its card and what its "
        "checkpoints say.\nsrc/force2geo/weights/README.md says how a model is put there; one of "
        "your own is given to\n`force2geo predict --model` as a file"
    )
    parser.add_argument("name", nargs="?", help="one model: its card and its checkpoints")


def run(args: argparse.Namespace) -> None:
    """List them."""
    from force2geo.errors import UserError
    from force2geo.prediction import shipped

    known = shipped.cards()
    if args.name is None:
        for name, card in known.items():
            errors = ", ".join(f"{one} {e.mae:g} {e.unit}" for one, e in card.errors.items())
            print(f"{name}: {card.title}; test MAE {errors}")
        if not known:
            print(f"no model comes with this version; {shipped.FOLDER} is their place")
        return
    if args.name not in known:
        raise UserError(f"no model '{args.name}' comes with this version, only {_listed(known)}")
    _show(args.name, known[args.name])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none at all"


def _show(name: str, card: Card) -> None:
    """Print a card and what its checkpoints say of themselves."""
    from force2geo.potentials.checkpoint import load
    from force2geo.prediction import shipped

    print(f"{name}: {card.title}")
    for key in ("data", "level", "geometry", "licence", "made_by"):
        print(f"{key.replace('_', ' ')}: {getattr(card, key)}")
    for target, error in card.errors.items():
        measured = f"{error.mae:g} {error.unit} on {error.molecules} molecules ({error.on})"
        print(f"test MAE of {target}: {measured}")
    for limit in card.limits:
        print(f"limit: {limit}")
    for path in shipped.checkpoints(name):
        model = load(path)
        print(f"\n{path.name}\n{model!r}")
        if model.domain is not None:
            least, most = model.domain.atoms
            print(f"trained on molecules of {least} to {most} atoms")
