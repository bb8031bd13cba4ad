"""A small real-looking pair of georeferenced files whose truth is known, and the steps that fuse it.

The landscape is seen through a known PSF and R. The LR-HSI becomes an ENVI file with wavelengths, cut by some
pixels at every border so that the MSI reaches further; the HR-MSI becomes a GeoTIFF in units of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from pipeline.config.experiment import MEASURED, Tiling
from pipeline.config.exports import Products
from pipeline.config.responses import Estimation
from pipeline.config.scenes import Scene as SceneConfig
from pipeline.config.scenes import SyntheticSource
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.core.window import Window
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods.bicubic.settings import BicubicSettings
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.runs.paths import SceneFolder, experiment_at
from pipeline.steps import align, download, estimate, evaluate, export, fuse, mosaic, plan, train
from pipeline.store.files import read_json
from pipeline.store.store import read_store

Cube = NDArray[Any]
CENTRES, WIDTHS = (480.0, 560.0, 850.0, 1650.0), (60.0, 60.0, 90.0, 200.0)
R = {"kind": "gaussian", "centres": list(CENTRES), "fwhm": list(WIDTHS)}
METHODS = {"bicubic": BicubicSettings(), "gaussian_subspace": GaussianSubspaceSettings()}
ESTIMATED = {"spectral_response": "calibrated", "spatial_response": "gaussian", "noise": "estimated"}
PIXEL = 10.0  # metres, of the MSI
NODATA = -9999.0


def write_tif(path: Path, data: Cube, transform: Affine, crs: str | None = "EPSG:32633") -> Path:
    """A GeoTIFF of float32 whose no-data is a number."""
    stored = np.where(np.isnan(data), NODATA, data).astype(np.float32)
    count, height, width = data.shape
    profile = {"count": count, "height": height, "width": width, "dtype": "float32", "nodata": NODATA}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **profile) as file:
        file.write(stored)
    return path


def write_envi(
    path: Path,
    data: Cube,
    wavelength: Cube,
    fwhm: Cube,
    transform: Affine,
    crs: str | None = "EPSG:32633",
) -> Path:
    """An ENVI file of float32 with wavelengths and widths in its header."""
    stored = np.where(np.isnan(data), NODATA, data).astype(np.float32)
    count, height, width = data.shape
    profile = {"count": count, "height": height, "width": width, "dtype": "float32", "nodata": NODATA}
    with rasterio.open(path, "w", driver="ENVI", crs=crs, transform=transform, **profile) as file:
        file.write(stored)
    lists = {"wavelength": wavelength, "fwhm": fwhm}
    with path.with_suffix(".hdr").open("a") as header:
        header.write("wavelength units = Nanometers\n")
        for name, values in lists.items():
            header.write(f"{name} = {{{', '.join(f'{value:.6f}' for value in values)}}}\n")
    return path


@dataclass(frozen=True)
class Truth:
    """A landscape and the two images that are taken of it.

    Attributes
    ----------
    lr : (int, int)
        Rows and columns of the HSI's file.
    border : int
        LR pixels by which the MSI reaches further on each side.
    gain, offset : tuple of float
        The MSI's file holds ``gain * Y + offset``.
    """

    lr: tuple[int, int] = (24, 20)
    ratio: str = "4"
    fwhm: float = 1.2
    shift: tuple[float, float] = (0.3, -0.45)
    snr_db: float = 40.0
    bands: int = 24
    border: int = 2
    seed: int = 0
    gain: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    offset: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)

    @cached_property
    def scene(self) -> Scene:
        """The truth on the MSI's grid."""
        height, width = (int((side + 2 * self.border) * Fraction(self.ratio)) for side in self.lr)
        source = SyntheticSource(kind="synthetic", height=height, width=width, bands=self.bands, seed=4)
        return synthetic_scene(source)

    @cached_property
    def response(self) -> SpatialResponse:
        """H, the shift beyond the georeferences included."""
        return SpatialResponse.gaussian(ratio=self.ratio, fwhm=self.fwhm).shifted(*self.shift)

    @cached_property
    def spectral_response(self) -> Cube:
        """R."""
        return gaussian_response(np.array(CENTRES), np.array(WIDTHS), self.scene.wavelength, self.scene.fwhm)

    @cached_property
    def seen(self) -> Observation:
        """Both images over the whole landscape, the MSI in the HSI's units."""
        return simulate(
            self.scene.data,
            spectral_response=self.spectral_response,
            spatial_response=self.response,
            snr_db=self.snr_db,
            seed=self.seed,
        )

    @property
    def hsi(self) -> Cube:
        """The values of the HSI's file."""
        return self.seen.lr_hsi[:, self.border : -self.border, self.border : -self.border]

    @property
    def msi(self) -> Cube:
        """The values of the MSI's file."""
        gain, offset = (np.array(values)[:, None, None] for values in (self.gain, self.offset))
        return gain * self.seen.hr_msi + offset

    @property
    def place(self) -> Affine:
        """Of the MSI's file."""
        return Affine(*self.scene.transform)

    @property
    def lr_place(self) -> Affine:
        """Of the HSI's file."""
        ratio = float(Fraction(self.ratio))
        return self.place @ Affine.scale(ratio) @ Affine.translation(self.border, self.border)

    def write(self, folder: Path, hsi: Cube | None = None, msi: Cube | None = None) -> dict[str, Any]:
        """Both files, of these values or of others, and what a configuration says of them."""
        hsi, msi = self.hsi if hsi is None else hsi, self.msi if msi is None else msi
        write_envi(folder / "hsi.bsq", hsi, self.scene.wavelength, self.scene.fwhm, self.lr_place)
        write_tif(folder / "msi.tif", msi, self.place)
        return pair_of(folder)


