"""Settings of `graph_subspace`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.methods.settings import MethodSettings, Proposal


class GraphSubspaceSettings(MethodSettings):
    """A heavy-tailed prior on the graph of the HR-MSI's pixels, in a spectral subspace."""

    seconds_per_megapixel = 400.0
    proposal = Proposal("seconds to minutes; mostly the most accurate, with a standard deviation")

    method: Literal["graph_subspace"] = "graph_subspace"
    d: int | None = Field(
        None,
        ge=1,
        description="subspace dimension; default: the LR-HSI's directions above its noise, at most 30",
    )
    similar: int = Field(
        4, ge=0, description="pixels to which each is tied because they look like it, besides its neighbours"
    )
    classes: int = Field(
        8, ge=1, description="classes of spectra whose differences have shapes of their own, at most"
    )
    misfit: bool = Field(
        True, description="whether errors of the model, told by the two images' disagreement, count as noise"
    )
    rounds: int = Field(6, ge=1, description="times that the edges of the graph are weighed anew")
    draws: int = Field(
        8, ge=0, description="draws from the posterior for the standard deviation; 0 leaves it out"
    )

    @property
    def uncertain(self) -> bool:
        """A standard deviation comes with the cube."""
        return self.draws > 0
