rule download:
    input:
        scene_files,
    output:
        source="results/{experiment}/{scene}/source.json",
        timing="results/{experiment}/{scene}/download.timing.json",
    log:
        "logs/{experiment}/{scene}/download.log",
    benchmark:
        "logs/{experiment}/{scene}/download.tsv"
    localrule: True  # on a cluster too, whose nodes may not reach the network
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.download"),
        settings=source_settings,
    shell:
        "pipeline download --settings {params.settings:q} --out {output.source} 2> {log}"
