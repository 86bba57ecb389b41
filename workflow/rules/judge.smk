rule judge:
    input:
        relaxed=f"{RUN}/relax/{{relaxation}}.h5",
        dft=f"{RUN}/dft/{{relaxation}}.csv",
        conformers=f"{RUN}/packed/{D_OPT_DATA}.h5",
    output:
        f"{RUN}/judged/{{relaxation}}.csv",
    log:
        f"{RUN}/logs/judge/{{relaxation}}.log",
    wildcard_constraints:
        relaxation=one_of(JUDGED),
    shell:
        "force2geo judge --relaxed {input.relaxed:q} --dft {input.dft:q}"
        " --conformers {input.conformers:q} --out {output:q} > {log:q} 2>&1"
