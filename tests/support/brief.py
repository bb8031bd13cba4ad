"""Settings with which every method runs in seconds; its figures then mean nothing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.core.diffusion.sr3 import Shape, SR3UNet
from pipeline.methods.optimisation import seeded_network
from pipeline.methods.plrdiff.published import write_converted

FOLDER = TemporaryDirectory()  # until the tests end


def random_checkpoint() -> str:
    """The path of a checkpoint of random weights for `plrdiff`, which stands for the published one."""
    path, shape = Path(FOLDER.name) / "prior.safetensors", Shape(3, 3, 32, (1,), 1, middle_attention=False)
    write_converted(path, shape, seeded_network(lambda: SR3UNet(shape), 0, "weights").state_dict())
    return str(path)


BRIEF: dict[str, dict[str, Any]] = {
    "graph_subspace": {"rounds": 2, "draws": 2},
    "cnmf": {"inner_loops": 5, "outer_loops": 2},
    "hysure": {"iterations": 5},
    "spectral_mlp": {"iterations": 10, "width": 16, "device": "cpu"},
    "miae": {"budget": {"constant_iterations": 2, "falling_iterations": 3, "patch": 3, "batch": 2}},
    "cucanet": {"budget": {"constant": 2, "falling": 2, "crop": 12}, "precision": "float32", "device": "cpu"},
    "args_diff": {
        "budget": {
            "width": 32,
            "spatial_iterations": 2,
            "spatial_batch": 1,
            "crop": 16,
            "spectral_iterations": 2,
            "spectral_batch": 4,
        },
        "d": 3,
        "steps": 4,
        "precision": "float32",
        "device": "cpu",
        "threads": 1,
    },
    "ddpm_fus": {
        "budget": {
            "width": 32,
            "multipliers": [1, 2],
            "attention": [],
            "iterations": 2,
            "batch": 1,
            "crop": 8,
        },
        "steps": 4,
        "precision": "float32",
        "device": "cpu",
    },
    "s2cyclediff": {
        "budget": {"width": 16, "multipliers": [1, 1], "iterations": 2, "epoch": 1, "batch": 1, "crop": 8},
        "steps": 4,
        "precision": "float32",
        "device": "cpu",
    },
    "plrdiff": {
        "checkpoint": random_checkpoint(),
        "steps": 4,
        "precision": "float32",
        "device": "cpu",
    },
    "plrdiff_self": {
        "budget": {
            "width": 32,
            "multipliers": [1, 2],
            "attention": False,
            "iterations": 2,
            "batch": 1,
            "crop": 16,
            "learning_rate": 2e-4,
        },
        "steps": 4,
        "precision": "float32",
        "device": "cpu",
        "threads": 1,
    },
}
