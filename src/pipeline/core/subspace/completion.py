"""Estimates of the missing values of a scene, from what both images say.

A value that a pixel lacks in one band follows from its other bands, and a pixel of which one image says
nothing from the other image: an LR pixel from H(Y), an HR pixel from the interpolated R X and from the HR
pixels around it. Both are expectations under a factor model (`factor_model`) that is learned from the scene
once, so that an estimate depends only on the pixel and its surroundings, whatever window is read. Solvers
give such values no weight; the estimates serve statistics, starting points, and methods that need complete
images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from fractions import Fraction
from math import ceil, gcd, prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.gaps import Gaps, Known, MeasuredPixels, MissingShares
from pipeline.core.sensing.nodata import covering_pixels, fill_nearest, footprint, missing_pixels
from pipeline.core.sensing.observation import Image, ObservedScene, check_valued
from pipeline.core.sensing.resampling import KEYS, response_rows
from pipeline.core.subspace.factor_model import FactorModel, fit_factor_model
from pipeline.core.window import Window

Array = NDArray[np.float64]

FACTORS = 20  # at most: directions in which spectra vary above their noise
MOST_PIXELS = 8192  # from which a model is learned; the cost grows with them, the accuracy hardly
AROUND = (0.1, 0.6, 1.0, 0.6, 0.1)  # weights of the HR pixels around a pixel, along either axis
LEAST_KNOWN = 0.25  # weight of the known pixels in H(Y), below which H(Y) is missing


@dataclass(frozen=True)
class Completion:
    """Models of a scene, from which its missing values are estimated.

    Attributes
    ----------
    lr : FactorModel
        Model of an LR pixel: X and H(Y), C + c rows.
    hr : FactorModel
        Model of an HR pixel: Y, the mean of Y around it and the interpolated R X, 3 c rows.
    missing : MissingShares
        How much is missing.
    """

    lr: FactorModel
    hr: FactorModel
    missing: MissingShares

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, from which `of` makes the same models."""
        models = {"lr": self.lr, "hr": self.hr}
        state = {f"{name}_{key}": array for name, m in models.items() for key, array in m.state().items()}
        return state | {"missing": np.array(astuple(self.missing))}

    @classmethod
    def of(cls, state: Mapping[str, NDArray[Any]]) -> Completion:
        """Make the models from their arrays."""

        def part(name: str) -> FactorModel:
            return FactorModel.of({key.removeprefix(name): array for key, array in state.items()})

        return cls(part("lr_"), part("hr_"), MissingShares(*state["missing"].tolist()))


def completed(scene: ObservedScene, completion: Completion | None) -> ObservedScene:
    """Return a scene with its `gaps`, whose values are estimated when windows are read.

    Parameters
    ----------
    scene : ObservedScene
        The scene; no-data is NaN.
    completion : Completion or None
        Models of the scene; None for a scene without missing values, which is returned as it is.
    """
    if completion is None:
        return scene
    filled_hsi = FilledHsi(scene, completion.lr)
    filled_msi = FilledMsi(scene, filled_hsi, completion.hr)
    known_hsi, known_msi = Known(scene.lr_hsi), Known(scene.hr_msi)
    gaps = Gaps(known_hsi, known_msi, filled_hsi, filled_msi, completion.missing)
    return ObservedScene(
        MeasuredPixels(filled_hsi, known_hsi),
        MeasuredPixels(filled_msi, known_msi),
        scene.spectral_response,
        scene.spatial_response,
        scene.sigma_hsi,
        scene.sigma_msi,
        scene.origin,
        gaps,
    )


def learn_completion(scene: ObservedScene, most_blocks: int | None = None) -> Completion | None:
    """Learn the models of a scene from a sample of its pixels; None for a scene without missing values.

    Parameters
    ----------
    scene : ObservedScene
        The scene; no-data is NaN. It is read in blocks.
    most_blocks : int, optional
        Number of blocks that are read, for a first look at a large scene; default: all.

    Raises
    ------
    InputError
        A band holds no valid value.
    """
    blocks = list(scene.blocks())
    if most_blocks is not None:
        blocks = blocks[:: ceil(len(blocks) / most_blocks)]
    missing = missing_shares(scene, blocks, strict=most_blocks is None)
    if missing is None:
        return None
    stride = _stride(scene.lr_shape)
    lr = _sampled(blocks, stride, lambda block: lr_pixels(scene, scene.lr_window(block)), scene.lr_window)
    model = fit_factor_model(lr[: scene.bands], FACTORS).extended(lr[: scene.bands], lr[scene.bands :])
    stride = _stride(scene.hr_shape, apart_from=scene.spatial_response.ratio.numerator)
    filled = FilledHsi(scene, model)
    hr = _sampled(blocks, stride, lambda block: hr_pixels(scene, filled, block))
    return Completion(model, fit_factor_model(hr, FACTORS), missing)


