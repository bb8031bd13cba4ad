"""The experiment: scenes x responses x noise seeds x methods, typed and checked.

The models below are the single truth; `config/schema.json` is generated from them for editors and
for Snakemake. Threads of the workflow, memory and partitions are not here but in `profiles/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import Field, field_validator, model_validator

from pipeline.config.exports import Products
from pipeline.config.responses import Estimation, Positive, Response
from pipeline.config.scenes import NAME, Name, Scene, check_name
from pipeline.config.studies import StudyEntry, Trajectory, check_studies, complete
from pipeline.errors import InputError
from pipeline.methods import MethodEntry
from pipeline.methods.supervised import Region, SupervisedSettings
from pipeline.settings.strict import Seeds, Strict
from pipeline.settings.validation import parse
from pipeline.settings.yaml_text import check_extent, parts_of_content, read_yaml

MEASURED = "measured"  # stands for the response of a scene that was not simulated
PAIR_ESTIMATION = Estimation(spectral_response="calibrated", spatial_response="gaussian", noise="estimated")


class Noise(Strict):
    """White Gaussian noise on both inputs."""

    snr_db: float = Field(
        35.0, gt=-20, allow_inf_nan=False, description="10 log10(mean signal power / noise variance)"
    )
    per_band: bool = Field(
        False, description="each band at the SNR, instead of one noise level for the image"
    )
    seeds: Seeds = Field([0])
    trained_seeds: Seeds | None = Field(
        None, description="seeds of the methods that train for minutes or more; default: `seeds`"
    )


class Tiling(Strict):
    """How fused cubes are cut into tiles and the tiles divided among jobs."""

    core: int | None = Field(
        None,
        ge=1,
        description="side of a tile in HR pixels, a multiple of the ratio's numerator; default: 512, or "
        "less where 128 MiB of float32 hold no such tile",
    )
    job_minutes: float = Field(30.0, gt=0, description="length of a job to aim at")
    max_jobs: int = Field(200, ge=1, description="most jobs for one fused cube, however large")
    seconds_per_megapixel: dict[str, Positive] = Field(
        default_factory=dict,
        description="label: time of a method; default: as measured in this experiment, else a rough guess",
    )


class Compute(Strict):
    """Where blocks of arrays are computed by `evaluate`."""

    scheduler: str = Field(
        "threads",
        pattern=r"^(threads|synchronous|(tcp|tls)://[A-Za-z0-9_.:\[\]-]+:\d+)$",
        description="threads of the job, `synchronous`, or the address of a running Dask scheduler",
    )


class Run(NamedTuple):
    """One fused cube of an experiment."""

    scene: str
    response: str
    label: str
    seed: int


class Observed(NamedTuple):
    """One observation of an experiment."""

    scene: str
    response: str
    seed: int


class Experiment(Strict):
    """One `config/<experiment>.yaml`."""

    experiment: Name = Field(description="name of the folder under `results/`")
    studies: dict[Name, StudyEntry] = Field(
        default_factory=dict,
        description="figures of the report; a sweep adds its methods or responses to the experiment",
    )
    defaults: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="method: settings of all its labels that do not say otherwise"
    )
    scenes: dict[Name, Scene] = Field(min_length=1)
    responses: dict[Name, Response] = Field(
        default_factory=dict, description="of scenes that are simulated from a source"
    )
    noise: Noise = Noise()
    estimation: Estimation = Estimation()
    tiling: Tiling = Tiling()
    compute: Compute = Compute()
    products: Products | None = Field(None, description="files made of the fused cubes; default: none")
    methods: dict[Name, MethodEntry] = Field(
        min_length=1,
        description="label: settings; a label that is not a method's name needs the key `method`",
    )

    @model_validator(mode="before")
    @classmethod
    def _names_can_be_folders(cls, content: Any) -> Any:
        if isinstance(content, dict):
            if "experiment" in content:
                check_name("experiment", content["experiment"])
            for section in ("scenes", "responses", "studies", "methods"):
                names = content.get(section)
                for name in names if isinstance(names, dict) else ():
                    check_name(section, name)
        return content

    @field_validator("methods", mode="before")
    @classmethod
    def _method_from_label(cls, methods: Any) -> Any:
        if not isinstance(methods, dict):
            return methods
        return {
            label: {"method": label} | (settings or {}) if isinstance(settings, dict | None) else settings
            for label, settings in methods.items()
        }

    @model_validator(mode="after")
    def _seeds_exist(self) -> Experiment:
        chosen = {f"methods.{label}.seeds": settings.seeds for label, settings in self.methods.items()}
        for key, seeds in {"noise.trained_seeds": self.noise.trained_seeds, **chosen}.items():
            extra = set(seeds or []) - set(self.noise.seeds)
            if extra:
                raise ValueError(f"{key}: {sorted(extra)} are not among noise.seeds {self.noise.seeds}")
        return self

    @model_validator(mode="after")
    def _responses_exist(self) -> Experiment:
        if MEASURED in self.responses:
            raise ValueError(f"responses.{MEASURED}: stands for the images of a pair; choose another name")
        for name, scene in self.scenes.items():
            if scene.source and not self.responses:
                raise ValueError(f"scenes.{name}: is simulated and needs `responses` with at least one")
            if scene.wald and (scene.wald not in self.scenes or not self.scenes[scene.wald].pair):
                raise ValueError(f"scenes.{name}.wald: {scene.wald!r} is no scene with a pair")
            unknown = sorted(set(scene.responses or []) - set(self.responses))
            if unknown:
                raise ValueError(
                    f"scenes.{name}.responses: {unknown} are not among the responses {list(self.responses)}"
                )
        return self

    @model_validator(mode="after")
    def _scenes_have_methods(self) -> Experiment:
        for name, scene in self.scenes.items():
            for label, own in scene.methods.items():
                where = f"scenes.{name}.methods.{label}"
                if label not in self.methods:
                    raise ValueError(f"{where}: is not among the methods {list(self.methods)}")
                if fixed := sorted(own.keys() & {"method", "seeds"}):
                    raise ValueError(f"{where}.{fixed[0]}: is the same for all scenes; set it under methods")
                try:
                    self.method_of(name, label)
                except InputError as error:
                    raise ValueError(str(error)) from None
        return self

    @model_validator(mode="after")
    def _trainings_fit(self) -> Experiment:
        """Check that every scene of a training exists, has a reference, and leaves a scene to fuse."""
        left_out = self.training_scenes
        if unknown := sorted(left_out - set(self.scenes)):
            raise ValueError(f"training.scenes: {unknown} are not among the scenes {list(self.scenes)}")
        if left_out >= set(self.scenes):
            raise ValueError("training.scenes: every scene is trained on; leave at least one to fuse")
        observed = set(self.observed())
        for run in self.runs():
            for example in self.examples_of(run):
                where = f"methods.{run.label}.training"
                if not self.has_reference(example.scene):
                    raise ValueError(f"{where}: scene {example.scene!r} has no reference to learn from")
                if (example.scene, example.response) not in observed:
                    raise ValueError(
                        f"{where}: scene {example.scene!r} is not observed under the response "
                        f"{run.response!r} of scene {run.scene!r}; add it to its responses"
                    )
        return self

    def has_reference(self, scene: str) -> bool:
        """Tell whether a scene has a reference: every scene but a pair without it.

        Parameters
        ----------
        scene : str
            Name of the scene.
        """
        pair = self.scenes[scene].pair
        return pair is None or pair.reference is not None

    @model_validator(mode="after")
    def _products_fit(self) -> Experiment:
        products = self.products or Products()
        unknown = set(products.datetime) - set(self.scenes) if isinstance(products.datetime, dict) else set()
        if unknown:
            raise ValueError(f"products.datetime: {sorted(unknown)} are not among the scenes")
        timeless = [name for name in self.scenes if products.of_scene(name).datetime is None]
        if products.stac and timeless:
            raise ValueError(
                f"products.stac: needs the time of acquisition; give products.datetime for scenes {timeless}"
            )
        return self

    @model_validator(mode="after")
    def _studies_fit(self) -> Experiment:
        observed = {response for _, response in self.observed()}
        check_studies(self.studies, self.methods, self.responses, self.defaults, observed)
        unused = set(self.defaults) - {settings.method for settings in self.methods.values()}
        if unused:
            raise ValueError(f"defaults.{min(unused)}: the experiment has no such method")
        return self

    @model_validator(mode="after")
    def _tiles_fit(self) -> Experiment:
        for label, response in self.responses.items():
            step = response.spatial.build().ratio.numerator
            if self.tiling.core and self.tiling.core % step:
                raise ValueError(
                    f"tiling.core: {self.tiling.core} is not a multiple of {step}, as the ratio of "
                    f"responses.{label} needs; use {-(-self.tiling.core // step) * step}"
                )
        unknown = set(self.tiling.seconds_per_megapixel) - set(self.methods)
        if unknown:
            raise ValueError(f"tiling.seconds_per_megapixel: {sorted(unknown)} are not among the methods")
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> Experiment:
        for name, label in self.observed():
            try:
                for side in self.scenes[name].size or () if label in self.responses else ():
                    self.responses[label].spatial.build().lr_size(side)
            except InputError as error:
                raise ValueError(f"scenes.{name} with responses.{label}: {error}") from None
        return self

    def method_of(self, scene: str, label: str) -> MethodEntry:
        """Return the settings of a method on a scene, which may have some of its own.

        Parameters
        ----------
        scene : str
            Name of the scene.
        label : str
            Label of the method.

        Raises
        ------
        InputError
            The scene's own settings do not belong to the method.
        """
        own = self.scenes[scene].methods.get(label)
        settings = self.methods[label]
        if own is None:
            return settings
        content = settings.model_dump()
        for key, value in own.items():
            content[key] = _merged(content.get(key), value)
        return parse(type(settings), content, f"scenes.{scene}.methods.{label}")

    def trained_by(self, run: Run) -> Run | None:
        """Return the first run with the same training, if that is another one.

        A training on other scenes serves every scene and seed; any other serves the labels of a scene and
        a seed.

        Parameters
        ----------
        run : Run
            A run of the experiment.
        """
        settings = self.method_of(run.scene, run.label)
        part = settings.training_part()
        if part is None:
            return None
        own = self.examples_of(run)
        same_images = (
            run._replace(label=label) for label in self.methods if run.seed in self.seeds_of(label)
        )
        first = next(
            other
            for other in (self.runs() if settings.training_scenes else same_images)
            if self.method_of(other.scene, other.label).training_part() == part
            and self.examples_of(other) == own
        )
        return None if first == run else first

    def examples_of(self, run: Run) -> list[Observed]:
        """Return the observations whose references train the method of a run.

        They are those of the other scenes under the run's response and the method's first seed; the run's own
        where the method is trained on a region of the scene; none where it is trained on the pair alone.

        Parameters
        ----------
        run : Run
            A run of the experiment.
        """
        settings = self.method_of(run.scene, run.label)
        if settings.learns_from != "references":
            return []
        if not settings.training_scenes:
            return [Observed(run.scene, run.response, run.seed)]
        observed = list(self.observed())
        seed = self.seeds_of(run.label)[0]
        return [
            Observed(scene, run.response if (scene, run.response) in observed else MEASURED, seed)
            for scene in settings.training_scenes
        ]

    def unscored(self, scene: str) -> list[Region]:
        """Return the regions of a scene that no metric counts, since a method is trained there.

        Parameters
        ----------
        scene : str
            Name of the scene.
        """
        settings = (self.method_of(scene, label) for label in self.methods)
        regions = (own.unscored for own in settings if isinstance(own, SupervisedSettings))
        return [region for region in regions if region]

    @property
    def training_scenes(self) -> set[str]:
        """Scenes that methods are trained on, which no method fuses."""
        settings = (self.method_of(scene, label) for scene in self.scenes for label in self.methods)
        return {name for own in settings for name in own.training_scenes}

    def seeds_of(self, label: str) -> list[int]:
        """Return the noise seeds of a method: its own, the seeds of methods that train, or all seeds."""
        settings = self.methods[label]
        shared = self.noise.trained_seeds if settings.trains else None
        return settings.seeds or shared or self.noise.seeds

    def observed(self) -> Iterator[tuple[str, str]]:
        """Yield every scene with each response under which it is observed."""
        for name, scene in self.scenes.items():
            for response in [MEASURED] if scene.source is None else scene.responses or self.responses:
                yield name, response

    def fused(self) -> Iterator[tuple[str, str]]:
        """Yield every scene that methods fuse, with each response under which it is observed."""
        left_out = self.training_scenes
        return ((scene, response) for scene, response in self.observed() if scene not in left_out)

    def title(self, scene: str, response: str) -> str:
        """Return the name of a scene, followed by the response if the scene has several."""
        several = len(self.scenes[scene].responses or self.responses) > 1 and response != MEASURED
        return f"{scene}/{response}" if several else scene

    def estimation_of(self, scene: str) -> Estimation:
        """Return which quantities are given and which are estimated for a scene."""
        described = self.scenes[scene]
        if described.source is not None:
            return self.estimation
        if described.pair is None:  # one Wald level down, the estimates of the pair hold
            return Estimation()
        return described.estimation or PAIR_ESTIMATION

    def runs(self) -> Iterator[Run]:
        """Yield every fused cube: scenes with their responses x methods with their seeds.

        Scenes that a method is trained on are left out, for every method.
        """
        for scene, response in self.fused():
            for label in self.methods:
                for seed in self.seeds_of(label):
                    yield Run(scene, response, label, seed)

    def traced(self) -> Iterator[Run]:
        """Return the runs whose sampling a trajectory follows: the first seed of each of its methods."""
        studies = (study for study in self.studies.values() if isinstance(study, Trajectory))
        first = {label: self.seeds_of(label)[0] for study in studies for label in study.methods}
        return (run for run in self.runs() if first.get(run.label) == run.seed)


def _merged(inner: Any, own: Any) -> Any:
    """Return a scene's own value of a setting: fields of the same model are changed, all else is replaced."""
    if isinstance(inner, dict) and isinstance(own, dict) and own.keys() <= inner.keys():
        return inner | own
    return own


