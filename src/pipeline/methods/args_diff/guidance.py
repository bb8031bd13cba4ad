"""Loss of the factors against the observed images: over all windows together, or as in a recorded run.

The loss of arXiv 2505.11800, section 3.3. Its norms run over the whole image and so couple distant pixels;
`RecordedLoss` takes the norms and the basis from a joint run instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor

from pipeline.methods.args_diff.settings import ArgsDiffSettings
from pipeline.methods.diffusion.guidance import Guidance

GUIDANCE, ARGM = 0, 1  # the two uses of the loss in a sampling step


class Loss(Protocol):
    """A loss of the factors in [0, 1] at one use in one sampling step.

    Attributes
    ----------
    recording : bool
        Whether each call leaves a record, so that a step cannot be captured.
    """

    recording: bool

    def __call__(self, step: Tensor, use: int, factors: Sequence[Tensor]) -> Tensor:
        """Return a scalar that is differentiable in the factors.

        Parameters
        ----------
        step : (1,) tensor
            Number of the sampling step, counted from 0.
        use : int
            `GUIDANCE` or `ARGM`.
        factors : sequence of Tensor
            A, or A and E, in [0, 1].
        """


class JointLoss:
    """The loss ``||X - H(A E)||_F + lambda ||Y - A E R^T||_F`` over all windows together.

    The paper's variant squares the norms. They are then divided by the number of observed values: the sums,
    as printed, make the plain step of the ARGM diverge on images of more than some 32 x 32 pixels.

    Parameters
    ----------
    windows : sequence of Guidance
        The observations.
    settings : ArgsDiffSettings
        Weights and variant of the loss.
    recording : bool
        Whether to record each call.

    Attributes
    ----------
    bases : list of tensors ``(d, C)``
        E at each recorded call, in [0, 1].
    pulls : list of tensors ``(2,)``
        Factors on the residuals of HSI and MSI in the gradient, at each recorded call.
    """

    def __init__(
        self, windows: Sequence[Guidance], settings: ArgsDiffSettings, recording: bool = False
    ) -> None:
        self.windows, self.recording = windows, recording
        self.weights = settings.lambda1, settings.lambda2
        self.squared = settings.variant == "paper"
        self.bases: list[Tensor] = []
        self.pulls: list[Tensor] = []

    def __call__(self, step: Tensor, use: int, factors: Sequence[Tensor]) -> Tensor:
        """Return the loss of A ``(n, d, H, W)``, for n windows, and E ``(d, C)``."""
        coefficients, basis = factors
        residuals = [window.residuals(a, basis) for window, a in zip(self.windows, coefficients, strict=True)]
        images = list(zip(*residuals, strict=True))
        weight = self.weights[use]
        if self.squared:
            of_hsi, of_msi = (sum(part.square().sum() for part in image) for image in images)
            count = sum(part.numel() for image in images for part in image)
            self._record(basis, torch.full((2,), 2 / count))
            return (of_hsi + weight * of_msi) / count
        of_hsi, of_msi = (reduce(torch.hypot, [part.norm() for part in image]) for image in images)
        self._record(basis, 1 / torch.stack([of_hsi, of_msi]))
        return of_hsi + weight * of_msi

    def _record(self, basis: Tensor, pulls: Tensor) -> None:
        if self.recording:
            self.bases.append(basis.detach())
            self.pulls.append(pulls.detach())


class RecordedLoss:
    """The loss of A alone, whose gradient equals the one of a joint run with the same residuals.

    Parameters
    ----------
    windows : sequence of Guidance
        The observations.
    bases : (steps, 2, d, C) tensor
        E of the joint run at each use of the loss in each step.
    pulls : (steps, 2, 2) tensor
        Factors on the residuals in the gradients of the joint run.
    settings : ArgsDiffSettings
        Weights of the loss.
    """

    recording = False

    def __init__(
        self, windows: Sequence[Guidance], bases: Tensor, pulls: Tensor, settings: ArgsDiffSettings
    ) -> None:
        self.windows, self.bases, self.pulls = windows, bases, pulls
        self.weights = settings.lambda1, settings.lambda2

    def __call__(self, step: Tensor, use: int, factors: Sequence[Tensor]) -> Tensor:
        """Return the loss of A ``(n, d, H, W)``: half the squared residuals times the recorded factors."""
        (coefficients,) = factors
        bases, pulls = (table.index_select(0, step)[0, use] for table in (self.bases, self.pulls))
        of_hsi, of_msi = pulls / 2
        total = torch.zeros((), device=coefficients.device)
        for window, a in zip(self.windows, coefficients, strict=True):
            hsi, msi = window.residuals(a, bases)
            total = total + of_hsi * hsi.square().sum() + self.weights[use] * of_msi * msi.square().sum()
        return total
