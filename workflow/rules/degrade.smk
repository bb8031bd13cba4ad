rule degrade:
    input:
        observation=pair_of("observation.json"),
        observation_store=pair_of("observation.zarr/zarr.json"),
        estimate=pair_of("estimate.json"),
        estimate_store=pair_of("estimate.zarr/zarr.json"),
        code=code("steps.degrade"),
    output:
        ledger="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        timing="results/{experiment}/{scene}/{response}/seed{seed}/degrade.timing.json",
    wildcard_constraints:
        scene=LEVEL_DOWN,
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/degrade.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/degrade.tsv"
    conda:
        "../../envs/pipeline.yaml"
    shell:
        "pipeline degrade --observation {input.observation} --estimate {input.estimate} --out {output.ledger} 2> {log}"