def load_experiment(path: str | Path) -> Experiment:
    """Read and check an experiment file.

    Raises
    ------
    InputError
        One line naming the file, the key, the value found and the accepted values.
    """
    path = Path(path)
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; configurations lie in config/") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    return parse_experiment(content, str(path))


def parse_experiment(content: Any, origin: str) -> Experiment:
    """Check an experiment's content, with its sweeps written out; `origin` names it in the error."""
    check_extent(content, parts_of_content, origin)
    return parse(Experiment, complete(content) if isinstance(content, dict) else content, origin)


def json_schema() -> str:
    """Return the JSON schema of an experiment file, as stored in `config/schema.json`."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    schema = {"$schema": dialect} | Experiment.model_json_schema()
    always = ["experiment", "scenes"]  # studies can add the responses or the methods
    schema["anyOf"] = [{"required": schema.pop("required")}, {"required": [*always, "studies"]}]
    scenes = schema["properties"]["scenes"]["patternProperties"]
    scenes[NAME] = {"anyOf": [scenes[NAME], {"type": "null"}]}
    methods = schema["properties"]["methods"]
    labelled = methods.pop("patternProperties")[NAME]

    # under a method's own name the key `method` is implied; other labels need it
    methods["properties"] = {
        name: {"anyOf": [{"$ref": model}, {"type": "null"}]}
        for name, model in labelled["discriminator"]["mapping"].items()
    }
    methods["additionalProperties"] = {"oneOf": labelled["oneOf"], "required": ["method"]}
    methods["propertyNames"] = {"pattern": NAME}
    return json.dumps(schema, indent=2) + "\n"
