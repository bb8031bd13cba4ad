"""The closed form against a brute-force solution, and the subspace and no-data it builds on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.sensing.nodata import fill_nearest, filled_observation, footprint
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.spatial import SpatialResponse, upsample
from pipeline.core.solvers.engine import Engine, array
from pipeline.core.solvers.gaussian import GaussianFusion, data_terms
from pipeline.core.solvers.weighted import weighted_terms
from pipeline.core.subspace.basis import detail_covariance, fit_subspace, resolve_dimension, signal_dimension
from pipeline.errors import InputError

RNG = np.random.default_rng(3)
PSF = RNG.random((5, 5))


def small_problem(response: SpatialResponse, shape: tuple[int, int]) -> tuple[Observation, dict]:
    """A random observation with unequal noise levels, and the prior of its fusion."""
    rng = np.random.default_rng(5)
    bands, msi_bands, d = 7, 3, 4
    lr_shape = tuple(response.lr_size(n) for n in shape)
    observation = Observation(
        rng.random((bands, *lr_shape)).astype(np.float32),
        rng.random((msi_bands, *shape)).astype(np.float32),
        rng.random((msi_bands, bands)),
        response,
        rng.uniform(0.01, 0.1, bands),
        rng.uniform(0.01, 0.1, msi_bands),
    )
    root = rng.standard_normal((d, d))
    prior = {
        "basis": rng.standard_normal((d, bands)),
        "mean": rng.standard_normal((d, *shape)),
        "precision": root @ root.T + np.eye(d),
    }
    return observation, prior


def solved(observation: Observation, basis, mean, precision) -> np.ndarray:
    """The minimiser of the solver."""
    terms = weighted_terms(data_terms(observation, basis, Engine()), observation, basis)
    return array(GaussianFusion(terms, precision).solve(terms.engine.tensor(mean)))


def brute_force(observation: Observation, basis, mean, precision) -> np.ndarray:
    """The same minimiser from one dense least-squares problem over all unknowns; NaN measures nothing."""
    d, height, width = mean.shape
    unknowns = np.eye(d * height * width).reshape(-1, d, height, width)
    blurred = observation.operator.forward(unknowns)
    hsi = np.einsum("ndyx,dc->ncyx", blurred, basis) / observation.sigma_hsi[:, None, None]
    msi = (
        np.einsum("ndyx,dc->ncyx", unknowns, basis @ observation.spectral_response.T)
        / observation.sigma_msi[:, None, None]
    )
    prior = np.einsum("de,neyx->ndyx", np.linalg.cholesky(precision).T, unknowns)
    matrix = np.concatenate([part.reshape(len(unknowns), -1).T for part in (hsi, msi, prior)])
    target = np.concatenate(
        [
            (observation.lr_hsi / observation.sigma_hsi[:, None, None]).ravel(),
            (observation.hr_msi / observation.sigma_msi[:, None, None]).ravel(),
            np.einsum("de,eyx->dyx", np.linalg.cholesky(precision).T, mean).ravel(),
        ]
    )
    known = ~np.isnan(target)
    return np.linalg.lstsq(matrix[known], target[known], rcond=None)[0].reshape(mean.shape)


@pytest.mark.parametrize(
    ("response", "shape"),
    [
        (SpatialResponse.bicubic(ratio=2), (8, 6)),
        (SpatialResponse.gaussian(ratio="5/2", fwhm=1.1), (10, 5)),
        (SpatialResponse.box(ratio=3), (6, 9)),
        (SpatialResponse.from_psf(PSF, ratio=2), (8, 6)),
    ],
    ids=["bicubic", "gaussian", "box", "psf of full rank"],
)
def test_closed_form_equals_brute_force(response, shape):
    observation, prior = small_problem(response, shape)
    exact = brute_force(observation, **prior)
    assert np.abs(solved(observation, **prior) - exact).max() < 1e-6 * np.abs(exact).max()


GAPS = {
    "values": lambda lr, hr: (np.arange(lr.size).reshape(lr.shape) % 7 == 0, hr & False),
    "every second LR pixel": lambda lr, hr: (
        lr | (np.indices(lr.shape[1:]).sum(axis=0) % 2 == 0),
        hr & False,
    ),
    "HR pixels": lambda lr, hr: (lr & False, hr | (np.arange(hr[0].size).reshape(hr.shape[1:]) % 11 == 0)),
    "both": lambda lr, hr: (
        np.arange(lr.size).reshape(lr.shape) % 3 == 0,
        np.arange(hr.size).reshape(hr.shape) % 5 == 0,
    ),
    "all": lambda lr, hr: (lr | True, hr | True),
}


@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize(
    "response", [SpatialResponse.bicubic(ratio=2), SpatialResponse.from_psf(PSF, ratio=2)]
)
def test_missing_values_have_no_weight(gaps, response):
    """Conjugate gradients reach the dense least-squares problem of the values that are there."""
    observation, prior = small_problem(response, (8, 6))
    missing = GAPS[gaps](*(np.zeros(image.shape, bool) for image in (observation.lr_hsi, observation.hr_msi)))
    lr_hsi, hr_msi = (
        np.where(gap, np.float32("nan"), image)
        for gap, image in zip(missing, (observation.lr_hsi, observation.hr_msi), strict=True)
    )
    observation = replace(observation, lr_hsi=lr_hsi, hr_msi=hr_msi)
    exact = brute_force(observation, **prior)
    solution = solved(filled_observation(observation), **prior)
    assert np.abs(solution - exact).max() < 1e-6 * np.abs(exact).max()


def test_free_psf_of_rank_one_takes_the_separable_path():
    response = SpatialResponse.from_psf(np.outer([1, 2, 1], [1, 3, 1]), ratio=3)
    assert response.operator(9, 9).separable
    assert not SpatialResponse.from_psf(PSF, ratio=2).operator(8, 8).separable


def test_subspace_of_equal_noise_is_the_svd():
    image = RNG.random((6, 5, 4))
    subspace = fit_subspace(image, np.full(6, 0.1), 3)
    u, s, vt = np.linalg.svd(image.reshape(6, -1), full_matrices=False)
    coefficients = subspace.coefficients(image)[:, :, :]
    rebuilt = np.tensordot(subspace.basis.T, coefficients, axes=1).reshape(6, -1)
    assert np.allclose(rebuilt, (u[:, :3] * s[:3]) @ vt[:3])
    assert np.allclose(subspace.basis @ subspace.basis.T, np.eye(3))


def test_equal_bands_leave_no_empty_direction():
    image = np.broadcast_to(RNG.random((1, 6, 6)), (2, 6, 6)) * np.array([1.0, -1.0])[:, None, None]
    assert (np.abs(fit_subspace(image, np.ones(2), 2).basis).max(axis=1) > 0.1).all()


def test_subspace_gives_noisy_bands_less_weight():
    rng = np.random.default_rng(0)
    clean = np.outer(np.ones(8), rng.random(400)).reshape(8, 20, 20)
    sigma = np.r_[np.full(7, 1e-3), 1.0]
    noisy = clean + sigma[:, None, None] * rng.standard_normal(clean.shape)
    subspace = fit_subspace(noisy, sigma, 1)
    rebuilt = np.tensordot(subspace.basis.T, subspace.coefficients(noisy)[:, :, :], axes=1)
    assert np.abs(rebuilt[:7] - clean[:7]).max() < 0.01


def test_signal_dimension_counts_the_directions_above_the_noise():
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.5, 2, 30)
    signal = np.tensordot(rng.standard_normal((30, 4)) * 20, rng.standard_normal((4, 20, 20)), axes=1)
    noise = sigma[:, None, None] * rng.standard_normal(signal.shape)
    assert signal_dimension(signal + noise, sigma) == 4


def test_detail_covariance_is_that_of_the_lost_detail():
    response = SpatialResponse.bicubic(ratio=2)
    coefficients = RNG.standard_normal((3, 12, 10))
    detail = coefficients - upsample(response.operator(12, 10).forward(coefficients), (12, 10))
    expected = np.einsum("dyx,eyx->de", detail, detail) / 120
    assert np.allclose(detail_covariance(coefficients, response), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 13), st.integers(1, 13), st.sampled_from(["2", "4", "25/3"]))
def test_detail_covariance_is_positive_for_any_size(height, width, ratio):
    coefficients = np.random.default_rng(0).standard_normal((2, height, width))
    covariance = detail_covariance(coefficients, SpatialResponse.box(ratio=ratio))
    assert np.linalg.eigvalsh(covariance).min() > 0


def holed(height, width):
    """An image of 5 bands, three blocks high, with a hole and a missing corner."""
    image = np.cumsum(np.random.default_rng(8).standard_normal((5, height, width)), axis=2)
    image[2, 100, 60] = np.nan
    image[:, :9, :14] = np.nan
    return image


@pytest.mark.parametrize("ratio", ["4", "3", "25/3"])
@pytest.mark.parametrize("kind", ["bicubic", "wide"])
def test_blocks_give_the_detail_covariance_of_the_whole_image(ratio, kind):
    if kind == "bicubic":
        response = SpatialResponse.bicubic(ratio=ratio)
    else:
        response = SpatialResponse.gaussian(ratio=ratio, fwhm=2)
    step = response.ratio.numerator
    image = holed(290, 150)
    size = (290 // step * step, 150 // step * step)
    part = image[:, : size[0], : size[1]]
    filled = fill_nearest(part)
    detail = filled - upsample(response.operator(*size).forward(filled), size)
    pixels = detail[:, np.isfinite(part).all(axis=0)]
    expected = pixels @ pixels.T / pixels.shape[1]
    expected += 1e-6 * np.trace(expected) / 5 * np.eye(5)
    assert np.allclose(detail_covariance(image, response), expected, rtol=1e-10)


def test_blocks_give_the_subspace_of_all_valid_pixels():
    image, sigma = holed(290, 150), np.array([0.1, 0.2, 0.1, 0.5, 0.1])
    pixels = image[:, np.isfinite(image).all(axis=0)]
    assert pixels.shape[1] == 290 * 150 - 1 - 9 * 14
    left, power, _ = np.linalg.svd(pixels / sigma[:, None], full_matrices=False)
    subspace = fit_subspace(image, sigma, 3)
    spanned = left[:, :3].T * sigma
    assert np.allclose(subspace.basis @ np.linalg.pinv(spanned) @ spanned, subspace.basis, rtol=1e-9)
    assert np.allclose(subspace.projection @ subspace.basis.T, np.eye(3), atol=1e-12)
    edge = (1 + np.sqrt(5 / pixels.shape[1])) ** 2
    assert signal_dimension(image, sigma) == (power**2 / pixels.shape[1] > edge).sum()
    with pytest.raises(InputError, match="no pixel is valid in all bands"):
        fit_subspace(image * np.nan, sigma, 3)


def test_dimension_is_checked_against_bands_and_pixels():
    observation, _ = small_problem(SpatialResponse.bicubic(ratio=2), (4, 4))
    assert resolve_dimension(None, observation) == 4
    with pytest.raises(InputError, match=r"5 subspace dimensions .* at most 4"):
        resolve_dimension(5, observation)


def test_filling_takes_the_nearest_valid_pixel():
    image = np.arange(12.0).reshape(1, 3, 4)
    image[0, 0, 0] = np.nan
    image[0, 2, 1:] = np.nan
    filled = fill_nearest(image)
    assert np.isfinite(filled).all()
    assert filled[0, 0, 0] in (1.0, 4.0)
    assert filled[0, 2, 3] == 7.0


def test_an_image_without_valid_pixels_is_filled_with_zeros():
    assert not fill_nearest(np.full((2, 3, 4), np.nan)).any()


def test_footprint_covers_exactly_the_missing_lr_pixel():
    missing = np.zeros((3, 2), bool)
    missing[1, 1] = True
    cover = footprint(missing, (12, 8))
    assert cover[4:8, 4:8].all()
    assert cover.sum() == 16


def test_nodata_does_not_reach_valid_pixels(observation_of_landscape):
    from pipeline.methods import build
    from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings

    whole = observation_of_landscape
    lr_hsi, hr_msi = whole.lr_hsi.copy(), whole.hr_msi.copy()
    lr_hsi[3, 0, 0] = np.nan
    hr_msi[:, 20, 20] = np.nan
    damaged = replace(whole, lr_hsi=lr_hsi, hr_msi=hr_msi)
    method = build(GaussianSubspaceSettings())
    cube = method.fit(damaged).fuse()
    missing = np.isnan(cube).any(axis=0)
    assert missing[:4, :4].all()
    assert missing[20, 20]
    assert missing.sum() == 17
    assert np.isnan(cube).all(axis=0).sum() == 17
    clean = method.fit(whole).fuse()
    error = np.abs(cube - clean)[:, ~missing].max()
    assert error < 0.2 * np.ptp(clean)
