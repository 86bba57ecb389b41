rule statistics:
    input:
        settings=f"{RUN}/settings/statistics.json",
        indices=expand(f"{RUN}/store/{{shard}}.index.parquet", shard=SHARDS),
        rejects=expand(f"{RUN}/store/{{shard}}.rejects.csv", shard=SHARDS),
    output:
        index=f"{RUN}/store/index.parquet",
        rejects=f"{RUN}/store/rejects.csv",
        statistics=f"{RUN}/store/statistics.json",
    log:
        f"{RUN}/logs/statistics.log",
    params:
        store=f"{RUN}/store",
    shell:
        "force2geo statistics --settings {input.settings:q} --store {params.store:q}"
        " --index {output.index:q} --rejects {output.rejects:q}"
        " --out {output.statistics:q} > {log:q} 2>&1"
