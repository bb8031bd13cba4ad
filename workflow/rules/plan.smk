rule plan:
    input:
        observation="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        observation_store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
    output:
        ledger="results/{experiment}/{scene}/{response}/seed{seed}/{label}/plan.json",
        store="results/{experiment}/{scene}/{response}/seed{seed}/{label}/plan.zarr/zarr.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/plan.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/{label}/plan.tsv"
    localrule: True  # on a cluster too, where a job would count the batches anew
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.plan"),
        method=method_code,
        settings=plan_settings,
        batches=batch_number,
    shell:
        "pipeline plan --observation {input.observation} --settings {params.settings:q}"
        " --batches {params.batches} --out {output.ledger} 2> {log}"
