rule crop:
    input:
        crop_inputs,
    output:
        ledger="results/{experiment}/{scene}/reference.json",
        store="results/{experiment}/{scene}/reference.zarr/zarr.json",
        timing="results/{experiment}/{scene}/crop.timing.json",
    log:
        "logs/{experiment}/{scene}/crop.log",
    benchmark:
        "logs/{experiment}/{scene}/crop.tsv"
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.crop", *SENSORS),
        given=crop_options,
        settings=scene_settings,
    shell:
        "pipeline crop {params.given} --settings {params.settings:q} --out {output.ledger} 2> {log}"
