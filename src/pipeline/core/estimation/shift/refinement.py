"""Shift and width of the PSF with their errors, by least squares on the residual of matched bands.

Minimises ``sum_p ||x_p - g_p H(y_p) - o_p||^2 / s_p^2`` over the shift and the FWHM of a Gaussian H, common
to all pairs, and over a gain and an offset of each pair, which are eliminated (variable projection, Golub and
Pereyra 1973). Standard errors are from a jackknife over blocks of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, exp, floor, log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.sparse import csr_array

from pipeline.core.rounding import FLAT, centred, correlations
from pipeline.core.sensing.nodata import fill_nearest, missing_pixels, tolerated_share
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError

Vector = NDArray[np.float64]

STEP = 0.02  # of the derivatives, in LR pixels and in the logarithm of the FWHM
FARTHEST = 2.0  # LR pixels by which the shift may differ from the start
NARROWEST, SAMPLED, WIDEST = 0.3, 0.6, 8.0  # FWHM: in LR pixels; in HR pixels, above ratio 1; in LR pixels
BLOCKS = 25  # approximate number of the jackknife's blocks
FEWEST_PIXELS = 50
TINY = float(np.finfo(float).tiny)
PARAMETERS = 3  # rows, columns, logarithm of the FWHM
UNKNOWN = FARTHEST  # standard error in LR pixels from which on the images do not determine the shift


@dataclass(frozen=True)
class Alignment:
    """Position of LR pixels on the HR image, by matched bands.

    Attributes
    ----------
    shift : (float, float)
        As in `SpatialResponse.shift`: rows and columns, in LR pixels, by which LR pixels lie further down and
        right on the HR image than according to the two grids.
    shift_error : (float, float)
        Standard errors of both; infinite along an axis on which the images do not determine the shift.
    fwhm, fwhm_error : float
        Full width at half maximum of the Gaussian PSF in LR pixels, with standard error.
    msi_bands : tuple of P int
        The MSI bands that were matched.
    correlation : tuple of P float
        Correlation of each with its HSI bands after the alignment.
    pair_shift : tuple of P (float, float)
        Shift by each pair alone; scatter beyond the standard errors means that bands differ.
    pixels : int
        Number of LR pixels compared.
    ambiguous : bool
        Whether another shift, more than a pixel away, explains the images nearly as well.
    by_response : bool
        Whether the bands were matched by R; bands that merely correlate may differ in content.
    """

    shift: tuple[float, float]
    shift_error: tuple[float, float]
    fwhm: float
    fwhm_error: float
    msi_bands: tuple[int, ...]
    correlation: tuple[float, ...]
    pair_shift: tuple[tuple[float, float], ...]
    pixels: int
    ambiguous: bool = False
    by_response: bool = True


@dataclass(frozen=True)
class Matched:
    """Matched bands of a window.

    Attributes
    ----------
    x : (P, h, w)
        Combinations of the LR-HSI's bands.
    y : (P, H, W)
        Bands of the HR-MSI.
    """

    x: Vector
    y: Vector


class Residual:
    """The residual of matched bands as a function of the shift and the FWHM's logarithm.

    Parameters
    ----------
    windows : sequence of Matched
        Matched bands.
    ratio : Fraction
        Size of an LR pixel in HR pixels.
    start : (3,)
        Parameters about which the pixels are chosen: within `FARTHEST` / 4 of them, a pixel depends on no
        border and no gap of the HR image.

    Attributes
    ----------
    count : int
        n, the number of these pixels.
    x : (P, n)
        The LR-HSI there, less its mean; zero for a pair whose LR-HSI is constant up to rounding.
    block : (n,) int
        Block of each pixel in the jackknife.
    floor : (P,)
        Least standard deviation of the residual in predicted errors.
    """

    def __init__(self, windows: Sequence[Matched], ratio: Fraction, start: Vector) -> None:
        self.ratio = ratio
        self.filled = [fill_nearest(window.y) for window in windows]
        self.lr_shapes = [window.x.shape[1:] for window in windows]
        self.valid = [self._valid(window, start) for window in windows]
        x = np.concatenate([w.x[:, v] for w, v in zip(windows, self.valid, strict=True)], axis=1)
        self.count = x.shape[1]
        self.floor = FLAT * np.sqrt(np.square(x).sum(axis=1) / max(1, self.count))
        self.x = centred(x)
        self.block = np.concatenate(list(self._blocks()))
        self.scale = np.sqrt(np.maximum(np.square(self.x).sum(axis=1) / max(1, self.count), TINY))

    def response(self, parameters: Vector) -> SpatialResponse:
        """Return H at given parameters."""
        dy, dx, width = parameters.tolist()
        return SpatialResponse.gaussian(ratio=self.ratio, fwhm=exp(width)).shifted(dy, dx)

    def degraded(self, parameters: Vector) -> Vector:
        """Return H(y) ``(P, n)`` at the compared pixels, less its mean."""
        response, parts = self.response(parameters), []
        for image, valid in zip(self.filled, self.valid, strict=True):
            operator = response.operator(*image.shape[1:])
            rows, cols = csr_array(operator.rows[0]), csr_array(operator.cols[0])
            parts.append(np.stack([(cols @ (rows @ band).T).T[valid] for band in image]))
        z = np.concatenate(parts, axis=1)
        return centred(z)

    def __call__(self, parameters: Vector) -> Vector:
        """Return the residual ``(P, n)`` at the best gain and offset, in units of each pair's scale."""
        z = self.degraded(parameters)
        power = np.maximum(np.square(z).sum(axis=1), TINY)
        gain = (self.x * z).sum(axis=1) / power
        return np.asarray((self.x - gain[:, None] * z) / self.scale[:, None])

    def jacobian(self, parameters: Vector) -> Vector:
        """Return the derivatives ``(P, n, 3)`` of the residual by central differences."""
        steps = STEP * np.eye(PARAMETERS)
        return np.stack([(self(parameters + s) - self(parameters - s)) / (2 * STEP) for s in steps], axis=-1)

    def correlation(self, parameters: Vector) -> Vector:
        """Return the correlation ``(P,)`` of each pair."""
        return correlations(self.x, self.degraded(parameters))

    def _valid(self, window: Matched, start: Vector) -> NDArray[np.bool_]:
        """Return the LR pixels with data whose support has hardly a gap and lies inside, with some margin."""
        room = FARTHEST / 4
        wide = self.response(start + np.array([0, 0, log(1.25)]))
        touched = np.isnan(window.x).any(axis=0)
        missing = missing_pixels(window.y)
        if missing.any():
            share = wide.operator(*missing.shape).energy_share(missing)
            touched |= share > tolerated_share(share[~touched])
        reach = max(exp(float(start[2])), 0.5) + room
        inside = np.zeros_like(touched)
        (height, width), (dy, dx) = touched.shape, start[:2].tolist()
        inside[_inner(height, dy, reach), _inner(width, dx, reach)] = True
        return np.asarray(inside & ~touched)

    def _blocks(self) -> Iterator[NDArray[np.intp]]:
        """Yield the block of each compared pixel, numbered through all windows."""
        side = max(2, ceil(sqrt(BLOCKS / len(self.valid))))
        for number, valid in enumerate(self.valid):
            y, x = np.nonzero(valid)
            cells = [
                (place - place.min(initial=0)) * side // (np.ptp(place) + 1) if place.size else place
                for place in (y, x)
            ]
            yield (number * side + cells[0]) * side + cells[1]


