rule estimate:
    input:
        ledger="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
    output:
        ledger="results/{experiment}/{scene}/{response}/seed{seed}/estimate.json",
        store="results/{experiment}/{scene}/{response}/seed{seed}/estimate.zarr/zarr.json",
        timing="results/{experiment}/{scene}/{response}/seed{seed}/estimate.timing.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/estimate.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/estimate.tsv"
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.estimate"),
        settings=estimation_settings,
    shell:
        "pipeline estimate --observation {input.ledger} --settings {params.settings:q} --out {output.ledger} 2> {log}"
