rule trace:
    input:
        observation="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        observation_store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        estimate="results/{experiment}/{scene}/{response}/seed{seed}/estimate.json",
        estimate_store="results/{experiment}/{scene}/{response}/seed{seed}/estimate.zarr/zarr.json",
        fitted="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fitted.safetensors",
    output:
        ledger="results/{experiment}/{scene}/{response}/seed{seed}/{label}/trace.json",
        store="results/{experiment}/{scene}/{response}/seed{seed}/{label}/trace.zarr/zarr.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/trace.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/trace.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: method_threads
    resources:
        gpu=method_gpus,
    params:
        code=code("steps.trace"),
        method=method_code,
        settings=method_settings,
        times=trace_times,
    shell:
        "pipeline trace --observation {input.observation} --estimate {input.estimate} --fitted {input.fitted}"
        " --times {params.times} --settings {params.settings:q} --seed {wildcards.seed} --out {output.ledger} 2> {log}"
