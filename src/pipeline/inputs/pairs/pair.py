"""A real pair as two open scenes on nested grids: the MSI resampled where its grid does not nest.

Spectra are never resampled: where the grids do not nest, it is the MSI that is warped onto the HSI's grid
(GDAL's warper through odc-geo), window by window. Sub-pixel shifts are left to `core.estimation.shift`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.warp import rio_reproject

from pipeline.config.scenes import BandsOf, FileSource, Pair, StoredSource
from pipeline.core.scene import Metadata, OpenScene
from pipeline.core.sensing.spatial import as_ratio
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.datasets.catalogue import located, path_of
from pipeline.inputs.file_scene import FileScene
from pipeline.inputs.pairs.grids import Nesting, Raster, nest, nested_ratio
from pipeline.inputs.pairs.simulated_msi import BandsImage

CELL = 128  # side in pixels of what is warped at once
MARGIN = 4  # pixels of the source around what a warped cell needs
RESAMPLING = "cubic"


@dataclass(frozen=True)
class ScenePart:
    """A window of an open scene as an image whose slices NumPy can read.

    Attributes
    ----------
    shape : (int, int, int)
    """

    scene: OpenScene
    window: Window

    @property
    def shape(self) -> tuple[int, int, int]:
        """(band, y, x)."""
        return (self.scene.shape[0], *self.window.shape)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        bands, y, x = key
        y0, y1, _ = y.indices(self.window.shape[0])
        x0, x1, _ = x.indices(self.window.shape[1])
        part = Window(self.window.y0 + y0, self.window.y0 + y1, self.window.x0 + x0, self.window.x0 + x1)
        return self.scene.read(part)[bands]


class WarpedScene:
    """A scene resampled onto another grid, window by window.

    Parameters
    ----------
    scene : OpenScene
        With CRS and transform.
    onto : Metadata
        CRS and transform of the wanted grid.
    shape : (int, int)
        Height and width of it.
    """

    def __init__(self, scene: OpenScene, onto: Metadata, shape: tuple[int, int]) -> None:
        self._scene = scene
        self._crs = str(scene.metadata.crs)
        self._from = _geobox(scene.metadata, scene.shape[1:])
        self._onto = _geobox(onto, shape)
        self.shape = (scene.shape[0], *shape)
        self.metadata = replace(scene.metadata, crs=onto.crs, transform=onto.transform)

    def read(self, window: Window) -> NDArray[np.float32]:
        """Values of a window (band, y, x); no-data is NaN, and where the scene does not reach.

        GDAL interpolates positions within what it warps at once, so cells are always warped whole: values do
        not depend on the window.
        """
        height, width = self.shape[1:]
        cells = window.aligned(CELL, Window(0, height, 0, width))
        warped = np.empty((self.shape[0], *cells.shape), np.float32)
        for cell in cells.split(CELL):
            warped[:, *cell.relative_to(cells).slices] = self._warped(cell)
        return warped[:, *window.relative_to(cells).slices]

    def _warped(self, cell: Window) -> NDArray[np.float32]:
        target = self._onto[cell.slices]
        needed = self._from.enclosing(target.extent.to_crs(self._crs)).pad(MARGIN)
        corner = ~self._from.affine @ (needed.affine @ (0, 0))
        height, width = self._scene.shape[1:]
        x0, y0 = (round(value) for value in corner)
        part = Window(
            max(0, y0), min(height, y0 + needed.shape[0]), max(0, x0), min(width, x0 + needed.shape[1])
        )
        warped = np.full((self.shape[0], *cell.shape), np.nan, np.float32)
        if part.shape[0] <= 0 or part.shape[1] <= 0:
            return warped
        source = self._from[part.slices]
        for values, result in zip(self._scene.read(part), warped, strict=True):
            rio_reproject(values, result, source, target, RESAMPLING, src_nodata=np.nan, dst_nodata=np.nan)
        return warped


@dataclass(frozen=True)
class OpenPair:
    """Two open scenes whose grids nest.

    Attributes
    ----------
    hsi, msi : OpenScene
    grids : (Raster, Raster)
        Of the two, in that order.
    ratio : Fraction
    resampled : bool
        Whether the MSI was warped onto the HSI's grid.
    msi_names : list of str or None
        Names of the MSI's bands, where its file has them.
    """

    hsi: OpenScene
    msi: OpenScene
    grids: tuple[Raster, Raster]
    ratio: Fraction
    resampled: bool = False
    msi_names: list[str] | None = None

    def nesting(self, shift: tuple[float, float] = (0.0, 0.0)) -> Nesting:
        """The common footprint, with the HSI moved by some LR pixels."""
        return nest(*self.grids, self.ratio, shift)


def open_pair(pair: Pair, digests: dict[str, str | None]) -> OpenPair:
    """Open both images, which must still be the files whose SHA-256 were recorded.

    Parameters
    ----------
    pair : Pair
    digests : dict
        SHA-256 of `hsi` and `msi`.

    Raises
    ------
    InputError
        A file cannot be used or the two do not belong together.
    """
    hsi = FileScene(recorded(pair.hsi, digests["hsi"]))
    return on_nested_grids(pair, hsi, open_msi(pair.msi, digests["msi"]))


def on_nested_grids(pair: Pair, hsi: FileScene, msi: OpenScene) -> OpenPair:
    """The images of a pair, the MSI resampled where its grid does not nest.

    Raises
    ------
    InputError
        The two do not belong together.
    """
    names = path_of(pair.hsi), path_of(pair.files["msi"])
    grids = (
        Raster(names[0], (hsi.shape[1], hsi.shape[2]), hsi.metadata),
        Raster(names[1], (msi.shape[1], msi.shape[2]), msi.metadata),
    )
    ratio = nested_ratio(*grids, pair.ratio)
    if ratio is not None:
        return OpenPair(hsi, msi, grids, ratio, msi_names=names_of(msi))
    ratio = _resampled_ratio(grids, pair.ratio)
    rows, columns = (side // ratio.denominator * ratio.denominator for side in hsi.shape[1:])
    shape = int(rows * ratio), int(columns * ratio)
    fine = Affine(*(hsi.metadata.transform or ())) @ Affine.scale(1 / float(ratio))
    onto = replace(hsi.metadata, transform=(fine.a, fine.b, fine.c, fine.d, fine.e, fine.f))
    warped = WarpedScene(msi, onto, shape)
    placed = grids[0], Raster(names[1], shape, onto)
    return OpenPair(hsi, warped, placed, ratio, resampled=True, msi_names=names_of(msi))


def open_msi(msi: StoredSource | BandsOf, digest: str | None) -> OpenScene:
    """The MSI's file, or the bands that it would have of a hyperspectral one."""
    if isinstance(msi, BandsOf):
        return BandsImage(FileScene(recorded(msi.source, digest)), msi.spectral)
    return FileScene(recorded(msi, digest))


