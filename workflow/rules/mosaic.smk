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
        "pipeline mosaic {input.manifests:q} --observation {input.observation:q} --estimate {input.estimate:q}"
        " --fitted {input.fitted:q} --plan {input.plan:q} --settings {params.settings:q} --seed {wildcards.seed:q}"
        " --out {output.ledger:q} 2> {log:q}"
