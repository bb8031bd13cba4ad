"""Settings of `hysure`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.methods.settings import Proposal, SolverSettings


class HysureSettings(SolverSettings):
    """Vector total variation in a spectral subspace (Simoes et al. 2015).

    As published: ``basis: svd`` or ``vca``, ``lm: 1``, ``lphi: 5e-4``, ``mu: 0.05``.
    """

    seconds_per_megapixel = 120.0
    proposal = Proposal("seconds to minutes")

    method: Literal["hysure"] = "hysure"
    d: int | None = Field(
        None, ge=1, description="subspace dimension; default: 10, or fewer where bands or LR pixels are fewer"
    )
    basis: Literal["whitened", "svd", "vca"] = Field(
        "whitened",
        description="planes over which the total variation sums: of the SVD, as published; the same "
        "scaled so that detail is white; or the endmembers of the largest of 20 VCA runs, as published",
    )
    lm: float | None = Field(
        None,
        gt=0,
        description="weight of the HR-MSI, 1 in the paper; default: noise variances weight both images",
    )
    lphi: float | None = Field(
        None,
        gt=0,
        description="weight of the total variation, for images of largest value 1; 5e-4 in the paper; "
        "default: chosen by LR pixels held out",
    )
    mu: float | None = Field(
        None,
        gt=0,
        description="penalty of the ADMM, 0.05 in the paper; changes its speed alone; default: lphi",
    )
    iterations: int = Field(100, ge=1, description="iterations of the ADMM; 200 in the paper")
