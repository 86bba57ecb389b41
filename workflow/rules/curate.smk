rule curate:
    input:
        settings=f"{RUN}/settings/curate.json",
        logs=lambda wildcards: SHARDS[wildcards.shard],
        identifiers=lambda wildcards: IDENTIFIERS.get(wildcards.shard, []),
    output:
        store=f"{RUN}/store/{{shard}}.lmdb",
        index=f"{RUN}/store/{{shard}}.index.parquet",
        rejects=f"{RUN}/store/{{shard}}.rejects.csv",
    log:
        f"{RUN}/logs/curate/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/curate/{{shard}}.tsv"
    params:
        # A folder's own time does not tell of files changed inside.
        files=lambda wildcards: fingerprint(SHARDS[wildcards.shard]),
        identifiers=lambda wildcards, input: (
            f"--identifiers {shlex.quote(str(input.identifiers))}" if input.identifiers else ""
        ),
    shell:
        "force2geo curate --settings {input.settings:q} --logs {input.logs:q}"
        " {params.identifiers} --store {output.store:q} --index {output.index:q}"
        " --rejects {output.rejects:q} > {log:q} 2>&1"
