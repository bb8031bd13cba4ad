rule crop:
    input:
        source="results/{experiment}/{scene}/source.json",
    output:
        ledger="results/{experiment}/{scene}/reference.json",
        store="results/{experiment}/{scene}/reference.zarr/zarr.json",
        timing="results/{experiment}/{scene}/crop.timing.json",
    log:
        "logs/{experiment}/{scene}/crop.log",
    benchmark:
        "logs/{experiment}/{scene}/crop.tsv"
    wildcard_constraints:
        scene=SIMULATED,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.crop"),
        settings=scene_settings,
    shell:
        "pipeline crop --source {input.source} --settings {params.settings:q} --out {output.ledger} 2> {log}"
