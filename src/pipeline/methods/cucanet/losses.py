"""The losses of CuCaNet: reconstruction, consistency with the responses, and priors of the abundances.

Yao et al. (ECCV 2020), equation of the total loss in section 3.3. The published sums of absolute differences
are divided by the number of LR pixels here, so that the weights hold for crops of any size.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pipeline.methods.cucanet.networks import Reconstruction

RECONSTRUCTION = 10.0  # each image by its own stream
CONSISTENCY = 10.0  # the fused image degraded by either response
RESPONSES = 1e4  # LR-HSI degraded by the SRF against HR-MSI degraded by the PSF, if they are learned
SUM_TO_ONE = 0.01
SPARSITY = 0.01
SPARSE_LEVEL = 0.01  # mean of an abundance at which the sparsity term is zero
SMALLEST = 1e-6  # abundances are kept this far from 0 and 1 inside a logarithm


@dataclass(frozen=True)
class Target:
    """A crop of the observation, with masks of its valid pixels.

    Attributes
    ----------
    lr_hsi : (n, C, h, w) tensor
        The LR-HSI.
    hr_msi : (n, c, H, W) tensor
        The HR-MSI.
    lr_valid, hr_valid : (h, w) and (H, W) tensors
        1 where a pixel has data, else 0.
    pixels : float
        Number of HR pixels for each LR pixel, the squared ratio.
    """

    lr_hsi: Tensor
    hr_msi: Tensor
    lr_valid: Tensor
    hr_valid: Tensor
    pixels: float


def absolute_error(image: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return ``sum |image - target|`` over the bands, averaged over valid pixels.

    Parameters
    ----------
    image, target : (n, channels, y, x) tensor
        Images to compare.
    valid : (y, x) tensor
        1 where a pixel counts, else 0.
    """
    return per_pixel((image - target).abs(), valid)


def sum_to_one(abundances: Tensor, valid: Tensor) -> Tensor:
    """Return ``|sum_k s_k - 1|``, averaged over valid pixels."""
    return per_pixel((abundances.sum(1, keepdim=True) - 1).abs(), valid)


def sparsity(abundances: Tensor, valid: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence between Bernoulli variables of mean p and of the abundances.

    ``sum_k p log(p / s_k) + (1 - p) log((1 - p) / (1 - s_k))``, averaged over valid pixels, with p equal to
    `SPARSE_LEVEL`. The public code compares softmaxes of both over the abundances instead, which draws all
    abundances to the same value.
    """
    p, s = SPARSE_LEVEL, abundances.clamp(SMALLEST, 1 - SMALLEST)
    return per_pixel(p * (p / s).log() + (1 - p) * ((1 - p) / (1 - s)).log(), valid)


def per_pixel(values: Tensor, valid: Tensor) -> Tensor:
    """Sum values ``(n, channels, y, x)`` over the bands, and average over valid pixels and images."""
    return (values * valid).sum() / (len(values) * valid.sum()).clamp(min=1)


def total_loss(made: Reconstruction, target: Target, lr_of_fused: Tensor, srf: Tensor) -> Tensor:
    """Return the weighted sum of all terms but `response_loss`, per LR pixel.

    Parameters
    ----------
    made : Reconstruction
        Output of the networks.
    target : Target
        The crop of the observation.
    lr_of_fused : (n, C, h, w) tensor
        The fused image degraded by the PSF.
    srf : (c, C) tensor
        R.
    """
    msi_of_fused = to_msi(srf, made.fused)
    lr_valid, hr_valid = target.lr_valid, target.hr_valid
    at_lr = (
        RECONSTRUCTION * absolute_error(made.lr_hsi, target.lr_hsi, lr_valid)
        + CONSISTENCY * absolute_error(lr_of_fused, target.lr_hsi, lr_valid)
        + SUM_TO_ONE * sum_to_one(made.lr_abundances, lr_valid)
        + SPARSITY * sparsity(made.lr_abundances, lr_valid)
    )
    at_hr = (
        RECONSTRUCTION * absolute_error(made.hr_msi, target.hr_msi, hr_valid)
        + CONSISTENCY * absolute_error(msi_of_fused, target.hr_msi, hr_valid)
        + SUM_TO_ONE * sum_to_one(made.hr_abundances, hr_valid)
        + SPARSITY * sparsity(made.hr_abundances, hr_valid)
    )
    return at_lr + target.pixels * at_hr


def response_loss(target: Target, lr_of_msi: Tensor, srf: Tensor) -> Tensor:
    """Return the weighted difference of both images, each degraded by the other's response.

    Parameters
    ----------
    target : Target
        The crop of the observation.
    lr_of_msi : (n, c, h, w) tensor
        The HR-MSI degraded by the PSF.
    srf : (c, C) tensor
        R.
    """
    return RESPONSES * absolute_error(to_msi(srf, target.lr_hsi), lr_of_msi, target.lr_valid)


def to_msi(srf: Tensor, image: Tensor) -> Tensor:
    """Degrade an HSI ``(n, C, y, x)`` by a spectral response ``(c, C)``."""
    n, bands, height, width = image.shape
    return (srf @ image.reshape(n, bands, -1)).view(n, len(srf), height, width)
