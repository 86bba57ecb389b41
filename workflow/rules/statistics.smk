rule statistics:
    input:
        indices=expand(f"{RUN}/store/{{shard}}.index.csv", shard=SHARDS),
        rejects=expand(f"{RUN}/store/{{shard}}.rejects.csv", shard=SHARDS),
    output:
        index=f"{RUN}/store/index.csv",
        rejects=f"{RUN}/store/rejects.csv",
        statistics=f"{RUN}/store/statistics.json",
    log:
        f"{RUN}/logs/statistics.log",
    shell:
        "force2geo statistics --indices {input.indices:q} --rejects {input.rejects:q}"
        " --index {output.index:q} --all-rejects {output.rejects:q}"
        " --out {output.statistics:q} > {log:q} 2>&1"
