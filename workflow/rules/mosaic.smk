rule mosaic:
    input:
        manifests=manifests,
        observation="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        observation_store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        estimate="results/{experiment}/{scene}/{response}/seed{seed}/estimate.json",
        estimate_store="results/{experiment}/{scene}/{response}/seed{seed}/estimate.zarr/zarr.json",
        fitted="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fitted.safetensors",
        plan="results/{experiment}/{scene}/{response}/seed{seed}/{label}/plan.json",
        plan_store="results/{experiment}/{scene}/{response}/seed{seed}/{label}/plan.zarr/zarr.json",
    output:
        ledger="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fused.json",
        store="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fused.zarr/zarr.json",
        timing="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fuse.timing.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/mosaic.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/mosaic.tsv"
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.mosaic"),
        settings=method_settings,
    shell:
        "pipeline mosaic {input.manifests} --observation {input.observation} --estimate {input.estimate}"
        " --fitted {input.fitted} --plan {input.plan} --settings {params.settings:q} --seed {wildcards.seed}"
        " --out {output.ledger} 2> {log}"
