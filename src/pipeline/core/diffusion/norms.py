"""Group normalisation of the UNet: over an image, over several together, or with given statistics.

Follows Wu and He (2018). Mean and variance over an image couple its distant pixels. With recorded statistics,
a norm acts on each pixel independently.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.diffusion.coupling import Coupled

GROUPS = 32  # of the published networks of ARGS-Diff and PLRDiff


class Norm(nn.GroupNorm):
    """GroupNorm with statistics and weights in float32 whatever the images' type.

    Parameters
    ----------
    channels : int
        Number of channels, a multiple of the number of groups.
    groups : int
        Number of groups.
    """

    def __init__(self, channels: int, groups: int = GROUPS) -> None:
        super().__init__(groups, channels)

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Normalise images and modulate them by ``1 + scale`` and `shift`.

        On a CPU in bfloat16, scale and shift act on the norm's own weight and bias, which saves a pass over
        the image.

        Parameters
        ----------
        x : (n, channels, H, W) tensor
            Images; the result has the same type.
        scale, shift : (n, channels) tensor, optional
            Modulation.
        """
        gain = None if scale is None else 1 + scale.float()
        if _folds(x):
            weight, bias = self.weight.expand(len(x), -1), self.bias.expand(len(x), -1)
            if gain is not None and shift is not None:
                weight, bias = weight * gain, bias * gain + shift.float()
            return GroupNormBfloat16.apply(x, weight, bias, self.eps, self.num_groups)
        normal = super().forward(x.float())
        if gain is not None and shift is not None:
            normal = torch.addcmul(shift.float()[..., None, None], normal, gain[..., None, None])
        return normal.to(x.dtype)


class GroupNormBfloat16(torch.autograd.Function):
    """GroupNorm of a bfloat16 image on a CPU.

    PyTorch's own backward pass takes as long as the convolutions around it (60 ms against 10 ms here for
    128 x 256 x 256). This implementation takes the two sums that it needs per channel, in float32, from the
    backward pass of the batch norm, which is vectorised.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, groups: int) -> Tensor:
        """Normalise images.

        Parameters
        ----------
        ctx : object
            Holds what the backward pass needs.
        x : (n, channels, H, W) tensor
            Images.
        weight, bias : (n, channels) tensor
            Weights and biases.
        eps : float
            Added to the variance.
        groups : int
            Number of groups.
        """
        ctx.groups = groups
        _, channels, height, width = x.shape
        gamma, beta = weight.to(x.dtype), bias.to(x.dtype)
        y, mean, rstd = zip(
            *(
                torch.native_group_norm(
                    x[i : i + 1], gamma[i], beta[i], 1, channels, height * width, groups, eps
                )
                for i in range(len(x))
            ),
            strict=True,
        )
        ctx.save_for_backward(x, weight, torch.cat(mean).float(), torch.cat(rstd).float())
        return y[0] if len(y) == 1 else torch.cat(y)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the image, the weights and the biases.

        With ``xhat = (x - mean) rstd``: ``dx = rstd (w dy - mean(w dy) - xhat mean(w dy xhat))``,
        the means taken over each group.
        """
        x, weight, mean, rstd = ctx.saved_tensors
        n, channels, height, width = x.shape
        size = channels // ctx.groups
        mean, rstd = mean.repeat_interleave(size, 1), rstd.repeat_interleave(size, 1)
        sums = [
            torch.ops.aten.native_batch_norm_backward(
                dy[i : i + 1],
                x[i : i + 1],
                weight[i],
                None,
                None,
                mean[i],
                rstd[i],
                True,
                0.0,
                [False, True, True],
            )[1:]
            for i in range(n)
        ]
        dweight, dbias = (torch.stack(column) for column in zip(*sums, strict=True))

        def group_mean(per_channel: Tensor) -> Tensor:
            grouped = (per_channel * weight).view(n, ctx.groups, size).sum(2) / (size * height * width)
            return grouped.repeat_interleave(size, 1)

        along, across = group_mean(dweight), group_mean(dbias)
        dx = image_gradient(x, dy, weight, (mean, rstd), (across, along))
        return dx, dweight, dbias, None, None


