"""Weights of SR3 networks as ddpm-cd publishes them, under the names of `pipeline.core.diffusion.sr3`.

The published file holds a dictionary of tensors: the network's under the prefix ``denoise_fn.``, beside the
schedule's. Names that it gives to the layers (N counts the layers of a list):

==========================  ==========================================
here                        ddpm-cd
==========================  ==========================================
``embedding.layers.0``      ``noise_level_mlp.1``
``embedding.layers.2``      ``noise_level_mlp.3``
``inlet``                   ``downs.0``
``down.N``                  ``downs.N+1``; strided convolutions ``downs.N+1.conv``
``middle.N``, ``up.N``      ``mid.N``, ``ups.N``
``outlet.0``, ``outlet.2``  ``final_conv.block.0``, ``final_conv.block.3``
``.first.0``, ``.first.2``  ``.res_block.block1.block.0``, ``.res_block.block1.block.3``
``.noise``                  ``.res_block.noise_func.noise_func.0``
``.second.0``, ``.2``       ``.res_block.block2.block.0``, ``.res_block.block2.block.3``
``.skip``                   ``.res_block.res_conv``
``.attention.norm``, etc.   ``.attn.norm``, ``.attn.qkv``; ``.attention.project`` is ``.attn.out``
==========================  ==========================================
"""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from pipeline.core.diffusion.sr3 import Shape, SR3UNet
from pipeline.errors import InputError
from pipeline.methods.checkpoint import read_arrays, write_arrays
from pipeline.methods.diffusion.low_rank_sampling import CHANNELS
from pipeline.methods.plrdiff.settings import DIGEST, recorded

PREFIX = "denoise_fn."
SHAPE = "shape"  # in the metadata of a converted file
WHERE = (
    "I190000_E97_gen.pth (about 1.5 GB) is published by github.com/wgcban/ddpm-cd: release "
    "initial_release, or the Dropbox and Google Drive links of its README"
)
HOW = "convert it once with `pipeline weights import I190000_E97_gen.pth --out FILE.safetensors`"

Weights = dict[str, Tensor]

RULES = [
    (r"^embedding\.layers\.0\.", "noise_level_mlp.1."),
    (r"^embedding\.layers\.2\.", "noise_level_mlp.3."),
    (r"^inlet\.", "downs.0."),
    (r"^middle\.", "mid."),
    (r"^up\.", "ups."),
    (r"^outlet\.0\.", "final_conv.block.0."),
    (r"^outlet\.2\.", "final_conv.block.3."),
    (r"\.first\.0\.", ".res_block.block1.block.0."),
    (r"\.first\.2\.", ".res_block.block1.block.3."),
    (r"\.noise\.", ".res_block.noise_func.noise_func.0."),
    (r"\.second\.0\.", ".res_block.block2.block.0."),
    (r"\.second\.2\.", ".res_block.block2.block.3."),
    (r"\.skip\.", ".res_block.res_conv."),
    (r"\.attention\.project\.", ".attn.out."),
    (r"\.attention\.", ".attn."),
]
"""Regular expressions of names here, and their replacements in ddpm-cd; `down` is renumbered besides."""


def published_name(name: str) -> str:
    """Return the name in ddpm-cd of a weight.

    >>> published_name("down.0.first.2.weight"), published_name("down.2.bias")
    ('downs.1.res_block.block1.block.3.weight', 'downs.3.conv.bias')

    Parameters
    ----------
    name : str
        Name in `SR3UNet.state_dict`.
    """
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    name = re.sub(r"^down\.(\d+)\.", lambda match: f"downs.{int(match[1]) + 1}.", name)
    return re.sub(r"^(downs\.[1-9]\d*)\.(weight|bias)$", r"\1.conv.\2", name)