def missing_shares(
    scene: ObservedScene, blocks: Sequence[Window], strict: bool = True
) -> MissingShares | None:
    """Count the missing values of a scene; None without any.

    Parameters
    ----------
    scene : ObservedScene
        The scene; no-data is NaN.
    blocks : sequence of Window
        HR windows of whole LR pixels that are looked at.
    strict : bool
        Whether a band without any value is refused.
    """
    valued = [np.zeros(image.shape[0], np.bool_) for image in (scene.lr_hsi, scene.hr_msi)]
    counts = np.zeros(5)
    for block in blocks:
        lr = scene.lr_window(block)
        hsi, msi = (
            ~np.isnan(np.asarray(image[:, *window.slices]))
            for image, window in ((scene.lr_hsi, lr), (scene.hr_msi, block))
        )
        valued[0] |= hsi.any(axis=(1, 2))
        valued[1] |= msi.any(axis=(1, 2))
        empty, hr_empty = ~hsi.any(axis=0), ~msi.any(axis=0)
        neither = hr_empty & footprint(empty, block.shape)
        # fractions of the block, weighted by its size
        shares = [part.mean() for part in (~hsi, ~msi, empty, hr_empty, neither)]
        counts += np.array(shares) * prod(block.shape)
    if strict:
        check_valued("lr_hsi", valued[0])
        check_valued("hr_msi", valued[1])
    fractions = counts / sum(prod(block.shape) for block in blocks)
    return MissingShares(*fractions.tolist()) if fractions.any() else None


def _stride(shape: tuple[int, int], apart_from: int = 1) -> int:
    """Return the spacing of the pixels of a sample.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    apart_from : int
        Number with which the spacing has no common factor: HR pixels at all places in their LR pixels.
    """
    stride = max(1, ceil(sqrt(shape[0] * shape[1] / MOST_PIXELS)))
    while gcd(stride, apart_from) > 1:
        stride += 1
    return stride


def _sampled(
    blocks: Sequence[Window],
    stride: int,
    read: Callable[[Window], Array],
    place: Callable[[Window], Window] = lambda block: block,
) -> Array:
    """Return every pixel of a regular grid that has a known value.

    Parameters
    ----------
    blocks : sequence of Window
        HR windows that cover the scene.
    stride : int
        Spacing of the grid in pixels.
    read : callable
        Returns the values ``(D, height, width)`` of a block.
    place : callable
        Returns the pixels that `read` returns for a block.
    """
    parts = []
    for block in blocks:
        window = place(block)
        rows, columns = (slice(-low % stride, None, stride) for low in (window.y0, window.x0))
        values = read(block)[:, rows, columns]
        parts.append(values[:, ~np.isnan(values).all(axis=0)])
    return np.concatenate(parts, axis=1)


def lr_pixels(scene: ObservedScene, window: Window) -> Array:
    """Return X and H(Y) ``(C + c, h, w)`` in a window of LR pixels; NaN where unknown.

    H(Y) is that of the known HR pixels, if they have `LEAST_KNOWN` of the response's weight.

    Parameters
    ----------
    scene : ObservedScene
        The scene; no-data is NaN.
    window : Window
        LR pixels.
    """
    operator, support = scene.spatial_response.window_operator(scene.hr_shape, window)
    fine = np.asarray(scene.hr_msi[:, *support.slices], np.float64)
    known = ~np.isnan(fine)
    weight = operator.forward(known.astype(np.float64)) / operator.forward(np.ones(fine.shape[1:]))
    degraded = operator.forward(np.where(known, fine, 0.0))
    degraded = np.where(weight < LEAST_KNOWN, np.nan, degraded / np.maximum(weight, LEAST_KNOWN))
    return np.concatenate([np.asarray(scene.lr_hsi[:, *window.slices], np.float64), degraded])


