"""Settings with which every method runs in seconds; its figures then mean nothing."""

from __future__ import annotations

from typing import Any

BRIEF: dict[str, dict[str, Any]] = {
    "graph_subspace": {"rounds": 2, "draws": 2},
    "cnmf": {"inner_loops": 5, "outer_loops": 2},
    "hysure": {"iterations": 5},
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
}