def mean_correlation(windows: Sequence[Matched], ratio: Fraction, start: Vector) -> float:
    """Return the mean correlation of the pairs at an alignment; -1 if too few pixels can be compared.

    Parameters
    ----------
    windows : sequence of Matched
        Matched bands.
    ratio : Fraction
        Size of an LR pixel in HR pixels.
    start : (3,)
        Shift and FWHM ``(dy, dx, fwhm)``.
    """
    parameters = np.array([*start[:2], log(start[2])])
    residual = Residual(windows, ratio, parameters)
    return float(residual.correlation(parameters).mean()) if residual.count >= FEWEST_PIXELS else -1.0


def refined(windows: Sequence[Matched], ratio: Fraction, msi: tuple[int, ...], start: Vector) -> Alignment:
    """Estimate the alignment nearest to a start.

    Parameters
    ----------
    windows : sequence of Matched
        Matched bands, with the same P pairs in each window.
    ratio : Fraction
        Size of an LR pixel in HR pixels.
    msi : tuple of P int
        MSI bands of the pairs.
    start : (3,)
        Shift and FWHM ``(dy, dx, fwhm)``.

    Raises
    ------
    InputError
        Too few LR pixels can be compared.
    """
    narrowest = max(NARROWEST, SAMPLED / float(ratio)) if ratio > 1 else NARROWEST
    low = np.array([*(start[:2] - FARTHEST), log(narrowest)])
    high = np.array([*(start[:2] + FARTHEST), log(WIDEST)])
    first = np.array([*start[:2], np.clip(log(start[2]), low[2] + STEP, high[2] - STEP)])
    residual = Residual(windows, ratio, first)
    if residual.count < FEWEST_PIXELS:
        raise InputError(
            f"lr_hsi and hr_msi: only {residual.count} LR pixels can be compared, at least {FEWEST_PIXELS} "
            "are needed to align them; use a larger scene, or one where both images have data"
        )
    at = first
    for _ in range(2):  # the pairs' scales are at first those of the images, then those of the residual
        at = least_squares(
            lambda p: residual(p).ravel(),
            at,
            jac=lambda p: residual.jacobian(p).reshape(-1, PARAMETERS),
            bounds=(low, high),
            xtol=1e-5,
        ).x
        residual.scale = residual.scale * np.maximum(residual(at).std(axis=1), 1e-6)
    return _alignment(residual, at, msi)


