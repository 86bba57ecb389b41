OWN_MOLECULES = own_molecules(config)
# Logs of other settings stay where they are, in a folder of their own.
GENERATED_LOGS = (
    folder_name(Settings(**stage_settings(config, "generate"))) if OWN_MOLECULES else ""
)


rule generate:
    input:
        settings=f"{RUN}/settings/generate.json",
        # A molecule more in the list is no reason to do the others again; `molecule` below is.
        molecules=ancient(config["generate"]["molecules"]) if OWN_MOLECULES else [],
    output:
        f"{RUN}/generated/reports/{{cid}}.json",
    log:
        f"{RUN}/logs/generate/{{cid}}.log",
    wildcard_constraints:
        cid=r"\d{9}",
    params:
        # Not an output: a molecule's finished stages stay when the job is killed.
        folder=f"{RUN}/generated/logs",
        molecule=lambda wildcards: OWN_MOLECULES[wildcards.cid],
    shell:
        "force2geo generate --settings {input.settings:q} --molecules {input.molecules:q}"
        " --cid {wildcards.cid} --out {params.folder:q} --report {output:q} > {log:q} 2>&1"


rule collect:
    input:
        lambda wildcards: expand(
            f"{RUN}/generated/reports/{{cid}}.json", cid=GENERATED[wildcards.shard]
        ),
    output:
        f"{RUN}/generated/{{shard}}.tar",
    log:
        f"{RUN}/logs/collect/{{shard}}.log",
    wildcard_constraints:
        shard="generated_[0-9]+",
    params:
        cids=lambda wildcards: "\n".join(GENERATED[wildcards.shard]),
        folder=f"{RUN}/generated/logs/{GENERATED_LOGS}",
    shell:
        # Sorted, without times and owners: the same logs give the same archive.
        "printf '%s\\n' {params.cids:q} | tar --create --file {output:q} --directory"
        " {params.folder:q} --exclude='*.json' --exclude='.*' --sort=name --mtime=@0"
        " --owner=0 --group=0 --numeric-owner --files-from=- > {log:q} 2>&1"
