"""How both observations correct base bands: by a loss, by the loss of a recorded run, or exactly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.spatial import SpatialOperator
from pipeline.core.solvers.engine import Engine, mixed
from pipeline.core.solvers.gaussian import DataTerms, GaussianFusion
from pipeline.core.subspace.basis import Subspace, coefficient_precision
from pipeline.methods.diffusion.guidance import Guidance
from pipeline.methods.diffusion.low_rank_settings import LowRankSettings


class Loss(Protocol):
    """A loss of base bands in one sampling step.

    Attributes
    ----------
    etas : (float, float)
        Step sizes; the loss weighs the HR-MSI with the second over the first.
    """

    etas: tuple[float, float]

    def __call__(self, step: int, base: Tensor) -> Tensor:
        """Return a scalar that is differentiable in the base bands.

        Parameters
        ----------
        step : int
            Number of the sampling step, counted from 0.
        base : (n, r, H, W) tensor
            Base bands A in [0, 1].
        """


class JointLoss:
    """The loss ``||X - H(A E)||_F + eta2 / eta1 ||Y - A E R^T||_F`` over all windows together, or of squares.

    Parameters
    ----------
    windows : sequence of Guidance
        The observations, less the residual.
    mixing : (r, C) tensor
        E.
    settings : LowRankSettings
        Weights and kind of the loss.

    Attributes
    ----------
    etas : (float, float)
        Step sizes.
    pulls : list of tensors ``(2,)``
        Factors on the residuals of HSI and MSI in the gradient, at each call.
    """

    def __init__(self, windows: Sequence[Guidance], mixing: Tensor, settings: LowRankSettings) -> None:
        self.windows, self.mixing = windows, mixing
        self.etas = settings.step_sizes(sum(window.hr_msi[0].numel() for window in windows))
        self.weight = self.etas[1] / self.etas[0]
        self.squared = settings.guidance == "squared"
        self.pulls: list[Tensor] = []

    def __call__(self, step: int, base: Tensor) -> Tensor:
        """Return the loss of A ``(n, r, H, W)``, for n windows."""
        residuals = [window.residuals(a, self.mixing) for window, a in zip(self.windows, base, strict=True)]
        images = list(zip(*residuals, strict=True))
        of_hsi, of_msi = (reduce(torch.hypot, [part.norm() for part in image]) for image in images)
        if self.squared:
            self.pulls.append(torch.full((2,), 2.0))
            return of_hsi.square() + self.weight * of_msi.square()
        self.pulls.append(1 / torch.stack([of_hsi, of_msi]).detach().cpu())
        return of_hsi + self.weight * of_msi


class RecordedLoss:
    """A loss whose gradient equals the one of a joint run with the same residuals.

    Parameters
    ----------
    windows : sequence of Guidance
        The observations, less the residual.
    mixing : (r, C) tensor
        E.
    pulls : (steps, 2) tensor
        Factors on the residuals in the gradients of the joint run.
    etas : (float, float)
        Step sizes of the joint run.
    """

    def __init__(
        self, windows: Sequence[Guidance], mixing: Tensor, pulls: Tensor, etas: tuple[float, float]
    ) -> None:
        self.windows, self.mixing, self.pulls, self.etas = windows, mixing, pulls, etas
        self.weight = etas[1] / etas[0]

    def __call__(self, step: int, base: Tensor) -> Tensor:
        """Return half the squared residuals of A ``(n, r, H, W)`` times the recorded factors."""
        of_hsi, of_msi = (self.pulls[step] / 2).tolist()
        total = torch.zeros((), device=base.device)
        for window, a in zip(self.windows, base, strict=True):
            hsi, msi = window.residuals(a, self.mixing)
            total = total + of_hsi * hsi.square().sum() + self.weight * of_msi * msi.square().sum()
        return total


class ExactStep:
    """The exact minimiser of both data terms around base bands that the network estimates.

    The estimate's error is taken as white, of variance ``(1 - abar) / abar`` in the range [-1, 1]; it is the
    mean of a Gaussian prior with E as basis (see `pipeline.core.solvers.gaussian`).

    Parameters
    ----------
    windows : sequence of Guidance
        The observations, less the residual.
    mixing : (r, C) array
        E.
    sigma_hsi, sigma_msi : (C,), (c,) arrays
        Noise levels of both images, in their units.
    """

    def __init__(
        self,
        windows: Sequence[Guidance],
        mixing: NDArray[np.float64],
        sigma_hsi: NDArray[np.float64],
        sigma_msi: NDArray[np.float64],
    ) -> None:
        projection = Subspace.of(mixing, sigma_hsi).projection
        by_hsi = coefficient_precision(mixing, sigma_hsi)
        self.terms = []
        engine = Engine(windows[0].hr_msi.device)
        for window in windows:
            basis_msi = mixing @ _float64(window.spectral_response).T
            self.terms.append(
                DataTerms(
                    window_operator(window, engine),
                    mixed(engine.tensor(projection), window.lr_hsi.to(engine.dtype)),
                    by_hsi,
                    window.hr_msi.to(engine.dtype),
                    basis_msi,
                    basis_msi / sigma_msi**2,
                )
            )

    def __call__(self, clean: Tensor, share: float) -> Tensor:
        """Correct clean images ``(n, r, H, W)`` in [-1, 1].

        Parameters
        ----------
        clean : (n, r, H, W) tensor
            The network's estimate.
        share : float
            abar, signal's share of the power in the step.
        """
        precision = 4 * share / (1 - share) * np.eye(clean.shape[1])  # A has half the range of the images
        solved = [
            GaussianFusion(terms, precision).solve(((image + 1) / 2).to(terms.engine.dtype))
            for terms, image in zip(self.terms, clean, strict=True)
        ]
        return 2 * torch.stack(solved).to(clean) - 1


def window_operator(window: Guidance, engine: Engine) -> SpatialOperator:
    """Return H as an operator on a whole window, with zeros outside its support."""
    shape = window.hr_msi.shape[1:]

    def widened(factors: Sequence[Tensor], part: slice, size: int) -> tuple[Tensor, ...]:
        whole = [factor.new_zeros((len(factor), size), dtype=engine.dtype) for factor in factors]
        for wide, factor in zip(whole, factors, strict=True):
            wide[:, part] = factor
        return tuple(whole)

    rows, cols = window.support.slices
    return SpatialOperator(
        widened(window.operator.rows, rows, shape[0]), widened(window.operator.cols, cols, shape[1])
    )


def _float64(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.cpu().numpy().astype(np.float64)
