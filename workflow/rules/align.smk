rule align:
    input:
        response_table,
        source=SCENE.source,
    output:
        ledger=IMAGES.observation.ledger,
        store=IMAGES.observation.metadata,
        timing=IMAGES.timing("align"),
    log:
        IMAGES.log("align"),
    benchmark:
        IMAGES.benchmark("align")
    wildcard_constraints:
        scene=PAIRS,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.align"),
        settings=settings("align"),
        stamps=stamps(any_response_table),
    shell:
        "pipeline align --source {input.source:q} --settings {params.settings:q} --out {output.ledger:q} 2> {log:q}"
