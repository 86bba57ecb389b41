def choice(wildcards):
    """The record of a round's choice."""
    return CHOICES[wildcards.round]


def committee(wildcards):
    """The checkpoints that a choice asks."""
    names = (SAME_TRAINING[name] for name in choice(wildcards)["ensemble"])
    return [f"{RUN}/train/{name}/model.pt" for name in names]


def chosen_before(names):
    """The choices of rounds, those that DFT has labelled with what became of each geometry."""
    return [
        f"{RUN}/active/{name}/labels.csv" if name in LABELLED else f"{RUN}/active/{name}.csv"
        for name in names
    ]


def options(**values):
    """Options of a command that have a value, each of one or several."""
    words = []
    for name, value in values.items():
        several = [value] if isinstance(value, (str, int, float)) else list(value)
        words += [f"--{name.replace('_', '-')}", *map(str, several)] if several else []
    return shlex.join(words)


LABELLED = [name for name in CHOICES if "pool" in CHOICES[name]]


rule choose:
    input:
        settings=f"{RUN}/settings/choose/{{round}}.json",
        data=f"{RUN}/packed/{POOL}.h5",
        earlier=lambda wildcards: chosen_before(choice(wildcards)["earlier"]),
        models=committee,
    output:
        f"{RUN}/active/{{round}}.csv",
    log:
        f"{RUN}/logs/choose/{{round}}.log",
    benchmark:
        f"{RUN}/benchmarks/choose/{{round}}.tsv"
    wildcard_constraints:
        round=one_of(name for name in CHOICES if name not in LABELLED),
    threads: TRAINING_THREADS
    params:
        more=lambda wildcards, input: options(earlier=input.earlier, model=input.models),
    shell:
        "force2geo choose --settings {input.settings:q} --data {input.data:q} {params.more}"
        " --out {output:q} > {log:q} 2>&1"


rule label:
    input:
        molecules=lambda wildcards: choice(wildcards)["pool"],
        apart=lambda wildcards: choice(wildcards)["apart"],
        selection=f"{RUN}/selection.json",
        index=f"{RUN}/store/index.parquet",
        # Of the first training set's molecules the pool is free to have others' geometries.
        earlier=lambda wildcards: chosen_before(choice(wildcards)["earlier"][1:]),
        models=committee,
    output:
        f"{RUN}/active/{{round}}/labels.csv",
    log:
        f"{RUN}/logs/label/{{round}}.log",
    benchmark:
        f"{RUN}/benchmarks/label/{{round}}.tsv"
    wildcard_constraints:
        round=one_of(LABELLED),
    threads: config["resources"]["dft_workers"]
    params:
        # Not outputs: what is computed stays when the job is killed, and numbers are all rounds'.
        folder=f"{RUN}/active/{{round}}",
        store=f"{RUN}/active/points",
        more=lambda wildcards, input: options(
            **{
                key: value
                for key, value in choice(wildcards).items()
                if key in ("choose", "seed", "budget", "per_molecule", "distance")
            },
            split=config["data"][POOL]["split"],
            model=input.models,
            apart=input.apart,
            earlier=[str(Path(path).parent) for path in input.earlier],
        ),
    shell:
        "force2geo label --molecules {input.molecules:q} --selection {input.selection:q}"
        " --index {input.index:q} {params.more} --workers {threads} --store {params.store:q} --anew"
        " --out {params.folder:q} > {log:q} 2>&1"


rule round:
    input:
        data=f"{RUN}/packed/{POOL}.h5",
        choices=lambda wildcards: [
            path
            for path in chosen_before([*choice(wildcards)["earlier"], wildcards.round])
            if not path.endswith("/labels.csv")
        ],
        labels=lambda wildcards: [
            path
            for path in chosen_before([*choice(wildcards)["earlier"], wildcards.round])
            if path.endswith("/labels.csv")
        ],
    output:
        f"{RUN}/packed/{{round}}.h5",
    log:
        f"{RUN}/logs/round/{{round}}.log",
    wildcard_constraints:
        round=one_of(CHOICES),
    params:
        more=lambda wildcards, input: options(choice=input.choices, labels=input.labels),
    shell:
        "force2geo round --data {input.data:q} {params.more} --out {output:q} > {log:q} 2>&1"
