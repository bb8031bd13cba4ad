rule simulate:
    input:
        response_table,
        ledger=SCENE.reference.ledger,
        store=SCENE.reference.metadata,
    output:
        ledger=IMAGES.observation.ledger,
        store=IMAGES.observation.metadata,
        timing=IMAGES.timing("simulate"),
    log:
        IMAGES.log("simulate"),
    benchmark:
        IMAGES.benchmark("simulate")
    wildcard_constraints:
        scene=SIMULATED,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.simulate"),
        settings=settings("simulate"),
        stamps=stamps(any_response_table),
    shell:
        "pipeline simulate --reference {input.ledger:q} --settings {params.settings:q} --seed {wildcards.seed:q}"
        " --out {output.ledger:q} 2> {log:q}"
