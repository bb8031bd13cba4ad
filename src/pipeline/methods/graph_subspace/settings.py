"""Settings of `graph_subspace`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.methods.settings import Proposal, SolverSettings


class GraphSubspaceSettings(SolverSettings):
    """A heavy-tailed prior on a graph of similar HR-MSI pixels, in a spectral subspace."""

    seconds_per_megapixel = 400.0
    proposal = Proposal("seconds to minutes; mostly the most accurate, with a standard deviation")

    method: Literal["graph_subspace"] = "graph_subspace"
    d: int | None = Field(
        None,
        ge=1,
        description="subspace dimension; default: the LR-HSI's directions above its noise, at most 30",
    )
    similar: int = Field(
        4,
        ge=0,
        description="largest number of similar pixels to which each pixel is tied, besides its neighbours",
    )
    classes: int = Field(
        8, ge=1, description="largest number of classes of spectra, each with its own prior on differences"
    )
    misfit: bool = Field(
        True, description="whether model errors, measured by the disagreement of the images, count as noise"
    )
    rounds: int = Field(2, ge=1, description="rounds, each with new weights of the graph's edges")
    draws: int = Field(8, ge=0, description="posterior draws behind the standard deviation; 0 leaves it out")

    @property
    def uncertain(self) -> bool:
        """Whether the cube comes with a standard deviation."""
        return self.draws > 0
