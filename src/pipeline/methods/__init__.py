"""Every fusion method behind one protocol.

>>> "gaussian_subspace" in methods()
True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.errors import InputError
from pipeline.methods.args_diff import ArgsDiff
from pipeline.methods.base import FittedMethod, Method
from pipeline.methods.bicubic import Bicubic
from pipeline.methods.gaussian_subspace import GaussianSubspace
from pipeline.settings import ArgsDiffSettings, BicubicSettings, GaussianSubspaceSettings, MethodSettings

__all__ = ["FittedMethod", "Method", "build", "methods"]

REGISTRY: dict[str, tuple[type[MethodSettings], Callable[[Any], Method]]] = {
    "bicubic": (BicubicSettings, Bicubic),
    "gaussian_subspace": (GaussianSubspaceSettings, GaussianSubspace),
    "args_diff": (ArgsDiffSettings, ArgsDiff),
}


def methods() -> list[str]:
    """Names of the methods."""
    return list(REGISTRY)


def build(settings: MethodSettings) -> Method:
    """The method that the settings describe."""
    for model, method in REGISTRY.values():
        if type(settings) is model:
            return method(settings)
    raise InputError(
        f"no method for settings of type {type(settings).__name__}; use one of {', '.join(methods())}"
    )
