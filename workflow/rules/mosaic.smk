rule mosaic:
    input:
        manifests=manifests,
        observation=IMAGES.observation.ledger,
        observation_store=IMAGES.observation.metadata,
        estimate=IMAGES.estimate.ledger,
        estimate_store=IMAGES.estimate.metadata,
        fitted=RUN.fitted,
        plan=RUN.plan.ledger,
        plan_store=RUN.plan.metadata,
    output:
        ledger=RUN.fused.ledger,
        store=RUN.fused.metadata,
        timing=RUN.timing("fuse"),
    log:
        RUN.log("mosaic"),
    benchmark:
        RUN.benchmark("mosaic")
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.mosaic"),
        settings=settings("mosaic"),
    shell:
        "pipeline mosaic {input.manifests} --observation {input.observation} --estimate {input.estimate}"
        " --fitted {input.fitted} --plan {input.plan} --settings {params.settings:q} --seed {wildcards.seed}"
        " --out {output.ledger} 2> {log}"
