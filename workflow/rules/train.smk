rule train:
    input:
        observation=IMAGES.observation.ledger,
        observation_store=IMAGES.observation.metadata,
        estimate=IMAGES.estimate.ledger,
        estimate_store=IMAGES.estimate.metadata,
        shared=ancient(trained_by),  # what it gives depends on the other inputs alone
        trained=trained_elsewhere,
        examples=examples,
        example_stores=examples_metadata,
    output:
        fitted=RUN.fitted,
        timing=RUN.timing("train"),
    log:
        RUN.log("train"),
    benchmark:
        RUN.benchmark("train")
    conda:
        "../../envs/pipeline.yaml"
    threads: method_threads
    resources:
        gpu=method_gpus,
    params:
        code=code("steps.train"),
        method=method_code,
        settings=settings("train"),
    shell:
        "pipeline train {input.examples:q} --observation {input.observation:q} --estimate {input.estimate:q}"
        " --settings {params.settings:q} --seed {wildcards.seed:q} --trained-by={input.shared:q}{input.trained:q}"
        " --out {output.fitted:q} 2> {log:q}"
