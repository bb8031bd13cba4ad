"""Every fusion method behind one protocol.

>>> "gaussian_subspace" in methods()
True
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pipeline.errors import InputError
from pipeline.methods.base import FittedMethod, Method
from pipeline.settings import (
    ArgsDiffSettings,
    BicubicSettings,
    CnmfSettings,
    CucanetSettings,
    GaussianSubspaceSettings,
    GraphSubspaceSettings,
    HysureSettings,
    MethodSettings,
    MiaeSettings,
)

__all__ = ["FittedMethod", "Method", "build", "methods", "settings_of"]

REGISTRY: dict[str, tuple[type[MethodSettings], str]] = {
    "bicubic": (BicubicSettings, "Bicubic"),
    "gaussian_subspace": (GaussianSubspaceSettings, "GaussianSubspace"),
    "graph_subspace": (GraphSubspaceSettings, "GraphSubspace"),
    "cnmf": (CnmfSettings, "Cnmf"),
    "hysure": (HysureSettings, "Hysure"),
    "miae": (MiaeSettings, "Miae"),
    "cucanet": (CucanetSettings, "CuCaNet"),
    "args_diff": (ArgsDiffSettings, "by_budget"),
}
"""Settings of each method, and what makes it of them in the module of its name."""


def methods() -> list[str]:
    """Names of the methods."""
    return list(REGISTRY)


def settings_of(name: str) -> type[MethodSettings]:
    """The settings model of a method."""
    if name not in REGISTRY:
        raise InputError(f"method: {name!r} is unknown; use one of {', '.join(methods())}")
    return REGISTRY[name][0]


def build(settings: MethodSettings) -> Method:
    """The method that the settings describe; only its own module is imported."""
    module: Any = import_module(f"pipeline.methods.{settings.method}")
    method: Method = getattr(module, REGISTRY[settings.method][1])(settings)
    return method
