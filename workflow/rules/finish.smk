rule finish:
    input:
        settings=f"{RUN}/settings/finish/{{finish}}.json",
        relaxed=lambda wildcards: f"{RUN}/relax/{FINISHES[wildcards.finish]['relaxation']}.h5",
        model=lambda wildcards: checkpoints_of(FINISHES[wildcards.finish]["potential"]),
    output:
        relaxed=f"{RUN}/relax/{{finish}}.h5",
        table=f"{RUN}/finish/{{finish}}.csv",
    log:
        f"{RUN}/logs/finish/{{finish}}.log",
    benchmark:
        f"{RUN}/benchmarks/finish/{{finish}}.tsv"
    wildcard_constraints:
        finish=one_of(FINISHES),
    threads: config["resources"]["dft_workers"]
    params:
        # Gradients stay, and a job that was killed goes on from them.
        points=f"{RUN}/finish/points",
        model=model_option,
    shell:
        "force2geo finish --settings {input.settings:q} --relaxed {input.relaxed:q}"
        " {params.model} --points {params.points:q} --workers {threads}"
        " --out {output.relaxed:q} --table {output.table:q} > {log:q} 2>&1"
