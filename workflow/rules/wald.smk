rule wald:
    input:
        observation=wald_observation("observation.json"),
        observation_store=wald_observation("observation.zarr/zarr.json"),
    output:
        ledger="results/{experiment}/{scene}/reference.json",
        store="results/{experiment}/{scene}/reference.zarr/zarr.json",
        timing="results/{experiment}/{scene}/wald.timing.json",
    log:
        "logs/{experiment}/{scene}/wald.log",
    benchmark:
        "logs/{experiment}/{scene}/wald.tsv"
    wildcard_constraints:
        scene=LEVEL_DOWN,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.wald"),
    shell:
        "pipeline wald --observation {input.observation} --out {output.ledger} 2> {log}"
