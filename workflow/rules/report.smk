rule report:
    input:
        references("results/{experiment}/{scene}/reference.zarr/zarr.json"),
        runs("results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json"),
        runs("results/{experiment}/{scene}/{response}/seed{seed}/estimate.zarr/zarr.json"),
        runs("results/{experiment}/{scene}/{response}/seed{seed}/{label}/fused.zarr/zarr.json"),
        runs("results/{experiment}/{scene}/{response}/seed{seed}/{label}/metrics.json"),
        traces("results/{experiment}/{scene}/{response}/seed{seed}/{label}/trace.zarr/zarr.json"),
    output:
        page=report(
            "results/{experiment}/report.html",
            caption="../report/page.rst",
            category="Results",
            labels={"file": "Comparison of the methods"},
        ),
        summary=report(
            "results/{experiment}/summary.csv",
            caption="../report/summary.rst",
            category="Results",
            labels={"file": "Metrics of every run"},
        ),
    log:
        "logs/{experiment}/report.log",
    benchmark:
        "logs/{experiment}/report.tsv"
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.report"),
        settings=as_json(EXPERIMENT, exclude={"products"}),
        results="results/{experiment}",
    shell:
        "pipeline report --settings {params.settings:q} --results {params.results} --out {output.page}"
        " --summary {output.summary} 2> {log}"
