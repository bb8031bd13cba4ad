"""Hyperspectral-multispectral image fusion: one experiment, from its scenes to its report."""

from snakemake.utils import min_version

from pipeline.runs.workflow_files import configuration_file

min_version("9.0")


if config.keys() <= {"experiment"}:

    configfile: str(configuration_file(config.get("experiment", "demo")))


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/crop.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/clip.smk"
include: "workflow/rules/wald.smk"
include: "workflow/rules/degrade.smk"
include: "workflow/rules/estimate.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/fuse.smk"
include: "workflow/rules/mosaic.smk"
include: "workflow/rules/trace.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


onsuccess:
    repeat_warnings()


onerror:
    repeat_warnings()


rule all:
    default_target: True
    input:
        runs(TREE.summary),
        runs(TREE.report),
        runs(TREE.ledger),
        # every ledger, so that a store that was found damaged and lost its ledger is made again
        references(SCENE.reference.ledger),
        runs(IMAGES.observation.ledger),
        runs(IMAGES.estimate.ledger),
        runs(RUN.plan.ledger),
        runs(RUN.fitted),
        runs(RUN.fused.ledger),
        runs(RUN.fused.metadata),
        traces(RUN.trace.ledger),
        exported(RUN.product),
