rule pretrain:
    input:
        settings=f"{RUN}/settings/pretrain.json",
        snapshots=f"{RUN}/packed/pretrain.h5",
    output:
        model=f"{RUN}/pretrain/model.pt",
        metrics=f"{RUN}/pretrain/metrics.json",
        predictions=f"{RUN}/pretrain/predictions.npz",
    log:
        f"{RUN}/logs/pretrain.log",
    benchmark:
        f"{RUN}/benchmarks/pretrain.tsv"
    # The longest job by far, and most wait for it: the scheduler should not leave it for last.
    priority: 10
    threads: TRAINING_THREADS
    resources:
        gpu=GPUS,
    shell:
        "{TRAIN} pretrain --settings {input.settings:q} --snapshots {input.snapshots:q}"
        " --out {output.model:q} > {log:q} 2>&1"
