rule export:
    input:
        fused="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fused.json",
        fused_store="results/{experiment}/{scene}/{response}/seed{seed}/{label}/fused.zarr/zarr.json",
        observation="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        observation_store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        estimate="results/{experiment}/{scene}/{response}/seed{seed}/estimate.json",
        estimate_store="results/{experiment}/{scene}/{response}/seed{seed}/estimate.zarr/zarr.json",
    output:
        ledger=report(
            "results/{experiment}/{scene}/{response}/seed{seed}/{label}/product.json",
            caption="../report/product.rst",
            category="Products",
            subcategory="{scene}",
            labels={"response": "{response}", "seed": "{seed}", "method": "{label}"},
        ),
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/export.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/export.tsv"
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.export"),
        settings=product_settings,
    shell:
        "pipeline export --fused {input.fused} --observation {input.observation} --estimate {input.estimate}"
        " --settings {params.settings:q} --out {output.ledger} 2> {log}"
