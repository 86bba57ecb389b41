rule report:
    input:
        tables=expand(f"{RUN}/tables/{{table}}.json", table=TABLES),
        statistics=f"{RUN}/store/statistics.json",
        pretrain=f"{RUN}/pretrain/metrics.json",
    output:
        f"{RUN}/report.html",
    log:
        f"{RUN}/logs/report.log",
    params:
        run=RUN,
    message:
        "Writing the page {output}"
    shell:
        "force2geo report --run {params.run:q} --out {output:q} > {log:q} 2>&1"
