rule crop:
    input:
        source=SCENE.source,
    output:
        ledger=SCENE.reference.ledger,
        store=SCENE.reference.metadata,
        timing=SCENE.timing("crop"),
    log:
        SCENE.log("crop"),
    benchmark:
        SCENE.benchmark("crop")
    wildcard_constraints:
        scene=SIMULATED,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.crop"),
        settings=settings("crop"),
    shell:
        "pipeline crop --source {input.source:q} --settings {params.settings:q} --out {output.ledger:q} 2> {log:q}"
