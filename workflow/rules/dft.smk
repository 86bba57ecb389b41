def earlier_points(wildcards):
    """The single points that others have in common, which are then in the cache."""
    name = earlier(wildcards.relaxation)
    return f"{RUN}/dft/{name}.csv" if name in JUDGED else []


rule dft:
    input:
        settings=f"{RUN}/settings/dft.json",
        relaxed=f"{RUN}/relax/{{relaxation}}.h5",
        conformers=f"{RUN}/packed/{D_OPT_DATA}.h5",
        first=earlier_points,
    output:
        f"{RUN}/dft/{{relaxation}}.csv",
    log:
        f"{RUN}/logs/dft/{{relaxation}}.log",
    benchmark:
        f"{RUN}/benchmarks/dft/{{relaxation}}.tsv"
    wildcard_constraints:
        relaxation=one_of(JUDGED),
    threads: config["resources"]["dft_workers"]
    params:
        cache=f"{RUN}/dft/cache",
    shell:
        "force2geo dft --settings {input.settings:q} --relaxed {input.relaxed:q}"
        " --conformers {input.conformers:q} --cache {params.cache:q}"
        " --workers {threads} --out {output:q} > {log:q} 2>&1"