def hr_pixels(scene: ObservedScene, filled_hsi: FilledHsi, window: Window) -> Array:
    """Return Y, its mean around each pixel and the interpolated R X ``(3 c, height, width)`` in a window.

    Unknown values are NaN.

    Parameters
    ----------
    scene : ObservedScene
        The scene; no-data is NaN.
    filled_hsi : FilledHsi
        The LR-HSI, its missing values estimated.
    window : Window
        HR pixels.
    """
    bounds = (window.y0, window.y1), (window.x0, window.x1)
    sizes = list(zip(scene.hr_shape, scene.lr_shape, scene.spatial_response.shift, bounds, strict=True))
    (rows, top), (cols, left) = (
        response_rows(lr, Fraction(lr, hr), np.arange(*span), KEYS, -shift) for hr, lr, shift, span in sizes
    )
    below, across = (covering_pixels(hr, lr, shift)[slice(*span)] for hr, lr, shift, span in sizes)
    read = Window(top, top + rows.shape[1], left, left + cols.shape[1])
    read = read.union(Window(below[0], below[-1] + 1, across[0], across[-1] + 1))
    rows, cols = (
        np.pad(matrix, ((0, 0), (first - low, high - first - matrix.shape[1])))
        for matrix, first, low, high in ((rows, top, read.y0, read.y1), (cols, left, read.x0, read.x1))
    )
    coarse = np.asarray(filled_hsi[:, *read.slices], np.float64)
    unknown = missing_pixels(coarse)
    smooth = rows @ np.tensordot(scene.spectral_response, fill_nearest(coarse), axes=1) @ cols.T
    measured, around = _with_surroundings(scene.hr_msi, window)
    # a pixel that neither image shows is no-data, however close its neighbours are
    for image in (smooth, around):
        image[:, unknown[np.ix_(below - read.y0, across - read.x0)]] = np.nan
    return np.concatenate([measured, around, smooth])


def _with_surroundings(image: Image, window: Window) -> tuple[Array, Array]:
    """Return an image in a window, and the weighted mean of the known values around each pixel, without it.

    Parameters
    ----------
    image : (c, H, W)
        The image; no-data is NaN.
    window : Window
        Pixels of the image.
    """
    from scipy.ndimage import correlate  # here: slow to load, and most images miss nothing

    read = window.grown(len(AROUND) // 2, Window(0, image.shape[1], 0, image.shape[2]))
    block = np.asarray(image[:, *read.slices], np.float64)
    kernel = np.outer(AROUND, AROUND)
    kernel[len(AROUND) // 2, len(AROUND) // 2] = 0
    known = ~np.isnan(block)
    values, weights = (
        correlate(part, kernel[None], mode="constant") for part in (np.where(known, block, 0.0), 1.0 * known)
    )
    means = np.where(weights > 0, values / np.where(weights > 0, weights, 1.0), np.nan)
    inside = window.relative_to(read).slices
    return block[:, *inside], means[:, *inside]


@dataclass(frozen=True)
class _Filled:
    """An image of a scene, its missing values estimated when windows are read."""

    scene: ObservedScene

    @property
    def image(self) -> Image:
        """The image as it was measured."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes (band, y, x)."""
        return self.image.shape

    def estimated(self, window: Window) -> Array:
        """Return the image in a window, its missing values estimated."""
        raise NotImplementedError

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        bands, *place = key
        rows, columns = (slice(*part.indices(size)) for part, size in zip(place, self.shape[1:], strict=True))
        window = Window(rows.start, rows.stop, columns.start, columns.stop)
        values = np.asarray(self.image[:, *window.slices], np.float32)
        if np.isnan(values).any():
            values = self.estimated(window).astype(np.float32)
        return values[bands, :: rows.step, :: columns.step]


@dataclass(frozen=True)
class FilledHsi(_Filled):
    """The LR-HSI of a scene, its missing values estimated from the pixel's other bands and from H(Y).

    Attributes
    ----------
    model : FactorModel
        Model of an LR pixel.
    """

    model: FactorModel

    @property
    def image(self) -> Image:
        """The LR-HSI as it was measured."""
        return self.scene.lr_hsi

    def estimated(self, window: Window) -> Array:
        """Return the LR-HSI in a window of LR pixels, its missing values estimated."""
        pixels = lr_pixels(self.scene, window)
        return _filled(self.model, pixels, self.scene.bands)


@dataclass(frozen=True)
class FilledMsi(_Filled):
    """The HR-MSI of a scene, its missing values estimated from the pixel's other bands and from R X.

    Attributes
    ----------
    filled_hsi : FilledHsi
        The LR-HSI, its missing values estimated.
    model : FactorModel
        Model of an HR pixel.
    """

    filled_hsi: FilledHsi
    model: FactorModel

    @property
    def image(self) -> Image:
        """The HR-MSI as it was measured."""
        return self.scene.hr_msi

    def estimated(self, window: Window) -> Array:
        """Return the HR-MSI in a window of HR pixels, its missing values estimated."""
        pixels = hr_pixels(self.scene, self.filled_hsi, window)
        return _filled(self.model, pixels, self.shape[0])


def _filled(model: FactorModel, pixels: Array, rows: int) -> Array:
    """Return the first rows of pixels ``(D, height, width)``, where missing as the model expects them."""
    chosen = np.isnan(pixels[:rows]).any(axis=0)
    pixels[:, chosen] = model.filled(pixels[:, chosen])
    return pixels[:rows]
