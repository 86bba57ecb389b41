rule dft:
    input:
        settings=f"{RUN}/settings/dft.json",
        relaxed=f"{RUN}/relax/d_opt{{other}}.h5",
        conformers=f"{RUN}/packed/downstream.h5",
        # The starts and references that all have in common are then in the cache.
        first=lambda wildcards: (
            f"{RUN}/dft/d_opt.csv" if wildcards.other and has(config, "pretrain") else []
        ),
    output:
        f"{RUN}/dft/d_opt{{other}}.csv",
    log:
        f"{RUN}/logs/dft{{other}}.log",
    benchmark:
        f"{RUN}/benchmarks/dft{{other}}.tsv"
    wildcard_constraints:
        other=other(COMPARED),
    threads: config["resources"]["dft_workers"]
    params:
        cache=f"{RUN}/dft/cache",
    shell:
        "force2geo dft --settings {input.settings:q} --relaxed {input.relaxed:q}"
        " --conformers {input.conformers:q} --cache {params.cache:q}"
        " --workers {threads} --out {output:q} > {log:q} 2>&1"
