def training_start(wildcards):
    """The checkpoint a training starts from."""
    start = TRAININGS[wildcards.training].get("start")
    return f"{RUN}/{training_path(config, start, 'model.pt')}" if start else []


def splits_are_the_run_s(wildcards):
    """Whether a training's molecules are in splits of the selection, and not in their own."""
    record = TRAININGS[wildcards.training]
    return "split" in record and selects(config, record["data"])


def tests_may_be_seen(wildcards):
    """Whether the potential may have learnt from molecules that a training is tested on."""
    record = TRAININGS[wildcards.training]
    return "split" in record and not selects(config, record["data"]) and learns_from_store(config)


def training_baseline(wildcards):
    """What a potential corrects."""
    name = baseline_name(TRAININGS[wildcards.training])
    return f"{RUN}/baseline/{name}.h5" if name else []


def training_option(name):
    """An input that not every training has, as an option of the command."""

    def option(wildcards, input):
        return f"--{name} {shlex.quote(str(input[name]))}" if input[name] else ""

    return option


rule train:
    input:
        settings=f"{RUN}/settings/train/{{training}}.json",
        data=lambda wildcards: f"{RUN}/packed/{TRAININGS[wildcards.training]['data']}.h5",
        selection=lambda wildcards: (
            f"{RUN}/selection.json" if splits_are_the_run_s(wildcards) else []
        ),
        relaxed=lambda wildcards: (
            f"{RUN}/relax/{relaxed_by(config, TRAININGS[wildcards.training]['data'])}.h5"
            if TRAININGS[wildcards.training].get("geometry") == "force2geo"
            else []
        ),
        start=training_start,
        seen=lambda wildcards: f"{RUN}/seen.json" if tests_may_be_seen(wildcards) else [],
        baseline=training_baseline,
    output:
        model=f"{RUN}/train/{{training}}/model.pt",
        metrics=f"{RUN}/train/{{training}}/metrics.json",
        predictions=f"{RUN}/train/{{training}}/predictions.npz",
    log:
        f"{RUN}/logs/train/{{training}}.log",
    benchmark:
        f"{RUN}/benchmarks/train/{{training}}.tsv"
    wildcard_constraints:
        training=one_of(TRAININGS),
    # The longest job by far, and most wait for it: the scheduler should not leave it for last.
    priority: lambda wildcards: 10 if wildcards.training.startswith("pretrain") else 0
    threads: TRAINING_THREADS
    resources:
        # Potentials train on all of them, a process each; others take one.
        gpu=lambda wildcards: GPUS if trains_potential(wildcards) else min(GPUS, 1),
    params:
        command=lambda wildcards: TRAIN if trains_potential(wildcards) else "force2geo",
        selection=training_option("selection"),
        relaxed=training_option("relaxed"),
        start=training_option("start"),
        seen=training_option("seen"),
        baseline=training_option("baseline"),
    shell:
        # Where a training is tracked is no reason to train again, so that it is no parameter.
        "{params.command} train --settings {input.settings:q} --data {input.data:q}"
        " {params.selection} {params.relaxed} {params.start} {params.seen} {params.baseline}"
        " --tracking={TRACKING[uri]:q}"
        " --experiment {TRACKING[experiment]:q} --out {output.model:q} > {log:q} 2>&1"
