rule align:
    input:
        pair_response_table,
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
    shell:
        "pipeline align --source {input.source} --settings {params.settings:q} --out {output.ledger} 2> {log}"
