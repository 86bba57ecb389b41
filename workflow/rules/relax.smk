def potential(wildcards):
    """The checkpoint that relaxes."""
    if wildcards.other[1:] in CHECKPOINTS:
        return CHECKPOINTS[wildcards.other[1:]]
    name = training_path(config, f"pretrain{wildcards.other}", "model.pt")
    return f"{RUN}/{name}"


rule relax:
    input:
        settings=f"{RUN}/settings/relax.json",
        model=potential,
        conformers=f"{RUN}/packed/downstream.h5",
        selection=f"{RUN}/selection.json",
    output:
        f"{RUN}/relax/{{set}}{{other}}.h5",
    log:
        f"{RUN}/logs/relax/{{set}}{{other}}.log",
    benchmark:
        f"{RUN}/benchmarks/relax/{{set}}{{other}}.tsv"
    wildcard_constraints:
        set="d_opt|subset",
        other=other(RETRAINED + list(CHECKPOINTS)),
    threads: TRAINING_THREADS
    resources:
        gpu=min(GPUS, 1),
    shell:
        "force2geo relax --settings {input.settings:q} --model {input.model:q}"
        " --conformers {input.conformers:q} --selection {input.selection:q}"
        " --set {wildcards.set} --batch-atoms {BATCH_ATOMS} --out {output:q} > {log:q} 2>&1"


rule compare:
    input:
        settings=f"{RUN}/settings/compare/{{potential}}.json",
        conformers=f"{RUN}/packed/downstream.h5",
        selection=f"{RUN}/selection.json",
    output:
        f"{RUN}/relax/d_opt.{{potential}}.h5",
    log:
        f"{RUN}/logs/relax/d_opt.{{potential}}.log",
    benchmark:
        f"{RUN}/benchmarks/relax/d_opt.{{potential}}.tsv"
    wildcard_constraints:
        potential="|".join(map(re.escape, CALCULATORS)) or "none",
    threads: config["resources"]["dft_workers"]
    shell:
        "force2geo relax --settings {input.settings:q} --potential {wildcards.potential}"
        " --conformers {input.conformers:q} --selection {input.selection:q}"
        " --set d_opt --out {output:q} > {log:q} 2>&1"
