TABLES = ["tableA3", "table2", "table3", "table4", "table6", *sweep_tables(config)]
FIGURES = [
    "snapshots",
    "steps",
    "atoms",
    "elements",
    "benchmark",
    "pretrain",
    "parity_potential",
    "relaxation",
    "residual",
    "parity_gap",
]
SWEEPS = [
    f"{RUN}/property/random/geometry_force2geo.{key}={value}/metrics.json"
    for key, values in config["property"]["sweeps"].items()
    for value in values
]


rule evaluate:
    input:
        settings=f"{RUN}/settings/evaluate.json",
        statistics=f"{RUN}/store/statistics.json",
        benchmark=expand(
            f"{RUN}/benchmark/{{backbone}}/metrics.json",
            backbone=config["benchmark"]["backbones"],
        ),
        pretrain=f"{RUN}/pretrain/metrics.json",
        predictions=f"{RUN}/pretrain/predictions.npz",
        property=expand(
            f"{RUN}/property/{{split}}/{{recipe}}/metrics.json",
            split=config["property"]["splits"],
            recipe=config["property"]["recipes"],
        )
        + SWEEPS,
        relaxed=f"{RUN}/relax/d_opt.h5",
        dft=f"{RUN}/dft/d_opt.csv",
        conformers=f"{RUN}/packed/downstream.h5",
        compared=expand(
            [f"{RUN}/relax/d_opt.{{name}}.h5", f"{RUN}/dft/d_opt.{{name}}.csv"], name=COMPARED
        ),
        retrained=expand(f"{RUN}/pretrain.{{name}}/metrics.json", name=RETRAINED),
    output:
        tables=report(
            expand(
                f"{RUN}/tables/{{table}}.{{suffix}}", table=TABLES, suffix=["csv", "md", "tex"]
            ),
            caption="../report/table.rst",
            category="Tables",
        ),
        traces=expand(f"{RUN}/tables/{{table}}.json", table=TABLES),
        molecules=expand(
            f"{RUN}/tables/relaxation{{other}}.csv",
            other=["", *(f".{name}" for name in COMPARED)],
        ),
        figures=report(
            expand(
                f"{RUN}/figures/{{figure}}.{{suffix}}",
                figure=FIGURES,
                suffix=["png", "svg"],
            ),
            caption="../report/figure.rst",
            category="Figures",
        ),
    log:
        f"{RUN}/logs/evaluate.log",
    params:
        out=RUN,
    shell:
        "force2geo evaluate --settings {input.settings:q} --statistics {input.statistics:q}"
        " --benchmark {input.benchmark:q} --pretrain {input.pretrain:q}"
        " --property {input.property:q} --relaxed {input.relaxed:q} --dft {input.dft:q}"
        " --compared {input.compared:q} --retrained {input.retrained:q}"
        " --conformers {input.conformers:q} --out {params.out:q} > {log:q} 2>&1"
