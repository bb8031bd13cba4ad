"""Hyperspectral and multispectral image fusion: from two observed images to one sharp cube.

`fuse`, `simulate` and `evaluate` work on arrays; the command `pipeline` and the Snakemake workflow
run whole experiments. See `pipeline.api` for an example.
"""

from pipeline.api import FusionResult, fuse
from pipeline.core.metrics import evaluate
from pipeline.core.observation import Observation
from pipeline.core.simulation import simulate
from pipeline.core.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.methods import methods

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