def pair_of(folder: Path, **changes: Any) -> dict[str, Any]:
    """A configuration's `pair` of the two files in a folder."""
    files = {"hsi": "hsi.bsq", "msi": "msi.tif"}
    named = {role: {"kind": "file", "path": str(folder / name)} for role, name in files.items()}
    return named | {"spectral": R} | changes


@dataclass(frozen=True)
class Steps:
    """The steps of one scene with a pair, in the folders that the workflow gives them."""

    folder: Path
    pair: dict[str, Any]
    told: dict[str, Any] = field(default_factory=lambda: dict(ESTIMATED))
    crop: dict[str, Any] | None = None

    @property
    def config(self) -> SceneConfig:
        """The scene's entry in a configuration."""
        return SceneConfig.model_validate({"pair": self.pair, "crop": self.crop})

    @property
    def scene(self) -> SceneFolder:
        """The scene's folder."""
        return experiment_at(self.folder).scene("town")

    @property
    def source(self) -> Path:
        """What `download` records."""
        return self.scene.source

    def path(self, name: str) -> Path:
        """A file beside the observation."""
        return self.scene.images(MEASURED, 0).path / name

    def align(self) -> dict[str, Any]:
        """Run `download` and `align`; what was found."""
        self.source.parent.mkdir(parents=True, exist_ok=True)
        self.path("").mkdir(parents=True, exist_ok=True)
        download.run(settings=self.config, out=self.source)
        align.run(source=self.source, settings=self.config, out=self.path("observation.json"))
        found: dict[str, Any] = read_store(self.path("observation.json")).attrs["alignment"]
        return found

    def estimate(self) -> dict[str, Any]:
        """Run `estimate`; what was found of the responses."""
        settings = Estimation.model_validate(self.told)
        estimate.run(
            observation=self.path("observation.json"), settings=settings, out=self.path("estimate.json")
        )
        found: dict[str, Any] = read_store(self.path("estimate.json")).attrs.get("responses", {})
        return found

    @property
    def inputs(self) -> dict[str, Path]:
        """The ledgers that all later steps read."""
        return {name: self.path(f"{name}.json") for name in ("observation", "estimate")}

    def fuse(self, label: str) -> Cube:
        """Run the steps from `train` to `mosaic` in one batch; the fused cube."""
        settings, run = METHODS[label], self.path(label)
        fitted, planned = run / "fitted.safetensors", run / "plan.json"
        train.run(**self.inputs, settings=settings, seed=0, out=fitted)
        chosen = plan.Settings(tiling=Tiling(), method=settings)
        plan.run(
            observation=self.path("observation.json"), size=None, settings=chosen, batches=1, out=planned
        )
        common: dict[str, Any] = self.inputs | {
            "fitted": fitted, "plan": planned, "settings": settings, "seed": 0,
        }  # fmt: skip
        manifest = run / "tiles/1-of-1.json"
        fuse.run(**common, out=manifest)
        mosaic.run([manifest], **common, out=run / "fused.json")
        return self.cube(label)

    def cube(self, label: str) -> Cube:
        """A fused cube, NaN where it has no data."""
        return np.asarray(read_store(self.path(f"{label}/fused.json"))["fused"])

    def evaluate(self, label: str, reference: Path | None = None) -> dict[str, Any]:
        """Run `evaluate`; the content of its file."""
        out = self.path(f"{label}/metrics.json")
        evaluate.run(
            **self.inputs,
            fused=self.path(f"{label}/fused.json"),
            settings=METHODS[label],
            out=out,
            reference=reference,
            workers=1,
        )
        return read_json(out)

    def export(self, label: str) -> Path:
        """Run `export`; the folder of products."""
        out = self.path(f"{label}/product.json")
        settings = Products(formats=["cog", "envi"])
        export.run(**self.inputs, fused=self.path(f"{label}/fused.json"), settings=settings, out=out)
        return out.with_suffix("")

    def window(self) -> Window:
        """The common footprint on the MSI's file."""
        return Window(*read_store(self.path("observation.json")).attrs["alignment"]["hr_window"])


def settings_text(pair: dict[str, Any], crop: dict[str, Any] | None = None) -> str:
    """A scene's settings as the command line takes them."""
    return json.dumps({"pair": pair} | ({"crop": crop} if crop else {}))
