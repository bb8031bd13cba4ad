rule clip:
    input:
        source="results/{experiment}/{scene}/source.json",
        observation=pair_observation("observation.json"),
        observation_store=pair_observation("observation.zarr/zarr.json"),
    output:
        ledger="results/{experiment}/{scene}/reference.json",
        store="results/{experiment}/{scene}/reference.zarr/zarr.json",
        timing="results/{experiment}/{scene}/clip.timing.json",
    log:
        "logs/{experiment}/{scene}/clip.log",
    benchmark:
        "logs/{experiment}/{scene}/clip.tsv"
    wildcard_constraints:
        scene=PAIRS,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.clip"),
        settings=scene_settings,
    shell:
        "pipeline clip --source {input.source} --observation {input.observation} --settings {params.settings:q}"
        " --out {output.ledger} 2> {log}"
