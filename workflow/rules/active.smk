def choice(wildcards):
    """The record of a round's choice."""
    return CHOICES[wildcards.round]


rule choose:
    input:
        settings=f"{RUN}/settings/choose/{{round}}.json",
        data=lambda wildcards: f"{RUN}/packed/{choice(wildcards)['data']}.h5",
        earlier=lambda wildcards: [
            f"{RUN}/active/{name}.csv" for name in choice(wildcards)["earlier"]
        ],
        models=lambda wildcards: [
            f"{RUN}/train/{SAME_TRAINING[name]}/model.pt" for name in choice(wildcards)["ensemble"]
        ],
    output:
        f"{RUN}/active/{{round}}.csv",
    log:
        f"{RUN}/logs/choose/{{round}}.log",
    benchmark:
        f"{RUN}/benchmarks/choose/{{round}}.tsv"
    wildcard_constraints:
        round="|".join(map(re.escape, CHOICES)),
    threads: TRAINING_THREADS
    params:
        earlier=lambda wildcards, input: (
            f"--earlier {shlex.join(input.earlier)}" if input.earlier else ""
        ),
        models=lambda wildcards, input: (
            f"--model {shlex.join(input.models)}" if input.models else ""
        ),
    shell:
        "force2geo choose --settings {input.settings:q} --data {input.data:q} {params.earlier}"
        " {params.models} --out {output:q} > {log:q} 2>&1"


rule round:
    input:
        data=lambda wildcards: f"{RUN}/packed/{choice(wildcards)['data']}.h5",
        choices=lambda wildcards: [
            f"{RUN}/active/{name}.csv" for name in (*choice(wildcards)["earlier"], wildcards.round)
        ],
    output:
        f"{RUN}/packed/{{round}}.h5",
    log:
        f"{RUN}/logs/round/{{round}}.log",
    wildcard_constraints:
        round="|".join(map(re.escape, CHOICES)),
    shell:
        "force2geo round --data {input.data:q} --choice {input.choices:q} --out {output:q}"
        " > {log:q} 2>&1"
