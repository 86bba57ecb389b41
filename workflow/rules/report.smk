rule report:
    input:
        tables=rules.evaluate.output.traces,
        figures=rules.evaluate.output.figures,
        audit=f"{RUN}/store/audit.json",
        statistics=f"{RUN}/store/statistics.json",
        pretrain=f"{RUN}/pretrain/metrics.json",
    output:
        f"{RUN}/report.html",
    log:
        f"{RUN}/logs/report.log",
    params:
        run=RUN,
    shell:
        "force2geo report --run {params.run:q} --out {output:q} > {log:q} 2>&1"
