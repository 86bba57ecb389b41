def property_start(wildcards):
    """The checkpoint a recipe starts from."""
    start = RECIPES[wildcards.recipe].start
    if start is None:
        return []
    if start == "potential":
        return f"{RUN}/pretrain/model.pt"
    return f"{RUN}/property/{wildcards.split}/{start}/model.pt"


def property_relaxed(wildcards):
    """The relaxations a recipe is judged on."""
    return f"{RUN}/relax/subset.h5" if RECIPES[wildcards.recipe].geometry == "force2geo" else []


def property_option(name):
    """An input that not every recipe has, as an option of the command."""

    def option(wildcards, input):
        return f"--{name} '{input[name]}'" if input[name] else ""

    return option


rule property:
    input:
        settings=f"{RUN}/settings/property.json",
        conformers=f"{RUN}/packed/downstream.h5",
        selection=f"{RUN}/selection.json",
        relaxed=property_relaxed,
        start=property_start,
    output:
        model=f"{RUN}/property/{{split}}/{{recipe}}{{variant}}/model.pt",
        metrics=f"{RUN}/property/{{split}}/{{recipe}}{{variant}}/metrics.json",
        predictions=f"{RUN}/property/{{split}}/{{recipe}}{{variant}}/predictions.npz",
    log:
        f"{RUN}/logs/property/{{split}}.{{recipe}}{{variant}}.log",
    benchmark:
        f"{RUN}/benchmarks/property/{{split}}.{{recipe}}{{variant}}.tsv"
    wildcard_constraints:
        split="random|scaffold",
        recipe="|".join(RECIPES),
        variant=r"(\.(noise|geometry_weight)=[0-9.]+(e[+-]?[0-9]+)?)?",
    threads: TRAINING_THREADS
    resources:
        gpu=min(GPUS, 1),
    params:
        relaxed=property_option("relaxed"),
        start=property_option("start"),
        # A sweep's value, `.noise=0.05` in the folder's name, is an option of the command.
        variant=lambda wildcards: (
            "--" + wildcards.variant[1:].replace("_", "-").replace("=", " ")
            if wildcards.variant
            else ""
        ),
    shell:
        "force2geo property --settings {input.settings:q} --recipe {wildcards.recipe}"
        " --split {wildcards.split} --conformers {input.conformers:q}"
        " --selection {input.selection:q} {params.relaxed} {params.start} {params.variant}"
        " --out {output.model:q} > {log:q} 2>&1"
