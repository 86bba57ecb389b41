rule pack:
    input:
        settings=f"{RUN}/settings/pack.json",
        selection=f"{RUN}/selection.json",
        shards=SHARD_FILES,
    output:
        f"{RUN}/packed/{{use}}.h5",
    log:
        f"{RUN}/logs/pack/{{use}}.log",
    wildcard_constraints:
        use="benchmark|pretrain",
    params:
        store=f"{RUN}/store",
    shell:
        "force2geo pack --settings {input.settings:q} --use {wildcards.use}"
        " --selection {input.selection:q} --store {params.store:q} --out {output:q}"
        " > {log:q} 2>&1"


rule conformers:
    input:
        settings=f"{RUN}/settings/conformers.json",
        selection=f"{RUN}/selection.json",
        shards=SHARD_FILES,
    output:
        f"{RUN}/packed/downstream.h5",
    log:
        f"{RUN}/logs/pack/downstream.log",
    params:
        store=f"{RUN}/store",
    shell:
        "force2geo conformers --settings {input.settings:q} --selection {input.selection:q}"
        " --store {params.store:q} --out {output:q} > {log:q} 2>&1"
