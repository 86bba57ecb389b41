rule dft:
    input:
        settings=f"{RUN}/settings/dft.json",
        relaxed=f"{RUN}/relax/d_opt.h5",
        conformers=f"{RUN}/packed/downstream.h5",
    output:
        f"{RUN}/dft/d_opt.csv",
    log:
        f"{RUN}/logs/dft.log",
    benchmark:
        f"{RUN}/benchmarks/dft.tsv"
    threads: config["resources"]["dft_workers"]
    params:
        cache=f"{RUN}/dft/cache",
    shell:
        "force2geo dft --settings {input.settings:q} --relaxed {input.relaxed:q}"
        " --conformers {input.conformers:q} --cache {params.cache:q}"
        " --workers {threads} --out {output:q} > {log:q} 2>&1"
