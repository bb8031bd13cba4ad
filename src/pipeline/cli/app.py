"""The command `pipeline`: one subcommand for each step of the workflow, and some for people.

Arguments come in, a step is called. Input that cannot be used ends with one line on stderr and
exit code 2; an unforeseen error keeps its traceback. Nothing is computed here.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, RootModel
from threadpoolctl import threadpool_limits
from typer.core import TyperGroup

from pipeline.cli.datasets import datasets
from pipeline.cli.pairs import inspect, pair
from pipeline.config.experiment import Experiment, json_schema, load_experiment
from pipeline.config.exports import Products
from pipeline.config.responses import Estimation
from pipeline.config.scenes import Scene
from pipeline.errors import InputError
from pipeline.methods import MethodEntry
from pipeline.settings.validation import parse

M = TypeVar("M", bound=BaseModel)


class Steps(TyperGroup):
    """Turns what the user can mend into one line on stderr."""

    def invoke(self, context: Any) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(context)
        except InputError as error:
            message = str(error)
        except OSError as error:
            message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        typer.echo(f"pipeline {context.invoked_subcommand}: {' '.join(message.split())}", err=True)
        raise typer.Exit(2)


class Method(RootModel[MethodEntry]):
    """The settings of one method."""


app = typer.Typer(
    cls=Steps,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Hyperspectral-multispectral image fusion, step by step.",
)
app.add_typer(datasets, name="datasets")
app.command()(inspect)
app.command()(pair)
Settings = Annotated[str, typer.Option(help="JSON text of the step's part of the configuration")]
Seed = Annotated[int, typer.Option(min=0, help="seed of the random draws")]
Ledger = Annotated[Path, typer.Option(help="ledger (X.json) of the store X.zarr")]
Source = Annotated[Path, typer.Option(help="source.json")]
Fitted = Annotated[Path, typer.Option(help="fitted.safetensors, as `train` wrote it")]
Plan = Annotated[Path, typer.Option(help="ledger of the plan")]
Out = Annotated[Path, typer.Option(help="file to write; a store X.zarr is named by its ledger X.json")]


@app.command()
def download(settings: Settings, out: Out) -> None:
    """Make sure that a scene's source is there and record what it is."""
    from pipeline.steps import download

    download.run(scene=_settings(Scene, settings), out=out)


@app.command()
def crop(source: Source, settings: Settings, out: Out) -> None:
    """Store the configured rectangle of a scene's source as its reference."""
    from pipeline.steps import crop

    crop.run(source=source, settings=_settings(Scene, settings), out=out)


@app.command()
def clip(source: Source, observation: Ledger, settings: Settings, out: Out) -> None:
    """Store the reference of a pair, clipped to the common footprint of its images."""
    from pipeline.steps import clip

    clip.run(source=source, observation=observation, settings=_settings(Scene, settings), out=out)


@app.command()
def wald(observation: Ledger, out: Out) -> None:
    """Store the LR-HSI of a pair as the reference of the scene one Wald level down."""
    from pipeline.steps import wald

    wald.run(observation=observation, out=out)


@app.command()
def align(source: Source, settings: Settings, out: Out) -> None:
    """Bring the two images of a pair onto nested grids and find the shift that is left."""
    from pipeline.steps import align

    align.run(source=source, settings=_settings(Scene, settings), out=out)


@app.command()
def degrade(observation: Ledger, estimate: Ledger, out: Out) -> None:
    """Take a pair one Wald level down, where its LR-HSI is the reference."""
    from pipeline.steps import degrade

    degrade.run(observation=observation, estimate=estimate, out=out)


@app.command()
def simulate(reference: Ledger, settings: Settings, seed: Seed, out: Out) -> None:
    """Take the two images that the configured sensors would see of a reference."""
    from pipeline.steps import simulate

    simulate.run(reference=reference, settings=_settings(simulate.Settings, settings), seed=seed, out=out)


