def needed(what, files):
    """What a data set needs of the run's own results, where it does."""
    return lambda wildcards: files if what in data_set_needs(config, wildcards.data) else []


def data_option(what, value):
    """The option of the command that says where that is."""
    return lambda wildcards: (
        f"--{what} {shlex.quote(value)}" if what in data_set_needs(config, wildcards.data) else ""
    )


def embeds(wildcards):
    """Whether a data set is one of molecules, whose conformers processes embed."""
    return kind_of_data(config["data"][wildcards.data]) == "molecules"


# A checkpoint, for how many molecules a set has only its file tells.
checkpoint data:
    input:
        settings=f"{RUN}/settings/data/{{data}}.json",
        selection=needed("selection", f"{RUN}/selection.json"),
        shards=needed("store", SHARD_FILES),
        files=lambda wildcards: published_files(config, wildcards.data),
    output:
        f"{RUN}/packed/{{data}}.h5",
    log:
        f"{RUN}/logs/data/{{data}}.log",
    wildcard_constraints:
        data=one_of(config["data"]),
    threads: lambda wildcards: config["resources"]["dft_workers"] if embeds(wildcards) else 1
    params:
        workers=lambda wildcards, threads: f"--workers {threads}" if embeds(wildcards) else "",
        selection=data_option("selection", f"{RUN}/selection.json"),
        store=data_option("store", f"{RUN}/store"),
    shell:
        "force2geo data --settings {input.settings:q} {params.selection} {params.store}"
        " {params.workers} --out {output:q} > {log:q} 2>&1"
