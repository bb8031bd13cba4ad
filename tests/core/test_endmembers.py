"""Vertex component analysis against scenes whose endmembers are known."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.subspace.endmembers import vca
from pipeline.errors import InputError


def mixture(count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Pure spectra, and 500 mixtures of which the first `count` are pure."""
    generator = np.random.default_rng(3)
    pure = generator.random((40, count)) + 0.1
    abundances = generator.dirichlet(np.ones(count), 500).T
    abundances[:, :count] = np.eye(count)
    return pure, pure @ abundances + noise * generator.standard_normal((40, 500))


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_pure_pixels_of_a_clean_scene_are_found(count: int) -> None:
    pure, spectra = mixture(count, 0.0)
    found, chosen = vca(spectra, count, np.random.default_rng(0))
    assert sorted(chosen) == list(range(count)) or count == 1
    if count > 1:
        np.testing.assert_allclose(found, pure[:, chosen], atol=1e-8)


def test_low_snr_takes_the_affine_branch_and_still_finds_them() -> None:
    pure, spectra = mixture(4, 0.08)
    found, _ = vca(spectra, 4, np.random.default_rng(0))
    cosine = (found.T @ pure) / np.outer(np.linalg.norm(found, axis=0), np.linalg.norm(pure, axis=0))
    assert (cosine.max(axis=0) > 0.98).all()


def test_equal_generators_give_equal_endmembers() -> None:
    _, spectra = mixture(5, 0.01)
    first, second = (vca(spectra, 5, np.random.default_rng(7))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_more_endmembers_than_bands_are_refused() -> None:
    with pytest.raises(InputError, match="41 asked for, but 40 bands and 500 pixels allow 1 to 40"):
        vca(mixture(2, 0.0)[1], 41, np.random.default_rng(0))
