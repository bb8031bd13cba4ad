rule export:
    input:
        fused=RUN.fused.ledger,
        fused_store=RUN.fused.metadata,
        observation=IMAGES.observation.ledger,
        observation_store=IMAGES.observation.metadata,
        estimate=IMAGES.estimate.ledger,
        estimate_store=IMAGES.estimate.metadata,
    output:
        ledger=report(
            RUN.product,
            caption="../report/product.rst",
            category="Products",
            subcategory="{scene}",
            labels={"response": "{response}", "seed": "{seed}", "method": "{label}"},
        ),
    log:
        RUN.log("export"),
    benchmark:
        RUN.benchmark("export")
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.export"),
        settings=settings("export"),
    shell:
        "pipeline export --fused {input.fused:q} --observation {input.observation:q} --estimate {input.estimate:q}"
        " --settings {params.settings:q} --out {output.ledger:q} 2> {log:q}"
