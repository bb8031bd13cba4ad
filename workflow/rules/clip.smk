rule clip:
    input:
        source=SCENE.source,
        # the footprint is that of any noise seed
        observation=SCENE.images(MEASURED, FIRST_SEED).observation.ledger,
        observation_store=SCENE.images(MEASURED, FIRST_SEED).observation.metadata,
    output:
        ledger=SCENE.reference.ledger,
        store=SCENE.reference.metadata,
        timing=SCENE.timing("clip"),
    log:
        SCENE.log("clip"),
    benchmark:
        SCENE.benchmark("clip")
    wildcard_constraints:
        scene=PAIRS,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.clip"),
        settings=settings("clip"),
    shell:
        "pipeline clip --source {input.source:q} --observation {input.observation:q} --settings {params.settings:q}"
        " --out {output.ledger:q} 2> {log:q}"
