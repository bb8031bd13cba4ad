rule simulate:
    input:
        response_file,
        ledger="results/{experiment}/{scene}/reference.json",
        store="results/{experiment}/{scene}/reference.zarr/zarr.json",
    output:
        ledger="results/{experiment}/{scene}/{response}/seed{seed}/observation.json",
        store="results/{experiment}/{scene}/{response}/seed{seed}/observation.zarr/zarr.json",
        timing="results/{experiment}/{scene}/{response}/seed{seed}/simulate.timing.json",
    log:
        "logs/{experiment}/{scene}/{response}/seed{seed}/simulate.log",
    benchmark:
        "logs/{experiment}/{scene}/{response}/seed{seed}/simulate.tsv"
    wildcard_constraints:
        scene=SIMULATED,
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.simulate"),
        settings=simulate_settings,
    shell:
        "pipeline simulate --reference {input.ledger} --settings {params.settings:q} --seed {wildcards.seed}"
        " --out {output.ledger} 2> {log}"
