"""Methods as functions that HyperBench calls (Shah; PyPI `hyperbench`, version 0.1.0).

HyperBench makes an LR-HSI from a scene in three steps: convolution with the PSF, with zeros beyond the scene;
OpenCV's `INTER_AREA`, which is the mean over each LR pixel; white noise. A method is given both images, band
last, with R and the PSF. Here it is told of both steps that make up H, or of the PSF alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.api import fuse
from pipeline.core.sensing.arrays import real_array
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.methods import settings_of

Told = Literal["total", "psf"]


def fusion(
    method: str = "graph_subspace", *, told: Told = "total", seed: int = 0, **settings: Any
) -> Callable[..., NDArray[np.float32]]:
    """Return a method as a function for HyperBench's `CallableAdapter`.

    Parameters
    ----------
    method : str
        One of `pipeline.methods()`.
    told : {"total", "psf"}
        What the method is told of H: all that HyperBench does, or the PSF alone, with a mirrored border and
        without the mean over an LR pixel.
    seed : int
        Seed of the method's random draws.
    **settings
        The method's settings.

    Returns
    -------
    callable
        From ``(lr_hsi, hr_msi, *, srf, psf, metadata)`` to the cube ``(H, W, C)``.

    Raises
    ------
    InputError
        The method or what it is told of H is unknown.

    Examples
    --------
    >>> method = fusion("gaussian_subspace", told="psf")
    """
    settings_of(method)  # refuses an unknown name now, where HyperBench would note it for each case
    if told not in ("total", "psf"):
        raise InputError(f"told: {told!r} is unknown; use 'total' or 'psf'")

    def fused(
        lr_hsi: ArrayLike,
        hr_msi: ArrayLike,
        *,
        srf: ArrayLike,
        psf: ArrayLike,
        metadata: Mapping[str, Any] | None = None,
    ) -> NDArray[np.float32]:
        hsi, msi = _band_first("lr_hsi", lr_hsi), _band_first("hr_msi", hr_msi)
        samples = real_array("psf", psf).astype(np.float64)
        response = spatial_response(samples, _ratio(hsi.shape, msi.shape), told)
        result = fuse(
            hsi / np.float32(samples.sum()),
            msi,
            spectral_response=srf,
            spatial_response=response,
            method=method,
            seed=seed,
            **settings,
        )
        return np.moveaxis(result.cube, 0, -1)

    return fused


def spatial_response(psf: NDArray[np.float64], ratio: int, told: Told = "total") -> SpatialResponse:
    """Return H of an LR-HSI that HyperBench made.

    Parameters
    ----------
    psf : (k, l)
        The PSF, with which the scene was convolved; its sum is the LR-HSI's gain and not part of H.
    ratio : int
        LR pixel size over HR pixel size.
    told : {"total", "psf"}
        See `fusion`.
    """
    if psf.ndim != 2 or psf.size == 0:
        raise InputError(f"psf: expected two axes (y, x), got shape {psf.shape}")
    # the convolution turns the PSF, and centres one of even size on the pixel before its middle
    odd = np.pad(psf, [((size + 1) % 2, 0) for size in psf.shape])
    turned = odd[::-1, ::-1]
    if told == "psf":
        return SpatialResponse.from_psf(turned, ratio=ratio)
    return SpatialResponse.from_psf(turned, ratio=ratio, averaged=True).bordered("zero")


def _band_first(name: str, image: ArrayLike) -> NDArray[np.float32]:
    array = real_array(name, image).astype(np.float32)
    if array.ndim != 3:
        raise InputError(f"{name}: expected three axes (y, x, band), got shape {array.shape}")
    return np.ascontiguousarray(np.moveaxis(array, -1, 0))


def _ratio(lr_shape: tuple[int, ...], hr_shape: tuple[int, ...]) -> int:
    ratios = {Fraction(hr, lr) for hr, lr in zip(hr_shape[1:], lr_shape[1:], strict=True)}
    ratio = ratios.pop()
    if ratios or ratio.denominator != 1:
        raise InputError(
            f"hr_msi: {hr_shape[1]}x{hr_shape[2]} pixels are no multiple of lr_hsi's "
            f"{lr_shape[1]}x{lr_shape[2]}; crop the scene to a multiple of the ratio in both directions"
        )
    return ratio.numerator
