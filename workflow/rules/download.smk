rule download:
    input:
        source_files,
    output:
        source=SCENE.source,
        timing=SCENE.timing("download"),
    log:
        SCENE.log("download"),
    benchmark:
        SCENE.benchmark("download")
    localrule: True  # on a cluster too, whose nodes may not reach the network
    conda:
        "../../envs/pipeline.yaml"
    params:
        code=code("steps.download"),
        settings=settings("download"),
        stamps=stamps(all_source_files),
    shell:
        "pipeline download --settings {params.settings:q} --out {output.source:q} 2> {log:q}"
