"""Scenes as an experiment describes them: sources and crops, pairs of images and how they are aligned.

Nothing is read here; see `pipeline.inputs`.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config.responses import Estimation, Positive, SpatialConfig, SpectralConfig
from pipeline.core.scene import crop_window
from pipeline.core.window import Window
from pipeline.settings.strict import Distinct, LocalPath, Strict

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"  # file systems allow 255 bytes, some of them for a suffix
Name = Annotated[str, Field(pattern=NAME)]
RESULT_FILES = (".json", ".zarr", ".csv", ".html", ".safetensors", ".journal", ".log", ".tsv")
"""Suffixes of the files that lie beside the folders of scenes, responses and methods."""


def check_name(place: str, name: Any) -> None:
    """Refuse a name that is no text, has other characters, or could be that of a file of the results.

    Parameters
    ----------
    place : str
        Key of the section that holds the name, for messages.
    name : object
        The name as YAML reads it.

    Raises
    ------
    ValueError
        The name cannot be used.
    """
    if not isinstance(name, str):
        kind = type(name).__name__
        raise ValueError(f"{place}: {name} is read as {kind}, but a name is text; put it in quotes")
    if not re.fullmatch(NAME, name):
        raise ValueError(
            f"{place}: {name[:120]!r} cannot be a name; use 100 characters at most, letters, digits, _ . "
            "and -, of which the first is a letter or a digit"
        )
    if name.lower().endswith(RESULT_FILES):
        raise ValueError(
            f"{place}: {name!r} could be the name of a file of the results; let it not end in "
            f"{', '.join(RESULT_FILES)}"
        )


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
    """A local file: MATLAB, NumPy, HDF5, NetCDF or Zarr, a raster that rasterio opens, or a sensor's product.

    `path` may also be the folder of a product, or tiles side by side: a folder of GeoTIFFs, or a pattern
    such as `tiles/*.tif`. Settings that are left out are read from the file, if its format holds them; see
    `docs/data/formats.md`.
    """

    kind: Literal["file"]
    path: LocalPath
    url: str | None = Field(None, description="fetched to `path` where that does not exist")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="refuse a file with another digest"
    )
    variable: str | None = Field(
        None, description="array in a .mat, .npz, HDF5, NetCDF or Zarr file; default: the only 3-D one"
    )
    axes: (
        Literal[
            "band,y,x",
            "y,x,band",
            "x,y,band",
            "band,x,y",
            "y,band,x",
            "band,yx",
            "band,xy",
            "yx,band",
            "xy,band",
            "y,x",
        ]
        | None
    ) = Field(
        None,
        description="order of the array's axes; `xy` is one axis of pixels in column-major (MATLAB) order, "
        "`yx` in row-major; `y,x` is a single band",
    )
    shape: tuple[int, int] | None = Field(
        None, description="height and width, for arrays with one pixel axis"
    )
    wavelengths: list[float] | str | None = Field(
        None,
        description="nm; a list of one value per band (`bad_bands` may be left out), a text of numbers with "
        "their unit (`0.49, 0.56 um`), a variable of the file, `first:last:count` for equal steps, or "
        "a known sensor (`hyperion`), which also gives widths and detectors",
    )
    fwhm: list[float] | float | str | None = Field(
        None, description="nm; a list, one number, or a variable of the file"
    )
    band_numbers: str | None = Field(
        None,
        description="variable with the 1-based numbers of the kept bands among the bands that `wavelengths` "
        "describes",
    )
    scale: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="values are divided by this number on ingest; default: as metadata or the product's name "
        "tell, else 1",
    )
    offset: float | None = Field(
        None,
        allow_inf_nan=False,
        description="number that is added to the file's values before they are divided by `scale` (-1000 for "
        "Sentinel-2 from baseline 04.00 on); default: as the product's name tells, else 0",
    )
    nodata: float | list[float] | None = Field(
        None,
        description="number in the file, or several, that mean no data, besides what the file declares; NaN "
        "always does",
    )
    crs: str | None = Field(
        None, description="CRS of a file that has coordinates or an affine but names none, such as EPSG:32633"
    )
    bands: Distinct[str] | None = Field(
        None,
        description="names of the bands to read, as `pipeline inspect` lists them (`B02`, `B8A`)",
    )
    drop_bands: list[str] = Field(
        default_factory=list,
        description="bands to leave out, by their names as `pipeline inspect` lists them, else by wavelength "
        "(`1614 nm`) or 0-based number",
    )
    bad_bands: list[int] = Field(default_factory=list, description="0-based band indices to leave out")


DATASETS = tuple(
    sorted(
        entry.name.removesuffix(".yaml")
        for entry in files("pipeline").joinpath("config/datasets").iterdir()
        if entry.name.endswith(".yaml")
    )
)
"""Names of the data sets, from the files of the catalogue."""

PUBLISHED = tuple(json.loads(files("pipeline").joinpath("config/published/results.json").read_text("utf-8")))
"""Names of the data sets with published results. Read as text: to import the module that reads them would
make every step depend on the numbers."""

if TYPE_CHECKING:
    DatasetName = str
    PublishedName = str
else:
    DatasetName = Literal[DATASETS]
    PublishedName = Literal[PUBLISHED]


class DatasetSource(Strict):
    """An image of the catalogue, which states how to read it; downloaded if missing."""

    kind: Literal["dataset"]
    name: DatasetName = Field(description="see `pipeline datasets list`")
    image: str | None = Field(None, description="which of its images; default: the first")
    folder: LocalPath | None = Field(
        None, description="holds a sub-folder for each data set; default: $PIPELINE_DATA, or `data`"
    )


StoredSource = Annotated[FileSource | DatasetSource, Field(discriminator="kind")]
Source = Annotated[SyntheticSource | FileSource | DatasetSource, Field(discriminator="kind")]


class Crop(Strict):
    """A rectangle of the source, centred or at an offset."""

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    at: Literal["centre"] | tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(
        "centre", description="`centre`, or the row and column of the upper left pixel"
    )

    def window(self, shape: tuple[int, int]) -> Window:
        """Return the rectangle in a scene of height and width `shape`."""
        return crop_window(shape, (self.height, self.width), None if self.at == "centre" else self.at)


class Scene(Strict):
    """A place: a reference from which the two inputs are simulated, or two images that were taken of it."""

    source: Source | None = Field(None, description="the reference, from which the inputs are simulated")
    pair: Pair | None = Field(None, description="two real images, in place of a source")
    wald: Name | None = Field(
        None,
        description="name of a scene with a pair, to be judged one Wald level down: both images degraded by "
        "the LR-HSI's response, with the LR-HSI as reference",
    )
    crop: Crop | None = Field(None, description="of a source in its pixels, of a pair in LR pixels")
    responses: Distinct[Name] | None = Field(
        None, description="names of the responses with which it is observed; default: all"
    )
    estimation: Estimation | None = Field(
        None,
        description="responses and noise levels of a pair; default: noise and a Gaussian PSF estimated, R "
        "calibrated",
    )
    methods: dict[Name, dict[str, Any]] = Field(
        default_factory=dict,
        description="label: settings of a method that differ for this scene; a budget may be given in part",
    )
    dataset: PublishedName | None = Field(
        None, description="data set with published results, which the report shows beside its own"
    )

    def window(self, shape: tuple[int, int]) -> Window:
        """Return the part that is used of a source of height and width `shape`: the crop, or all of it."""
        return Window(0, shape[0], 0, shape[1]) if self.crop is None else self.crop.window(shape)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the reference, if the configuration states them."""
        if self.source is None:
            return None
        known = self.crop or (self.source if isinstance(self.source, SyntheticSource) else None)
        return (known.height, known.width) if known else None

    @model_validator(mode="after")
    def _one_kind(self) -> Scene:
        given = [key for key in ("source", "pair", "wald") if getattr(self, key) is not None]
        if len(given) != 1:
            kinds = " and ".join(given) or "none of them"
            raise ValueError(f"a scene has one of source, pair and wald, found {kinds}")
        extra = {"pair": ("responses",), "wald": ("responses", "crop", "dataset")}.get(given[0], ())
        for key in extra:
            if getattr(self, key) is not None:
                raise ValueError(f"{key} does not belong to a scene with {given[0]}; leave it out")
        if self.estimation is not None and self.pair is None:
            raise ValueError("estimation of a scene's own is for a pair; use the experiment's `estimation`")
        if self.estimation is not None and self.estimation.noise == "given":
            raise ValueError("estimation.noise: a pair's noise is not known; write `noise: estimated`")
        return self


