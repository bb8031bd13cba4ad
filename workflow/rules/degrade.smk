rule degrade:
    input:
        observation=pair_of("observation.json"),
        observation_store=pair_of("observation.zarr/zarr.json"),
        estimate=pair_of("estimate.json"),
        estimate_store=pair_of("estimate.zarr/zarr.json"),
    output:
        ledger="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        timing="results/{experiment}/{scene}/{response}/seed{seed}/degrade.timing.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/degrade.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/degrade.tsv"
    wildcard_constraints:
        scene=LEVEL_DOWN,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.degrade"),
    shell:
        "pipeline degrade --observation {input.observation} --estimate {input.estimate} --out {output.ledger} 2> {log}"
