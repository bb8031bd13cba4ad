"""Examples for supervised training: images with their reference, cut into crops.

Crops come from a few windows in memory, which are exchanged as the training goes on: neither memory nor time
grows with the scenes. The windows and crops of a step depend on the seed and the step's number alone, so that
a resumed training continues with those of an unbroken one.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pipeline.core.sensing.nodata import fill_nearest, filled_observation, footprint, missing_pixels
from pipeline.core.sensing.noise import philox_key
from pipeline.core.sensing.observation import Image, Observation, ObservedScene
from pipeline.core.sensing.spatial import SpatialResponse, upsample
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods.optimisation import seeded_generator
from pipeline.methods.pool import SIDE, squares

POOL_BYTES = 2**28  # windows in memory
EXCHANGE_EVERY = 20  # steps after which a window in memory gives way to the next
SYMMETRIC = 0.05  # of a PSF's peak, up to which its values and those of its mirror image may differ


@dataclass(frozen=True)
class Example:
    """A scene with its reference.

    Attributes
    ----------
    scene : ObservedScene
        The two images with their responses.
    reference : (C, H, W)
        The truth on the HR grid; no-data is NaN.
    window : Window
        The part of the scene whose reference may be read.
    scale : float
        Number by which all three are divided.
    """

    scene: ObservedScene
    reference: Image
    window: Window
    scale: float


class Sample(NamedTuple):
    """Images for a training step in [0, 1], or of a window in memory without the first axis.

    Attributes
    ----------
    lr_hsi : (n, C, h, w) tensor
        The LR-HSI.
    upsampled : (n, C, H, W) tensor
        Its bicubic interpolation.
    hr_msi : (n, c, H, W) tensor
        The HR-MSI.
    target : (n, C, H, W) tensor
        The reference.
    valid : (n, 1, H, W) tensor
        1 where all have data, else 0.
    """

    lr_hsi: Tensor
    upsampled: Tensor
    hr_msi: Tensor
    target: Tensor
    valid: Tensor


def absolute_error(estimate: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return the mean absolute difference of images over pixels with data and all bands.

    Parameters
    ----------
    estimate, target : (n, bands, H, W) tensor
        Images.
    valid : (n, 1, H, W) tensor
        1 where there are data, else 0.
    """
    error = (estimate.float() - target.float()).abs() * valid
    return error.sum() / (valid.sum().clamp(min=1) * target.shape[1])


def conditions(part: Observation, scale: float) -> tuple[Tensor, Tensor]:
    """Return the interpolated LR-HSI ``(C, H, W)`` and the HR-MSI ``(c, H, W)``, without no-data.

    Parameters
    ----------
    part : Observation
        Part of a scene.
    scale : float
        Number by which both are divided.
    """
    filled = filled_observation(part)
    shift = part.spatial_response.shift
    bands = (upsample(band, part.hr_shape, shift) for band in filled.lr_hsi)
    upsampled = np.stack([np.asarray(band, np.float32) for band in bands])
    return _tensor(upsampled, scale), _tensor(filled.hr_msi, scale)


def _tensor(image: NDArray[np.float32], scale: float) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image / np.float32(scale), np.float32))


