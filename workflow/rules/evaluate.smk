rule evaluate:
    input:
        reference_files,
        observation="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        observation_store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        fused="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fused.json",
        fused_store="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fused.zarr/zarr.json",
        estimate="results/{experiment}/{scene}/{response}/seed{seed}/estimate.json",
        estimating="results/{experiment}/{scene}/{response}/seed{seed}/estimate.timing.json",
        train="results/{experiment}/{scene}/{response}/seed{seed}/{label}/train.timing.json",
        fuse="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fuse.timing.json",
    output:
        metrics="results/{experiment}/{scene}/{response}/seed{seed}/{label}/metrics.json",
        timing="results/{experiment}/{scene}/{response}/seed{seed}/{label}/evaluate.timing.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/evaluate.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/evaluate.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 2
    resources:
        scheduler=EXPERIMENT.compute.scheduler,
    params:
        code=code("steps.evaluate"),
        settings=method_settings,
        judged_by=judged_by,
    shell:
        "pipeline evaluate {params.judged_by} --observation {input.observation} --fused {input.fused}"
        " --settings {params.settings:q} --seed {wildcards.seed} --scheduler {resources.scheduler} --workers {threads}"
        " --out {output.metrics} 2> {log}"
