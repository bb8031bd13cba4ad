"""Settings of the two sensors: spatial and spectral responses, and noise.

They also state which of these the methods are given and which are estimated from the images. Files of
responses are read in `inputs.responses`.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.settings.strict import Distinct, LocalPath, Strict

Positive = Annotated[float, Field(gt=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Estimation(Strict):
    """Which responses and noise levels are given to the methods, and which are estimated from the images."""

    spectral_response: Literal["given", "calibrated", "estimated"] = Field(
        "given",
        description="calibrated: R as given, times a gain of each MSI band; estimated: R from the images, "
        "which is also done for `calibrated` where no R is given",
    )
    spatial_response: Literal["given", "gaussian", "separable", "free"] = Field(
        "given", description="gaussian: width and shift of a Gaussian PSF from the two images; else a kernel"
    )
    support: Literal["all", "given"] = Field(
        "all", description="HSI bands that an estimated R may use: all, or the bands that the given R uses"
    )
    offset: bool = Field(False, description="estimate an offset of each MSI band, for images in other units")
    noise: Literal["given", "estimated"] = "given"


REMEDIES = {
    "order": "correct the order of `spectral.bands` or of the file's bands",
    "gain": "set `estimation.spectral_response: calibrated` to estimate it, or correct `scale`",
    "offset": "set `estimation.offset: true` with `spectral_response: calibrated` to estimate it",
    "gain and offset": "set `estimation.spectral_response: calibrated` and `offset: true` to estimate both",
    "shift": "set `alignment.shift: estimated` or `estimation.spatial_response: gaussian`",
    "rotation": "register the images first",
    "psf": "set `estimation.spatial_response: gaussian` to estimate it",
    "change": "mark such pixels as no-data, or choose images of one date",
    "border": "set `border: ignore` in `spatial`, or in `told` if there is one",
    "zero border": "set `border: zero` in `spatial`, or in `told` if there is one",
    "stripes": "leave these bands out with `bad_bands`, or destripe the HSI first",
}
"""Settings that mend what the comparison of the two images finds."""


class SpatialConfig(Strict):
    """The spatial response H."""

    kind: Literal["bicubic", "gaussian", "box", "psf"]
    ratio: int | float | str = Field(description="LR pixel size over HR pixel size: 4, 8.33 or '25/3'")
    fwhm: float | None = Field(None, gt=0, description="Gaussian: full width at half maximum in LR pixels")
    mtf: float | None = Field(None, gt=0, lt=1, description="Gaussian: MTF at the LR Nyquist frequency")
    psf: list[list[float]] | None = Field(None, description="psf: samples at HR pixel spacing")
    averaged: bool = Field(
        False,
        description="psf: whether the mean over the LR pixel follows, as where the PSF is that of the optics",
    )
    shift: tuple[Finite, Finite] | None = Field(
        None,
        description="rows and columns, in LR pixels, by which LR pixels lie further down and right on the "
        "HR image than the two grids say; default: none",
    )
    border: Literal["mirror", "zero", "ignore"] = Field(
        "mirror",
        description="values beyond the scene: `mirror`: its mirror image; `zero`: zeros; `ignore`: unknown, "
        "LR pixels that see them count as not measured",
    )

    @model_validator(mode="after")
    def _fits_kind(self) -> SpatialConfig:
        given = {name for name in ("fwhm", "mtf", "psf") if getattr(self, name) is not None}
        allowed = {"gaussian": {"fwhm", "mtf"}, "psf": {"psf"}}.get(self.kind, set())
        if given - allowed:
            raise ValueError(f"{', '.join(sorted(given - allowed))} does not belong to kind {self.kind}")
        if allowed and len(given) != 1:
            raise ValueError(f"kind {self.kind} needs exactly one of {', '.join(sorted(allowed))}")
        if self.averaged and self.kind != "psf":
            raise ValueError(f"averaged does not belong to kind {self.kind}")
        self.build()
        return self

    def build(self) -> SpatialResponse:
        """Return the response object of `pipeline.core`."""
        return self._centred().shifted(*(self.shift or (0.0, 0.0))).bordered(self.border)

    def _centred(self) -> SpatialResponse:
        if self.kind == "bicubic":
            return SpatialResponse.bicubic(ratio=self.ratio)
        if self.kind == "box":
            return SpatialResponse.box(ratio=self.ratio)
        if self.kind == "gaussian":
            return SpatialResponse.gaussian(ratio=self.ratio, fwhm=self.fwhm, mtf=self.mtf)
        assert self.psf is not None
        return SpatialResponse.from_psf(self.psf, ratio=self.ratio, averaged=self.averaged)


SENSORS = tuple(
    json.loads(files("pipeline").joinpath("core/sensing/sensors/multispectral.json").read_text("utf-8"))
)
"""Names of the multispectral sensors in the table."""

if TYPE_CHECKING:
    SensorName = str
else:
    SensorName = Literal[SENSORS]


class TableResponse(Strict):
    """R from a table of relative responses over wavelength (CSV: nm, then one column per band)."""

    kind: Literal["table"]
    path: LocalPath
    bands: Distinct[str] | None = Field(None, description="columns to use, in order; default: all")


class MatrixResponse(Strict):
    """R as it stands in a file (.csv, .npy, .npz or .mat): MSI bands x HSI bands."""

    kind: Literal["matrix"]
    path: LocalPath
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


class SensorResponse(Strict):
    """R of a known multispectral sensor; `pipeline.core.sensing.sensors` names its bands."""

    kind: Literal["sensor"]
    sensor: SensorName
    bands: Distinct[str] | None = Field(None, description="bands to use, in order; default: all")
    tables: Literal["builtin", "py6s"] = Field(
        "builtin",
        description="`builtin`: responses that come with the package, else flat tops of published centres "
        "and widths; `py6s`: response tables of the package Py6S, where it is installed",
    )


SpectralConfig = Annotated[
    TableResponse | MatrixResponse | GaussianResponse | SensorResponse, Field(discriminator="kind")
]


class Response(Strict):
    """Responses of the two simulated sensors."""

    spatial: SpatialConfig
    spectral: SpectralConfig
    told: SpatialConfig | None = Field(
        None,
        description="H that is given to the methods and used for residuals; default: the true H",
    )
    snr_db: float | None = Field(
        None, gt=-20, allow_inf_nan=False, description="SNR under this response; default: noise.snr_db"
    )

    @model_validator(mode="after")
    def _one_ratio(self) -> Response:
        if self.told and self.told.build().ratio != self.spatial.build().ratio:
            raise ValueError(
                f"told.ratio: {self.told.ratio} differs from spatial.ratio, {self.spatial.ratio}"
            )
        return self
