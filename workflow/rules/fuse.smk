rule fuse:
    input:
        observation=IMAGES.observation.ledger,
        observation_store=IMAGES.observation.metadata,
        estimate=IMAGES.estimate.ledger,
        estimate_store=IMAGES.estimate.metadata,
        fitted=RUN.fitted,
        plan=RUN.plan.ledger,
        plan_store=RUN.plan.metadata,
    output:
        manifest=RUN.manifest("{batch}", "{batches}"),
        timing=RUN.batch_timing("{batch}", "{batches}"),
    log:
        RUN.log(BATCH),
    benchmark:
        RUN.benchmark(BATCH)
    conda:
        "../../envs/pipeline.yaml"
    threads: method_threads
    resources:
        gpu=method_gpus,
        runtime=batch_runtime,
    params:
        code=code("steps.fuse"),
        method=method_code,
        settings=settings("fuse"),
    shell:
        "pipeline fuse --observation {input.observation:q} --estimate {input.estimate:q} --fitted {input.fitted:q}"
        " --plan {input.plan:q} --settings {params.settings:q} --seed {wildcards.seed:q}"
        " --out {output.manifest:q} 2> {log:q}"
