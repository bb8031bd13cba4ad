rule wald:
    input:
        observation=lambda wildcards: pair_images(wildcards).observation.ledger,
        observation_store=lambda wildcards: pair_images(wildcards).observation.metadata,
    output:
        ledger=SCENE.reference.ledger,
        store=SCENE.reference.metadata,
        timing=SCENE.timing("wald"),
    log:
        SCENE.log("wald"),
    benchmark:
        SCENE.benchmark("wald")
    wildcard_constraints:
        scene=LEVEL_DOWN,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.wald"),
    shell:
        "pipeline wald --observation {input.observation:q} --out {output.ledger:q} 2> {log:q}"