def image_gradient(
    x: Tensor,
    dy: Tensor,
    weight: Tensor,
    statistics: tuple[Tensor, Tensor],
    slopes: tuple[Tensor, Tensor],
) -> Tensor:
    """Return the gradient of the image, ``rstd (w dy - across - xhat along)``.

    Parameters
    ----------
    x, dy : (n, channels, H, W) tensor
        Images, and gradient of the result.
    weight : (n, channels) tensor
        Weights w.
    statistics : tuple of two (n, channels) tensors
        Mean and reciprocal standard deviation.
    slopes : tuple of two (n, channels) tensors
        ``across`` and ``along``: means of ``w dy`` and of ``w dy xhat``.
    """
    (mean, rstd), (across, along) = statistics, slopes
    of_dy, of_x, constant = (
        factor.to(x.dtype)[..., None, None]
        for factor in (rstd * weight, -rstd * rstd * along, rstd * (rstd * mean * along - across))
    )
    return torch.addcmul(constant, x, of_x).addcmul_(dy, of_dy)


class RecordingNorm(Norm, Coupled):
    """A norm over all images of a batch together that records its means in the forward and backward pass.

    Attributes
    ----------
    statistics : (2, groups) tensor
        Mean and variance of each group in the last call.
    slopes : (2, groups) tensor
        Means of ``w dy`` and ``w dy xhat`` of each group in the backward pass of that call.
    """

    slopes: Tensor

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Normalise images as a single image of height ``n H``.

        Parameters
        ----------
        x : (n, channels, H, W) tensor
            Images.
        scale, shift : (n, channels) tensor, optional
            Modulation, equal for all images.
        """
        n, channels, height, width = x.shape
        image = x.permute(0, 2, 3, 1).reshape(1, n * height, width, channels).permute(0, 3, 1, 2)
        values = image.detach().float().reshape(self.num_groups, -1)
        variance, mean = torch.var_mean(values, dim=1, correction=0)
        self.statistics = torch.stack([mean, variance])
        weight = self.weight.detach() if scale is None else self.weight.detach() * (1 + scale[0].float())

        def keep(dy: Tensor) -> None:
            pulled = (dy.float() * weight[:, None, None]).reshape(self.num_groups, -1)
            normal = (image.detach().float().reshape(self.num_groups, -1) - mean[:, None]) * (
                variance[:, None] + self.eps
            ).rsqrt()
            self.slopes = torch.stack([pulled.mean(1), (pulled * normal).mean(1)])

        y = super().forward(image, *(None if rows is None else rows[:1] for rows in (scale, shift)))
        if y.requires_grad:
            y.register_hook(keep)
        return y.permute(0, 2, 3, 1).reshape(n, height, width, channels).permute(0, 3, 1, 2)


class FrozenNorm(Norm, Coupled):
    """A norm that uses the statistics of a `RecordingNorm` and so acts on each pixel independently.

    Attributes
    ----------
    statistics : (2, groups) tensor
        Mean and variance of each group.
    slopes : (2, groups) tensor, optional
        Means of ``w dy`` and ``w dy xhat`` of each group; only a backward pass needs them.
    """

    slopes: Tensor | None = None

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Normalise images.

        Parameters
        ----------
        x : (n, channels, H, W) tensor
            Images.
        scale, shift : (n, channels) tensor, optional
            Modulation, equal for all images.
        """
        weight, bias = self.weight.detach(), self.bias.detach()
        if scale is not None and shift is not None:
            gain = 1 + scale[0].float()
            weight, bias = weight * gain, bias * gain + shift[0].float()
        size = x.shape[1] // self.num_groups
        slopes = torch.zeros_like(self.statistics) if self.slopes is None else self.slopes
        rows = torch.cat([self.statistics, slopes]).repeat_interleave(size, 1)
        if _folds(x):
            # rounded as in GroupNormBfloat16
            weight, bias = weight.to(x.dtype).float(), bias.to(x.dtype).float()
        y: Tensor = FrozenGroupNorm.apply(x, weight, bias, rows, self.eps)
        return y


class FrozenGroupNorm(torch.autograd.Function):
    """Group normalisation with given means over the image, in the forward and the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, rows: Tensor, eps: float) -> Tensor:
        """Normalise images.

        Parameters
        ----------
        ctx : object
            Context that keeps tensors for the backward pass.
        x : (n, channels, H, W) tensor
            Images.
        weight, bias : (channels,) tensor
            Weight and bias.
        rows : (4, channels) tensor
            Mean, variance, and the means of ``w dy`` and ``w dy xhat``.
        eps : float
            Added to the variance.
        """
        mean, variance, across, along = rows
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt(), along, across)
        return functional.batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the image; weights are not trained with recorded statistics."""
        x, weight, mean, rstd, along, across = ctx.saved_tensors
        return image_gradient(x, dy, weight, (mean, rstd), (across, along)), *[None] * 4


def _folds(x: Tensor) -> bool:
    """Return whether norms of this image round their weight and bias to bfloat16."""
    return x.dtype == torch.bfloat16 and x.device.type == "cpu"
