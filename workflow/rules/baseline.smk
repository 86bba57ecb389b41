rule baseline:
    input:
        settings=f"{RUN}/settings/baseline/{{baseline}}.json",
        data=lambda wildcards: f"{RUN}/packed/{BASELINES[wildcards.baseline]['data']}.h5",
    output:
        f"{RUN}/baseline/{{baseline}}.h5",
    log:
        f"{RUN}/logs/baseline/{{baseline}}.log",
    benchmark:
        f"{RUN}/benchmarks/baseline/{{baseline}}.tsv"
    wildcard_constraints:
        baseline=one_of(BASELINES),
    threads: config["resources"]["dft_workers"]
    shell:
        "force2geo baseline --settings {input.settings:q} --data {input.data:q}"
        " --workers {threads} --out {output:q} > {log:q} 2>&1"
