"""A heavy-tailed prior on the differences between pixels, learned from the LR-HSI.

The penalty of the difference between two tied pixels is the negative logarithm of a multivariate t's density,
times a strength: most differences are small, and a few are edges. Which coefficients change together depends
on the materials, so each class of spectra has its own shape. Classes, shapes and basis are learned from
neighbouring LR pixels. The shapes can be used on the finer grid because the tail of the penalty hardly
depends on the size of a difference.

Errors of the model (a wrong PSF, a shift, changes between the images) grow with the differences. They count
as noise of the LR-HSI with covariance ``misfit * I`` in a basis in which typical differences are white. Their
size follows from the disagreement ``H(Y) - R X`` of the images, beyond what the given noise levels explain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from torch import Tensor

from pipeline.core.rounding import FLAT, FLAT_POWER
from pipeline.core.sensing.nodata import coupled_pixels, degraded_msi, missing_pixels
from pipeline.core.sensing.observation import Image, Observation
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.pixel_graph import grid_edges
from pipeline.core.subspace.basis import Subspace, coefficient_noise, detail_covariance
from pipeline.core.window import Window

Array = NDArray[np.float64]

DEGREES_OF_FREEDOM = 3  # of the t distribution: heavy tails, but a finite variance
ROUNDS = 10  # of the fixed-point iteration, which then changes the shape by less than its sampling error
FLOOR = 1e-6  # least variance of a direction, relative to its noise and to the mean variance
MOST_EDGES = 2**18  # differences from which shapes are learned; more change them little
FEWEST_EDGES = 0.25  # of all pairs of neighbours, below which pixels at larger distances are compared too
CLASS_ROUNDS = 30  # of k-means
SIGNIFICANT = 2.0  # standard errors by which a variance must exceed the noise to count as model errors
LEAST_DETAIL = 1e-6  # variance of a coefficient, in units of a typical difference
OWN_DIFFERENCES = 1.0  # differences per coefficient with the weight of the shape common to all classes


@dataclass(frozen=True)
class GraphPrior:
    """The prior of a scene, and the basis in which it holds.

    Attributes
    ----------
    basis : (d, C)
        E, scaled so that differences of neighbouring LR pixels have the shape of the identity.
    precisions : (K, d, d)
        Inverse shape of the differences of each class.
    centres : (K, c)
        HR-MSI spectra of the classes, in units of `scale`.
    scale : float
        Standard deviation of the HR-MSI over pixels and bands; the level of rounding if it is constant.
    misfit : float
        Variance of the model's errors in each coefficient of the LR-HSI.
    level : float
        Largest magnitude of a coefficient, in units of a typical difference.
    largest : float
        Largest mean square of a difference between neighbouring LR pixels over the coefficients.
    detail : (d, d)
        Inverse covariance of the detail that the LR-HSI loses one level down; zero where it was not learned.
    """

    basis: Array
    precisions: Array
    centres: Array
    scale: float
    misfit: float
    level: float
    largest: float
    detail: Array

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the prior, from which `of` makes the same prior."""
        return {name: np.asarray(array) for name, array in asdict(self).items()}

    @classmethod
    def of(cls, state: Mapping[str, NDArray[Any]]) -> GraphPrior:
        """Make the prior from the arrays in a fitted method's state."""
        scale, misfit, level, largest = (
            float(state[name]) for name in ("scale", "misfit", "level", "largest")
        )
        return cls(
            state["basis"],
            state["precisions"],
            state["centres"],
            scale,
            misfit,
            level,
            largest,
            state["detail"],
        )

    def classes(self, spectra: Tensor) -> Tensor:
        """Return the class ``(n,)`` of spectra ``(c, n)`` in units of `scale`."""
        return nearest(spectra, self.centres)


def with_detail(
    prior: GraphPrior, images: Sequence[Image], sigma_hsi: Array, response: SpatialResponse
) -> GraphPrior:
    """Learn the inverse covariance of the detail too.

    Parameters
    ----------
    prior : GraphPrior
        The prior.
    images : sequence of (C, h, w) images
        LR-HSIs, which are read in blocks; the mean of their covariances counts.
    sigma_hsi : (C,)
        Noise standard deviations of the images.
    response : SpatialResponse
        H.
    """
    subspace = Subspace.of(prior.basis, sigma_hsi)
    covariances = [detail_covariance(subspace.coefficients(image), response) for image in images]
    least = LEAST_DETAIL * np.eye(len(prior.basis))
    return replace(prior, detail=np.asarray(np.linalg.inv(np.mean(covariances, axis=0) + least)))


def nearest(spectra: Tensor, centres: Array) -> Tensor:
    """Return the index ``(n,)`` of the nearest centre ``(K, c)`` for each spectrum ``(c, n)``."""
    distances = [(spectra - spectra.new_tensor(centre)[:, None]).square().sum(dim=0) for centre in centres]
    return torch.stack(distances).argmin(dim=0)


