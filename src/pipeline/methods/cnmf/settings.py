"""Settings of `cnmf`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.methods.settings import MethodSettings


class CnmfSettings(MethodSettings):
    """Coupled non-negative matrix factorisation (Yokoya, Yairi and Iwasaki 2012)."""

    seconds_per_megapixel = 110.0

    method: Literal["cnmf"] = "cnmf"
    endmembers: int | None = Field(
        None,
        ge=1,
        description="number of endmembers; default: the LR-HSI's directions above its noise, but at least "
        "30, or fewer where bands or LR pixels are fewer",
    )
    inner_loops: int = Field(
        200,
        ge=1,
        description="largest number of updates in a phase of an unmixing; three times as many in the first",
    )
    outer_loops: int = Field(3, ge=1, description="largest number of alternations between the two images")
    sum_to_one: float | None = Field(
        None,
        gt=0,
        description="weight of the abundances' sum to one, for images between 0 and 1; default: that of the "
        "authors' code, 2 sqrt(mean of the HR-MSI / 0.7455) / (number of its bands)^3",
    )
    final: Literal["alternated", "coupled"] = Field(
        "alternated",
        description="endmembers of the fused cube: from the last unmixing of the LR-HSI as in the authors' "
        "code, or as they were while its abundances were still H of the HR-MSI's",
    )
