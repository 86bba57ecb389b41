"""The command line: one subcommand per stage, each in its module of `commands/`."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from force2geo import __version__
from force2geo.errors import UserError

COMMANDS = {
    "logs": "read quantum-chemistry logs and print what they say",
    "export-logs": "write raw results as logs in PubChemQC's layout, one archive per shard",
    "generate": "relax your own molecules by the PubChemQC protocol with open programs",
    "label": "compute DFT energies and gradients of more molecules with PySCF",
    "curate": "logs of one shard to trajectories (LMDB), index and rejects",
    "published": "PubChemQCR's LMDB files to shards and back",
    "statistics": "merge the shards' indices and count what there is",
    "audit": "levels of theory in the store, and a sample of energies checked with PySCF",
    "select": "subset S and splits by molecule",
    "d-opt": "the diverse set D_opt, part of the test set",
    "seen": "what a potential learns from, to be kept out of other sets' tests",
    "datasets": "list the data sets there are, with source, licence and settings",
    "data": "a data set's snapshots or molecules to one HDF5 file",
    "baseline": "a calculator's energies and forces of packed snapshots, to be corrected",
    "backbones": "list the networks there are, with source, licence and parameters",
    "choose": "which labels of packed snapshots to look at next, hidden until then",
    "round": "the packed training set of a round, of the labels chosen so far",
    "train": "train a potential or a property model",
    "export": "compile a potential for C++ and for Python without this package",
    "calibrate": "potentials on labelled snapshots they never saw: errors, and what spread tells",
    "relax": "relax molecules with a potential, or with several that answer together",
    "predict": "properties of molecules by trained models, and how far to trust each",
    "ship": "a run's potentials as models that come with the package",
    "models": "list the models that come with the package, potentials among them",
    "gather": "the pieces of a relaxation in one file",
    "finish": "relaxed molecules of a set to DFT's minimum",
    "minima": "DFT minima of a list of molecules from two starts, to test relaxations on",
    "dft": "DFT single points of start, relaxed and reference geometries",
    "judge": "relaxed molecules beside their single points and references",
    "table": "one table of a run",
    "figure": "one figure of a run",
    "report": "one self-contained HTML page",
    "config": "a run's configuration with all its defaults, checked",
}


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """Return the parser; only the chosen subcommand's module is imported."""
    parser = argparse.ArgumentParser(
        prog="force2geo",
        description="From relaxation logs to potentials, geometries, properties and tables.",
        epilog="Example: force2geo logs relaxation.log --json. The workflow runs the stages: "
        "snakemake --cores all",
    )
    parser.add_argument("--version", action="version", version=f"force2geo {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = subparsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == chosen:
            module = import_module(f"force2geo.commands.{name.replace('-', '_')}")
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    chosen = next((word for word in arguments if word in COMMANDS), None)
    parsed = build_parser(chosen).parse_args(arguments)
    try:
        return parsed.run(parsed) or 0
    except UserError as error:
        print(f"force2geo {parsed.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        said = f": {stop}" if str(stop) else ""
        print(f"force2geo {parsed.command}: interrupted{said}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except OSError as error:  # a file or folder that is absent, closed to us or of another kind
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"force2geo {parsed.command}: {said}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