def shape_of(weights: Weights) -> Shape:
    """Return the size of the network whose weights have the names of ddpm-cd.

    Parameters
    ----------
    weights : dict of Tensor
        Weights, without the prefix.

    Raises
    ------
    KeyError
        A weight is missing that tells the size.
    """
    inputs, width = weights["downs.0.weight"].shape[1], weights["downs.0.weight"].shape[0]
    levels: list[list[int]] = [[]]
    attention: set[int] = set()
    number = 1
    while True:
        block = f"downs.{number}."
        if f"{block}conv.weight" in weights:
            levels.append([])
        elif f"{block}res_block.block1.block.3.weight" in weights:
            levels[-1].append(len(weights[f"{block}res_block.block1.block.3.weight"]) // width)
            attention |= {len(levels) - 1} if f"{block}attn.qkv.weight" in weights else set()
        else:
            break
        number += 1
    return Shape(
        inputs,
        len(weights["final_conv.block.3.weight"]),
        width,
        tuple(level[-1] for level in levels if level),
        len(levels[0]),
        sorted(attention),
        "mid.0.attn.qkv.weight" in weights,
    )


def read_published(path: Path) -> Weights:
    """Read the network's weights of a file by `torch.save`, under the names of ddpm-cd without the prefix.

    Raises
    ------
    InputError
        The file is missing, is no such file, or holds code.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; {WHERE}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: holds more than tensors, or is damaged ({reason[:120]}); code in a file is never run: "
            "take the published file"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{path}: is no file of torch.save ({str(error)[:120]}); {WHERE}") from None
    tensors = content if isinstance(content, dict) else {}
    weights = {
        name.removeprefix(PREFIX): tensor
        for name, tensor in tensors.items()
        if isinstance(name, str) and name.startswith(PREFIX) and isinstance(tensor, Tensor)
    }
    if not weights:
        raise InputError(f"{path}: has no tensor whose name begins with {PREFIX!r}; {WHERE}")
    return weights


def converted(path: Path, weights: Weights) -> tuple[Shape, Weights]:
    """Return size and weights of a network, under the names of `SR3UNet`, in float32.

    Parameters
    ----------
    path : Path
        The file, for errors.
    weights : dict of Tensor
        Weights under the names of ddpm-cd, without the prefix.

    Raises
    ------
    InputError
        A weight is missing, unknown or of another shape.
    """
    try:
        shape = shape_of(weights)
        with torch.device("meta"):
            expected = SR3UNet(shape).state_dict()
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"{path}: holds no SR3 network of ddpm-cd ({error}); {WHERE}") from None
    names = {published_name(name): name for name in expected}
    faults = mismatches({theirs: expected[ours].shape for theirs, ours in names.items()}, weights)
    if faults:
        raise InputError(f"{path}: {'; '.join(faults)}; {WHERE}")
    return shape, {ours: weights[theirs].float() for theirs, ours in names.items()}


def mismatches(expected: dict[str, torch.Size], weights: Weights) -> list[str]:
    """Return a phrase for each kind of mismatch between names and shapes.

    Parameters
    ----------
    expected : dict of torch.Size
        Shapes by name.
    weights : dict of Tensor
        The weights.
    """
    missing = [name for name in expected if name not in weights]
    unknown = [name for name in weights if name not in expected]
    other = [
        f"{name} {tuple(weights[name].shape)} for {tuple(size)}"
        for name, size in expected.items()
        if name in weights and weights[name].shape != size
    ]
    kinds = {"missing": missing, "unknown": unknown, "of another shape": other}
    return [f"{len(names)} weights {kind}, such as {names[0]}" for kind, names in kinds.items() if names]


def write_converted(path: Path, shape: Shape, weights: Weights) -> None:
    """Write a network's weights with its size and their digest, atomically.

    Parameters
    ----------
    path : Path
        The file to write.
    shape : Shape
        Size of the network.
    weights : dict of Tensor
        Weights under the names of `SR3UNet`.
    """
    metadata = {SHAPE: json.dumps(asdict(shape)), DIGEST: digest_of(weights)}
    write_arrays(path, {name: weight.numpy() for name, weight in weights.items()}, metadata)


def read_converted(path: str | None) -> tuple[Shape, Weights, str]:
    """Read a network's size, its weights and their digest.

    Parameters
    ----------
    path : str or None
        File from `write_converted`.

    Raises
    ------
    InputError
        The file is not given, missing, changed or of another kind.
    """
    shape = converted_shape(path)
    arrays, metadata = read_arrays(Path(str(path)))
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    digest = digest_of(weights)
    if metadata[DIGEST] != digest:
        raise InputError(f"{path}: is not as `pipeline weights import` wrote it; {HOW}")
    return shape, weights, digest


def converted_shape(path: str | None) -> Shape:
    """Return the size of the network in a converted file, of which only the header is read.

    Parameters
    ----------
    path : str or None
        File from `write_converted`.

    Raises
    ------
    InputError
        The file is not given, missing or of another kind.
    """
    if path is None or not Path(path).is_file():
        lacking = f"{path}: no such file" if path else "no checkpoint is given"
        raise InputError(f"plrdiff: checkpoint: {lacking}; {WHERE}; {HOW}")
    metadata = recorded(path)
    if SHAPE not in metadata or DIGEST not in metadata:
        raise InputError(f"{path}: is not as `pipeline weights import` wrote it; {HOW}")
    fields = json.loads(metadata[SHAPE])
    shape = Shape(**fields | {"multipliers": tuple(fields["multipliers"])})
    if (shape.inputs, shape.outputs) != (CHANNELS, CHANNELS):
        raise InputError(
            f"{path}: a network of {shape.inputs} input and {shape.outputs} output channels, expected "
            f"{CHANNELS} of each; {HOW}"
        )
    return shape


def digest_of(weights: Weights) -> str:
    """Return the SHA-256 over names, shapes and values."""
    digest = sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