@dataclass(frozen=True)
class Sample:
    """LR pixels from which the prior is learned.

    Attributes
    ----------
    coefficients : (d, n)
        Coefficients of valid LR pixels.
    degraded : (c, n)
        H(Y) at the same pixels, the gaps of Y filled.
    coupled : (n,) bool
        Pixels at which the images are compared: they depend on no gap of Y and on nothing outside the part.
    edges : (2, m)
        Pairs of neighbours, as indices of these pixels.
    """

    coefficients: Array
    degraded: Array
    coupled: NDArray[np.bool_]
    edges: NDArray[np.intp]


def sample_of(part: Observation, subspace: Subspace, inside: Window | None = None) -> Sample:
    """Return the LR pixels with data of a part of the scene.

    Parameters
    ----------
    part : Observation
        The part.
    subspace : Subspace
        Basis of the coefficients.
    inside : Window, optional
        LR pixels of the part at which the images are compared; default: all.
    """
    degraded = degraded_msi(part)
    coupled = coupled_pixels(part)
    if inside is not None:
        within = np.zeros_like(coupled)
        within[inside.slices] = True
        coupled &= within
    valid = ~missing_pixels(part.lr_hsi).ravel()
    number = np.cumsum(valid) - 1
    coefficients = np.tensordot(subspace.projection, part.lr_hsi.astype(np.float64), axes=1)
    return Sample(
        coefficients.reshape(len(coefficients), -1)[:, valid],
        degraded.reshape(len(degraded), -1)[:, valid],
        coupled.ravel()[valid],
        number[_valid_edges(valid.reshape(part.lr_shape))],
    )


