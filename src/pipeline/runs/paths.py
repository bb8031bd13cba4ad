"""The results tree: where each file of an experiment lies, spelled once.

    results/{experiment}/                    summary.csv, report.html, report.json
      {scene}/                               source.json, reference.json
        {response}/seed{seed}/               observation.json, estimate.json
          {label}/                           plan.json, fitted.safetensors, fused.json, metrics.json, ...
            tiles/{batch}-of-{batches}.json

Logs and Snakemake's measurements lie in the same folders under `logs/`. A store `X.zarr` is named by its
ledger `X.json`. Names in braces, in place of real ones, give the patterns of Snakemake's rules.

>>> run = experiment_folder("demo").scene("field").images("sentinel2", 0).run("bicubic")
>>> run.fused.ledger.as_posix()
'results/demo/field/sentinel2/seed0/bicubic/fused.json'
>>> pattern = experiment_folder("{experiment}").scene("{scene}").images("{response}", "{seed}")
>>> pattern.log("align").as_posix()
'logs/{experiment}/{scene}/{response}/seed{seed}/align.log'
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.config.experiment import Run
from pipeline.errors import InputError

RESULTS, LOGS = Path("results"), Path("logs")
SEED = "seed"
FITTED = "fitted.safetensors"
PRODUCT = "product.json"
REPORT = "report.json"
SOURCE = "source.json"
METRICS = "metrics.json"
TIMING = ".timing.json"
TILES = "tiles"
JOURNAL = ".journal"


@dataclass(frozen=True)
class Store:
    """The files of a Zarr store.

    Attributes
    ----------
    ledger : Path
        `X.json`, which vouches for the store `X.zarr` beside it.
    """

    ledger: Path

    @property
    def folder(self) -> Path:
        """The store itself, `X.zarr`."""
        return self.ledger.with_suffix(".zarr")

    @property
    def metadata(self) -> Path:
        """The file of the store that is written last; Snakemake tracks the store through it."""
        return self.folder / "zarr.json"


@dataclass(frozen=True)
class Folder:
    """A folder of the results tree.

    Attributes
    ----------
    path : Path
        The folder, below `results/`.
    logs : Path
        The folder of the same name below `logs/`.
    """

    path: Path
    logs: Path

    def timing(self, step: str) -> Path:
        """Return the file of a step's seconds and peak memory."""
        return self.path / f"{step}{TIMING}"

    def log(self, step: str) -> Path:
        """Return the file of a step's messages."""
        return self.logs / f"{step}.log"

    def benchmark(self, step: str) -> Path:
        """Return the file of Snakemake's own measurements of a step."""
        return self.logs / f"{step}.tsv"


@dataclass(frozen=True)
class RunFolder(Folder):
    """The folder of one fused cube: a scene under a response and a noise seed, fused by a method.

    Attributes
    ----------
    label : str
        Name of the method's entry in the experiment.
    images : ImagesFolder
        Folder of the images that are fused.
    """

    label: str
    images: ImagesFolder

    @property
    def scene(self) -> SceneFolder:
        """The folder of the run's scene."""
        return self.images.scene

    @property
    def experiment(self) -> ExperimentFolder:
        """The folder of the run's experiment."""
        return self.scene.experiment

    @property
    def fitted(self) -> Path:
        """The fitted method."""
        return self.path / FITTED

    @property
    def plan(self) -> Store:
        """The tiles and their batches."""
        return Store(self.path / "plan.json")

    @property
    def fused(self) -> Store:
        """The fused cube."""
        return Store(self.path / "fused.json")

    @property
    def residuals(self) -> Store:
        """The maps of the residuals of both images, of a pair."""
        return Store(self.path / "residuals.json")

    @property
    def trace(self) -> Store:
        """The coefficients of a diffusion method on their way."""
        return Store(self.path / "trace.json")

    @property
    def product(self) -> Path:
        """The ledger of the exported files."""
        return self.path / PRODUCT

    @property
    def metrics(self) -> Path:
        """The scores of the fused cube."""
        return self.path / METRICS

    def manifest(self, batch: int | str, batches: int | str) -> Path:
        """Return the manifest of batch number `batch` of `batches`, which lists its finished shards."""
        return self.path / TILES / f"{batch_name(batch, batches)}.json"

    def batch_timing(self, batch: int | str, batches: int | str) -> Path:
        """Return the file of seconds and peak memory of batch number `batch` of `batches`."""
        return self.path / TILES / f"{batch_name(batch, batches)}{TIMING}"

    def journal(self, batch: int | str, batches: int | str) -> Path:
        """Return the journal of batch number `batch` of `batches`, with a line for each finished tile."""
        return self.manifest(batch, batches).with_suffix(JOURNAL)

    def journals(self) -> list[Path]:
        """Return the journals that exist, of any division into batches."""
        return sorted(self.path.glob(f"{TILES}/*{JOURNAL}"))


