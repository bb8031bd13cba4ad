rule align:
    input:
        pair_response_file,
        source="results/{experiment}/{scene}/source.json",
    output:
        ledger="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        timing="results/{experiment}/{scene}/{response}/seed{seed}/align.timing.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/align.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/align.tsv"
    wildcard_constraints:
        scene=PAIRS,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.align"),
        settings=scene_settings,
    shell:
        "pipeline align --source {input.source} --settings {params.settings:q} --out {output.ledger} 2> {log}"
