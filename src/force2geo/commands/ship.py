"""`force2geo ship`: models of a run for the box."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_models, add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n"
        "  force2geo ship --settings settings/box/delta.json --model train/pretrain/model.pt \\\n"
        "    --calibration calibration/delta.json --table tables/table3.json --out box/delta.json\n"
        "\nwrites a card, all numbers of which are read from the run's own files, and beside it\n"
        "the checkpoints as float32, delta.1.pt and so on. `snakemake box` calls it for all that\n"
        "the config's section box names; copied to src/force2geo/weights they are in the box"
    )
    add_settings(parser)
    add_models(parser, required=True)
    parser.add_argument(
        "--calibration", type=Path, required=True, help="of the models, JSON of force2geo calibrate"
    )
    parser.add_argument("--table", type=Path, help="table 3 of the run, JSON")
    parser.add_argument("--out", type=Path, required=True, help="the card to write, NAME.json")


def run(args: argparse.Namespace) -> None:
    """Write card and checkpoints."""
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.files import provenance_path, read_json, reading, record_provenance
    from force2geo.plan.finishes import FINISHED
    from force2geo.plan.relaxations import BETWEEN
    from force2geo.prediction.shipping import relaxed_rows, ship

    record = read_settings(args.settings)
    models = [Path(name) for name in args.model]
    calibration = read_json(args.calibration, "a calibration, JSON")
    measured = provenance_path(args.calibration)
    if measured.exists():
        inputs = read_json(measured)["inputs"]
        if absent := [path for path in models if str(path) not in inputs]:
            raise UserError(f"{args.calibration}: not measured for {absent[0]}")
    rows = []
    if args.table is not None:
        with reading(args.table, "a table's cells, JSON"):
            cells = read_json(args.table)["cells"]
        own = record["potential"]
        more = own + BETWEEN, own + FINISHED
        known = {cell["row"] for cell in cells}
        names = {row for row in known if row == own or row.startswith(more)}
        rows = relaxed_rows(cells, names)
    files = ship(args.out, models, record, calibration, rows)
    others = [path for path in (args.calibration, args.table) if path is not None]
    record_provenance(args.out, "ship", record, [*models, *others])
    for path in files:
        print(f"{path}: {path.stat().st_size} bytes")
