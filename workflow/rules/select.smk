# A checkpoint, for a subset of all molecules there are has as many as only this tells.
checkpoint select:
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


rule seen:
    input:
        settings=f"{RUN}/settings/seen.json",
        selection=f"{RUN}/selection.json",
        index=f"{RUN}/store/index.parquet",
    output:
        f"{RUN}/seen.json",
    log:
        f"{RUN}/logs/seen.log",
    shell:
        "force2geo seen --settings {input.settings:q} --selection {input.selection:q}"
        " --index {input.index:q} --out {output:q} > {log:q} 2>&1"


rule d_opt:
    input:
        settings=f"{RUN}/settings/d_opt.json",
        selection=f"{RUN}/selection.json",
        index=f"{RUN}/store/index.parquet",
    output:
        f"{RUN}/d_opt.json",
    log:
        f"{RUN}/logs/d_opt.log",
    shell:
        "force2geo d-opt --settings {input.settings:q} --selection {input.selection:q}"
        " --index {input.index:q} --out {output:q} > {log:q} 2>&1"
