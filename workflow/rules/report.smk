rule report:
    input:
        settings=f"{RUN}/settings/report.json",
        tables=expand(f"{RUN}/tables/{{name}}.json", name=config["tables"]),
        figures=expand(f"{RUN}/figures/{{name}}.png", name=config["figures"]),
        store=(
            expand(f"{RUN}/store/{{name}}.json", name=["audit", "statistics"])
            if has(config, "store")
            else []
        ),
        pretrain=(
            f"{RUN}/{training_path(config, 'pretrain', 'metrics.json')}"
            if has(config, "pretrain")
            else []
        ),
    output:
        f"{RUN}/report.html",
    log:
        f"{RUN}/logs/report.log",
    params:
        run=RUN,
    shell:
        "force2geo report --settings {input.settings:q} --run {params.run:q} --out {output:q}"
        " > {log:q} 2>&1"
