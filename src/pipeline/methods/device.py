"""Device, precision and threads of the networks' computations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from pipeline.core.solvers.engine import Engine
from pipeline.errors import InputError
from pipeline.methods.settings import SolverSettings


def resolve_device(name: str) -> torch.device:
    """Return the device of a setting.

    Parameters
    ----------
    name : str
        `cpu`, `cuda` or `auto`, which is the GPU if there is one.

    Raises
    ------
    InputError
        A GPU is asked for and PyTorch finds none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda was asked for, but PyTorch finds no GPU; use cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def solver_engine(settings: SolverSettings, automatic: torch.dtype = torch.float64) -> Engine:
    """Return the device and the floating-point type that settings ask for.

    Parameters
    ----------
    settings : SolverSettings
        The settings.
    automatic : torch.dtype
        Type that the precision `auto` means.
    """
    chosen = automatic if settings.precision == "auto" else getattr(torch, settings.precision)
    return Engine(resolve_device(settings.device), chosen)


def precision_name(dtype: torch.dtype) -> str:
    """Return the name of a floating-point type, such as `float32`."""
    return str(dtype).removeprefix("torch.")


def bfloat16_on(device: torch.device, precision: str) -> bool:
    """Return whether networks compute in bfloat16.

    Parameters
    ----------
    device : torch.device
        The device that the networks are on.
    precision : str
        `float32`, `bfloat16` or `auto`. `auto` is bfloat16 where the device has instructions for it, unless
        the environment variable `PIPELINE_BFLOAT16` is 0: jobs of one experiment on unlike processors,
        and tests of results without bfloat16, then all compute in float32.

    Raises
    ------
    InputError
        `PIPELINE_BFLOAT16` is neither 0 nor 1.
    """
    allowed = os.environ.get("PIPELINE_BFLOAT16", "1")
    if allowed not in ("0", "1"):
        raise InputError(
            f"PIPELINE_BFLOAT16: {allowed!r} is neither 0 nor 1; set it to 0 to train in float32 wherever "
            "`precision` is auto, or unset it"
        )
    if precision != "auto":
        return precision == "bfloat16"
    if allowed == "0":
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, its convolutions laid out channels last."""
    moved: nn.Module = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def device_name(device: torch.device) -> str:
    """Return `cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Compute with a fixed number of CPU threads: the last bits of results depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def reproducible(device: torch.device, threads: int) -> Iterator[None]:
    """Compute so that equal runs give equal bytes.

    Parameters
    ----------
    device : torch.device
        Device of the computation; kernels on a GPU are deterministic where PyTorch has such.
    threads : int
        Number of CPU threads.
    """
    with torch_threads(threads), _deterministic_gpu() if device.type == "cuda" else nullcontext():
        yield


@contextmanager
def _deterministic_gpu() -> Iterator[None]:
    """Use deterministic kernels where PyTorch has them, and float32 without TF32.

    PyTorch then fills each new tensor, a tenth of a sampling's time, lest one is read before it is written;
    none is here.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it starts
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory: Any = torch.utils.deterministic  # typed without its switch
    filled, memory.fill_uninitialized_memory = memory.fill_uninitialized_memory, False
    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        memory.fill_uninitialized_memory = filled
        torch.backends.cuda.matmul.allow_tf32 = tf32