@app.command()
def estimate(observation: Ledger, settings: Settings, out: Out) -> None:
    """Settle what the methods are told of the spectral response and the noise."""
    from pipeline.steps import estimate

    estimate.run(observation=observation, settings=_settings(Estimation, settings), out=out)


@app.command()
def train(
    observation: Ledger,
    estimate: Ledger,
    settings: Settings,
    seed: Seed,
    out: Out,
    trained_by: Annotated[
        Path | None, typer.Option(help="fitted.safetensors of another label with the same training")
    ] = None,
) -> None:
    """Fit a method to an observation."""
    from pipeline.steps import train

    train.run(
        observation=observation,
        estimate=estimate,
        settings=_settings(Method, settings).root,
        seed=seed,
        out=out,
        trained_by=trained_by,
    )


@app.command()
def trace(
    observation: Ledger,
    estimate: Ledger,
    fitted: Fitted,
    times: Annotated[str, typer.Option(help="sampling steps left, such as 500,400,0")],
    settings: Settings,
    seed: Seed,
    out: Out,
) -> None:
    """Keep the coefficients that a diffusion method estimates on its way."""
    from pipeline.steps import trace

    trace.run(
        observation=observation,
        estimate=estimate,
        fitted=fitted,
        times=[int(time) for time in times.split(",")],
        settings=_settings(Method, settings).root,
        seed=seed,
        out=out,
    )


@app.command()
def plan(
    settings: Settings,
    out: Out,
    observation: Annotated[Path | None, typer.Option(help="ledger of the scene")] = None,
    size: Annotated[
        str | None,
        typer.Option(help="instead: JSON of height, width, bands and spatial, of a scene not there yet"),
    ] = None,
    batches: Annotated[int | None, typer.Option(min=1, help="jobs; default: from the method's speed")] = None,
) -> None:
    """Cut a scene into tiles and divide them among jobs."""
    from pipeline.steps import plan

    future = None if size is None else _settings(plan.Size, size, "--size")
    typer.echo(
        plan.run(
            observation=observation,
            size=future,
            settings=_settings(plan.Settings, settings),
            batches=batches,
            out=out,
        )
    )


@app.command()
def fuse(
    observation: Ledger,
    estimate: Ledger,
    fitted: Fitted,
    plan: Plan,
    settings: Settings,
    seed: Seed,
    batch: Annotated[int, typer.Option(min=1, help="number of the batch in the plan, from 1")],
    of: Annotated[int, typer.Option(min=1, help="number of batches in the plan")],
    out: Annotated[Path, typer.Option(help="manifest, tiles/X.json; tiles go into fused.zarr above it")],
) -> None:
    """Fuse the tiles of one batch of a plan."""
    from pipeline.steps import fuse

    fuse.run(
        observation=observation,
        estimate=estimate,
        fitted=fitted,
        plan=plan,
        settings=_settings(Method, settings).root,
        seed=seed,
        batch=batch,
        of=of,
        out=out,
    )


@app.command()
def mosaic(
    manifests: list[Path],
    observation: Ledger,
    estimate: Ledger,
    fitted: Fitted,
    plan: Plan,
    settings: Settings,
    seed: Seed,
    out: Out,
) -> None:
    """Check that all tiles are there and sound, and complete the fused cube."""
    from pipeline.steps import mosaic

    mosaic.run(
        observation=observation,
        estimate=estimate,
        fitted=fitted,
        plan=plan,
        manifests=manifests,
        settings=_settings(Method, settings).root,
        seed=seed,
        out=out,
    )


@app.command()
def export(fused: Ledger, observation: Ledger, estimate: Ledger, settings: Settings, out: Out) -> None:
    """Write a fused cube as COG or ENVI, with its quality layer and a STAC item."""
    from pipeline.steps import export

    export.run(
        fused=fused,
        observation=observation,
        estimate=estimate,
        settings=_settings(Products, settings),
        out=out,
    )


