"""The two noise-prediction networks of ARGS-Diff and their noise schedule.

Follows arXiv 2505.11800, section 3.2, and the UNet family of guided diffusion (Dhariwal and Nichol 2021).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pipeline.core.diffusion.fused import norm_silu
from pipeline.core.diffusion.norms import Norm
from pipeline.core.diffusion.schedules import exponential
from pipeline.core.diffusion.sr3 import Upsample, padded

STEPS = 1000  # K, steps of the noise schedule
MULTIPLIERS = (1, 2, 3, 4)  # channels of the UNet's levels, in units of its width
STRIDE = 2 ** (len(MULTIPLIERS) - 1)  # sides of the UNet's input are multiples of this


def alpha_bar() -> Tensor:
    """Return the signal's share of the power ``(K,)`` in each step of the "exp" schedule, in float64."""
    return exponential(STEPS)


# Published hidden widths and embedding sizes, and the number of bands up to which they are the nearest
SPECTRAL_SHAPES = (
    (75, (128, 256, 128), 30),
    (115, (256, 512, 256), 60),
    (152, (256, 512, 256), 70),
    (math.inf, (400, 800, 400), 100),
)


class SpectralNet(nn.Module):
    """Prediction of the noise in single spectra, by four linear layers.

    The published network has widths chosen per data set (Houston 48 bands, Pavia University 103, Chikusei
    128, KSC 176); here the nearest number of bands decides. The paper speaks of five layers and of d spectra
    as a sample. Its public code has four layers and trains on single spectra, which is equivalent, since rows
    do not interact.

    Parameters
    ----------
    bands : int
        C, length of a spectrum.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        hidden, width = next((h, e) for most, h, e in SPECTRAL_SHAPES if bands <= most)
        self.embedding = nn.Embedding(STEPS, width)
        sizes = (bands + width, *hidden)
        layers: list[nn.Module] = []
        for i in range(3):
            layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU6() if i == 0 else nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], bands))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Predict the noise of spectra ``(n, C)`` at schedule indices ``(n,)``."""
        return self.layers(torch.cat([x, self.embedding(t).to(x.dtype)], dim=-1))


class SpatialUNet(nn.Module):
    """Prediction of the noise in an image of d channels: a UNet without attention.

    Four levels of width x (1, 2, 3, 4) with two residual blocks each on the way down and three on
    the way up, a middle of two, strided convolutions down, nearest-neighbour and convolution up.
    At width 64 and d = 8 it holds 20.71 M parameters.

    Parameters
    ----------
    channels : int
        d, number of input and output channels.
    width : int
        Number of channels of the first level, a multiple of 32.
    norm : type
        Kind of norm; names and shapes of the weights do not depend on it.
    """

    def __init__(self, channels: int, width: int = 64, norm: type[Norm] = Norm) -> None:
        super().__init__()
        self.width = width
        time = 4 * width
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.inlet = nn.Conv2d(channels, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, now = [width], width
        for level, multiplier in enumerate(MULTIPLIERS):
            for _ in range(2):
                self.down.append(ResidualBlock(now, width * multiplier, time, norm))
                now = width * multiplier
                skips.append(now)
            if level < len(MULTIPLIERS) - 1:
                self.down.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                skips.append(now)
        self.middle = nn.ModuleList([ResidualBlock(now, now, time, norm) for _ in range(2)])
        for level, multiplier in reversed(list(enumerate(MULTIPLIERS))):
            for _ in range(3):
                self.up.append(ResidualBlock(now + skips.pop(), width * multiplier, time, norm))
                now = width * multiplier
            if level:
                self.up.append(Upsample(now))
        self.outlet = nn.Sequential(norm(now), nn.SiLU(), _zeroed(nn.Conv2d(now, channels, 3, padding=1)))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Predict the noise of images ``(n, d, H, W)``, of any H and W, at schedule indices ``(n,)``."""
        height, width = x.shape[-2:]
        x = padded(x, STRIDE).to(self.inlet.weight.dtype)
        emb = self.time(sinusoids(t, self.width).to(x.dtype))
        x = self.inlet(x)
        skips = [x]
        for block in self.down:
            x = block(x, emb) if isinstance(block, ResidualBlock) else block(x)
            skips.append(x)
        for block in self.middle:
            x = block(x, emb)
        for block in self.up:
            x = block(torch.cat([x, skips.pop()], 1), emb) if isinstance(block, ResidualBlock) else block(x)
        return self.outlet[2](norm_silu(self.outlet[0], x))[..., :height, :width]


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, 3x3 convolution, twice, with scale and shift from the time embedding.

    Parameters
    ----------
    channels, out : int
        Number of input and of output channels.
    time : int
        Length of the time embedding.
    norm : type
        Kind of norm.
    """

    def __init__(self, channels: int, out: int, time: int, norm: type[Norm]) -> None:
        super().__init__()
        self.first = nn.Sequential(norm(channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(time, 2 * out))
        self.norm = norm(out)
        self.second = nn.Sequential(nn.SiLU(), _zeroed(nn.Conv2d(out, out, 3, padding=1)))
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Update an image ``(n, channels, H, W)`` given the time embedding ``(n, time)``."""
        # the SiLU of each sequence is in its norm's call; it stays an entry, for the names of the weights
        h = self.first[2](norm_silu(self.first[0], x))
        h = norm_silu(self.norm, h, *self.modulation(emb).chunk(2, dim=1))
        return self.skip(x) + self.second[1](h)


def sinusoids(t: Tensor, width: int) -> Tensor:
    """Return the sinusoidal embedding ``(n, width)`` of schedule indices ``(n,)``."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device) / half)
    angles = t[:, None].float() * frequencies
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def to_precision(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Convert convolutions and linear layers to a type, in place; the norms stay in float32."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.to(dtype)
    return network


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
