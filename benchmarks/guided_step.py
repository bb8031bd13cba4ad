"""Seconds per guided step of ARGS-Diff: a plain implementation against the project's path.

The plain one computes in float32 with the default memory layout and applies both responses to the
full C-band cube, as the public code does. Both run in turn in this process on the same random
observation and the same weights; what is compared is time, not accuracy.

    python benchmarks/guided_step.py [--size 256] [--bands 103] [--repeats 5] [--threads 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.methods.args_diff.fitted import FittedArgsDiff
from pipeline.methods.args_diff.guidance import ARGM, GUIDANCE, JointLoss
from pipeline.methods.args_diff.method import ArgsDiff
from pipeline.methods.args_diff.networks import SpatialUNet, SpectralNet, alpha_bar
from pipeline.methods.args_diff.sampling import guided_estimate, loss_gradient
from pipeline.methods.args_diff.settings import ArgsDiffSettings
from pipeline.methods.device import bfloat16_on, device_name, resolve_device
from pipeline.methods.diffusion.guidance import Guidance, guidance_of
from pipeline.methods.pool import unit_scale

RATIO = 4
MSI_BANDS = 4
MACS_256 = 116e9  # of one forward pass of the UNet at width 64 on 256 x 256 pixels


class FullCubeGuidance(Guidance):
    """The same residuals, formed on the full cube ``(C, H, W)``."""

    def residuals(self, coefficients: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
        """``X - H(Z)`` and ``Y - Z R^T`` with Z = A E written out."""
        cube = torch.einsum("dhw,dc->chw", coefficients, basis)
        of_hsi = self.lr_hsi - self.operator.forward(cube)
        of_msi = self.hr_msi - torch.einsum("bc,chw->bhw", self.spectral_response, cube)
        return of_hsi, of_msi


def random_observation(size: int, bands: int) -> Observation:
    """Make a random scene of the given size; its content does not matter here."""
    rng = np.random.default_rng(0)
    return simulate(
        rng.random((bands, size, size), dtype=np.float32),
        spectral_response=rng.dirichlet(np.ones(bands), MSI_BANDS),
        spatial_response=SpatialResponse.bicubic(ratio=RATIO),
    )


def guided_step(
    networks: tuple[torch.nn.Module, torch.nn.Module],
    factors: list[Tensor],
    guidance: Guidance,
    settings: ArgsDiffSettings,
) -> Callable[[], None]:
    """One step's heavy work: estimates, gradients through the networks, and the ARGM's gradients."""
    share = alpha_bar()[500].to(factors[0].device, torch.float32)
    loss = JointLoss([guidance], settings)

    def step() -> None:
        guided_estimate(networks, factors, 500, share, partial(loss, 0, GUIDANCE))
        loss_gradient(partial(loss, 0, ARGM), factors)

    return step


def responses_only(
    factors: list[Tensor], guidance: Guidance, settings: ArgsDiffSettings
) -> Callable[[], None]:
    """Compute the gradients of the ARGM alone."""
    loss = partial(JointLoss([guidance], settings), 0, ARGM)
    return lambda: loss_gradient(loss, factors) and None


def alternate(steps: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Wall times of each step, run in turn after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for count in range(repeats + 1):
        for name, step in steps.items():
            start = perf_counter()
            step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if count:
                times[name].append(perf_counter() - start)
    return times


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int = 2048, repeats: int = 10) -> float:
    """Measured rate of square matrix products, in operations per second."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times = alternate({"product": lambda: torch.mm(a, b)}, repeats)["product"]
    return 2 * size**3 / median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--bands", type=int, default=103)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    settings = ArgsDiffSettings()
    device = resolve_device("auto")
    observation = random_observation(args.size, args.bands)
    spatial, spectral = SpatialUNet(settings.d), SpectralNet(args.bands)
    scale, halo_lr = unit_scale(observation), ArgsDiff(settings).halo_lr(observation.spatial_response)
    fitted = FittedArgsDiff(observation, halo_lr, settings, 0, spatial, spectral, scale, None)
    guidance = guidance_of(observation, observation, observation.whole, scale, device)
    assert guidance is not None
    full_cube = FullCubeGuidance(**vars(guidance))
    factors = [torch.randn_like(x) for x in (fitted.start([observation.whole]), fitted.start_basis())]
    plain_networks = (
        SpatialUNet(settings.d).to(device).requires_grad_(False),
        SpectralNet(args.bands).to(device).requires_grad_(False),
    )
    steps = {
        "plain": guided_step(plain_networks, factors, full_cube, settings),
        "project": guided_step(fitted.sampling_networks(), factors, guidance, settings),
        "responses only, full cube": responses_only(factors, full_cube, settings),
        "responses only, coefficients": responses_only(factors, guidance, settings),
    }
    times = alternate(steps, args.repeats)

    bfloat16 = bfloat16_on(device, settings.precision)
    rates = {str(t).removeprefix("torch."): matrix_rate(device, t) for t in (torch.float32, torch.bfloat16)}
    flops = 4 * MACS_256 * (args.size / 256) ** 2  # a forward and a backward pass, two operations per MAC
    rate = rates["bfloat16" if bfloat16 else "float32"]
    shape = f"{args.size}x{args.size}x{args.bands}"
    print(f"{shape}, d = {settings.d}, {device_name(device)}, {args.threads} threads")
    for name, seconds in times.items():
        print(f"{name:30s} {median(seconds):8.3f} s  ({min(seconds):.3f} to {max(seconds):.3f})")
    pairs = [a / b for a, b in zip(times["plain"], times["project"], strict=True)]
    print(f"plain / project                {median(pairs):8.2f}    ({min(pairs):.2f} to {max(pairs):.2f})")
    for name, value in rates.items():
        print(f"matrix products, {name:13s} {value / 1e9:8.0f} GFLOP/s")
    print(f"network's arithmetic           {flops / 1e9:8.0f} GFLOP a step")
    print(f"bound at that rate             {flops / rate:8.3f} s")


if __name__ == "__main__":
    main()
