"""The network of `spectral_mlp`, and its training on the LR pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.sensing.nodata import missing_pixels
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress
from pipeline.errors import InputError
from pipeline.methods.optimisation import (
    Checkpoint,
    Schedule,
    falling_cosine,
    minimise,
    seeded_generator,
    seeded_network,
)
from pipeline.methods.spectral_mlp.settings import SpectralMlpSettings


class PixelNetwork(nn.Module):
    """Map MSI pixels ``(n, c)`` to spectra ``(n, C)``; inside, both are standardised band by band.

    Parameters
    ----------
    msi_bands, hsi_bands : int
        c and C.
    width, layers : int
        Width and number of the hidden layers.
    """

    msi_mean: Tensor
    msi_spread: Tensor
    hsi_mean: Tensor
    hsi_spread: Tensor

    def __init__(self, msi_bands: int, hsi_bands: int, width: int, layers: int) -> None:
        super().__init__()
        sizes = [msi_bands, *[width] * layers]
        hidden = [
            module
            for inputs, outputs in pairwise(sizes)
            for module in (nn.Linear(inputs, outputs), nn.GELU())
        ]
        self.standardised = nn.Sequential(*hidden, nn.Linear(width, hsi_bands))
        for name, bands in (("msi", msi_bands), ("hsi", hsi_bands)):
            self.register_buffer(f"{name}_mean", torch.zeros(bands))
            self.register_buffer(f"{name}_spread", torch.ones(bands))

    def standardise(self, examples: Examples) -> None:
        """Take mean and spread of each band from examples, those of the MSI bands with the noise of Y."""
        for name, pixels, noise in (("msi", examples.msi, examples.noise), ("hsi", examples.hsi, 0.0)):
            spread = (pixels.var(dim=0, correction=0) + noise**2).sqrt().clamp(min=examples.smallest)
            getattr(self, f"{name}_mean").copy_(pixels.mean(dim=0))
            getattr(self, f"{name}_spread").copy_(spread)

    def loss(self, msi: Tensor, hsi: Tensor) -> Tensor:
        """Return the mean absolute error of standardised spectra.

        Parameters
        ----------
        msi, hsi : (n, c), (n, C)
            Pixels and their spectra.
        """
        expected = (hsi - self.hsi_mean) / self.hsi_spread
        estimated: Tensor = self.standardised((msi - self.msi_mean) / self.msi_spread)
        return (estimated - expected).abs().mean()

    def forward(self, msi: Tensor) -> Tensor:
        """Return the spectra ``(n, C)`` of pixels ``(n, c)``."""
        spectra = self.standardised((msi - self.msi_mean) / self.msi_spread)
        result: Tensor = spectra * self.hsi_spread + self.hsi_mean
        return result


@dataclass(frozen=True)
class Examples:
    """Pixels with their spectra, from which the network learns.

    Attributes
    ----------
    msi, hsi : (n, c), (n, C)
        R X, and X, at the LR pixels with data.
    noise : (c,)
        Standard deviation of the noise that makes R X as noisy as Y.
    smallest : float
        Least spread by which a band is divided.
    """

    msi: Tensor
    hsi: Tensor
    noise: Tensor
    smallest: float

    @classmethod
    def of(cls, scene: ObservedScene, pool: Sequence[Observation], smallest: float) -> Examples:
        """Form the examples of a scene.

        Parameters
        ----------
        scene : ObservedScene
            The scene, with R and the noise levels.
        pool : sequence of Observation
            Its parts that are trained on.
        smallest : float
            Least spread by which a band is divided.

        Raises
        ------
        InputError
            No LR pixel has data.
        """
        spectra = np.concatenate([part.lr_hsi[:, ~missing_pixels(part.lr_hsi)] for part in pool], axis=1)
        if not spectra.shape[1]:
            raise InputError(
                "spectral_mlp: no pixel of lr_hsi has data; crop the scene to where both images have data"
            )
        of_matched = scene.spectral_response**2 @ scene.sigma_hsi**2
        noise = np.sqrt(np.maximum(scene.sigma_msi**2 - of_matched, 0))
        matched = scene.spectral_response @ spectra
        return cls(_float32(matched.T), _float32(spectra.T), _float32(noise), smallest)

    def to(self, device: torch.device) -> Examples:
        """Return the examples on a device."""
        return Examples(self.msi.to(device), self.hsi.to(device), self.noise.to(device), self.smallest)


def _float32(array: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def train(
    examples: Examples, settings: SpectralMlpSettings, seed: int, checkpoint: Checkpoint, progress: Progress
) -> PixelNetwork:
    """Train a network; each step sees other pixels of the examples, under other noise.

    Parameters
    ----------
    examples : Examples
        Pixels and their spectra.
    settings : SpectralMlpSettings
        Size of the network, and the training.
    seed : int
        Seed of the initial weights, of the pixels drawn and of the noise.
    checkpoint : Checkpoint
        File of an unfinished training.
    progress : callable
        Receives the number of finished steps and the loss.

    Raises
    ------
    InputError
        The loss is not finite.
    """
    device, (count, msi_bands) = examples.msi.device, examples.msi.shape
    network = seeded_network(
        lambda: PixelNetwork(msi_bands, examples.hsi.shape[1], settings.width, settings.layers),
        seed,
        "spectral_mlp/weights",
    ).to(device)
    network.standardise(examples)

    def loss(step: int) -> Tensor:
        generator = seeded_generator(seed, f"spectral_mlp/step/{step}")
        drawn = torch.randint(count, (settings.batch,), generator=generator).to(device)
        noise = torch.randn(settings.batch, msi_bands, generator=generator).to(device) * examples.noise
        return network.loss(examples.msi[drawn] + noise, examples.hsi[drawn])

    minimise(
        network,
        torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True),
        loss,
        Schedule(
            "spectral_mlp", "network", settings.iterations, checkpoint, falling_cosine(settings.iterations)
        ),
        progress=progress,
    )
    return network.requires_grad_(False).eval()
