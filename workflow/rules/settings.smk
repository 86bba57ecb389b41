# A stage's settings are a file, and its only way to the config: a changed value
# changes the files of the stages that depend on it and of no other.
rule settings:
    output:
        f"{RUN}/settings/{{stage}}.json",
    wildcard_constraints:
        stage="|".join(
            [
                *STAGES,
                *(re.escape(f"pretrain.{name}") for name in RETRAINED),
                *(re.escape(f"compare.{name}") for name in CALCULATORS),
            ]
        ),
    params:
        values=lambda wildcards: json.dumps(stage_settings(config, wildcards.stage)),
    shell:
        "printf '%s\\n' {params.values:q} > {output:q}"
