rule fuse:
    input:
        observation="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        observation_store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        estimate="results/{experiment}/{scene}/{response}/seed{seed}/estimate.json",
        estimate_store="results/{experiment}/{scene}/{response}/seed{seed}/estimate.zarr/zarr.json",
        fitted="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fitted.safetensors",
        code=code("steps.fuse"),
        method=method_code,
    output:
        ledger="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fused.json",
        store="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fused.zarr/zarr.json",
        timing="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fuse.timing.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/fuse.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/fuse.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: method_threads
    resources:
        gpu=method_gpus,
    params:
        settings=method_settings,
    shell:
        "pipeline fuse --observation {input.observation} --estimate {input.estimate} --fitted {input.fitted}"
        " --settings {params.settings:q} --seed {wildcards.seed} --out {output.ledger} 2> {log}"
