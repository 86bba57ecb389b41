rule pretrain:
    input:
        settings=f"{RUN}/settings/pretrain{{other}}.json",
        snapshots=f"{RUN}/packed/pretrain.h5",
    output:
        model=f"{RUN}/pretrain{{other}}/model.pt",
        metrics=f"{RUN}/pretrain{{other}}/metrics.json",
        predictions=f"{RUN}/pretrain{{other}}/predictions.npz",
    log:
        f"{RUN}/logs/pretrain{{other}}.log",
    benchmark:
        f"{RUN}/benchmarks/pretrain{{other}}.tsv"
    wildcard_constraints:
        other=other(RETRAINED),
    # The longest job by far, and most wait for it: the scheduler should not leave it for last.
    priority: 10
    threads: TRAINING_THREADS
    resources:
        gpu=GPUS,
    shell:
        "{TRAIN} pretrain --settings {input.settings:q} --snapshots {input.snapshots:q}"
        " --out {output.model:q} > {log:q} 2>&1"
