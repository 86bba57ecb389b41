rule select:
    input:
        settings=f"{RUN}/settings/select.json",
        index=f"{RUN}/store/index.parquet",
        test_sets=config["select"]["test_sets"],
    output:
        f"{RUN}/selection.json",
    log:
        f"{RUN}/logs/select.log",
    shell:
        "force2geo select --settings {input.settings:q} --index {input.index:q}"
        " --out {output:q} > {log:q} 2>&1"