def names_of(scene: OpenScene) -> list[str] | None:
    """Names of a file's bands, where it has them."""
    return scene.report["names"] if isinstance(scene, FileScene) else None


def recorded(source: StoredSource, digest: str | None) -> FileSource:
    """The source of a file that must have the digest that was recorded."""
    return located(source).model_copy(update={"sha256": digest})


def _resampled_ratio(grids: tuple[Raster, Raster], ratio: int | float | str | None) -> Fraction:
    """The configured ratio, or the nearest whole one to that of the pixel sizes on the ground."""
    if ratio is not None:
        return as_ratio(ratio)
    hsi, msi = grids
    fine = _geobox(msi.place, msi.shape).to_crs(str(hsi.place.crs)).resolution
    coarse = _geobox(hsi.place, hsi.shape).resolution
    found = float(np.sqrt(abs(coarse.x * coarse.y / (fine.x * fine.y))))
    if found < 0.75:
        raise InputError(
            f"{msi.name}: its pixels are {1 / found:.3g} times those of {hsi.name}, coarser than the HSI; "
            "exchange `hsi` and `msi`, or use a sharper image"
        )
    return Fraction(max(1, round(found)))


def _geobox(place: Metadata, shape: tuple[int, int]) -> GeoBox:
    assert place.crs is not None
    assert place.transform is not None
    return GeoBox(shape, Affine(*place.transform), place.crs)
