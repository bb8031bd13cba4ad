rule trace:
    input:
        observation=IMAGES.observation.ledger,
        observation_store=IMAGES.observation.metadata,
        estimate=IMAGES.estimate.ledger,
        estimate_store=IMAGES.estimate.metadata,
        fitted=RUN.fitted,
    output:
        ledger=RUN.trace.ledger,
        store=RUN.trace.metadata,
    log:
        RUN.log("trace"),
    benchmark:
        RUN.benchmark("trace")
    conda:
        "../../envs/pipeline.yaml"
    threads: method_threads
    resources:
        gpu=method_gpus,
    params:
        code=code("steps.trace"),
        method=method_code,
        settings=settings("trace"),
        times=trace_times,
    shell:
        "pipeline trace --observation {input.observation:q} --estimate {input.estimate:q} --fitted {input.fitted:q}"
        " --times {params.times:q} --settings {params.settings:q} --seed {wildcards.seed:q}"
        " --out {output.ledger:q} 2> {log:q}"
