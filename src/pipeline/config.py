"""The experiment: scenes x responses x noise seeds x methods, typed and checked.

The models below are the single truth; `config/schema.json` is generated from them for editors and
for Snakemake. Threads of the workflow, memory and partitions are not here but in `profiles/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import Field, field_validator, model_validator

from pipeline.core.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.settings import MethodEntry, Seeds, Strict
from pipeline.validation import parse

LARGEST_CORE = 512  # HR pixels, side of a tile and of a shard where none is given
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Name = Annotated[str, Field(pattern=NAME)]
Positive = Annotated[float, Field(gt=0)]


class SyntheticSource(Strict):
    """The embedded scene generator."""

    kind: Literal["synthetic"]
    height: int = Field(128, ge=1)
    width: int = Field(128, ge=1)
    bands: int = Field(60, ge=2)
    wavelength_range: tuple[Positive, Positive] = Field(
        (400.0, 2500.0), description="nm, first and last band"
    )
    seed: int = Field(0, ge=0)

    @field_validator("wavelength_range")
    @classmethod
    def _rises(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] >= limits[1]:
            raise ValueError(f"the first band must lie below the last, found {list(limits)}")
        return limits


class FileSource(Strict):
    """A local file: MATLAB v5 `.mat`, `.npz`, or a raster that rasterio opens (GeoTIFF, ENVI).

    What is not given here is read from the file where its format holds it.
    """

    kind: Literal["file"]
    path: str
    url: str | None = Field(None, description="fetched to `path` where that does not exist")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="refuse a file with another digest"
    )
    variable: str | None = Field(None, description="array in a .mat or .npz; default: the only 3-D one")
    axes: (
        Literal["band,y,x", "y,x,band", "x,y,band", "band,x,y", "band,yx", "band,xy", "yx,band", "xy,band"]
        | None
    ) = Field(
        None,
        description="order of the array's axes; `xy` is one axis of pixels in column-major (MATLAB) order, "
        "`yx` in row-major",
    )
    shape: tuple[int, int] | None = Field(
        None, description="height and width, for arrays with one pixel axis"
    )
    wavelengths: list[float] | str | None = Field(
        None,
        description="nm; a list of one value per band, a variable of the file, or `first:last:count` "
        "for equal steps",
    )
    fwhm: list[float] | float | str | None = Field(
        None, description="nm; a list, one number, or a variable of the file"
    )
    band_numbers: str | None = Field(
        None,
        description="variable with the 1-based numbers of the kept bands among those that `wavelengths` "
        "describes",
    )
    scale: float = Field(1.0, gt=0, description="values are divided by this number on ingest")
    nodata: float | None = None
    bad_bands: list[int] = Field(default_factory=list, description="0-based band indices to leave out")


Source = Annotated[SyntheticSource | FileSource, Field(discriminator="kind")]


class Crop(Strict):
    """A rectangle of the source, centred or at an offset."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    at: Literal["centre"] | tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(
        "centre", description="`centre`, or the row and column of the upper left pixel"
    )


