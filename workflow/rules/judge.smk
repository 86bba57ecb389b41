rule judge:
    input:
        relaxed=f"{RUN}/relax/d_opt{{other}}.h5",
        dft=f"{RUN}/dft/d_opt{{other}}.csv",
        conformers=f"{RUN}/packed/downstream.h5",
    output:
        f"{RUN}/judged/d_opt{{other}}.csv",
    log:
        f"{RUN}/logs/judge{{other}}.log",
    wildcard_constraints:
        other=other(COMPARED),
    shell:
        "force2geo judge --relaxed {input.relaxed:q} --dft {input.dft:q}"
        " --conformers {input.conformers:q} --out {output:q} > {log:q} 2>&1"