def _valid_edges(valid: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return pairs ``(2, m)`` of neighbours with data, as numbers of pixels.

    Neighbours share a side. Where no data breaks most of these pairs, as in every second pixel, they may also
    share a corner or lie two pixels apart.

    Parameters
    ----------
    valid : (h, w) bool
        Pixels with data.
    """
    pairs = np.concatenate(grid_edges(valid.shape), axis=1)
    kept = pairs[:, valid.ravel()[pairs].all(axis=0)]
    if kept.shape[1] >= FEWEST_EDGES * pairs.shape[1]:
        return kept
    number = np.arange(valid.size).reshape(valid.shape)
    further = [
        (number[:-1, :-1], number[1:, 1:]),
        (number[:-1, 1:], number[1:, :-1]),
        (number[:, :-2], number[:, 2:]),
        (number[:-2], number[2:]),
    ]
    pairs = np.stack([np.concatenate([part.ravel() for part in ends]) for ends in zip(*further, strict=True)])
    return np.concatenate([kept, pairs[:, valid.ravel()[pairs].all(axis=0)]], axis=1)


def joined(samples: Sequence[Sample]) -> Sample:
    """Join samples into a single sample."""
    starts = np.cumsum([0, *(sample.coefficients.shape[1] for sample in samples)])
    return Sample(
        np.concatenate([sample.coefficients for sample in samples], axis=1),
        np.concatenate([sample.degraded for sample in samples], axis=1),
        np.concatenate([sample.coupled for sample in samples]),
        np.concatenate([s.edges + start for s, start in zip(samples, starts, strict=False)], axis=1),
    )


@dataclass(frozen=True)
class Comparison:
    """Spectral response and noise levels with which X and H(Y) are compared.

    Attributes
    ----------
    spectral_response : (c, C)
        R.
    sigma_hsi : (C,)
        Noise standard deviations of X.
    degraded_noise : (c,)
        Noise variances of H(Y).
    """

    spectral_response: Array
    sigma_hsi: Array
    degraded_noise: Array


def learn_prior(
    sample: Sample, basis: Array, comparison: Comparison, classes: int, generator: np.random.Generator
) -> GraphPrior:
    """Learn the prior of a scene.

    Parameters
    ----------
    sample : Sample
        LR pixels of the scene.
    basis : (d, C)
        E, to which the sample's coefficients belong.
    comparison : Comparison
        Spectral response and noise levels.
    classes : int
        Largest number of classes.
    generator : Generator
        Draws the edges and the first centres of the classes.
    """
    chosen = np.sort(generator.permutation(sample.edges.shape[1])[:MOST_EDGES])
    first, second = sample.edges[:, chosen]
    differences = sample.coefficients[:, first] - sample.coefficients[:, second]
    shape, weights = t_shape(differences, FLOOR * coefficient_noise(basis, comparison.sigma_hsi))
    root = np.linalg.cholesky(shape)
    white = np.linalg.solve(root, differences)
    largest = float(np.square(white).mean(axis=0).max(initial=0.0))
    white *= np.sqrt(weights)
    scale, least = float(np.sqrt(sample.degraded.var(axis=1).mean())), _least_scale(sample.degraded)
    classes, scale = classes if scale > least else 1, max(scale, least)
    spectra = sample.degraded / scale
    centres = class_centres(spectra, classes, generator)
    labels = nearest(torch.from_numpy((spectra[:, first] + spectra[:, second]) / 2), centres).numpy()
    # coefficients of the new basis are the old ones divided by the root, so that differences are white
    basis = root.T @ basis
    return GraphPrior(
        basis,
        np.stack([class_precision(white[:, labels == number]) for number in range(len(centres))]),
        centres,
        scale,
        misfit(sample, np.linalg.inv(root), basis, comparison),
        float(np.abs(np.linalg.solve(root, sample.coefficients)).max(initial=0.0)),
        largest,
        np.zeros((len(basis),) * 2),
    )


def _least_scale(image: Array) -> float:
    """Return the standard deviation up to which an image ``(c, n)`` is constant."""
    return max(FLAT * float(np.sqrt(np.square(image).mean())), float(np.finfo(np.float32).tiny))


def t_shape(differences: Array, floor: Array) -> tuple[Array, Array]:
    """Estimate the shape of a multivariate t about zero, by the iteration of Kent, Tyler and Vardi (1994).

    Parameters
    ----------
    differences : (d, m)
        Samples of the distribution.
    floor : (d, d)
        Added in each round, so that the shape can be inverted whatever the differences are.

    Returns
    -------
    shape : (d, d)
        Shape of the distribution.
    weights : (m,)
        Weights of the samples in the estimate.
    """
    d, count = differences.shape
    weights = np.ones(count)
    for _ in range(ROUNDS):
        shape = (differences * weights) @ differences.T / max(count, 1)
        shape += floor + FLOOR * np.trace(shape) / d * np.eye(d)
        distance = np.einsum("dm,dm->m", differences, np.linalg.solve(shape, differences))
        weights = (DEGREES_OF_FREEDOM + d) / (DEGREES_OF_FREEDOM + distance)
    return shape, weights


def class_centres(spectra: Array, count: int, generator: np.random.Generator) -> Array:
    """Find the centres of classes of spectra by k-means.

    Parameters
    ----------
    spectra : (c, n)
        Spectra, in units of the images' variation.
    count : int
        Largest number of classes. There are no more than spectra that differ by more than rounding.
    generator : Generator
        Draws the first centres.

    Returns
    -------
    (K, c) float64
    """
    count = min(count, len(np.unique(np.rint(spectra / FLAT), axis=1).T))
    centres, labels = kmeans2(spectra.T, count, iter=CLASS_ROUNDS, minit="++", missing="warn", rng=generator)
    return np.asarray(centres[np.unique(labels)])


def class_precision(white: Array) -> Array:
    """Return the inverse shape ``(d, d)`` of a class, shrunk towards the identity, the shape of all classes.

    Parameters
    ----------
    white : (d, m)
        Weighted differences of the class, in units in which the differences of all classes are white.
    """
    d, count = white.shape
    shared = OWN_DIFFERENCES * d
    precision = np.linalg.inv((white @ white.T + shared * np.eye(d)) / (count + shared))
    return np.asarray(precision + precision.T) / 2


def misfit(sample: Sample, whitening: Array, basis: Array, comparison: Comparison) -> float:
    """Estimate the variance of the model's errors in each coefficient, from ``H(Y) - R X``.

    The part of the difference that is linear in the coefficients points to errors of R, not of H, and is left
    out. The rest counts as far as it exceeds two standard errors. The result is the median over the MSI
    bands.

    Parameters
    ----------
    sample : Sample
        LR pixels of the scene.
    whitening : (d, d)
        Matrix from the sample's coefficients to coefficients on `basis`.
    basis : (d, C)
        E, in which typical differences are white.
    comparison : Comparison
        Spectral response and noise levels.
    """
    basis_msi = basis @ comparison.spectral_response.T
    power = np.square(basis_msi).sum(axis=0)
    pixels = np.count_nonzero(sample.coupled)
    terms = len(basis) + 1
    most = np.square(basis).sum() * np.square(comparison.spectral_response).sum(axis=1)
    # nothing to compare, or an MSI band that does not depend on the basis
    if not (pixels > terms and (power > FLAT_POWER * most).all()):
        return 0.0
    known = np.ones((terms, pixels))
    known[1:] = whitening @ sample.coefficients[:, sample.coupled]
    difference = sample.degraded[:, sample.coupled] - basis_msi.T @ known[1:]
    difference -= np.linalg.lstsq(known.T, difference.T, rcond=None)[0].T @ known
    noise = coefficient_noise(basis, comparison.sigma_hsi)
    noise -= noise @ _inverse_covariance(known[1:]) @ noise  # the regression removes this part of the noise
    explained = comparison.degraded_noise + np.einsum("dc,de,ec->c", basis_msi, noise, basis_msi)
    variance = np.square(difference).sum(axis=1) / (pixels - terms)
    unexplained = variance * (1 - SIGNIFICANT * np.sqrt(2 / (pixels - terms))) - explained
    return max(0.0, float(np.median(unexplained / power)))


def _inverse_covariance(values: Array) -> Array:
    """Return the pseudo-inverse of the covariance ``(d, d)`` of values ``(d, n)``.

    Directions in which the values are constant up to rounding are left out.
    """
    covariance = np.atleast_2d(np.cov(values))
    largest = float(np.abs(covariance).max())
    level = FLAT_POWER * float(np.square(values).mean(axis=1).max())
    return np.asarray(np.linalg.pinv(covariance, rcond=max(1e-15, level / largest if largest > 0 else 1.0)))
