"""Settings of the fusion methods, typed and checked.

Each model holds one method's settings with their defaults, which hold for all scenes. The
experiment around them is in `pipeline.config.experiment`; the methods themselves are in `pipeline.methods`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.settings.base import MethodSettings, Seeds, Strict, TrainedSettings
from pipeline.settings.classical import (
    BicubicSettings,
    CnmfSettings,
    GaussianSubspaceSettings,
    GraphSubspaceSettings,
    HysureSettings,
)
from pipeline.settings.networks import (
    BUDGETS,
    CUCANET_BUDGETS,
    MIAE_BUDGETS,
    ArgsDiffSettings,
    CucanetBudget,
    CucanetSettings,
    FastBudget,
    MiaeBudget,
    MiaeSettings,
    TrainingBudget,
)

__all__ = [
    "BUDGETS",
    "CUCANET_BUDGETS",
    "MIAE_BUDGETS",
    "ArgsDiffSettings",
    "BicubicSettings",
    "CnmfSettings",
    "CucanetBudget",
    "CucanetSettings",
    "FastBudget",
    "GaussianSubspaceSettings",
    "GraphSubspaceSettings",
    "HysureSettings",
    "MethodEntry",
    "MethodSettings",
    "MiaeBudget",
    "MiaeSettings",
    "Seeds",
    "Strict",
    "TrainedSettings",
    "TrainingBudget",
]

MethodEntry = Annotated[
    BicubicSettings
    | GaussianSubspaceSettings
    | GraphSubspaceSettings
    | CnmfSettings
    | HysureSettings
    | MiaeSettings
    | CucanetSettings
    | ArgsDiffSettings,
    Field(discriminator="method"),
]
