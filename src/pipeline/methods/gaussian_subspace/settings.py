"""Settings of `gaussian_subspace`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.methods.settings import Proposal, SolverSettings


class GaussianSubspaceSettings(SolverSettings):
    """Exact Gaussian-prior fusion in a spectral subspace."""

    seconds_per_megapixel = 4.0
    proposal = Proposal("seconds")

    method: Literal["gaussian_subspace"] = "gaussian_subspace"
    d: int | None = Field(
        None, ge=1, description="subspace dimension; default: 10, or fewer where bands or LR pixels are fewer"
    )
