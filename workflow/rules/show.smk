# Every table and figure is a job of its own, which reads no more than what it shows.
def shown_inputs(kind):
    """The files that a table or figure is made of."""
    return lambda wildcards: [
        f"{RUN}/{path}" for path in inputs(request(config, kind, wildcards.name))
    ]


rule table:
    input:
        settings=f"{RUN}/settings/table/{{name}}.json",
        files=shown_inputs("table"),
    output:
        report(
            expand(f"{RUN}/tables/{{{{name}}}}.{{suffix}}", suffix=["csv", "md", "tex"]),
            caption="../report/table.rst",
            category="Tables",
        ),
        trace=f"{RUN}/tables/{{name}}.json",
    log:
        f"{RUN}/logs/table/{{name}}.log",
    wildcard_constraints:
        name="|".join(shown_names("table")),
    params:
        run=RUN,
    shell:
        "force2geo table {wildcards.name} --settings {input.settings:q} --run {params.run:q}"
        " --out {params.run:q}/tables > {log:q} 2>&1"


rule figure:
    input:
        settings=f"{RUN}/settings/figure/{{name}}.json",
        files=shown_inputs("figure"),
    output:
        report(
            expand(f"{RUN}/figures/{{{{name}}}}.{{suffix}}", suffix=["png", "svg"]),
            caption="../report/figure.rst",
            category="Figures",
        ),
    log:
        f"{RUN}/logs/figure/{{name}}.log",
    wildcard_constraints:
        name="|".join(shown_names("figure")),
    params:
        run=RUN,
    shell:
        "force2geo figure {wildcards.name} --settings {input.settings:q} --run {params.run:q}"
        " --out {params.run:q}/figures > {log:q} 2>&1"


# `snakemake table4`, `snakemake figure6`, `snakemake figure_residual`: each by its name.
for name in shown_names("table"):

    rule:
        name:
            name
        input:
            f"{RUN}/tables/{name}.csv",
        localrule: True


for name in shown_names("figure"):

    rule:
        name:
            name if name.startswith("figure") else f"figure_{name}"
        input:
            f"{RUN}/figures/{name}.png",
        localrule: True


rule all_tables:
    input:
        expand(f"{RUN}/tables/{{name}}.csv", name=config["tables"]),
    localrule: True


rule all_figures:
    input:
        expand(f"{RUN}/figures/{{name}}.png", name=config["figures"]),
    localrule: True
