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
    shell:
        "pipeline simulate --reference {input.ledger} --settings {params.settings:q} --seed {wildcards.seed}"
        " --out {output.ledger} 2> {log}"