def _alignment(residual: Residual, at: Vector, msi: tuple[int, ...]) -> Alignment:
    left, jacobian = residual(at), residual.jacobian(at)
    error, width = _jackknife(jacobian, left, residual.block), exp(float(at[2]))
    error[:2] = np.where(predicted_errors(residual, jacobian) < UNKNOWN, error[:2], np.inf)
    steps = (np.linalg.lstsq(own[:, :2], r, rcond=None)[0] for own, r in zip(jacobian, left, strict=True))
    pair_shift = [at[:2] - step for step in steps]
    return Alignment(
        (float(at[0]), float(at[1])),
        (float(error[0]), float(error[1])),
        width,
        width * float(error[2]),
        msi,
        tuple(residual.correlation(at).tolist()),
        tuple((float(dy), float(dx)) for dy, dx in pair_shift),
        residual.count,
    )


def predicted_errors(residual: Residual, jacobian: Vector) -> Vector:
    """Return the standard errors (2,) of the shift that a residual of independent pixels would leave.

    ``diag((J^T J)^-1)^(1/2)`` of the shift's two columns. The jackknife does not show that the images hold no
    trace of the shift: where the residual does not depend on it, its solutions differ by zero or by rounding.

    Parameters
    ----------
    residual : Residual
        The residual, with the scales at the minimum.
    jacobian : (P, n, 3)
        Derivatives at the minimum.
    """
    weight = residual.scale / np.maximum(residual.scale, residual.floor)
    columns = (weight[:, None, None] * jacobian[..., :2]).reshape(-1, 2)
    information, directions = np.linalg.eigh(columns.T @ columns)
    variance = np.square(directions) @ (1 / np.maximum(information, TINY))
    return np.asarray(np.sqrt(variance))


def _jackknife(jacobian: Vector, left: Vector, block: NDArray[np.intp]) -> Vector:
    """Return the standard errors of the parameters, by a Gauss-Newton step without each block.

    The delete-m jackknife of Busing et al. (1999).

    Parameters
    ----------
    jacobian : (P, n, 3)
        Derivatives at the minimum.
    left : (P, n)
        Residual at the minimum.
    block : (n,)
        Block of each pixel.
    """
    members = [block == number for number in np.unique(block)]
    normal = np.stack([np.einsum("pni,pnj->ij", jacobian[:, m], jacobian[:, m]) for m in members])
    gradient = np.stack([np.einsum("pni,pn->i", jacobian[:, m], left[:, m]) for m in members])
    without = normal.sum(axis=0) - normal, gradient.sum(axis=0) - gradient
    moved = np.stack([np.linalg.lstsq(n, -g, rcond=None)[0] for n, g in zip(*without, strict=True)])
    count = len(members)
    return np.asarray(np.sqrt((count - 1) / count * np.square(moved - moved.mean(axis=0)).sum(axis=0)))


def _inner(size: int, shift: float, reach: float) -> slice:
    """Return the LR pixels along an axis whose shifted support lies inside the image."""
    first, last = max(0, ceil(reach - 0.5 - shift)), min(size, floor(size + 0.5 - reach - shift))
    return slice(first, max(first, last))
