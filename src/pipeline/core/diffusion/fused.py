"""Group norm, modulation and SiLU of an image at once, compiled to few kernels on a GPU.

There PyTorch's own group norm copies images that are laid out channels last, and bfloat16 ones to float32 and
back, which takes longer than the convolutions around it. A CPU has `GroupNormBfloat16` for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.diffusion.coupling import Coupled
from pipeline.core.diffusion.norms import GROUPS, Norm

log = logging.getLogger(__name__)

EPSILON = 1e-5  # that of PyTorch's group norm
VARIANTS = 64  # compiled variants kept: with and without gradients, modulation, bfloat16 and batch


def norm_silu(norm: nn.Module, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """Return ``SiLU(norm(x))``, in one go on a GPU that has a compiler.

    Parameters
    ----------
    norm : Norm
        The norm; one that records or replays statistics acts by itself.
    x : (n, channels, H, W) tensor
        Images; the result has the same type.
    scale, shift : (n, channels) tensor, optional
        Modulation by ``1 + scale`` and `shift`.
    """
    if x.is_cuda and isinstance(norm, Norm) and not isinstance(norm, Coupled) and norm.num_groups == GROUPS:
        fused = compiled()
        if fused is not None:
            # as views: for parameters it would be compiled anew for each number of channels
            weight, bias = norm.weight.expand(len(x), -1), norm.bias.expand(len(x), -1)
            return fused(x, weight, bias, scale, shift)
    return functional.silu(norm(x, scale, shift))


def norm_film_silu(
    x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor | None, shift: Tensor | None
) -> Tensor:
    """Return the SiLU of a modulated group norm with `GROUPS` groups; sums and products are in float32.

    Parameters
    ----------
    x : (n, channels, H, W) tensor
        Images.
    weight, bias : (n, channels) tensor
        The norm's weights and biases.
    scale, shift : (n, channels) tensor, optional
        Modulation.
    """
    values = x.float()
    variance, mean = torch.var_mean(values, dim=(2, 3), correction=0)  # of channels, which lie last
    means = mean.unflatten(1, (GROUPS, -1))
    centre = means.mean(2, keepdim=True)
    between = (means - centre).square().mean(2, keepdim=True)
    rstd = (variance.unflatten(1, (GROUPS, -1)).mean(2, keepdim=True) + between + EPSILON).rsqrt()
    centre, rstd = (of_group.expand_as(means).flatten(1) for of_group in (centre, rstd))
    if scale is not None and shift is not None:
        gain = 1 + scale.float()
        weight, bias = weight * gain, bias * gain + shift.float()
    normal = (values - centre[..., None, None]) * (rstd * weight)[..., None, None] + bias[..., None, None]
    return functional.silu(normal).to(x.dtype)


@cache
def compiled() -> Callable[..., Tensor] | None:
    """Return `norm_film_silu` compiled for the GPU, or None where that fails, which is logged.

    It needs Triton and a C compiler. `TORCH_COMPILE_DISABLE=1` in the environment forbids it.
    """
    from torch._dynamo import config  # here: it takes seconds to load

    if config.disable:
        return None
    config.recompile_limit = max(config.recompile_limit, VARIANTS)
    x = torch.zeros(1, 2 * GROUPS, 4, 6, device="cuda", requires_grad=True)
    rows = torch.zeros(1, 2 * GROUPS, device="cuda")
    try:
        fused: Callable[..., Tensor] = torch.compile(norm_film_silu, dynamic=True)
        with torch.enable_grad():
            torch.autograd.grad(fused(x, rows, rows, None, None).sum(), x)
    except Exception as error:  # of the compiler's parts each has its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        log.warning("group norms are not compiled, which costs time: %s", reason)
        return None
    return fused