class BandsOf(Strict):
    """The image that an MSI of the given bands would take of a hyperspectral file."""

    kind: Literal["bands_of"]
    source: StoredSource
    spectral: SpectralConfig


class Alignment(Strict):
    """How the two images of a pair are brought together."""

    shift: Literal["estimated"] | tuple[float, float] = Field(
        "estimated",
        description="rows and columns in LR pixels by which the HSI is displaced on the MSI, in addition "
        "to the offset between their georeferences",
    )
    largest_shift: float = Field(
        3.0, gt=0, description="LR pixels; a pair that is estimated to be further apart is refused"
    )
    detectors: Literal["each", "together"] = Field(
        "each",
        description="each: bands of every detector of the HSI are shifted to match the best-placed detector",
    )


class Pair(Strict):
    """A real LR-HSI and HR-MSI of the same place."""

    hsi: StoredSource
    msi: Annotated[FileSource | DatasetSource | BandsOf, Field(discriminator="kind")]
    reference: StoredSource | None = Field(
        None, description="HR-HSI on the MSI's grid with the HSI's bands; no step that fuses opens it"
    )
    ratio: int | float | str | None = Field(
        None, description="LR pixel size over HR pixel size; default: from the georeferences, else the sizes"
    )
    spectral: SpectralConfig | None = Field(
        None,
        description="R; default: the MSI's own band centres and widths, else it is estimated",
    )
    spatial: SpatialConfig | None = Field(
        None,
        description="the HSI's PSF on the MSI's grid; its shift is added to a given `alignment.shift`, else "
        "it is estimated anew; default: a Gaussian of one LR pixel to start from",
    )
    alignment: Alignment = Alignment()

    @property
    def files(self) -> dict[str, StoredSource]:
        """The files by their role: `hsi`, `msi` and, where there is one, `reference`."""
        msi = self.msi.source if isinstance(self.msi, BandsOf) else self.msi
        images = {"hsi": self.hsi, "msi": msi}
        return images | ({"reference": self.reference} if self.reference else {})

    @property
    def configured_response(self) -> SpectralConfig | None:
        """Spectral response R from the configuration."""
        return self.msi.spectral if isinstance(self.msi, BandsOf) else self.spectral

    @model_validator(mode="after")
    def _one_spectral(self) -> Pair:
        if self.spectral is not None and isinstance(self.msi, BandsOf):
            raise ValueError("spectral: an MSI of kind bands_of has its own; leave this one out")
        return self
