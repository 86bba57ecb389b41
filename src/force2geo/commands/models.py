"""`force2geo models`: the models that come with the package, potentials among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from force2geo.prediction.shipped import Card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo models\n  force2geo models delta\n\n"
        "lists name, properties, test errors and title of each; of one its card and what its "
        "checkpoints say.\nPotentials predict energy and forces; `force2geo relax --model NAME` "
        "takes them, and the one named\ndelta without being asked. src/force2geo/weights/README.md "
        "says how a model is put there; one of\nyour own is given as a file to `force2geo predict "
        "--model` or `force2geo relax --model`"
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


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _show(name: str, card: Card) -> None:
    """Print a card and what its checkpoints say of themselves."""
    from force2geo.potentials.checkpoint import load
    from force2geo.prediction import shipped

    print(f"{name}: {card.title}")
    for key in ("kind", "data", "level", "geometry", "licence", "made_by"):
        if getattr(card, key):
            print(f"{key.replace('_', ' ')}: {getattr(card, key)}")
    for target, error in card.errors.items():
        measured = f"{error.mae:g} {error.unit} on {error.molecules} molecules ({error.on})"
        print(f"test MAE of {target}: {measured}")
    if card.spread is not None:
        sure = card.spread
        print(
            f"its networks differ by less than {sure.quantile_95:.2g} {sure.unit} in 95 % of "
            f"{sure.molecules} molecules ({sure.on}); beyond that a relaxation is unsure"
        )
    for row in card.rows:
        print(", ".join(f"{key} {_short(value)}" for key, value in row.items()))
    for limit in card.limits:
        print(f"limit: {limit}")
    for path in shipped.checkpoints(name):
        model = load(path)
        print(f"\n{path.name}\n{model!r}")
        if model.domain is not None:
            least, most = model.domain.atoms
            print(f"trained on molecules of {least} to {most} atoms")
