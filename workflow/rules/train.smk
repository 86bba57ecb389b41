def training_start(wildcards):
    """The checkpoint a training starts from."""
    start = TRAININGS[wildcards.training].get("start")
    return f"{RUN}/{training_path(config, start, 'model.pt')}" if start else []


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
            f"{RUN}/selection.json" if "split" in TRAININGS[wildcards.training] else []
        ),
        relaxed=lambda wildcards: (
            f"{RUN}/relax/subset.h5"
            if TRAININGS[wildcards.training].get("geometry") == "force2geo"
            else []
        ),
        start=training_start,
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
        training="|".join(map(re.escape, TRAININGS)),
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
        baseline=training_option("baseline"),
    shell:
        # Where a training is tracked is no reason to train again, so that it is no parameter.
        "{params.command} train --settings {input.settings:q} --data {input.data:q}"
        " {params.selection} {params.relaxed} {params.start} {params.baseline}"
        " --tracking={TRACKING[uri]:q}"
        " --experiment {TRACKING[experiment]:q} --out {output.model:q} > {log:q} 2>&1"
