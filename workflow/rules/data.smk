def needed(what, files):
    """What a data set needs of the run's own results, where it does."""
    return lambda wildcards: files if what in data_set_needs(config, wildcards.data) else []


def data_option(what, value):
    """The option of the command that says where that is."""
    return lambda wildcards: (
        f"--{what} {shlex.quote(value)}" if what in data_set_needs(config, wildcards.data) else ""
    )


rule data:
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
        data="|".join(map(re.escape, config["data"])),
    params:
        selection=data_option("selection", f"{RUN}/selection.json"),
        store=data_option("store", f"{RUN}/store"),
    shell:
        "force2geo data --settings {input.settings:q} {params.selection} {params.store}"
        " --out {output:q} > {log:q} 2>&1"