@dataclass(frozen=True)
class ImagesFolder(Folder):
    """The folder of the LR-HSI and HR-MSI of a scene under one response and noise seed.

    Attributes
    ----------
    response : str
        Name of the response; `measured` for real images.
    seed : int or str
        Noise seed.
    scene : SceneFolder
        Folder of the scene.
    """

    response: str
    seed: int | str
    scene: SceneFolder

    @property
    def observation(self) -> Store:
        """The two images, with the responses and noise levels of their sensors."""
        return Store(self.path / "observation.json")

    @property
    def estimate(self) -> Store:
        """The responses and noise levels that the methods use."""
        return Store(self.path / "estimate.json")

    def run(self, label: str) -> RunFolder:
        """Return the folder of the cube that a method fuses from these images."""
        return RunFolder(self.path / label, self.logs / label, label, self)


@dataclass(frozen=True)
class SceneFolder(Folder):
    """The folder of a scene.

    Attributes
    ----------
    name : str
        The scene's name.
    experiment : ExperimentFolder
        Folder of the experiment.
    """

    name: str
    experiment: ExperimentFolder

    @property
    def source(self) -> Path:
        """The record of the files that the scene is made of."""
        return self.path / SOURCE

    @property
    def reference(self) -> Store:
        """The reference cube."""
        return Store(self.path / "reference.json")

    def images(self, response: str, seed: int | str) -> ImagesFolder:
        """Return the folder of the images under a response and a noise seed.

        Parameters
        ----------
        response : str
            Name of the response; `measured` for real images.
        seed : int or str
            Noise seed.
        """
        name = Path(response, f"{SEED}{seed}")
        return ImagesFolder(self.path / name, self.logs / name, response, seed, self)


@dataclass(frozen=True)
class ExperimentFolder(Folder):
    """The folder of an experiment."""

    @property
    def summary(self) -> Path:
        """The table of all runs."""
        return self.path / "summary.csv"

    @property
    def ledger(self) -> Path:
        """The record of all files that the report and the table rest on."""
        return self.path / REPORT

    @property
    def report(self) -> Path:
        """The page that compares all runs."""
        return self.path / "report.html"

    def scene(self, name: str) -> SceneFolder:
        """Return the folder of a scene."""
        return SceneFolder(self.path / name, self.logs / name, name, self)

    def run(self, run: Run) -> RunFolder:
        """Return the folder of a run of the experiment."""
        return self.scene(run.scene).images(run.response, run.seed).run(run.label)

    def runs(self, label: str) -> list[RunFolder]:
        """Return the folders of all runs of a method whose cube is finished."""
        finished = self.scene("*").images("*", "*").run(label).timing("fuse")
        return [run_folder(path) for path in self.path.glob(str(finished.relative_to(self.path)))]


def batch_name(batch: int | str, batches: int | str) -> str:
    """Return the name of a batch of tiles.

    Parameters
    ----------
    batch : int or str
        Number of the batch, counted from 1.
    batches : int or str
        Number of batches.
    """
    return f"{batch}-of-{batches}"


def batch_of(manifest: Path) -> tuple[int, int]:
    """Return number and count of batches from the name of a manifest.

    Parameters
    ----------
    manifest : Path
        Such as `tiles/3-of-20.json`.

    Raises
    ------
    InputError
        The name does not denote a batch.
    """
    batch, _, batches = manifest.stem.partition("-of-")
    if not (batch.isdecimal() and batches.isdecimal()):
        raise InputError(
            f"{manifest}: expected the name of a batch, such as tiles/3-of-20.json; correct --out"
        )
    return int(batch), int(batches)


def experiment_folder(experiment: str) -> ExperimentFolder:
    """Return the folder of an experiment, as seen from the folder in which Snakemake runs.

    Parameters
    ----------
    experiment : str
        The experiment's name.
    """
    return experiment_at(RESULTS / experiment)


def experiment_at(results: Path) -> ExperimentFolder:
    """Return the folder of an experiment whose results lie in `results`.

    Parameters
    ----------
    results : Path
        Such as `results/demo`.
    """
    return ExperimentFolder(results, LOGS / results.name)


def run_folder(path: Path) -> RunFolder:
    """Return the run to which a file belongs.

    Parameters
    ----------
    path : Path
        A file in the run's folder, such as `results/demo/field/sentinel2/seed0/bicubic/fused.json`.

    Raises
    ------
    InputError
        The file does not lie in a folder `<scene>/<response>/seed<k>/<label>`.
    """
    *above, scene, response, images, label, _ = ("", "", "", "", *path.resolve().parts)
    seed = images.removeprefix(SEED)
    if not (scene and images.startswith(SEED) and seed.isdecimal()):
        raise InputError(f"{path}: does not lie in the folder of a run, <scene>/<response>/{SEED}<k>/<label>")
    return experiment_at(Path(*above)).run(Run(scene, response, label, int(seed)))