class Scene(Strict):
    """A reference scene, from which the two inputs are simulated."""

    source: Source
    crop: Crop | None = None
    responses: list[Name] | None = Field(
        None, min_length=1, description="names of the responses under which it is seen; default: all"
    )
    dataset: Literal["pavia_university", "chikusei", "ksc"] | None = Field(
        None, description="data set with published results, which the report shows beside its own"
    )

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the reference, where the configuration tells."""
        known = self.crop or (self.source if isinstance(self.source, SyntheticSource) else None)
        return (known.height, known.width) if known else None


class SpatialConfig(Strict):
    """The spatial response H."""

    kind: Literal["bicubic", "gaussian", "box", "psf"]
    ratio: int | float | str = Field(description="LR pixel size over HR pixel size: 4, 8.33 or '25/3'")
    fwhm: float | None = Field(None, gt=0, description="Gaussian: full width at half maximum in LR pixels")
    mtf: float | None = Field(None, gt=0, lt=1, description="Gaussian: MTF at the LR Nyquist frequency")
    psf: list[list[float]] | None = Field(None, description="psf: samples at HR pixel spacing")

    @model_validator(mode="after")
    def _fits_kind(self) -> SpatialConfig:
        given = {name for name in ("fwhm", "mtf", "psf") if getattr(self, name) is not None}
        allowed = {"gaussian": {"fwhm", "mtf"}, "psf": {"psf"}}.get(self.kind, set())
        if given - allowed:
            raise ValueError(f"{', '.join(sorted(given - allowed))} does not belong to kind {self.kind}")
        if allowed and len(given) != 1:
            raise ValueError(f"kind {self.kind} needs exactly one of {', '.join(sorted(allowed))}")
        self.build()
        return self

    def build(self) -> SpatialResponse:
        """The response object of `pipeline.core`."""
        if self.kind == "bicubic":
            return SpatialResponse.bicubic(ratio=self.ratio)
        if self.kind == "box":
            return SpatialResponse.box(ratio=self.ratio)
        if self.kind == "gaussian":
            return SpatialResponse.gaussian(ratio=self.ratio, fwhm=self.fwhm, mtf=self.mtf)
        assert self.psf is not None
        return SpatialResponse.from_psf(self.psf, ratio=self.ratio)


class TableResponse(Strict):
    """R from a table of relative responses over wavelength (CSV: nm, then one column per band)."""

    kind: Literal["table"]
    path: str
    bands: list[str] | None = Field(None, description="columns to use, in order; default: all")


class MatrixResponse(Strict):
    """R as it stands in a file (.csv, .npy, .npz or .mat): MSI bands x HSI bands."""

    kind: Literal["matrix"]
    path: str
    variable: str | None = None


class GaussianResponse(Strict):
    """R from Gaussian bands."""

    kind: Literal["gaussian"]
    centres: list[Positive] = Field(min_length=1, description="nm")
    fwhm: Positive | list[Positive] = Field(description="nm")

    @model_validator(mode="after")
    def _same_length(self) -> GaussianResponse:
        if isinstance(self.fwhm, list) and len(self.fwhm) != len(self.centres):
            raise ValueError(f"fwhm has {len(self.fwhm)} values for {len(self.centres)} centres")
        return self


SpectralConfig = Annotated[TableResponse | MatrixResponse | GaussianResponse, Field(discriminator="kind")]


class Response(Strict):
    """What the two simulated sensors do to the scene."""

    spatial: SpatialConfig
    spectral: SpectralConfig


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


class Estimation(Strict):
    """What the methods are told, and what is estimated from the observation."""

    spectral_response: Literal["given", "estimated"] = Field(
        "given", description="estimated: R from the two images with H known (semi-blind)"
    )
    noise: Literal["given", "estimated"] = "given"


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
        pattern=r"^(threads|synchronous|(tcp|tls)://.+:\d+)$",
        description="threads of the job, `synchronous`, or the address of a running Dask scheduler",
    )


class Run(NamedTuple):
    """One fused cube of an experiment."""

    scene: str
    response: str
    label: str
    seed: int


class Experiment(Strict):
    """One `config/<experiment>.yaml`."""

    experiment: Name = Field(description="name of the folder under `results/`")
    scenes: dict[Name, Scene] = Field(min_length=1)
    responses: dict[Name, Response] = Field(min_length=1)
    noise: Noise = Noise()
    estimation: Estimation = Estimation()
    tiling: Tiling = Tiling()
    compute: Compute = Compute()
    methods: dict[Name, MethodEntry] = Field(
        min_length=1,
        description="label: settings; a label that is not a method's name needs the key `method`",
    )

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
        for name, scene in self.scenes.items():
            unknown = sorted(set(scene.responses or []) - set(self.responses))
            if unknown:
                raise ValueError(
                    f"scenes.{name}.responses: {unknown} are not among the responses {list(self.responses)}"
                )
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
                for side in self.scenes[name].size or ():
                    self.responses[label].spatial.build().lr_size(side)
            except InputError as error:
                raise ValueError(f"scenes.{name} with responses.{label}: {error}") from None
        return self

    def seeds_of(self, label: str) -> list[int]:
        """Noise seeds under which a method runs: its own, those of methods that train, or all."""
        settings = self.methods[label]
        shared = self.noise.trained_seeds if settings.trains else None
        return settings.seeds or shared or self.noise.seeds

    def observed(self) -> Iterator[tuple[str, str]]:
        """Every scene with each response under which it is seen."""
        for name, scene in self.scenes.items():
            for response in scene.responses or self.responses:
                yield name, response

    def title(self, scene: str, response: str) -> str:
        """A scene's name, with the response where it is seen under several."""
        several = len(self.scenes[scene].responses or self.responses) > 1
        return f"{scene}/{response}" if several else scene

    def runs(self) -> Iterator[Run]:
        """Every fused cube: scenes with their responses x methods with their seeds."""
        for scene, response in self.observed():
            for label in self.methods:
                for seed in self.seeds_of(label):
                    yield Run(scene, response, label, seed)


def load_experiment(path: str | Path) -> Experiment:
    """Read and check an experiment file.

    Raises
    ------
    InputError
        One line naming the file, the key, what was found and what is accepted.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; configurations lie in config/") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    return parse_experiment(content, str(path))


def parse_experiment(content: Any, origin: str) -> Experiment:
    """Check an experiment's content; `origin` names it in the error."""
    return parse(Experiment, content, origin)


def json_schema() -> str:
    """The JSON schema of an experiment file, as stored in `config/schema.json`."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    schema = {"$schema": dialect} | Experiment.model_json_schema()
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
