rule degrade:
    input:
        observation=lambda wildcards: pair_images(wildcards).observation.ledger,
        observation_store=lambda wildcards: pair_images(wildcards).observation.metadata,
        estimate=lambda wildcards: pair_images(wildcards).estimate.ledger,
        estimate_store=lambda wildcards: pair_images(wildcards).estimate.metadata,
    output:
        ledger=IMAGES.observation.ledger,
        store=IMAGES.observation.metadata,
        timing=IMAGES.timing("degrade"),
    log:
        IMAGES.log("degrade"),
    benchmark:
        IMAGES.benchmark("degrade")
    wildcard_constraints:
        scene=LEVEL_DOWN,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.degrade"),
    shell:
        "pipeline degrade --observation {input.observation:q} --estimate {input.estimate:q}"
        " --out {output.ledger:q} 2> {log:q}"
