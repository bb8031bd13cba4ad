rule report:
    input:
        references(SCENE.reference.metadata),
        runs(IMAGES.observation.metadata),
        runs(IMAGES.estimate.metadata),
        runs(RUN.fused.metadata),
        runs(RUN.metrics),
        traces(RUN.trace.metadata),
        exported(RUN.product),
    output:
        page=report(
            TREE.report,
            caption="../report/page.rst",
            category="Results",
            labels={"file": "Comparison of the methods"},
        ),
        summary=report(
            TREE.summary,
            caption="../report/summary.rst",
            category="Results",
            labels={"file": "Metrics of every run"},
        ),
        ledger=TREE.ledger,
    log:
        TREE.log("report"),
    benchmark:
        TREE.benchmark("report")
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.report"),
        settings=settings("report"),
        results=str(TREE.path),
    shell:
        "pipeline report --settings {params.settings:q} --results {params.results:q} --out {output.page:q}"
        " --summary {output.summary:q} 2> {log:q}"