class Crops:
    """Draws of crops of examples, mirrored and transposed at random as far as H has these symmetries.

    Parameters
    ----------
    examples : sequence of Example
        Scenes with the same bands and the same ratio.
    crop : int
        Side of a crop in HR pixels; less where the ratio or the scenes want it.
    batch : int
        Number of crops in a draw.
    seed : int
        Seed of all draws.
    method : str
        Name of the method, for the draws and errors.
    """

    def __init__(self, examples: Sequence[Example], crop: int, batch: int, seed: int, method: str) -> None:
        check_alike(examples, method)
        self.ratio = examples[0].scene.spatial_response.ratio
        unit = self.ratio.numerator
        side = max(1, SIDE // unit) * unit
        inner = [_aligned(example.window, unit) for example in examples]
        self.windows = [
            (example, square)
            for example, window in zip(examples, inner, strict=True)
            for square in squares(window, side)
        ]
        shapes = [window.shape for _, window in self.windows]
        thinnest, pixels = min(map(min, shapes)), max(height * width for height, width in shapes)
        self.crop = min(max(1, crop // unit), thinnest // unit) * unit
        self.batch, self.seed, self.method = batch, seed, method
        self.most = max(1, POOL_BYTES // (8 * examples[0].scene.bands * pixels))
        self._memory: OrderedDict[int, Sample] = OrderedDict()
        each = [symmetries(example.scene.spatial_response) for example in examples]
        self.symmetries = [all(kept) for kept in zip(*each, strict=True)]

    def draw(self, step: int) -> Sample:
        """Draw the crops of a training step.

        Parameters
        ----------
        step : int
            Number of the step, counted from 0.

        Raises
        ------
        InputError
            No pixel of the windows in memory has data.
        """
        generator = seeded_generator(self.seed, f"{self.method}/crops/{step}")
        pool = [sample for sample in self._pool(step) if sample.valid.any()]
        if not pool:
            raise InputError(f"{self.method}: the training data hold no pixel with data in all images")
        crops = [self._crop(pool, generator) for _ in range(self.batch)]
        return Sample(*(torch.stack(images) for images in zip(*crops, strict=True)))

    def fingerprint(self, part: dict[str, Any]) -> str:
        """Return the digest of the settings, the seed and the first windows: what a checkpoint belongs to.

        Parameters
        ----------
        part : dict
            JSON-ready settings that determine the weights.
        """
        digest = sha256(json.dumps([part, self.seed, len(self.windows)]).encode())
        for image in self._pool(0)[0]:
            digest.update(image.numpy().tobytes())
        return digest.hexdigest()

    def _pool(self, step: int) -> list[Sample]:
        """Return the windows in memory at a step, reading those that are new."""
        count = len(self.windows)
        first = 0 if count <= self.most else step // EXCHANGE_EVERY
        numbers = range(first, first + min(count, self.most))
        for number in numbers:
            if number not in self._memory:
                chosen = self._order(number // count)[number % count]
                self._memory[number] = read_sample(*self.windows[chosen])
        for number in [number for number in self._memory if number not in numbers]:
            del self._memory[number]
        return [self._memory[number] for number in numbers]

    def _order(self, epoch: int) -> NDArray[np.intp]:
        """Return the order in which an epoch visits the windows."""
        key = philox_key(self.seed, f"{self.method}/windows/{epoch}")
        return np.random.Generator(np.random.Philox(key=key)).permutation(len(self.windows))

    def _crop(self, pool: list[Sample], generator: Generator) -> Sample:
        """Cut a crop out of a random window."""

        def drawn(count: int) -> int:
            return int(torch.randint(count, (), generator=generator))

        sample = pool[drawn(len(pool))]
        unit, lr_unit = self.ratio.numerator, self.ratio.denominator
        height, width = sample.target.shape[-2:]
        y, x = (drawn((size - self.crop) // unit + 1) for size in (height, width))
        lr_side = self.crop // unit * lr_unit
        lr = np.s_[..., y * lr_unit : y * lr_unit + lr_side, x * lr_unit : x * lr_unit + lr_side]
        hr = np.s_[..., y * unit : y * unit + self.crop, x * unit : x * unit + self.crop]
        crop = Sample(sample.lr_hsi[lr], *(image[hr] for image in sample[1:]))
        transposed, *turned = [bool(drawn(2)) and kept for kept in self.symmetries]
        if transposed:
            crop = Sample(*(image.transpose(-1, -2) for image in crop))
        axes = [axis for axis, turn in zip((-1, -2), turned, strict=True) if turn]
        return Sample(*(image.flip(axes) for image in crop)) if axes else crop


def symmetries(response: SpatialResponse) -> tuple[bool, bool, bool]:
    """Tell whether H stays the same when images are transposed, and mirrored along columns and along rows.

    Parameters
    ----------
    response : SpatialResponse
        H. Values of a free PSF may differ by `SYMMETRIC` of its peak, as noise makes them in an estimate.

    >>> symmetries(SpatialResponse.from_psf([[1, 2, 1]], ratio=4))
    (False, True, True)
    """
    dy, dx = response.shift
    psf = np.array(response.psf if response.psf is not None else [[1.0]])

    def alike(turned: NDArray[np.float64]) -> bool:
        return turned.shape == psf.shape and bool(np.abs(turned - psf).max() <= SYMMETRIC * psf.max())

    return dy == dx and alike(psf.T), not dx and alike(psf[:, ::-1]), not dy and alike(psf[::-1])


def read_sample(example: Example, window: Window) -> Sample:
    """Read a window of an example.

    Parameters
    ----------
    example : Example
        The example.
    window : Window
        The window, aligned with whole LR pixels.
    """
    scene = example.scene
    part = scene.crop(window)
    target = np.asarray(example.reference[:, *window.slices], np.float32)
    lr_missing = footprint(missing_pixels(part.lr_hsi), part.hr_shape, part.spatial_response.shift)
    missing = missing_pixels(target) | missing_pixels(part.hr_msi) | lr_missing
    return Sample(
        _tensor(fill_nearest(part.lr_hsi), example.scale),
        *conditions(part, example.scale),
        _tensor(fill_nearest(target), example.scale),
        torch.from_numpy(~missing[None]).float(),
    )


def check_alike(examples: Sequence[Example], method: str) -> None:
    """Refuse examples that differ in their bands or their ratio.

    Parameters
    ----------
    examples : sequence of Example
        The examples, at least one.
    method : str
        Name of the method in the error.

    Raises
    ------
    InputError
        They differ.
    """
    kinds = {
        (example.scene.bands, example.scene.hr_msi.shape[0], example.scene.spatial_response.ratio)
        for example in examples
    }
    if len(kinds) > 1:
        described = "; ".join(f"{c} and {m} bands at ratio {ratio}" for c, m, ratio in sorted(kinds))
        raise InputError(
            f"{method}: the scenes of the training differ in their bands or ratio ({described}); "
            "train on scenes of one kind"
        )


def cut_to_region(example: Example, region: Window, method: str) -> Example:
    """Return an example of which only a region's reference may be read.

    Parameters
    ----------
    example : Example
        The example.
    region : Window
        The region.
    method : str
        Name of the method in the error.

    Raises
    ------
    InputError
        The region does not lie inside the scene, or holds no whole LR pixel.
    """
    whole, unit = example.scene.whole, example.scene.spatial_response.ratio.numerator
    inside = region.grown(0, whole)
    if inside != region or min(_aligned(region, unit).shape) < unit:
        raise InputError(
            f"{method}: training.region with rows {region.y0} to {region.y1 - 1} and columns {region.x0} to "
            f"{region.x1 - 1} holds no whole LR pixel inside the scene of {whole.y1}x{whole.x1} pixels"
        )
    return replace(example, window=region)


def _aligned(window: Window, unit: int) -> Window:
    """Return the largest window of whole units inside a window."""
    y0, x0 = (-(-first // unit) * unit for first in (window.y0, window.x0))
    y1, x1 = (last // unit * unit for last in (window.y1, window.x1))
    return Window(y0, max(y0, y1), x0, max(x0, x1))
