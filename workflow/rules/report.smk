rule report:
    input:
        settings=f"{RUN}/settings/report.json",
        tables=expand(f"{RUN}/tables/{{name}}.json", name=config["tables"]),
        figures=expand(f"{RUN}/figures/{{name}}.png", name=config["figures"]),
        audit=f"{RUN}/store/audit.json",
        statistics=f"{RUN}/store/statistics.json",
        pretrain=f"{RUN}/{training_path(config, 'pretrain', 'metrics.json')}",
    output:
        f"{RUN}/report.html",
    log:
        f"{RUN}/logs/report.log",
    params:
        run=RUN,
    shell:
        "force2geo report --settings {input.settings:q} --run {params.run:q} --out {output:q}"
        " > {log:q} 2>&1"
