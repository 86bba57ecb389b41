"""A run's configuration as typed classes: every key, its default, its unit and its meaning."""

from __future__ import annotations

from dataclasses import dataclass

from force2geo.config.active import Active
from force2geo.config.box import Boxed
from force2geo.config.data import ENTRIES, Audit, Curate, Entry, Generate, Raw, Select
from force2geo.config.geometries import Compared, Dft, Finish, Relax
from force2geo.config.training import Benchmark, Model, Pretrain, Property
from force2geo.settings import setting


@dataclass(frozen=True)
class Resources:
    """What jobs use."""

    gpus: int = setting(
        "of a job that trains a potential, a process each; another that needs one takes one",
        0,
        least=0,
    )
    training_threads: int = setting("of a job that trains or relaxes", 1, least=1)
    dft_workers: int = setting("processes of a job of single points, or that embeds", 2, least=1)


@dataclass(frozen=True)
class Tracking:
    """Where trainings can be watched."""

    uri: str = setting(
        "an MLflow server's address or database, an empty text for none",
        "sqlite:///results/mlflow.db",
    )
    experiment: str = setting("MLflow's experiment", "force2geo", matches=".")


@dataclass(frozen=True)
class Config:
    """A run. A section without a default that is left out, or null, has no jobs."""

    run: str = setting("its name: results go to `results/RUN`", matches=r"^[A-Za-z0-9_-]+$")
    seed: int = setting("of all that is drawn", 7, least=0)
    raw: Raw | None = setting("logs that are there", None)
    generate: Generate | None = setting("molecules of your own", None)
    curate: Curate = setting("what the logs' paths say", Curate())
    audit: Audit = setting("which level the energies are at", Audit())
    select: Select = setting("subset, splits and D_opt", Select())
    data: dict[str, Entry] = setting(
        "data sets by name: `from` the set of that name, with what it takes (force2geo datasets "
        "lists them), and, where it is read as either, `as` snapshots or molecules",
        ENTRIES,
        names=r"^[A-Za-z0-9_-]+$",
    )
    models: dict[str, Model] = setting(
        "settings of networks by name: of the backbone of that name, or of the one under "
        "`backbone` (force2geo backbones lists them and what they take)",
        {},
    )
    benchmark: Benchmark | None = setting("networks on the same data", None)
    pretrain: Pretrain | None = setting("the run's potential", None)
    active: Active | None = setting("rounds of labels", None)
    relax: Relax = setting("relaxations", Relax())
    compare: dict[str, Compared] = setting(
        "other potentials that relax D_opt, rows of table 3, by name",
        {},
        names=r"^[A-Za-z0-9_+-]+$",
    )
    finish: Finish | None = setting("relaxations that DFT finishes", None)
    box: dict[str, Boxed] = setting(
        "potentials that are to come with the package (snakemake box), by the name they get there",
        {},
        names=r"^[A-Za-z0-9_-]+$",
    )
    dft: Dft = setting("single points", Dft())
    property: Property | None = setting("property models", None)
    tables: tuple[str, ...] = setting(
        "on the page, files of src/force2geo/tables", (), distinct=True
    )
    figures: tuple[str, ...] = setting(
        "on the page, files of src/force2geo/figures", (), distinct=True
    )
    resources: Resources = setting("what jobs use", Resources())
    tracking: Tracking = setting("where trainings can be watched", Tracking())
