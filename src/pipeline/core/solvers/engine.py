"""Where the solvers compute, and in which floating-point type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.spatial import SpatialOperator, interpolation

CPU = torch.device("cpu")
DOUBLE = torch.float64


@dataclass(frozen=True)
class Engine:
    """Device and floating-point type of a computation.

    Attributes
    ----------
    device : torch.device
        The device.
    dtype : torch.dtype
        `torch.float32` or `torch.float64`.
    """

    device: torch.device = CPU
    dtype: torch.dtype = DOUBLE

    @classmethod
    def of(cls, tensor: Tensor) -> Engine:
        """Return the engine to which a tensor belongs."""
        return cls(tensor.device, tensor.dtype)

    @property
    def resolution(self) -> float:
        """Difference between 1 and the next larger number."""
        return float(torch.finfo(self.dtype).eps)

    def tensor(self, values: Any) -> Tensor:
        """Return values as a tensor of the engine."""
        return torch.as_tensor(np.ascontiguousarray(values), dtype=self.dtype, device=self.device)

    def operator(self, operator: SpatialOperator) -> SpatialOperator:
        """Return H as an operator on tensors of the engine."""
        return operator.to(self.device, self.dtype)


def array(tensor: Tensor) -> NDArray[Any]:
    """Return the values of a tensor."""
    values: NDArray[Any] = tensor.cpu().numpy()
    return values


def mixed(matrix: Tensor, image: Tensor) -> Tensor:
    """Multiply each pixel of an image ``(b, H, W)`` with a matrix ``(a, b)``."""
    return (matrix @ image.reshape(len(image), -1)).view(len(matrix), *image.shape[1:])


def symmetric_root(matrices: Tensor) -> Tensor:
    """Return the symmetric square roots of positive matrices ``(..., d, d)``, which may be singular."""
    power, vectors = torch.linalg.eigh(matrices)
    roots: Tensor = (vectors * power.clamp(min=0).sqrt()[..., None, :]) @ vectors.mT
    return roots


def interpolated(image: Tensor, shape: tuple[int, int], shift: tuple[float, float]) -> Tensor:
    """Interpolate planes ``(..., h, w)`` without no-data bicubically (see `core.sensing.spatial.upsample`).

    Parameters
    ----------
    image : (..., h, w) tensor
        The planes.
    shape : (int, int)
        Height and width of the result.
    shift : (float, float)
        Shift of the planes' pixels relative to the result's grid, as in `SpatialResponse`.
    """
    height, width = image.shape[-2:]
    return Engine.of(image).operator(interpolation((height, width), shape, shift)).forward(image)
