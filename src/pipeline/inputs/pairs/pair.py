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

from pipeline.config.scenes import BandsOf, Pair, StoredSource
from pipeline.core.scene import Metadata, OpenScene
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.sensing.spatial import SpatialResponse, as_ratio
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.file_scene import open_file
from pipeline.inputs.pairs.grids import Nesting, Raster, nest, nested_ratio
from pipeline.inputs.pairs.simulated_msi import BandsScene

CELL = 128  # side in pixels of a part that is warped at once
MARGIN = 4  # pixels of the source read around a cell
RESAMPLING = "cubic"
START_FWHM = 1.0  # LR pixels, of the Gaussian PSF from which an estimate starts


@dataclass(frozen=True)
class ScenePart:
    """A window of an open scene as an image whose slices NumPy can read.

    Attributes
    ----------
    scene : OpenScene
        The scene.
    window : Window
        The part of it.
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


class WarpedScene(OpenScene):
    """A scene resampled onto another grid, window by window.

    Parameters
    ----------
    scene : OpenScene
        A scene with CRS and transform.
    onto : Metadata
        CRS and transform of the wanted grid.
    shape : (int, int)
        Height and width of the wanted grid.

    Attributes
    ----------
    name, band_names, assumed
        Name, band names and assumptions of the scene.
    shape : (int, int, int)
        Bands of the scene, height and width of the wanted grid.
    metadata : Metadata
        Bands of the scene, place of the wanted grid.
    """

    def __init__(self, scene: OpenScene, onto: Metadata, shape: tuple[int, int]) -> None:
        self._scene = scene
        self.name, self.band_names, self.assumed = scene.name, scene.band_names, scene.assumed
        self._crs = str(scene.metadata.crs)
        self._from = _geobox(scene.metadata, scene.shape[1:])
        self._onto = _geobox(onto, shape)
        self.shape = (scene.shape[0], *shape)
        self.metadata = replace(scene.metadata, crs=onto.crs, transform=onto.transform)

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return values of a window (band, y, x); NaN where there is no data or the scene does not reach.

        GDAL interpolates positions within each part that it warps. Cells are therefore always warped whole,
        so that values do not depend on the window.
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
        The two scenes.
    grids : (Raster, Raster)
        Their grids, in that order.
    ratio : Fraction
        LR pixel size over HR pixel size.
    resampled : bool
        Whether the MSI was warped onto the HSI's grid.
    """

    hsi: OpenScene
    msi: OpenScene
    grids: tuple[Raster, Raster]
    ratio: Fraction
    resampled: bool = False

    def nesting(self, shift: tuple[float, float] = (0.0, 0.0)) -> Nesting:
        """Return the common footprint, with the HSI moved by some rows and columns in LR pixels."""
        return nest(*self.grids, self.ratio, shift)

    def observed(
        self, nesting: Nesting, blur: SpatialResponse, response: NDArray[np.float64]
    ) -> ObservedScene:
        """Return both images on a common footprint, with noise levels of 1 that are still to be estimated.

        Parameters
        ----------
        nesting : Nesting
            The footprint, whose offset becomes part of H.
        blur : SpatialResponse
            The PSF without that offset.
        response : (c, C)
            R.
        """
        return ObservedScene(
            ScenePart(self.hsi, nesting.lr),
            ScenePart(self.msi, nesting.hr),
            response,
            blur.shifted(*nesting.shift),
            np.ones(self.hsi.shape[0]),
            np.ones(self.msi.shape[0]),
        )


def open_pair(pair: Pair, digests: dict[str, str | None]) -> OpenPair:
    """Open both images, which must still be the files whose SHA-256 were recorded.

    Parameters
    ----------
    pair : Pair
        The images of the configuration.
    digests : dict
        SHA-256 of `hsi` and `msi`.

    Raises
    ------
    InputError
        A file cannot be used or the two do not belong together.
    """
    return on_nested_grids(
        open_file(pair.hsi, digests["hsi"]), open_msi(pair.msi, digests["msi"]), pair.ratio
    )


def on_nested_grids(hsi: OpenScene, msi: OpenScene, ratio: int | float | str | None = None) -> OpenPair:
    """Return the images of a pair, the MSI resampled where its grid does not nest.

    Parameters
    ----------
    hsi, msi : OpenScene
        The two images.
    ratio : optional
        LR pixel size over HR pixel size as configured; default: from the georeferences or sizes.

    Raises
    ------
    InputError
        The two do not belong together.
    """
    grids = _grid_of(hsi), _grid_of(msi)
    nested = nested_ratio(*grids, ratio)
    if nested is not None:
        return OpenPair(hsi, msi, grids, nested)
    resampled = _resampled_ratio(grids, ratio)
    rows, columns = (side // resampled.denominator * resampled.denominator for side in hsi.shape[1:])
    shape = int(rows * resampled), int(columns * resampled)
    fine = Affine(*(hsi.metadata.transform or ())) @ Affine.scale(1 / float(resampled))
    onto = replace(hsi.metadata, transform=(fine.a, fine.b, fine.c, fine.d, fine.e, fine.f))
    warped = WarpedScene(msi, onto, shape)
    return OpenPair(hsi, warped, (grids[0], Raster(msi.name, shape, onto)), resampled, resampled=True)


def open_msi(msi: StoredSource | BandsOf, digest: str | None) -> OpenScene:
    """Open the MSI's file, or the bands that an MSI would have of a hyperspectral file.

    Parameters
    ----------
    msi : FileSource, DatasetSource or BandsOf
        The MSI of the configuration.
    digest : str or None
        SHA-256 that the file must have.
    """
    if isinstance(msi, BandsOf):
        return BandsScene(open_file(msi.source, digest), msi.spectral)
    return open_file(msi, digest)


def _grid_of(scene: OpenScene) -> Raster:
    return Raster(scene.name, (scene.shape[1], scene.shape[2]), scene.metadata)


def _resampled_ratio(grids: tuple[Raster, Raster], ratio: int | float | str | None) -> Fraction:
    """Return the configured ratio, or the integer nearest to the ratio of the pixel sizes on the ground."""
    if ratio is not None:
        return as_ratio(ratio)
    hsi, msi = grids
    fine = _geobox(msi.place, msi.shape).to_crs(str(hsi.place.crs)).resolution
    coarse = _geobox(hsi.place, hsi.shape).resolution
    sizes = float(np.sqrt(abs(coarse.x * coarse.y / (fine.x * fine.y))))
    if sizes < 0.75:
        raise InputError(
            f"{msi.name}: its pixels are {1 / sizes:.3g} times those of {hsi.name}, coarser than the HSI; "
            "exchange `hsi` and `msi`, or use a sharper image"
        )
    return Fraction(max(1, round(sizes)))


def _geobox(place: Metadata, shape: tuple[int, int]) -> GeoBox:
    assert place.crs is not None
    assert place.transform is not None
    return GeoBox(shape, Affine(*place.transform), place.crs)
