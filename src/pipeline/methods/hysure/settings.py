"""Settings of the methods that solve a problem without training a network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.settings.base import MethodSettings


class BicubicSettings(MethodSettings):
    """Bicubic interpolation of the LR-HSI."""

    seconds_per_megapixel = 2.0

    method: Literal["bicubic"] = "bicubic"


class GaussianSubspaceSettings(MethodSettings):
    """Exact Gaussian-prior fusion in a spectral subspace."""

    seconds_per_megapixel = 4.0

    method: Literal["gaussian_subspace"] = "gaussian_subspace"
    d: int | None = Field(
        None, ge=1, description="subspace dimension; default: 10, or fewer where bands or LR pixels are fewer"
    )


class GraphSubspaceSettings(MethodSettings):
    """A heavy-tailed prior on the graph of the HR-MSI's pixels, in a spectral subspace."""

    seconds_per_megapixel = 400.0

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
        200, ge=1, description="updates at most of one unmixing's phase; three times as many of the first"
    )
    outer_loops: int = Field(3, ge=1, description="alternations between the two images at most")
    sum_to_one: float | None = Field(
        None,
        gt=0,
        description="weight of the abundances' sum to one, for images within 0 and 1; default: the authors' "
        "code's, 2 sqrt(mean of the HR-MSI / 0.7455) / (number of its bands)^3",
    )
    final: Literal["alternated", "coupled"] = Field(
        "alternated",
        description="endmembers of the fused cube: from the last unmixing of the LR-HSI as in the authors' "
        "code, or as they were while its abundances were still H of the HR-MSI's",
    )


class HysureSettings(MethodSettings):
    """Vector total variation in a spectral subspace (Simoes et al. 2015).

    As published: ``basis: svd`` or ``vca``, ``lm: 1``, ``lphi: 5e-4``, ``mu: 0.05``.
    """

    seconds_per_megapixel = 120.0

    method: Literal["hysure"] = "hysure"
    d: int | None = Field(
        None, ge=1, description="subspace dimension; default: 10, or fewer where bands or LR pixels are fewer"
    )
    basis: Literal["whitened", "svd", "vca"] = Field(
        "whitened",
        description="whose planes the total variation sums over: the SVD's, as published, or scaled so that "
        "detail is white; or the endmembers of the largest of 20 VCA runs, as published",
    )
    lm: float | None = Field(
        None,
        gt=0,
        description="weight of the HR-MSI, 1 in the paper; default: both images by their noise variances",
    )
    lphi: float | None = Field(
        None,
        gt=0,
        description="weight of the total variation, for images of largest value 1; 5e-4 in the paper; "
        "default: chosen by LR pixels held out",
    )
    mu: float | None = Field(
        None, gt=0, description="penalty of the ADMM, 0.05 in the paper; decides its speed; default: lphi"
    )
    iterations: int = Field(100, ge=1, description="of the ADMM; 200 in the paper")
