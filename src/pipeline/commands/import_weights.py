"""`pipeline weights import`: convert the published checkpoint of PLRDiff to a file without code."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.core.diffusion.sr3 import SR3UNet
from pipeline.errors import InputError
from pipeline.methods.optimisation import parameter_count
from pipeline.methods.plrdiff.published import converted, read_published, write_converted


def run(path: Path, out: Path) -> str:
    """Convert a checkpoint, and return a line that describes the network.

    Parameters
    ----------
    path : Path
        File of `torch.save`, with the weights of an SR3 network as ddpm-cd names them.
    out : Path
        The safetensors file to write.

    Raises
    ------
    InputError
        The file holds something else, or `out` is no safetensors file.
    """
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: name the file FILE.safetensors")
    shape, weights = converted(path, read_published(path))
    write_converted(out, shape, weights)
    with torch.device("meta"):
        millions = parameter_count(SR3UNet(shape)) / 1e6
    levels = ", ".join(map(str, shape.multipliers))
    return f"{out}: SR3 network of width {shape.width} x ({levels}), {millions:.2f} M parameters"
