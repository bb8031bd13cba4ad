rule fuse:
    input:
        observation="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        observation_store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        estimate="results/{experiment}/{scene}/{response}/seed{seed}/estimate.json",
        estimate_store="results/{experiment}/{scene}/{response}/seed{seed}/estimate.zarr/zarr.json",
        fitted="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fitted.safetensors",
        plan="results/{experiment}/{scene}/{response}/seed{seed}/{label}/plan.json",
        plan_store="results/{experiment}/{scene}/{response}/seed{seed}/{label}/plan.zarr/zarr.json",
    output:
        manifest="results/{experiment}/{scene}/{response}/seed{seed}/{label}/tiles/{batch}-of-{batches}.json",
        timing="results/{experiment}/{scene}/{response}/seed{seed}/{label}/tiles/{batch}-of-{batches}.timing.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/fuse.{batch}-of-{batches}.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/fuse.{batch}-of-{batches}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: method_threads
    resources:
        gpu=method_gpus,
        runtime=batch_runtime,
    params:
        code=code("steps.fuse"),
        method=method_code,
        settings=method_settings,
    shell:
        "pipeline fuse --observation {input.observation} --estimate {input.estimate} --fitted {input.fitted}"
        " --plan {input.plan} --batch {wildcards.batch} --of {wildcards.batches} --settings {params.settings:q} --seed {wildcards.seed}"
        " --out {output.manifest} 2> {log}"
