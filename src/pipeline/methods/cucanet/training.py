"""Loss and parameters of CuCaNet's training, and the channel attention of the whole scene.

Adam at the published learning rates (Yao et al., ECCV 2020, and its public code). The loop is in
`pipeline.methods.optimisation`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.core.sensing.observation import ObservedScene
from pipeline.methods.cucanet.crops import Crop, Crops
from pipeline.methods.cucanet.losses import response_loss, total_loss
from pipeline.methods.cucanet.networks import FEATURES, CoupledNetworks
from pipeline.methods.cucanet.responses import LearnedResponses

MSI_RATE = 0.5  # learning rate of the MSI's encoder and unmixing, in units of the training's
SLOW_RATE = 0.2  # learning rate of attentions and responses


class Training(nn.Module):
    """Networks and responses of a scene.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    lr_shape : (int, int)
        Size of the crops in LR pixels.
    learned : bool
        Whether the responses are learned; else they are the observation's.
    bfloat16 : bool
        Whether encoders and unmixing compute in bfloat16.
    """

    srf: torch.Tensor

    def __init__(
        self, scene: ObservedScene, lr_shape: tuple[int, int], learned: bool, bfloat16: bool
    ) -> None:
        super().__init__()
        self.in_bfloat16 = bfloat16
        self.networks = CoupledNetworks(scene.bands, len(scene.spectral_response), lr_shape)
        self.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.responses = (
            LearnedResponses(scene.spatial_response, scene.spectral_response) if learned else None
        )
        given = torch.as_tensor(scene.spectral_response, dtype=torch.float32)
        self.register_buffer("srf", given, persistent=False)

    def loss(self, crop: Crop) -> Tensor:
        """Return the loss of a crop."""
        degrade: Callable[[Tensor], Tensor] = crop.operator.forward
        srf, target = self.srf, crop.target
        if self.responses is not None:
            degrade, srf = self.responses.degrade, self.responses.srf
        with torch.autocast(self.srf.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            made = self.networks(target.lr_hsi, crop.surrounded, crop.inner, degrade)
        total = total_loss(made, target, degrade(made.fused), srf)
        if self.responses is not None:
            total = total + response_loss(target, degrade(target.hr_msi), srf)
        return total

    def groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Return the parameter groups of the optimiser.

        Parameters
        ----------
        learning_rate : float
            Learning rate of the HSI's stream.
        """
        networks = self.networks
        rates: dict[float, list[nn.Module]] = {
            1.0: [networks.hsi_encoder, networks.hsi_unmixing, networks.hsi_decoder, networks.msi_decoder],
            MSI_RATE: [networks.msi_encoder, networks.msi_unmixing],
            SLOW_RATE: [networks.spatial_attention, networks.channel_attention],
        }
        if self.responses is not None:
            rates[SLOW_RATE].append(self.responses)
        return [
            {"params": list(chain(*(module.parameters() for module in modules))), "lr": rate * learning_rate}
            for rate, modules in rates.items()
        ]

    def project(self) -> None:
        """Project all parameters onto their constraints, after a step."""
        self.networks.project()
        if self.responses is not None:
            self.responses.project()


@torch.no_grad()
def scene_attention(networks: CoupledNetworks, crops: Crops) -> Tensor:
    """Return the mean channel attention ``(1, 512, 1, 1)`` over crops that cover the pool.

    Crops are weighted by their valid fraction.

    Parameters
    ----------
    networks : CoupledNetworks
        The trained networks.
    crops : Crops
        Crops of the scene.
    """
    total, valid = torch.zeros(1, FEATURES, 1, 1, device=crops.device), 0.0
    for lr_hsi, fraction in crops.lr_crops():
        total += fraction * networks.which(networks.hsi_encoder(lr_hsi))
        valid += fraction
    return total / valid
