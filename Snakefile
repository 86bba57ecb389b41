"""force2geo: raw relaxation logs in, the papers' tables out."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.utils import min_version

from force2geo.config import (
    STAGES,
    fingerprint,
    generated_shards,
    has,
    made_by_other_code,
    own_molecules,
    resolve,
    shard_identifiers,
    shard_sources,
    stage_settings,
)
from force2geo.dft.generate import Settings, folder_name
from force2geo.errors import UserError
from force2geo.plan.baselines import baselines
from force2geo.plan.baselines import name_of as baseline_name
from force2geo.plan.box import boxed
from force2geo.plan.data import data_set_needs, learns_from_store, published_files, selects
from force2geo.plan.finishes import finishes
from force2geo.plan.relaxations import (
    ALL,
    counted,
    d_opt_data,
    earlier,
    is_judged,
    piece_size,
    pieces,
    planned,
    relaxations,
    relaxed_by,
)
from force2geo.plan.rounds import choices, pool
from force2geo.plan.shown import KINDS, inputs, request
from force2geo.plan.shown import names as shown_names
from force2geo.plan.trainings import path as training_path
from force2geo.plan.trainings import same, trainings
from force2geo.training_data.registry import kind as kind_of_data

min_version("8.20")


# A run's configuration stands alone: the demo's is none that another's is put on.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


try:
    # What was checked once the jobs need not check again.
    config = resolve(config, models=workflow.is_main_process)
    SHARDS = shard_sources(config)
    IDENTIFIERS = shard_identifiers(config)
    GENERATED = generated_shards(config)
except UserError as error:
    # One line that says what to mend, instead of a traceback.
    sys.exit(str(error))

# Libraries of the jobs keep their caches in this folder and send nothing out.
os.environ.setdefault("MPLCONFIGDIR", str(Path(".cache/matplotlib").resolve()))
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

RUN = f"results/{config['run']}"
TRAININGS = trainings(config)
SAME_TRAINING = same(TRAININGS)
BASELINES = baselines(config)
CHOICES = choices(config)
# What rounds of labels begin with.
POOL = pool(config) if CHOICES else ""
RELAXATIONS = relaxations(config)
FINISHES = finishes(config)
BOXED = boxed(config)
# Those that DFT judges.
JUDGED = [
    *(name for name in RELAXATIONS if is_judged(name)),
    *FINISHES,
]
# What D_opt is of.
D_OPT_DATA = d_opt_data(config)
TRACKING = config["tracking"]
BATCH_ATOMS = config["relax"]["batch_atoms"]
SHARD_FILES = expand(f"{RUN}/store/{{shard}}.lmdb", shard=SHARDS)
GPUS = config["resources"]["gpus"]
# Potentials train on all of them, a process each; other jobs take one.
TRAIN = (
    f"torchrun --standalone --nproc-per-node {GPUS} -m force2geo.cli" if GPUS > 1 else "force2geo"
)
TRAINING_THREADS = config["resources"]["training_threads"]


if workflow.is_main_process and Path(RUN).exists():
    stages = made_by_other_code(Path(RUN))
    if stages:
        # Not a reason to run again: a word changed in a comment would cost a week of training.
        print(
            f"{RUN}: another version of the package's code made results of: {', '.join(stages)}."
            f" `snakemake --forcerun {' '.join(stages)}` makes them again.",
            file=sys.stderr,
        )


def one_of(names):
    """A pattern for these names; of none it finds nothing, where an empty one would find all."""
    return "|".join(map(re.escape, names)) or "(?!)"


def trains_potential(wildcards):
    """Whether a training is one of a potential."""
    return TRAININGS[wildcards.training]["objective"] == "energy_forces"


include: "workflow/rules/settings.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/curate.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/select.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/active.smk"
include: "workflow/rules/baseline.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/relax.smk"
include: "workflow/rules/finish.smk"
include: "workflow/rules/dft.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/show.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/box.smk"


localrules:
    all,
    settings,


rule all:
    default_target: True
    input:
        f"{RUN}/report.html",
