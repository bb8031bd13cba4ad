"""The Python interface: fuse, simulate and evaluate arrays without the workflow.

Arrays have the axes (band, y, x), and no-data is NaN. NumPy arrays are taken, masked or not (masked values
are no-data), as are PyTorch tensors, and xarray and Dask arrays; results are NumPy.

>>> import numpy as np, pipeline
>>> reference = np.random.default_rng(0).random((20, 32, 32), dtype=np.float32)
>>> srf = np.kron(np.eye(4), np.ones(5)) / 5
>>> blur = pipeline.SpatialResponse.bicubic(ratio=4)
>>> pair = pipeline.simulate(reference, spectral_response=srf, spatial_response=blur)
>>> result = pipeline.fuse(pair.lr_hsi, pair.hr_msi, spectral_response=srf, spatial_response=blur)
>>> result.cube.shape
(20, 32, 32)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.core.estimation.agreement import agreement, suspicious_values
from pipeline.core.estimation.noise_levels import estimate_noise
from pipeline.core.sensing.arrays import real_array
from pipeline.core.sensing.observation import Observation, check_pair, check_response_type
from pipeline.core.sensing.rim import without_rim
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.completion import completed, learn_completion
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods import build, settings_of
from pipeline.runs.provenance import code_version, package_versions
from pipeline.settings.validation import parse

REMEDIES = {
    "order": "reorder the rows of spectral_response or the bands of hr_msi",
    "gain": "scale the rows of spectral_response, to a sum of 1 for images in the same units, or hr_msi",
    "offset": "subtract the offset from hr_msi",
    "gain and offset": "bring hr_msi to the units of lr_hsi",
    "shift": "give spatial_response that shift, or register the images",
    "rotation": "register the images",
    "psf": "give a spatial_response of that width",
    "change": "set such pixels to NaN",
    "border": "give spatial_response.bordered('ignore')",
    "zero border": "give spatial_response.bordered('zero')",
    "stripes": "leave these bands out, or destripe them",
}
"""What mends the differences between two images, as arguments of `fuse`."""


@dataclass(frozen=True)
class FusionResult:
    """A fused cube and how it was made.

    Attributes
    ----------
    cube : (C, H, W) float32
    seconds : float
        Wall time of estimation, training and fusion; `provenance["seconds"]` splits it.
    provenance : dict
        Method, settings, seed, a sentence on missing values, responses, noise levels, device, precision and
        versions.
    deviation : (C, H, W) float32, optional
        Standard deviation of the truth about the cube, of the methods that give one.
    """

    cube: NDArray[np.float32]
    seconds: float
    provenance: dict[str, Any]
    deviation: NDArray[np.float32] | None = None


def fuse(
    lr_hsi: ArrayLike,
    hr_msi: ArrayLike,
    *,
    spectral_response: ArrayLike,
    spatial_response: SpatialResponse | str,
    method: str = "graph_subspace",
    seed: int = 0,
    sigma_hsi: ArrayLike | None = None,
    sigma_msi: ArrayLike | None = None,
    **settings: Any,
) -> FusionResult:
    """Fuse an LR-HSI with an HR-MSI of the same place.

    Parameters
    ----------
    lr_hsi : (C, h, w)
    hr_msi : (c, H, W)
    spectral_response : (c, C)
        R: each row takes a spectrum to one MSI band.
    spatial_response : SpatialResponse or {"bicubic", "gaussian", "box"}
        H. A name takes the ratio from the images' sizes; "gaussian" then has a width at half
        maximum of one LR pixel.
    method : str
        One of `pipeline.methods()`.
    seed : int
        Seed of every random draw of the method.
    sigma_hsi, sigma_msi : (C,), (c,) or scalar, optional
        Noise standard deviations, in the images' units; estimated where not given.
    **settings
        The method's settings; see `pipeline.methods.<method>.settings`.

    Returns
    -------
    FusionResult

    Raises
    ------
    pipeline.InputError
        One line naming the argument, the value found and the value expected.

    Warns
    -----
    UserWarning
        Where the images contradict the responses, with the likely cause: gain, offset, order of bands,
        displacement, PSF, change, border, stripes. Where an image looks as if no-data or saturation was not
        marked.
    """
    chosen = parse(settings_of(method), {"method": method, **settings}, method)
    start = perf_counter()
    observation = _observation(lr_hsi, hr_msi, spectral_response, spatial_response, sigma_hsi, sigma_msi)
    for sentence in _doubts(observation):
        warnings.warn(sentence, stacklevel=2)
    estimated = perf_counter()
    fitted = build(chosen).fit(observation, seed)
    trained = perf_counter()
    fused = fitted.fuse_part_with_deviation(fitted.read(observation.whole), observation.whole)
    end, gaps = perf_counter(), observation.gaps
    provenance = {
        "method": method,
        "settings": chosen.deciding(),
        "seed": seed,
        "missing": gaps.missing.sentence() if gaps is not None and gaps.missing is not None else None,
        "spatial_response": observation.spatial_response.to_dict(),
        "sigma_hsi": observation.sigma_hsi.tolist(),
        "sigma_msi": observation.sigma_msi.tolist(),
        "device": fitted.device,
        "precision": fitted.precision,
        "parameters": fitted.parameters,
        "seconds": {"estimate": estimated - start, "train": trained - estimated, "fuse": end - trained},
        "code": code_version(),
        "packages": package_versions(),
    }
    return FusionResult(fused.cube, end - start, provenance, fused.deviation)


def _doubts(observation: Observation) -> Iterator[str]:
    """Yield sentences on suspicious values, and on where the images contradict the responses."""
    for name, image in {"lr_hsi": observation.lr_hsi, "hr_msi": observation.hr_msi}.items():
        for suspicion in suspicious_values(partial(_cut, image), *image.shape[1:]):
            yield f"{name}: {suspicion.sentence(remedy='set it to NaN')}"
    for finding in agreement(observation):
        yield finding.with_remedy(REMEDIES)


def _cut(image: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    return image[:, *window.slices]


def _observation(
    lr_hsi: ArrayLike,
    hr_msi: ArrayLike,
    spectral_response: ArrayLike,
    spatial_response: SpatialResponse | str,
    sigma_hsi: ArrayLike | None,
    sigma_msi: ArrayLike | None,
) -> Observation:
    """Check the arguments and estimate the noise levels that were not given."""
    hsi, msi = image_array("lr_hsi", lr_hsi), image_array("hr_msi", hr_msi)
    srf = real_array("spectral_response", spectral_response).astype(np.float64)
    if isinstance(spatial_response, str):
        spatial_response = _named_response(spatial_response, hsi, msi)
    check_response_type(spatial_response)
    check_pair(hsi, msi, srf, spatial_response)
    pair = Observation(hsi, msi, srf, spatial_response, np.ones(len(hsi)), np.ones(len(msi)))
    inside = without_rim(pair)
    if completion := learn_completion(inside):
        pair = completed(inside, completion).crop(pair.whole)
    of_hsi = None if sigma_hsi is None else _levels("sigma_hsi", sigma_hsi, len(hsi))
    of_msi = None if sigma_msi is None else _levels("sigma_msi", sigma_msi, len(msi))
    if of_hsi is None or of_msi is None:
        of_hsi, found_msi = estimate_noise(pair, of_hsi)
        of_msi = found_msi if of_msi is None else of_msi
    return replace(pair, sigma_hsi=of_hsi, sigma_msi=of_msi)


def image_array(name: str, image: ArrayLike) -> NDArray[np.float32]:
    """Return an argument as a contiguous float32 array, since PyTorch takes no negative strides."""
    return np.asarray(real_array(name, image), np.float32, order="C")


def _levels(name: str, sigma: ArrayLike, bands: int) -> NDArray[np.float64]:
    levels = real_array(name, sigma).astype(np.float64)
    if levels.shape not in ((), (bands,)) or not (np.isfinite(levels) & (levels > 0)).all():
        shown = np.array2string(levels, threshold=4).replace("\n", " ")
        raise InputError(f"{name}: expected one positive number or {bands} of them, got {shown}")
    return np.broadcast_to(levels, (bands,)).copy()


def _named_response(name: str, lr_hsi: NDArray[Any], hr_msi: NDArray[Any]) -> SpatialResponse:
    """Return the response of a given name, with the ratio of the images' heights and widths."""
    if lr_hsi.ndim != 3 or hr_msi.ndim != 3:
        raise InputError(
            f"expected three axes (band, y, x), got lr_hsi {lr_hsi.shape} and hr_msi {hr_msi.shape}"
        )
    ratios = {Fraction(hr, lr) for hr, lr in zip(hr_msi.shape[1:], lr_hsi.shape[1:], strict=True)}
    if len(ratios) > 1:
        raise InputError(
            f"spatial_response: {name!r} takes the ratio from the sizes, but hr_msi {hr_msi.shape[1:]} over "
            f"lr_hsi {lr_hsi.shape[1:]} differs between y and x; give a SpatialResponse"
        )
    ratio = ratios.pop()
    if name == "bicubic":
        return SpatialResponse.bicubic(ratio=ratio)
    if name == "box":
        return SpatialResponse.box(ratio=ratio)
    if name == "gaussian":
        return SpatialResponse.gaussian(ratio=ratio, fwhm=1.0)
    raise InputError(
        f"spatial_response: {name!r} is unknown; use bicubic, gaussian, box or a SpatialResponse"
    )
