rule evaluate:
    input:
        reference=reference,
        reference_store=reference_store,
        observation=IMAGES.observation.ledger,
        observation_store=IMAGES.observation.metadata,
        fused=RUN.fused.ledger,
        fused_store=RUN.fused.metadata,
        estimate=estimate_of_pair,
        estimated=IMAGES.estimate.ledger,
        estimating=IMAGES.timing("estimate"),
        train=RUN.timing("train"),
        fuse=RUN.timing("fuse"),
    output:
        metrics=RUN.metrics,
        timing=RUN.timing("evaluate"),
    log:
        RUN.log("evaluate"),
    benchmark:
        RUN.benchmark("evaluate")
    conda:
        "../../envs/pipeline.yaml"
    threads: 2
    resources:
        scheduler=EXPERIMENT.compute.scheduler,
    params:
        code=code("steps.evaluate"),
        settings=settings("evaluate"),
        unscored=unscored,
    shell:
        "pipeline evaluate --observation {input.observation:q} --fused {input.fused:q} --reference={input.reference:q}"
        " --estimate={input.estimate:q} --settings {params.settings:q} --unscored {params.unscored:q}"
        " --scheduler {resources.scheduler:q} --workers {threads} --out {output.metrics:q} 2> {log:q}"
