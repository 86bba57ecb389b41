def checkpoints_of(potential):
    """The checkpoints of a potential, none of a calculator."""
    if "checkpoint" in potential:
        return [potential["checkpoint"]]
    names = potential.get("trainings", [potential["training"]] if "training" in potential else [])
    return [f"{RUN}/train/{name}/model.pt" for name in names]


def model_option(wildcards, input):
    """These checkpoints as an option of the command."""
    return " ".join(["--model", *map(shlex.quote, input.model)]) if input.model else ""


def relaxed_set(wildcards):
    """The file of the molecules of which some or all relax."""
    return f"{RUN}/packed/{RELAXATIONS[wildcards.relaxation]['data']}.h5"


def relaxed_molecules(wildcards):
    """The file that says which molecules relax, none where all of a set do."""
    molecules = RELAXATIONS[wildcards.relaxation]["molecules"]
    if molecules == ALL:
        return []
    return f"{RUN}/{'d_opt' if molecules == 'd_opt' else 'selection'}.json"


def selection_option(wildcards, input):
    """That file as an option of the command."""
    return f"--selection {shlex.quote(str(input.molecules))}" if input.molecules else ""


def molecules_to_relax(wildcards):
    """How many molecules are cut in pieces."""
    record = RELAXATIONS[wildcards.relaxation]
    count = planned(config, record["molecules"])
    # Only then must the plan wait for the selection or for the data.
    if record["molecules"] == ALL:
        count = counted(checkpoints.data.get(data=record["data"]).output[0], record)
    elif count is None:
        count = counted(checkpoints.select.get().output[0], record)
    return count


def relaxed_pieces(wildcards):
    """The pieces of a relaxation."""
    size = piece_size(config, RELAXATIONS[wildcards.relaxation])
    return expand(
        f"{RUN}/relax/{{relaxation}}/{{piece}}",
        relaxation=wildcards.relaxation,
        piece=pieces(molecules_to_relax(wildcards), size),
    )


def calculator_relaxes(wildcards):
    """Whether a relaxation is by a calculator."""
    return "calculator" in RELAXATIONS[wildcards.relaxation]["potential"]


def relaxing_threads(wildcards):
    """A calculator's own threads, or those that share a potential's molecules."""
    return config["resources"][
        "dft_workers" if calculator_relaxes(wildcards) else "training_threads"
    ]


rule relax:
    input:
        settings=f"{RUN}/settings/relax/{{relaxation}}.json",
        model=lambda wildcards: checkpoints_of(RELAXATIONS[wildcards.relaxation]["potential"]),
        conformers=relaxed_set,
        # A larger set begins with the smaller one: its first pieces need not be made again. All
        # else that changes a set changes the conformers, too.
        molecules=lambda wildcards: ancient(relaxed_molecules(wildcards)),
    output:
        f"{RUN}/relax/{{relaxation}}/{{first}}-{{last}}.h5",
    log:
        f"{RUN}/logs/relax/{{relaxation}}/{{first}}-{{last}}.log",
    benchmark:
        f"{RUN}/benchmarks/relax/{{relaxation}}/{{first}}-{{last}}.tsv"
    wildcard_constraints:
        relaxation=one_of(RELAXATIONS),
        first=r"\d+",
        last=r"\d+",
    threads: relaxing_threads
    resources:
        gpu=lambda wildcards: 0 if calculator_relaxes(wildcards) else min(GPUS, 1),
    params:
        model=model_option,
        selection=selection_option,
    shell:
        "force2geo relax --settings {input.settings:q} {params.model}"
        " --conformers {input.conformers:q} {params.selection}"
        " --range {wildcards.first}-{wildcards.last} --batch-atoms {BATCH_ATOMS}"
        " --out {output:q} > {log:q} 2>&1"


rule gather:
    input:
        pieces=relaxed_pieces,
        settings=f"{RUN}/settings/relax/{{relaxation}}.json",
        molecules=relaxed_molecules,
        conformers=lambda wildcards: [] if relaxed_molecules(wildcards) else relaxed_set(wildcards),
    output:
        f"{RUN}/relax/{{relaxation}}.h5",
    log:
        f"{RUN}/logs/gather/{{relaxation}}.log",
    wildcard_constraints:
        relaxation=one_of(RELAXATIONS),
    params:
        # Thousands of pieces are too long for a command line: it gets their folder and the cut. A
        # size beyond the count is the count, for a parameter that changes is work to do again.
        folder=f"{RUN}/relax/{{relaxation}}",
        names=lambda wildcards, input: (
            selection_option(wildcards, input)
            or f"--conformers {shlex.quote(str(input.conformers))}"
        ),
        molecules=lambda wildcards: molecules_to_relax(wildcards),
        size=lambda wildcards: min(
            molecules_to_relax(wildcards), piece_size(config, RELAXATIONS[wildcards.relaxation])
        ),
    shell:
        "force2geo gather --settings {input.settings:q} {params.names}"
        " --pieces {params.folder:q} --count {params.molecules} --size {params.size}"
        " --out {output:q} > {log:q} 2>&1"
