# A stage's settings are a file, and its only way to the config: a changed value
# changes the files of the stages that depend on it and of no other.
rule settings:
    output:
        f"{RUN}/settings/{{stage}}.json",
    wildcard_constraints:
        stage="|".join(
            re.escape(stage)
            for stage in [
                *STAGES,
                *(f"data/{name}" for name in config["data"]),
                *(f"baseline/{name}" for name in BASELINES),
                *(f"choose/{name}" for name in CHOICES),
                *(f"train/{name}" for name in TRAININGS),
                *(f"relax/{name}" for name in RELAXATIONS),
                *(f"finish/{name}" for name in FINISHES),
                *(f"box/{name}" for name in BOXED),
                *(f"{kind}/{name}" for kind in KINDS for name in shown_names(kind)),
            ]
        ),
    params:
        values=lambda wildcards: json.dumps(stage_settings(config, wildcards.stage)),
    shell:
        "printf '%s\\n' {params.values:q} > {output:q}"
