rule audit:
    input:
        settings=f"{RUN}/settings/audit.json",
        shards=SHARD_FILES,
    output:
        f"{RUN}/store/audit.json",
    log:
        f"{RUN}/logs/audit.log",
    params:
        store=f"{RUN}/store",
    shell:
        "force2geo audit --settings {input.settings:q} --store {params.store:q}"
        " --out {output:q} > {log:q} 2>&1"
