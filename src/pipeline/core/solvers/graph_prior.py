"""What an image's pixels tell of each other: a heavy-tailed prior on differences, learned on the LR-HSI.

The penalty of the difference between two pixels that are tied is the logarithm of a multivariate t's
density, times a strength: most are small, now and then there is an edge. Which directions change together
depends on what is there, so each class of spectra has a shape of its own. Classes, shapes and basis come
from neighbouring LR pixels; how large a difference is does not matter to the penalty's tail, which is what
lets it be carried to the finer grid.

Model errors (a wrong PSF, a shift, changes between the images) grow with the differences: they are counted
as noise of the LR-HSI, of the covariance ``misfit * I`` in a basis in which typical differences are white.
How much there is follows from the two images' disagreement ``H(Y) - R X``, as far as the noise levels that
are told do not explain it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from pipeline.core.rounding import FLAT, FLAT_POWER
from pipeline.core.sensing.nodata import coupled_pixels, degraded_msi, missing_pixels
from pipeline.core.sensing.observation import Observation
from pipeline.core.solvers.pixel_graph import grid_edges
from pipeline.core.subspace.basis import Subspace, coefficient_noise
from pipeline.core.window import Window

Array = NDArray[np.float64]

DEGREES_OF_FREEDOM = 3  # of the t of LR pixels' differences
ROUNDS = 10  # of its estimation
FLOOR = 1e-6  # share of the noise, and of the mean variance, that every direction has at least
MOST_EDGES = 2**18
CLASS_ROUNDS = 30
SIGNIFICANT = 2.0  # standard errors of a variance
OWN_DIFFERENCES = 1.0  # differences per coefficient that count as much as what all classes share


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
        Standard deviation of the HR-MSI, over pixels and bands, of which a constant one has the rounding's.
    misfit : float
        Variance of the model's errors in each coefficient of the LR-HSI.
    """

    basis: Array
    precisions: Array
    centres: Array
    scale: float
    misfit: float

    def state(self) -> dict[str, NDArray[Any]]:
        """Its arrays, of which `of` makes the same prior."""
        return {name: np.asarray(array) for name, array in asdict(self).items()}

    @classmethod
    def of(cls, state: Mapping[str, NDArray[Any]]) -> GraphPrior:
        """The prior whose arrays a fitted method's state holds."""
        scale, misfit = float(state["scale"]), float(state["misfit"])
        return cls(state["basis"], state["precisions"], state["centres"], scale, misfit)

    def features(self, hr_msi: NDArray[np.floating]) -> Array:
        """An HR-MSI ``(c, H, W)`` in the units of the classes."""
        return np.asarray(hr_msi, np.float64) / self.scale

    def classes(self, spectra: Array) -> NDArray[np.intp]:
        """The class ``(n,)`` of spectra ``(c, n)``: that of the nearest centre."""
        return nearest(spectra, self.centres)


def nearest(spectra: Array, centres: Array) -> NDArray[np.intp]:
    """Number of the nearest of the centres ``(K, c)`` for each of the spectra ``(c, n)``."""
    distances = [np.square(spectra - centre[:, None]).sum(axis=0) for centre in centres]
    return np.argmin(distances, axis=0)


@dataclass(frozen=True)
class Sample:
    """LR pixels of which the prior is learned.

    Attributes
    ----------
    coefficients : (d, n)
        Of valid LR pixels.
    degraded : (c, n)
        H(Y) at the same pixels, Y's gaps filled.
    coupled : (n,) bool
        Which of them tell how far both images agree: those that see no gap of Y, in the window given.
    edges : (2, m)
        Neighbours among them.
    """

    coefficients: Array
    degraded: Array
    coupled: NDArray[np.bool_]
    edges: NDArray[np.intp]


def sample_of(part: Observation, subspace: Subspace, inside: Window | None = None) -> Sample:
    """The LR pixels of a part of the scene that have data; only those in the window `inside` are coupled."""
    degraded = degraded_msi(part)
    coupled = coupled_pixels(part)
    if inside is not None:
        within = np.zeros_like(coupled)
        within[inside.slices] = True
        coupled &= within
    valid = ~missing_pixels(part.lr_hsi).ravel()
    edges = np.concatenate(grid_edges(part.lr_shape), axis=1)
    number = np.cumsum(valid) - 1
    coefficients = np.tensordot(subspace.projection, part.lr_hsi.astype(np.float64), axes=1)
    return Sample(
        coefficients.reshape(len(coefficients), -1)[:, valid],
        degraded.reshape(len(degraded), -1)[:, valid],
        coupled.ravel()[valid],
        number[edges[:, valid[edges].all(axis=0)]],
    )


def joined(samples: Sequence[Sample]) -> Sample:
    """Several samples as one."""
    starts = np.cumsum([0, *(sample.coefficients.shape[1] for sample in samples)])
    return Sample(
        np.concatenate([sample.coefficients for sample in samples], axis=1),
        np.concatenate([sample.degraded for sample in samples], axis=1),
        np.concatenate([sample.coupled for sample in samples]),
        np.concatenate([s.edges + start for s, start in zip(samples, starts, strict=False)], axis=1),
    )