@app.command()
def evaluate(
    observation: Ledger,
    fused: Ledger,
    settings: Settings,
    seed: Seed,
    out: Out,
    reference: Annotated[Path | None, typer.Option(help="ledger of the reference, if there is one")] = None,
    estimate: Annotated[Path | None, typer.Option(help="ledger of what was estimated of a pair")] = None,
    scheduler: Annotated[
        str, typer.Option(help="threads, synchronous, or tcp://host:port of a running Dask scheduler")
    ] = "threads",
    workers: Annotated[int, typer.Option(min=1, help="number of threads")] = 2,
) -> None:
    """Score a fused cube against the observation and, where there is one, the reference."""
    from pipeline.steps import evaluate

    evaluate.run(
        observation=observation,
        fused=fused,
        settings=_settings(Method, settings).root,
        seed=seed,
        out=out,
        reference=reference,
        estimate=estimate,
        scheduler=scheduler,
        workers=workers,
    )


@app.command()
def report(
    settings: Annotated[str, typer.Option(help="JSON text of the whole configuration")],
    results: Annotated[Path, typer.Option(help="the experiment's folder under results/")],
    out: Annotated[Path, typer.Option(help="the HTML page")],
    summary: Annotated[Path, typer.Option(help="the CSV table")],
) -> None:
    """Collect an experiment's runs in a table and a page."""
    from pipeline.steps import report

    report.run(experiment=_settings(Experiment, settings), results=results, out=out, summary=summary)


@app.command()
def summary(results: Path) -> None:
    """Print the metrics of a finished experiment and the report's path."""
    from pipeline.commands import summary

    typer.echo(summary.run(results))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="summary.csv, or the folder that holds it")],
    second: Annotated[Path, typer.Argument(help="the one to compare it with")],
    show: Annotated[int, typer.Option(min=1, help="differences to print at most")] = 10,
) -> None:
    """Compare two summaries, times and memory aside; exit status 1 if results differ."""
    from pipeline.commands import compare

    differences = compare.run(first, second)
    for line in differences[:show]:
        typer.echo(line)
    typer.echo(f"{len(differences)} differences" if differences else "the same results")
    if differences:
        raise typer.Exit(1)


@app.command()
def verify(
    stores: list[Path],
    keep: Annotated[
        bool, typer.Option("--keep", help="only report; leave the ledgers of damaged stores in place")
    ] = False,
) -> None:
    """Read stores again in full and name every damaged part; the next run of the workflow repairs it."""
    from pipeline.commands import verify

    checked, faults = verify.run(stores, withdraw=not keep)
    for fault in faults:
        typer.echo(fault)
    typer.echo(f"{checked} files read, {len(faults)} damaged")
    if faults:
        raise typer.Exit(1)


@app.command()
def status(experiment: Annotated[str, typer.Argument(help="name or file of an experiment")]) -> None:
    """Say what of an experiment is done, running or missing, and how long is left."""
    from pipeline.commands import status

    is_file = experiment.endswith((".yaml", ".yml"))
    found = load_experiment(experiment if is_file else Path("config", f"{experiment}.yaml"))
    typer.echo(status.run(found, Path("results", found.experiment), Path("logs", found.experiment)))


@app.command()
def check(config: Path) -> None:
    """Say in one line whether a configuration is valid and how many runs it holds."""
    experiment = load_experiment(config)
    typer.echo(f"{config}: experiment {experiment.experiment}, {len(list(experiment.runs()))} runs")


@app.command()
def schema(out: Annotated[Path | None, typer.Option(help="file to write instead of stdout")] = None) -> None:
    """Print the JSON schema of a configuration."""
    if out is None:
        typer.echo(json_schema(), nl=False)
    else:
        out.write_text(json_schema())


def _settings(model: type[M], text: str, option: str = "--settings") -> M:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{option}: not valid JSON ({error}); give a JSON object") from None
    return parse(model, content, option)


def main() -> None:
    """Entry point of the console script; the package's own messages go to stderr."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("pipeline").setLevel(logging.INFO)

    # a step's bytes must not depend on the machine's cores; jobs and blocks run side by side instead
    with threadpool_limits(limits=1, user_api="blas"):
        app()
