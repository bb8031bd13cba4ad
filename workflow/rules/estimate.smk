rule estimate:
    input:
        ledger=IMAGES.observation.ledger,
        store=IMAGES.observation.metadata,
    output:
        ledger=IMAGES.estimate.ledger,
        store=IMAGES.estimate.metadata,
        timing=IMAGES.timing("estimate"),
    log:
        IMAGES.log("estimate"),
    benchmark:
        IMAGES.benchmark("estimate")
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.estimate"),
        settings=settings("estimate"),
    shell:
        "pipeline estimate --observation {input.ledger:q} --settings {params.settings:q} --out {output.ledger:q} 2> {log:q}"
