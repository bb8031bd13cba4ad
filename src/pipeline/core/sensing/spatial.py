"""The spatial response H: blur and decimation from the HR grid to the LR grid.

Kernels are MATLAB's `imresize` (antialiased bicubic, symmetric borders) and Gaussian, box or free point
spread functions.

>>> import numpy as np
>>> operator = SpatialResponse.bicubic(ratio=4).operator(64, 48)
>>> operator.forward(np.ones((5, 64, 48))).shape
(5, 16, 12)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import ceil, isfinite, log, pi, sqrt
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.core.rounding import TIED
from pipeline.core.sensing.resampling import (
    MIRRORED,
    Ends,
    Profile,
    keys_cubic,
    response_matrix,
    response_rows,
    sampled_profile,
    upsampling_matrix,
    weight_beyond,
)
from pipeline.core.window import Window
from pipeline.errors import InputError

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", NDArray[Any], "torch.Tensor")

KINDS = ("bicubic", "gaussian", "box", "psf")
BORDERS = ("mirror", "zero", "ignore")
BEYOND = 1e-3  # of an LR pixel's weight, up to which it counts as lying inside of the image
FWHM_PER_SIGMA = 2 * sqrt(2 * log(2))
GAUSSIAN_CUT = 4.0  # standard deviations at which the Gaussian ends: 3e-5 of its peak
INTERPOLATIONS = 65  # positions on which a Gaussian is sampled at ratio 1
ROWS_AT_ONCE = 1024  # bounds the memory of `noise_gain`
WIDEST_GAUSSIAN = 100.0  # LR pixels, at half maximum; sensors have one or two
PSF_RANK_TOLERANCE = 1e-7  # relative to the first, below which a free PSF's singular values are dropped


@dataclass(frozen=True)
class SpatialResponse:
    """A point spread function followed by decimation, independent of the image's size.

    Build it with `bicubic`, `gaussian`, `box` or `from_psf`. An LR pixel covers exactly `ratio` HR pixels.
    The PSF of LR pixel i is centred on the HR position ``(i + 1/2 + shift) ratio``, in HR pixels from the
    image's corner. At ratio 1, where PSFs may be narrower than a pixel, the HR image is interpolated by Keys'
    cubic.

    Attributes
    ----------
    kind : {"bicubic", "gaussian", "box", "psf"}
        Kind of the PSF.
    ratio : Fraction
        LR pixel size over HR pixel size: any rational number from 1 on. At 1, H is a blur and a shift.
    fwhm : float or None
        Full width at half maximum of the Gaussian, in LR pixels.
    psf : tuple of tuple of float, or None
        Free PSF, sampled at HR pixel spacing, with a sum of 1.
    shift : (float, float)
        Rows and columns, in LR pixels, by which LR pixels lie further down and right on the HR image than
        according to the two grids.
    border : {"mirror", "zero", "ignore"}
        Values beyond the image: its mirror image; zeros; or unknown, so that LR pixels with more than a
        thousandth of their weight there count as not measured (module `rim`) and the operator mirrors.
    inner : tuple of bool
        Sides (top, bottom, left, right) beyond which the scene goes on, for a window of a scene. There the
        operator mirrors, whatever the border is.
    """

    kind: str
    ratio: Fraction
    fwhm: float | None = None
    psf: tuple[tuple[float, ...], ...] | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    border: str = "mirror"
    inner: tuple[bool, bool, bool, bool] = (False, False, False, False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"spatial response: kind {self.kind!r} is unknown; use one of {', '.join(KINDS)}"
            )
        if self.ratio < 1:
            raise InputError(f"spatial response: ratio {self.ratio} is below 1")
        if self.kind == "gaussian" and not (self.fwhm and self.fwhm > 0):
            raise InputError(f"spatial response: a Gaussian needs a positive fwhm, got {self.fwhm}")
        if self.kind == "gaussian" and not (self.fwhm or 0) <= WIDEST_GAUSSIAN:
            raise InputError(
                f"spatial response: a Gaussian of fwhm {self.fwhm:g} LR pixels is wider than the "
                f"{WIDEST_GAUSSIAN:g} that an image could show; give it in LR pixels"
            )
        if not all(map(isfinite, self.shift)):
            raise InputError(f"spatial response: shift {self.shift} is not finite")
        if self.border not in BORDERS:
            raise InputError(
                f"spatial response: border {self.border!r} is unknown; use one of {', '.join(BORDERS)}"
            )

    @classmethod
    def bicubic(cls, *, ratio: float | str | Fraction) -> Self:
        """Make the response of MATLAB's `imresize`: Keys' cubic (a = -0.5) stretched by the ratio."""
        return cls("bicubic", as_ratio(ratio))

    @classmethod
    def gaussian(
        cls, *, ratio: float | str | Fraction, fwhm: float | None = None, mtf: float | None = None
    ) -> Self:
        """Make a Gaussian PSF from its width or from its modulation transfer at the LR Nyquist frequency.

        Parameters
        ----------
        ratio : rational
            LR pixel size over HR pixel size.
        fwhm : float, optional
            Full width at half maximum in LR pixels (1.0 is one LR pixel).
        mtf : float, optional
            Modulation transfer function at 0.5 cycles per LR pixel, between 0 and 1:
            ``MTF(f) = exp(-2 pi^2 sigma^2 f^2)``.
        """
        if (fwhm is None) == (mtf is None):
            raise InputError("spatial response: a Gaussian takes exactly one of fwhm and mtf")
        if mtf is not None:
            if not 0 < mtf < 1:
                raise InputError(f"spatial response: mtf {mtf} is not between 0 and 1")
            fwhm = FWHM_PER_SIGMA * sqrt(-2 * log(mtf)) / pi
        return cls("gaussian", as_ratio(ratio), fwhm=fwhm)

    @classmethod
    def box(cls, *, ratio: float | str | Fraction) -> Self:
        """Make a box PSF: the mean over the LR pixel's footprint, HR pixels weighted by their overlap."""
        return cls("box", as_ratio(ratio))

    @classmethod
    def from_psf(cls, psf: ArrayLike, *, ratio: float | str | Fraction, averaged: bool = False) -> Self:
        """Make a free PSF from samples at HR pixel spacing, centred on the array's centre.

        If the LR pixel's centre falls between the samples (an odd PSF with an even ratio, or a shift), the
        PSF is interpolated linearly; with equal parity it is used exactly.

        Parameters
        ----------
        psf : (k, l) array_like
            Samples of the PSF; they are scaled to a sum of 1.
        ratio : rational
            LR pixel size over HR pixel size.
        averaged : bool
            Whether the mean over the LR pixel's footprint follows, as where a PSF of the optics is given
            without the detector's.
        """
        try:
            array = np.asarray(psf, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(
                "spatial response: a PSF is a 2-D array of numbers, its rows equally long"
            ) from None
        if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
            raise InputError(f"spatial response: a PSF is a finite 2-D array, got shape {array.shape}")
        if array.sum() <= TIED * np.abs(array).sum():
            raise InputError(f"spatial response: the PSF sums to {array.sum():g}; it must be positive")
        ratio = as_ratio(ratio)
        if averaged:
            array = _averaged(array, ratio)
        array = array / array.sum()
        return cls("psf", ratio, psf=tuple(tuple(map(float, row)) for row in array))

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Rebuild a response from `to_dict`."""
        psf = fields.get("psf")
        frozen = tuple(tuple(row) for row in psf) if psf else None
        dy, dx = fields.get("shift", (0.0, 0.0))
        top, bottom, left, right = fields.get("inner", (False, False, False, False))
        return cls(
            fields["kind"],
            Fraction(fields["ratio"]),
            fields.get("fwhm"),
            frozen,
            (dy, dx),
            fields.get("border", "mirror"),
            (top, bottom, left, right),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready fields, from which `from_dict` rebuilds the same response."""
        fields: dict[str, Any] = {"kind": self.kind, "ratio": str(self.ratio)}
        if self.fwhm is not None:
            fields["fwhm"] = self.fwhm
        if self.psf is not None:
            fields["psf"] = [list(row) for row in self.psf]
        if any(self.shift):
            fields["shift"] = list(self.shift)
        if self.border != "mirror":
            fields["border"] = self.border
        if any(self.inner):
            fields["inner"] = list(self.inner)
        return fields

    def shifted(self, dy: float, dx: float) -> Self:
        """Return the response shifted by further LR pixels, down and right on the HR image."""
        return replace(self, shift=(self.shift[0] + dy, self.shift[1] + dx))

    def bordered(self, border: str) -> Self:
        """Return the response with another border.

        Parameters
        ----------
        border : {"mirror", "zero", "ignore"}
            Values beyond the image.
        """
        return replace(self, border=border)

    def in_window(self, window: Window, shape: tuple[int, int]) -> Self:
        """Return the response of a window, which has a border only where it ends with the scene.

        Parameters
        ----------
        window : Window
            HR pixels.
        shape : (int, int)
            Height and width of the image of which it is a window.
        """
        if self.border == "mirror":
            return self
        cut = window.y0 > 0, window.y1 < shape[0], window.x0 > 0, window.x1 < shape[1]
        top, bottom, left, right = (was or now for was, now in zip(self.inner, cut, strict=True))
        return replace(self, inner=(top, bottom, left, right))

    def rim(self, height: int, width: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the rows ``(h,)`` and columns ``(w,)`` of LR pixels whose support reaches beyond the image.

        Up to a thousandth of an LR pixel's weight does not count, nor do sides beyond which the scene goes
        on.

        Parameters
        ----------
        height, width : int
            Size of the HR image.
        """

        def reaching(size: int, columns: bool) -> NDArray[np.bool_]:
            profile = self._kernel() if self.psf is None else self._marginal(columns)
            shares = weight_beyond(size, self.ratio, self.lr_size(size), profile, self._offset(columns))
            outer = np.logical_not(self.inner[2:] if columns else self.inner[:2])
            return np.any((shares > BEYOND) & outer[:, None], axis=0)

        return reaching(height, False), reaching(width, True)

    def lr_size(self, hr_size: int) -> int:
        """Return the number of LR pixels on `hr_size` HR pixels, which the ratio must divide."""
        exact = hr_size / self.ratio
        if exact.denominator != 1:
            step = self.ratio.numerator
            below = hr_size // step * step
            nearest = f"{below} or {below + step}" if below else f"{step}"
            raise InputError(
                f"spatial response: {hr_size} HR pixels are not a whole number of LR pixels at ratio "
                f"{self.ratio}; crop to a multiple of {step}, the nearest being {nearest}"
            )
        return int(exact)

    def operator(self, height: int, width: int) -> SpatialOperator:
        """Return H as an operator for an HR image of a given size."""
        rows, cols = self._factors(height), self._factors(width, columns=True)
        return SpatialOperator(rows, cols)

    def window_operator(self, hr_shape: tuple[int, int], lr: Window) -> tuple[SpatialOperator, Window]:
        """Return H restricted to a window of LR pixels.

        Parameters
        ----------
        hr_shape : (int, int)
            Height and width of the whole HR image.
        lr : Window
            The LR pixels.

        Returns
        -------
        operator : SpatialOperator
            From the HR window to the LR window, with the values of the whole operator.
        window : Window
            The HR pixels on which these LR pixels depend.
        """
        rows, top = self._rows(hr_shape[0], np.arange(lr.y0, lr.y1))
        cols, left = self._rows(hr_shape[1], np.arange(lr.x0, lr.x1), columns=True)
        window = Window(top, top + rows[0].shape[1], left, left + cols[0].shape[1])
        return SpatialOperator(rows, cols), window

    def noise_gain(self, height: int, width: int, apart: tuple[int, int] = (0, 0)) -> float:
        """Return the mean variance of H applied to white noise of unit variance.

        Parameters
        ----------
        height, width : int
            Size of the HR image.
        apart : (int, int)
            Rows and columns between two LR pixels, whose covariance is returned instead; zero if there is no
            such pair.
        """
        terms = len(self._profiles())

        def products(size: int, lag: int, columns: bool) -> NDArray[np.float64]:
            total, pairs = np.zeros((terms, terms)), self.lr_size(size) - lag
            for start in range(0, pairs, ROWS_AT_ONCE):
                count = min(ROWS_AT_ONCE, pairs - start)
                rows = np.stack(self._rows(size, np.arange(start, start + count + lag), columns)[0])
                total += np.einsum("aij,bij->ab", rows[:, :count], rows[:, lag:])
            return total / max(pairs, 1)

        return float(np.sum(products(height, apart[0], False) * products(width, apart[1], True)))

    @cached_property
    def support_lr(self) -> int:
        """LR pixels, rounded up, from an LR pixel's centre on its grid to the end of its support."""
        reach = max(support for _, support, _ in self._profiles() + self._profiles(columns=True))
        return ceil(reach / 2 / self.ratio + max(map(abs, self.shift)))

    @property
    def shift_lr(self) -> int:
        """Largest shift along an axis in LR pixels, rounded up."""
        return ceil(max(map(abs, self.shift)))

    def _factors(self, size: int, columns: bool = False) -> tuple[NDArray[np.float64], ...]:
        return tuple(
            response_matrix(
                size, self.ratio, self.lr_size(size), profile, self._offset(columns), self._zero(columns)
            )
            for profile in self._profiles(columns)
        )

    def _rows(
        self, size: int, rows: NDArray[np.intp], columns: bool = False
    ) -> tuple[tuple[NDArray[np.float64], ...], int]:
        """Return rows of all factors over the columns that any of them uses, and the first column."""
        self.lr_size(size)
        parts = [
            response_rows(size, self.ratio, rows, profile, self._offset(columns), self._zero(columns))
            for profile in self._profiles(columns)
        ]
        first = min(start for _, start in parts)
        last = max(start + matrix.shape[1] for matrix, start in parts)
        padded = tuple(
            np.pad(matrix, ((0, 0), (start - first, last - start - matrix.shape[1])))
            for matrix, start in parts
        )
        return padded, first

    def _offset(self, columns: bool) -> float:
        """Return the shift along an axis in HR pixels."""
        return self.shift[1 if columns else 0] * float(self.ratio)

    def _zero(self, columns: bool) -> Ends:
        """Return whether values are zero beyond either end of an axis."""
        if self.border != "zero":
            return MIRRORED
        first, last = self.inner[2:] if columns else self.inner[:2]
        return not first, not last

    def _marginal(self, columns: bool) -> Profile:
        """Return the sum of a free PSF's absolute values along the other axis."""
        return sampled_profile(np.abs(np.array(self.psf)).sum(axis=0 if columns else 1))

    def _profiles(self, columns: bool = False) -> list[Profile]:
        """Return the profile along an axis of each separable term."""
        if self.psf is None:
            return [self._kernel()]
        psf = np.array(self.psf)
        u, s, vt = np.linalg.svd(psf, full_matrices=False)
        keep = s > PSF_RANK_TOLERANCE * s[0]
        profiles = (vt[keep] if columns else u.T[keep]) * np.sqrt(s[keep, None])
        profiles[:, ~psf.any(axis=0 if columns else 1)] = 0  # rounding must not give support to a zero margin
        return [sampled_profile(profile) for profile in profiles]

    def _kernel(self) -> Profile:
        """Return the continuous profile of a PSF that is not free."""
        ratio = float(self.ratio)
        if self.kind == "bicubic":
            return Profile(lambda x: keys_cubic(x / ratio), 4 * ratio)
        if self.kind == "box":
            return Profile(lambda x: np.clip((ratio + 1) / 2 - np.abs(x), 0, min(1.0, ratio)), ratio + 1)
        assert self.fwhm is not None
        sigma = self.fwhm / FWHM_PER_SIGMA * ratio
        reach = GAUSSIAN_CUT * sigma

        def gaussian(x: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.where(np.abs(x) <= reach, np.exp(-0.5 * (x / sigma) ** 2), 0.0)

        if self.ratio > 1:
            return Profile(gaussian, 2 * reach)
        # samples at the pixels do not resolve a Gaussian of a pixel's width: it averages interpolated images
        within = np.linspace(-reach, reach, INTERPOLATIONS)
        weights = gaussian(within) / gaussian(within).sum()

        def of_interpolated(x: NDArray[np.float64]) -> NDArray[np.float64]:
            return keys_cubic(x[..., None] + within) @ weights

        return Profile(of_interpolated, 2 * reach + 4)


@dataclass(frozen=True)
class SpatialOperator:
    """H for an image size, as a sum of separable terms: ``H(A) = sum_k D_y^k A D_x^k^T``.

    Bicubic, Gaussian, box and rank-one PSFs have a single term; a free PSF has a term for each singular value
    of its array. The operator acts on NumPy arrays and, after `to`, on tensors.

    Attributes
    ----------
    rows : tuple of (h, H) arrays
        ``D_y`` of each term.
    cols : tuple of (w, W) arrays
        ``D_x`` of each term.
    """

    rows: tuple[Any, ...]
    cols: tuple[Any, ...]

    @property
    def hr_shape(self) -> tuple[int, int]:
        """Height and width of the HR image."""
        return self.rows[0].shape[1], self.cols[0].shape[1]

    @property
    def lr_shape(self) -> tuple[int, int]:
        """Height and width of the LR image."""
        return self.rows[0].shape[0], self.cols[0].shape[0]

    @property
    def separable(self) -> bool:
        """Whether H has a single term."""
        return len(self.rows) == 1

    def forward(self, image: Array) -> Array:
        """Apply H to the last two axes: ``(..., H, W)`` to ``(..., h, w)``."""
        result: Array = sum(r @ image @ c.mT for r, c in zip(self.rows, self.cols, strict=True))
        return result

    def adjoint(self, image: Array) -> Array:
        """Apply the transpose of H to the last two axes: ``(..., h, w)`` to ``(..., H, W)``."""
        result: Array = sum(r.mT @ image @ c for r, c in zip(self.rows, self.cols, strict=True))
        return result

    def forward_with_nodata(self, image: NDArray[Any]) -> NDArray[Any]:
        """Apply H to an image whose no-data is NaN; NaN spreads over the response's support only."""
        missing = np.isnan(image)
        if not missing.any():
            return self.forward(image)
        result = self.forward(np.where(missing, 0, image))
        result[self.touches(missing)] = np.nan
        return result

    def touches(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the LR pixels ``(..., h, w)`` whose support has an HR pixel of a mask ``(..., H, W)``."""
        rows, cols = self._support
        return (rows @ mask.astype(np.float32) @ cols.T) > 0

    def energy_share(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the share ``(..., h, w)`` of the sum of the squared weights on a mask ``(..., H, W)``.

        It is the share of the mask in the noise of an LR pixel. Products of different terms of H are left
        out.
        """
        if not mask.any():
            return np.zeros((*mask.shape[:-2], *self.lr_shape))
        power = SpatialOperator(tuple(r**2 for r in self.rows), tuple(c**2 for c in self.cols))
        whole = power.forward(np.ones(self.hr_shape)).clip(min=np.finfo(np.float64).tiny)
        return np.asarray(power.forward(mask.astype(np.float64)) / whole)

    @cached_property
    def _support(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        def union(factors: tuple[NDArray[np.float64], ...]) -> NDArray[np.float32]:
            reached: NDArray[np.bool_] = np.any([np.abs(m) > 0 for m in factors], axis=0)
            return reached.astype(np.float32)

        return union(self.rows), union(self.cols)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> SpatialOperator:
        """Return the operator on tensors.

        Parameters
        ----------
        device : torch.device or str
            Device of the tensors.
        dtype : torch.dtype, optional
            Their type; default: float32.
        """
        import torch  # here: most users of H need no tensors, and PyTorch takes seconds to load

        def move(factors: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
            return tuple(torch.as_tensor(m, dtype=dtype or torch.float32, device=device) for m in factors)

        return SpatialOperator(move(self.rows), move(self.cols))


def _averaged(psf: NDArray[np.float64], ratio: Fraction) -> NDArray[np.float64]:
    """Return a PSF followed by the mean over an LR pixel; exact where the ratio is a whole number."""
    count = ratio.numerator if ratio.denominator == 1 else 2 * ceil((ratio + 1) / 2) - 1
    apart = np.abs(np.arange(count) - (count - 1) / 2)
    mean = np.clip((float(ratio) + 1) / 2 - apart, 0, min(1.0, float(ratio)))
    for axis in (0, 1):
        psf = np.apply_along_axis(np.convolve, axis, psf, mean)
    return psf


def as_ratio(value: float | str | Fraction) -> Fraction:
    """Convert a ratio to a fraction: ``4``, ``"25/3"``, or ``8.33`` to the nearest small fraction, 25/3."""
    try:
        if isinstance(value, Fraction) or (isinstance(value, str) and "/" in value):
            return Fraction(value)
        return Fraction(float(value)).limit_denominator(20)
    except (TypeError, ValueError, ArithmeticError):
        raise InputError(
            f"spatial response: ratio {value!r} is not a number; write 4, 8.33 or '25/3'"
        ) from None


def upsample(
    image: NDArray[Any], shape: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0)
) -> NDArray[Any]:
    """Interpolate the last two axes bicubically; NaN spreads over the kernel's support.

    Parameters
    ----------
    image : (..., h, w)
        The image.
    shape : (int, int)
        Height and width of the result.
    shift : (float, float)
        Shift of the image's pixels relative to the result's grid, as in `SpatialResponse`.
    """
    height, width = image.shape[-2:]
    return interpolation((height, width), shape, shift).forward_with_nodata(image)


def interpolation(
    lr_shape: tuple[int, int], shape: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0)
) -> SpatialOperator:
    """Return bicubic interpolation, with half-sample symmetric borders, as an operator.

    Parameters
    ----------
    lr_shape : (int, int)
        Height and width of the image.
    shape : (int, int)
        Height and width of the result.
    shift : (float, float)
        Shift of the image's pixels relative to the result's grid, as in `SpatialResponse`.
    """
    rows, cols = (upsampling_matrix(*axis) for axis in zip(lr_shape, shape, shift, strict=True))
    return SpatialOperator((rows,), (cols,))