def learn_prior(
    sample: Sample,
    basis: Array,
    spectral_response: Array,
    sigma_hsi: Array,
    degraded_noise: Array,
    classes: int,
    generator: np.random.Generator,
) -> GraphPrior:
    """The prior of a scene.

    Parameters
    ----------
    sample : Sample
    basis : (d, C)
        E, to which the sample's coefficients belong.
    spectral_response : (c, C)
        R.
    sigma_hsi : (C,)
    degraded_noise : (c,)
        Variance of the noise of H(Y).
    classes : int
        At most.
    generator : Generator
        Draws the first centres of the classes.
    """
    chosen = np.sort(generator.permutation(sample.edges.shape[1])[:MOST_EDGES])
    first, second = sample.edges[:, chosen]
    differences = sample.coefficients[:, first] - sample.coefficients[:, second]
    shape, weights = t_shape(differences, FLOOR * coefficient_noise(basis, sigma_hsi))
    root = np.linalg.cholesky(shape)
    white = np.linalg.solve(root, differences) * np.sqrt(weights)
    scale, least = float(np.sqrt(sample.degraded.var(axis=1).mean())), _least_scale(sample.degraded)
    classes, scale = classes if scale > least else 1, max(scale, least)
    spectra = sample.degraded / scale
    centres = class_centres(spectra, classes, generator)
    found = nearest((spectra[:, first] + spectra[:, second]) / 2, centres)
    basis = root.T @ basis
    return GraphPrior(
        basis,
        np.stack([class_precision(white[:, found == number]) for number in range(len(centres))]),
        centres,
        scale,
        misfit(sample, np.linalg.inv(root), basis, spectral_response, sigma_hsi, degraded_noise),
    )


def _least_scale(image: Array) -> float:
    """Return the standard deviation up to which an image ``(c, n)`` is constant."""
    return max(FLAT * float(np.sqrt(np.square(image).mean())), float(np.finfo(np.float32).tiny))


def t_shape(differences: Array, floor: Array) -> tuple[Array, Array]:
    """Shape ``(d, d)`` of a multivariate t through zero, and each sample's weight in it ``(m,)``.

    The usual fixed-point iteration (Kent, Tyler and Vardi 1994) for given degrees of freedom.

    Parameters
    ----------
    differences : (d, m)
    floor : (d, d)
        Added in each round, so that the shape inverts whatever the differences are.
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
    """Centres ``(K, c)`` of at most `count` classes of spectra ``(c, n)``, by k-means.

    There are no more than spectra that differ by more than rounding, in units of the images' variation.
    """
    count = min(count, len(np.unique(np.rint(spectra / FLAT), axis=1).T))
    centres, labels = kmeans2(spectra.T, count, iter=CLASS_ROUNDS, minit="++", missing="warn", rng=generator)
    return np.asarray(centres[np.unique(labels)])


def class_precision(white: Array) -> Array:
    """Inverse shape ``(d, d)`` of a class, drawn towards what all classes share, the identity."""
    d, count = white.shape
    shared = OWN_DIFFERENCES * d
    precision = np.linalg.inv((white @ white.T + shared * np.eye(d)) / (count + shared))
    return np.asarray(precision + precision.T) / 2


def misfit(
    sample: Sample,
    whitening: Array,
    basis: Array,
    spectral_response: Array,
    sigma_hsi: Array,
    degraded_noise: Array,
) -> float:
    """Variance of the model's errors in each coefficient, from ``H(Y) - R X``; the median over MSI bands.

    What of it is linear in the coefficients speaks of R, not of H, and is left out; what is left counts as
    far as it exceeds two standard errors.
    """
    seen = basis @ spectral_response.T
    power = np.square(seen).sum(axis=0)
    pixels = np.count_nonzero(sample.coupled)
    terms = len(basis) + 1
    most = np.square(basis).sum() * np.square(spectral_response).sum(axis=1)
    # nothing to compare, or an MSI band blind to the basis
    if not (pixels > terms and (power > FLAT_POWER * most).all()):
        return 0.0
    known = np.ones((terms, pixels))
    known[1:] = whitening @ sample.coefficients[:, sample.coupled]
    difference = sample.degraded[:, sample.coupled] - seen.T @ known[1:]
    difference -= np.linalg.lstsq(known.T, difference.T, rcond=None)[0].T @ known
    noise = coefficient_noise(basis, sigma_hsi)
    noise -= noise @ _inverse_covariance(known[1:]) @ noise  # which the regression takes
    explained = degraded_noise + np.einsum("dc,de,ec->c", seen, noise, seen)
    found = np.square(difference).sum(axis=1) / (pixels - terms)
    unexplained = found * (1 - SIGNIFICANT * np.sqrt(2 / (pixels - terms))) - explained
    return max(0.0, float(np.median(unexplained / power)))


def _inverse_covariance(values: Array) -> Array:
    """Return the pseudo-inverse of the covariance ``(d, d)`` of values ``(d, n)``.

    Directions in which the values are constant up to rounding are left out.
    """
    covariance = np.atleast_2d(np.cov(values))
    largest = float(np.abs(covariance).max())
    level = FLAT_POWER * float(np.square(values).mean(axis=1).max())
    return np.asarray(np.linalg.pinv(covariance, rcond=max(1e-15, level / largest if largest > 0 else 1.0)))
