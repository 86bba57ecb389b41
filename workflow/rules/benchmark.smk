rule benchmark:
    input:
        settings=f"{RUN}/settings/benchmark.json",
        snapshots=f"{RUN}/packed/benchmark.h5",
    output:
        model=f"{RUN}/benchmark/{{backbone}}/model.pt",
        metrics=f"{RUN}/benchmark/{{backbone}}/metrics.json",
        predictions=f"{RUN}/benchmark/{{backbone}}/predictions.npz",
    log:
        f"{RUN}/logs/benchmark/{{backbone}}.log",
    benchmark:
        f"{RUN}/benchmarks/benchmark/{{backbone}}.tsv"
    threads: TRAINING_THREADS
    resources:
        gpu=GPUS,
    shell:
        "{TRAIN} benchmark --settings {input.settings:q} --backbone {wildcards.backbone}"
        " --snapshots {input.snapshots:q} --out {output.model:q} > {log:q} 2>&1"
