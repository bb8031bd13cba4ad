rule train:
    input:
        observation="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        observation_store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        estimate="results/{experiment}/{scene}/{response}/seed{seed}/estimate.json",
        estimate_store="results/{experiment}/{scene}/{response}/seed{seed}/estimate.zarr/zarr.json",
        shared=ancient(trained_by),  # what it gives depends on the other inputs alone
    output:
        fitted="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fitted.safetensors",
        timing="results/{experiment}/{scene}/{response}/seed{seed}/{label}/train.timing.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/train.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/train.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: method_threads
    resources:
        gpu=method_gpus,
    params:
        code=code("steps.train"),
        method=method_code,
        settings=method_settings,
        shared=trained_by_option,
    shell:
        "pipeline train --observation {input.observation} --estimate {input.estimate}"
        " --settings {params.settings:q} --seed {wildcards.seed} {params.shared} --out {output.fitted} 2> {log}"
