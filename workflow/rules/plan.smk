rule plan:
    input:
        observation=IMAGES.observation.ledger,
        observation_store=IMAGES.observation.metadata,
    output:
        ledger=RUN.plan.ledger,
        store=RUN.plan.metadata,
    log:
        RUN.log("plan"),
    benchmark:
        RUN.benchmark("plan")
    localrule: True  # on a cluster too, where a job would count the batches anew
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.plan"),
        method=method_code,
        settings=settings("plan"),
        batches=batch_number,
    shell:
        "pipeline plan --observation {input.observation:q} --settings {params.settings:q}"
        " --batches {params.batches:q} --out {output.ledger:q} > {log:q} 2>&1"
