"""The loss of S2CycleDiff: mean absolute errors of both branches, of the cycle and of the fusion."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from pipeline.methods.diffusion.examples import Sample, absolute_error
from pipeline.methods.s2cyclediff.networks import S2CycleNetworks

CYCLE_WEIGHT = 0.1  # of the terms of the cycle; of LR-HSI and HR-MSI after the first phase only


class Terms(NamedTuple):
    """Terms of the loss, under their numbers in the published code.

    Attributes
    ----------
    spectral, spatial : Tensor
        l1 and l2: errors of both branches' cubes.
    lr_hsi : Tensor
        l4: error of the LR-HSI that the spectral branch implies.
    hr_msi : Tensor
        l5: error of the HR-MSI that the spatial branch implies.
    responses : Tensor
        l6: difference of the LR-MSIs that both images imply.
    fused : Tensor or None
        l7: error of the fusion block's cube; None in the first phase, which does not train it.
    """

    spectral: Tensor
    spatial: Tensor
    lr_hsi: Tensor
    hr_msi: Tensor
    responses: Tensor
    fused: Tensor | None


def total(terms: Terms) -> Tensor:
    """Return the weighted sum of the terms: l4 and l5 have their full weight in the first phase.

    Parameters
    ----------
    terms : Terms
        The terms; without `fused` in the first phase.
    """
    branches = terms.spectral + terms.spatial
    cycle = terms.lr_hsi + terms.hr_msi
    if terms.fused is None:
        return branches + cycle + CYCLE_WEIGHT * terms.responses
    return branches + CYCLE_WEIGHT * (cycle + terms.responses) + terms.fused


def loss_terms(
    networks: S2CycleNetworks, spectral: Tensor, spatial: Tensor, sample: Sample, fused: bool
) -> Terms:
    """Return all terms for the predictions of both branches.

    Parameters
    ----------
    networks : S2CycleNetworks
        Networks with the learned responses and the fusion block.
    spectral, spatial : (n, C, H, W) tensor
        Predicted clean cube of each branch.
    sample : Sample
        The crops.
    fused : bool
        Whether the fusion block is trained.
    """
    valid_lr = valid_below(sample.valid, networks.hsi_psf.stride[0])
    of_fusion = None
    if fused:
        cube = networks.fused(spectral.detach(), spatial.detach())
        of_fusion = absolute_error(cube, sample.target, sample.valid)
    return Terms(
        absolute_error(spectral, sample.target, sample.valid),
        absolute_error(spatial, sample.target, sample.valid),
        absolute_error(networks.hsi_psf(spectral), sample.lr_hsi, valid_lr),
        absolute_error(networks.srf(spatial), sample.hr_msi, sample.valid),
        absolute_error(networks.msi_psf(sample.hr_msi), networks.srf(sample.lr_hsi), valid_lr),
        of_fusion,
    )


def valid_below(valid: Tensor, ratio: int) -> Tensor:
    """Return 1 for LR pixels ``(n, 1, h, w)`` whose HR pixels all have data, else 0.

    Parameters
    ----------
    valid : (n, 1, H, W) tensor
        1 where there are data, else 0.
    ratio : int
        HR pixels per LR pixel.
    """
    return 1 - functional.max_pool2d(1 - valid, ratio)
