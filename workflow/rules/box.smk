# Models that are to come with the package: what their errors and spreads are on what they never
# saw, then stripped checkpoints and a card of it. `snakemake box` makes them; no page does.
def boxed_models(wildcards):
    """The checkpoints of a model for the box."""
    return checkpoints_of(BOXED[wildcards.boxed])


def boxed_tests(wildcards):
    """The predictions of property models, which say what they were tested on."""
    record = BOXED[wildcards.boxed]
    return f"{RUN}/train/{record['trainings'][0]}/predictions.npz" if "recipe" in record else []


def box_table(wildcards):
    """The table of relaxations, where the run has it."""
    relaxes = "potential" in BOXED[wildcards.boxed]
    return f"{RUN}/tables/table3.json" if relaxes and "table3" in config["tables"] else []


rule calibrate:
    input:
        model=boxed_models,
        settings=f"{RUN}/settings/box/{{boxed}}.json",
        data=lambda wildcards: f"{RUN}/packed/{BOXED[wildcards.boxed]['packed']}.h5",
        tested=boxed_tests,
    output:
        json=f"{RUN}/calibration/{{boxed}}.json",
        csv=f"{RUN}/calibration/{{boxed}}.csv",
    log:
        f"{RUN}/logs/calibrate/{{boxed}}.log",
    wildcard_constraints:
        boxed=one_of(BOXED),
    threads: TRAINING_THREADS
    params:
        model=model_option,
        source=lambda wildcards: (
            f"--source {BOXED[wildcards.boxed]['source']}"
            if BOXED[wildcards.boxed]["source"]
            else ""
        ),
        tested=lambda wildcards, input: (
            f"--tested {shlex.quote(str(input.tested))}" if input.tested else ""
        ),
    shell:
        "force2geo calibrate {params.model} --data {input.data:q} {params.source} {params.tested}"
        " --out {output.json:q} > {log:q} 2>&1"


rule ship:
    input:
        model=boxed_models,
        settings=f"{RUN}/settings/box/{{boxed}}.json",
        calibration=f"{RUN}/calibration/{{boxed}}.json",
        table=box_table,
    output:
        # The card, which names the checkpoints beside it and is written last.
        f"{RUN}/box/{{boxed}}.json",
    log:
        f"{RUN}/logs/ship/{{boxed}}.log",
    wildcard_constraints:
        boxed=one_of(BOXED),
    params:
        model=model_option,
        table=lambda wildcards, input: (
            f"--table {shlex.quote(str(input.table))}" if input.table else ""
        ),
    shell:
        "force2geo ship {params.model} --settings {input.settings:q}"
        " --calibration {input.calibration:q} {params.table} --out {output:q} > {log:q} 2>&1"


rule box:
    input:
        expand(f"{RUN}/box/{{boxed}}.json", boxed=BOXED),
    localrule: True
