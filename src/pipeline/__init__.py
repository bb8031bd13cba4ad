"""Hyperspectral and multispectral image fusion: from two observed images to one sharp cube.

`fuse`, `simulate` and `evaluate` work on arrays; the command `pipeline` and the Snakemake workflow
run whole experiments. See `pipeline.api` for an example. Modules that need PyTorch are imported when
they are first used, since that takes longer than many steps of the workflow.

Threads of OpenMP that wait for each other sleep instead of spinning, unless the environment says otherwise:
on cores that other processes share, two spinning threads take several times as long as one. OpenMP reads
these variables when PyTorch is loaded, so that they are set here, before any module of the package; where
PyTorch was loaded earlier, as in a notebook, it is too late, and a warning says so.
"""

import os
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if "torch" in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    warnings.warn(
        "PyTorch was loaded before pipeline, so that its threads wait by spinning: beside other work on the "
        "same cores they take many times as long; import pipeline first, or set OMP_WAIT_POLICY=PASSIVE",
        RuntimeWarning,
        stacklevel=2,
    )
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")  # of GNU's OpenMP, which spins even where the policy is passive

from pipeline.errors import InputError
from pipeline.methods import methods

if TYPE_CHECKING:
    from pipeline.api import FusionResult, fuse
    from pipeline.core.quality.metrics import evaluate
    from pipeline.core.sensing.observation import Observation
    from pipeline.core.sensing.simulation import simulate
    from pipeline.core.sensing.spatial import SpatialResponse

__all__ = [
    "FusionResult",
    "InputError",
    "Observation",
    "SpatialResponse",
    "evaluate",
    "fuse",
    "methods",
    "simulate",
]

_MODULES = {
    "FusionResult": "pipeline.api",
    "Observation": "pipeline.core.sensing.observation",
    "SpatialResponse": "pipeline.core.sensing.spatial",
    "evaluate": "pipeline.core.quality.metrics",
    "fuse": "pipeline.api",
    "simulate": "pipeline.core.sensing.simulation",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
