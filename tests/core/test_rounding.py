"""Decisions on what is zero in exact arithmetic: the same in any units, and with noise the size of rounding.

Images are constant, or constant but for the rounding of float32 or float64, and scaled by powers of ten; a
processor that sums in another order changes no more than these tests do.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import pipeline
from pipeline.core.estimation.noise_levels import MatchedPixels, estimate_hsi_noise
from pipeline.core.estimation.responses import estimate_responses
from pipeline.core.estimation.responses.spectral import choose_weights, fit_rows, moments_of
from pipeline.core.estimation.shift import estimate_alignment
from pipeline.core.estimation.shift.coarse import phase_correlation
from pipeline.core.estimation.shift.pairs import correlated_pairs
from pipeline.core.quality.metrics import evaluate
from pipeline.core.quality.no_reference import no_reference
from pipeline.core.quality.reliability import rank_correlation
from pipeline.core.rounding import centred, correlations, first_largest, signed
from pipeline.core.scene import Metadata
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.graph_prior import Comparison, class_centres, misfit, sample_of
from pipeline.core.subspace.basis import fit_subspace
from pipeline.core.subspace.endmembers import vca
from pipeline.core.subspace.farthest import farthest_points
from pipeline.errors import InputError
from pipeline.inputs.pairs.grids import Raster, nest

Cube = NDArray[Any]
SCALES = (1e-6, 1.0, 1e6)
JITTERS = (0.0, 6e-8)
in_any_units = pytest.mark.parametrize("scale", SCALES)
with_rounding = pytest.mark.parametrize("jitter", JITTERS)


def rounded(image: Cube, size: float, seed: int = 0) -> Cube:
    """An image with relative errors of a size, in its own type."""
    wrong = 1 + size * np.random.default_rng(seed).uniform(-1, 1, image.shape)
    return np.asarray((image * wrong).astype(image.dtype))


def flat_hsi(pair: Observation, scale: float, jitter: float) -> Observation:
    """The pair with an LR-HSI of a constant spectrum, both images in other units."""
    spectrum = np.linspace(0.1, 0.7, pair.bands, dtype=np.float32)[:, None, None]
    lr_hsi = rounded(np.broadcast_to(scale * spectrum, pair.lr_hsi.shape).astype(np.float32), jitter)
    return replace(pair, lr_hsi=lr_hsi, hr_msi=(scale * pair.hr_msi).astype(np.float32))


values = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12).map(np.array)
scales = st.sampled_from([1e-6, 1e-3, 1e3, 1e6])


@settings(max_examples=50, deadline=None)
@given(values, scales, st.integers(0, 99))
def test_the_first_of_equal_values_is_found_in_any_units(x: Cube, scale: float, seed: int) -> None:
    """A repeated value ties, whatever its last bits are."""
    twice = np.concatenate([x, rounded(x, 1e-15, seed)])
    chosen = first_largest(scale * twice)
    assert chosen < len(x)
    assert x[chosen] >= x.max() - 2e-9 * np.abs(x).max()


@settings(max_examples=50, deadline=None)
@given(values, scales, st.integers(0, 99))
def test_the_sign_of_a_vector_is_the_same_after_rounding(x: Cube, scale: float, seed: int) -> None:
    antisymmetric = np.concatenate([x, -x])[None] + 0.0
    for vector in (x[None], antisymmetric):
        if np.abs(vector.sum()) > 1e-6 * np.abs(vector).sum() or vector is antisymmetric:
            turned = rounded(-scale * vector, 1e-15, seed)
            np.testing.assert_allclose(signed(turned), scale * signed(vector), rtol=1e-12)


@in_any_units
@with_rounding
def test_a_constant_band_correlates_with_nothing(scale: float, jitter: float) -> None:
    constant = rounded(np.full((1, 500), scale / 3), jitter)
    other = np.random.default_rng(1).random((1, 500))
    assert not centred(constant).any()
    assert correlations(constant, other) == correlations(other, constant) == correlations(constant, constant)
    assert correlations(constant, other) == 0
    assert correlations(other, 3 * scale * other) == pytest.approx(1)


@in_any_units
@with_rounding
def test_a_constant_image_does_not_tell_its_shift(
    observation_of_landscape: Observation, scale: float, jitter: float
) -> None:
    pair = flat_hsi(tall(observation_of_landscape), scale, jitter)
    found = estimate_alignment(pair).overall
    assert found.shift_error == (np.inf, np.inf)
    assert found.correlation == (0.0,) * len(pair.hr_msi)
    assert found.shift == pair.spatial_response.shift
    with pytest.raises(InputError, match="no band of one correlates with a band of the other"):
        estimate_alignment(pair, spectral_known=False)


@in_any_units
def test_stripes_tell_the_shift_across_them_alone(
    observation_of_landscape: Observation, scale: float
) -> None:
    """The images vary along rows only."""
    response, rows = observation_of_landscape.spatial_response, np.arange(64)
    stripes = scale * (0.3 + 0.1 * np.sin(rows / 2.0) + 0.05 * np.sin(rows / 3.7))
    fine = np.broadcast_to(stripes[:, None], (64, 80)).astype(np.float32)
    coarse = response.shifted(0.1, 0).operator(64, 80).forward(fine.astype(np.float64)).astype(np.float32)
    noise = 1e-3 * scale * np.random.default_rng(2).standard_normal(coarse.shape[0])
    pair = replace(
        observation_of_landscape,
        lr_hsi=np.repeat((coarse + noise[:, None])[None], 24, axis=0).astype(np.float32),
        hr_msi=np.repeat(fine[None], 4, axis=0),
    )
    across, along = estimate_alignment(pair).overall.shift_error
    assert across < 0.5
    assert along == np.inf


def test_a_constant_band_takes_no_part_in_an_alignment(observation_of_landscape: Observation) -> None:
    """What the other bands tell is not disturbed by the rounding of a dead one."""
    pair = tall(observation_of_landscape)
    whole = estimate_alignment(pair).overall
    found = []
    for jitter in (0.0, 6e-8):
        hr_msi = pair.hr_msi.copy()
        hr_msi[1] = rounded(np.full(hr_msi[1].shape, 0.3, np.float32), jitter)
        found.append(estimate_alignment(replace(pair, hr_msi=hr_msi)).overall)
        assert found[-1].correlation[1] == 0
        np.testing.assert_allclose(found[-1].shift, whole.shift, atol=4 * max(whole.shift_error))
    np.testing.assert_allclose(found[0].shift, found[1].shift, atol=1e-6)


@pytest.mark.parametrize("size", [3e-16, 1e-15])
def test_peaks_of_a_periodic_image_come_in_one_order(size: float) -> None:
    """A checkerboard has as many equal shifts as it has periods."""
    board = np.indices((24, 24)).sum(axis=0) % 2.0
    found = [
        phase_correlation(rounded(board[None], error, 1), rounded(board[None], error, 2))
        for error in (0.0, size)
    ]
    np.testing.assert_allclose(*found, atol=1e-6)


@in_any_units
@with_rounding
def test_bands_that_do_not_vary_are_no_pair(
    observation_of_landscape: Observation, scale: float, jitter: float
) -> None:
    pair = flat_hsi(observation_of_landscape, scale, jitter)
    lr_hsi = pair.lr_hsi.copy()
    lr_hsi[5] = scale * observation_of_landscape.lr_hsi[5]
    pair = replace(pair, lr_hsi=lr_hsi)
    pairs = correlated_pairs(pair, [pair.whole], np.ones(24, bool))
    assert (pairs.weights.argmax(axis=1) == 5).all()


@in_any_units
@with_rounding
@pytest.mark.parametrize(
    ("spectral", "line"),
    [
        ("estimated", "does not grow with any HSI band"),
        ("calibrated", "falls where the HSI bands that match it rise"),
        ("given", "the PSF cannot be estimated"),
    ],
)
def test_responses_of_a_constant_hsi_are_refused(
    observation_of_landscape: Observation, spectral: Any, line: str, scale: float, jitter: float
) -> None:
    pair = flat_hsi(tall(observation_of_landscape), scale, jitter)
    pair = replace(pair, spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=1.0))
    with pytest.raises(InputError, match=line):
        estimate_responses(pair, spectral=spectral, spatial="gaussian", offset=True)


def tall(pair: Observation) -> Observation:
    """The pair beside its mirror images, large enough for an estimation of responses."""
    images = (np.concatenate([i, i[:, ::-1]], axis=1) for i in (pair.lr_hsi, pair.hr_msi))
    lr_hsi, hr_msi = (np.concatenate([i, i[:, :, ::-1]], axis=2) for i in images)
    return replace(pair, lr_hsi=lr_hsi, hr_msi=hr_msi)


@in_any_units
@with_rounding
def test_a_constant_msi_band_has_no_response(scale: float, jitter: float) -> None:
    generator = np.random.default_rng(3)
    hsi = scale * generator.random((6, 400))
    msi = np.stack([hsi[:3].mean(axis=0), rounded(np.full(400, 0.2 * scale), jitter)])
    with pytest.raises(InputError, match="band 1 does not grow"):
        fit_rows(moments_of(hsi, msi), np.ones(2), np.ones((2, 6), bool), offset=True)


def test_without_noise_the_smoothness_does_not_hang_on_rounding() -> None:
    """Every weight predicts a spectrally flat scene exactly."""
    generator = np.random.default_rng(4)
    hsi = np.repeat(generator.random((1, 800)), 6, axis=0)
    fold, support = np.arange(800) % 8, np.ones((2, 6), bool)
    chosen = [
        choose_weights(rounded(hsi, size, 1), rounded(hsi[:2], size, 2), fold, support, True)
        for size in (0.0, 1e-16, 2e-16)
    ]
    assert np.ptp(chosen, axis=0).max() == 0


@in_any_units
def test_endmembers_do_not_hang_on_rounding(scale: float) -> None:
    """Equal pixels, as many endmembers as bands, and more of them than the image has directions."""
    generator = np.random.default_rng(5)
    pure = generator.random((4, 4))
    spectra = pure @ generator.dirichlet(np.ones(4), 60).T
    spectra = np.concatenate([spectra, spectra, pure, pure], axis=1)
    flat = np.repeat(spectra[:, :1], 50, axis=1)
    for image, count in ((spectra, 4), (np.concatenate([spectra, spectra]), 6), (flat, 3)):
        chosen = [
            vca(rounded(scale * image, size, seed), count, np.random.default_rng(0))[1].tolist()
            for size, seed in ((0.0, 0), (1e-16, 1), (2e-16, 2))
        ]
        assert chosen[0] == chosen[1] == chosen[2]


@in_any_units
def test_noise_levels_of_equal_and_constant_bands(scale: float) -> None:
    """Bands that others explain exactly, which leave a regression several solutions."""
    generator = np.random.default_rng(8)
    hsi = generator.random((12, 3)) @ generator.random((3, 400)) + 1e-3 * generator.standard_normal((12, 400))
    hsi[5], hsi[7], hsi[8] = hsi[4], 0.3, hsi[2] + hsi[3]
    found = [
        estimate_hsi_noise(MatchedPixels.complete(scale * rounded(hsi, size, seed), hsi[:3], 1.0)) / scale
        for size, seed in ((0.0, 0), (1e-16, 1), (2e-16, 2))
    ]
    np.testing.assert_allclose(found, np.broadcast_to(found[0], (3, 12)), rtol=1e-6)


@in_any_units
def test_a_subspace_has_no_more_dimensions_than_the_image(scale: float) -> None:
    generator = np.random.default_rng(9)
    image = scale * np.tensordot(generator.random((12, 3)), generator.random((3, 10, 10)), axes=1)
    assert len(fit_subspace(image.astype(np.float32), np.full(12, scale), 8).basis) == 3
    assert len(fit_subspace(np.full((12, 10, 10), scale), np.full(12, scale), 8).basis) == 1


FUSED = """
import sys
import numpy as np, pipeline
generator = np.random.default_rng(0)
srf, blur = np.kron(np.eye(4), np.ones(3)) / 3, pipeline.SpatialResponse.bicubic(ratio=4)
mixed = np.tensordot(generator.random((12, 3)), generator.random((3, 32, 32)), axes=1)
flat = np.broadcast_to(np.linspace(0.1, 0.7, 12)[:, None, None], mixed.shape)
blocks = generator.random((12, 3))[:, np.kron(generator.integers(0, 3, (8, 8)), np.ones((4, 4), int))]
cubes = []
for seen, fine in ((mixed, mixed), (flat, mixed), (mixed, flat), (flat, flat), (blocks, blocks)):
    lr_hsi = blur.operator(32, 32).forward(seen).astype(np.float32)
    hr_msi = np.tensordot(srf, fine, axes=1).astype(np.float32)
    for method, settings in (
        ("gaussian_subspace", {}),
        ("graph_subspace", {"rounds": 2, "draws": 0}),
        ("cnmf", {"inner_loops": 20}),
        ("hysure", {"iterations": 10}),
    ):
        result = pipeline.fuse(
            lr_hsi, hr_msi, spectral_response=srf, spatial_response=blur, method=method, **settings
        )
        cubes.append(result.cube)
np.save(sys.argv[1], cubes)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of another kind")
def test_scenes_without_noise_are_fused_alike_by_other_processors(tmp_path: Path) -> None:
    """Of few materials, or constant: what BLAS of other processors rounds differently decides nothing."""
    found = []
    for core in ("Nehalem", "Haswell"):
        out = tmp_path / f"{core}.npy"
        environment = os.environ | {"OPENBLAS_CORETYPE": core, "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", FUSED, out], env=environment, check=True)
        found.append(np.load(out))
    np.testing.assert_allclose(*found, atol=1e-4)


@in_any_units
def test_points_that_differ_by_rounding_coincide(scale: float) -> None:
    points = scale * np.array([[0.1, 0.7], [0.3, 0.1], [0.9, 0.5]])
    twice = np.concatenate([points, rounded(points, 1e-15)])
    assert farthest_points(twice, 0, 6) == farthest_points(points, 0, 6) == [0, 2, 1]


@in_any_units
def test_the_sign_of_a_direction_that_sums_to_zero(scale: float) -> None:
    """Two bands that mirror each other about zero."""
    band = np.random.default_rng(6).standard_normal((1, 8, 8))
    image = np.concatenate([band, -band])
    sigma = np.full(2, 0.01)
    bases = [fit_subspace(scale * rounded(image, size), sigma, 1).basis for size in (0.0, 1e-15, 1e-14)]
    expected = np.broadcast_to(np.array([[1, -1]]) / np.sqrt(2), (3, 1, 2))
    np.testing.assert_allclose(bases, expected, atol=1e-6)


@in_any_units
@with_rounding
def test_scores_of_constant_bands(scale: float, jitter: float) -> None:
    """They are not defined in a constant reference, and a constant cube correlates with nothing."""
    varied = scale * np.random.default_rng(7).random((1, 40, 40)).astype(np.float32)
    constant = rounded(np.full((1, 40, 40), 0.4 * scale, np.float32), jitter)
    of_constant = evaluate(constant, varied, ratio=4)
    assert of_constant["ssim"] is None
    assert of_constant["cc"] is None
    assert evaluate(varied, constant, ratio=4)["cc"] == 0
    centred_band = (varied - varied.astype(np.float64).mean()).astype(np.float64)
    centred_band -= centred_band.mean()
    assert evaluate(centred_band, varied, ratio=4)["ergas"] is None


@in_any_units
def test_windows_of_zero_mean_have_one_luminance(scale: float) -> None:
    """UIQI of images whose windows have a mean of zero up to rounding."""
    board = scale * 0.3 * (1 - 2 * (np.indices((1, 16, 16)).sum(axis=0) % 2.0))
    scores = [evaluate(board, rounded(2 * board, size), ratio=4)["uiqi"] for size in (0.0, 1e-16, 2e-16)]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-9)


@in_any_units
@with_rounding
def test_the_related_band_of_a_constant_one_is_the_first(
    observation_of_landscape: Observation, scale: float, jitter: float
) -> None:
    """No reference is needed, and neither index hangs on which constant band is compared."""
    pair = flat_hsi(observation_of_landscape, scale, jitter)
    cube = np.kron(pair.lr_hsi, np.ones((1, 4, 4), np.float32))
    found = no_reference(cube, pair)
    exact = no_reference(
        np.kron(flat_hsi(observation_of_landscape, scale, 0).lr_hsi, np.ones((1, 4, 4), np.float32)),
        flat_hsi(observation_of_landscape, scale, 0),
    )
    assert vars(found) == pytest.approx(vars(exact), abs=1e-5)


@in_any_units
@with_rounding
def test_ranks_of_a_constant_deviation_are_not_correlated(scale: float, jitter: float) -> None:
    constant, error = rounded(np.full(30, scale), jitter), scale * np.arange(30.0)
    assert rank_correlation(constant, error) is None
    assert rank_correlation(error, constant) is None


@in_any_units
@with_rounding
def test_a_prior_of_a_constant_pair_is_defined(
    observation_of_landscape: Observation, scale: float, jitter: float
) -> None:
    """One class, no misfit that rounding makes, and a fused cube of the constant."""
    pair = flat_hsi(observation_of_landscape, scale, jitter)
    hr_msi = np.tensordot(pair.spectral_response, np.kron(pair.lr_hsi, np.ones((1, 4, 4))), axes=1)
    pair = replace(pair, hr_msi=hr_msi.astype(np.float32), sigma_hsi=pair.sigma_hsi * scale)
    subspace = fit_subspace(pair.lr_hsi, pair.sigma_hsi, 3)
    sample, whitening = sample_of(pair, subspace), np.eye(len(subspace.basis))
    noise = np.full(4, (1e-3 * scale) ** 2)
    comparison = Comparison(pair.spectral_response, pair.sigma_hsi, noise)
    assert misfit(sample, whitening, subspace.basis, comparison) == 0
    result = pipeline.fuse(
        pair.lr_hsi, pair.hr_msi, spectral_response=pair.spectral_response, spatial_response="bicubic"
    )
    expected = np.broadcast_to(pair.lr_hsi[:, :1, :1], result.cube.shape)
    np.testing.assert_allclose(result.cube, expected, rtol=1e-5)


def test_an_msi_band_blind_to_the_basis_gives_no_misfit(observation_of_landscape: Observation) -> None:
    pair = observation_of_landscape
    subspace = fit_subspace(pair.lr_hsi, pair.sigma_hsi, 3)
    blind = pair.spectral_response.copy()
    outside = np.linalg.svd(subspace.basis)[2][-1]  # orthogonal to the basis up to rounding
    blind[2] = outside
    comparison = Comparison(blind, pair.sigma_hsi, np.full(4, 1e-9))
    assert misfit(sample_of(pair, subspace), np.eye(3), subspace.basis, comparison) == 0


def test_spectra_that_differ_by_rounding_are_one_class() -> None:
    spectra = np.repeat(np.array([[0.1, 0.9], [0.5, 0.2]]), 20, axis=1)
    for size in (0.0, 1e-15):
        centres = class_centres(rounded(spectra, size), 8, np.random.default_rng(0))
        assert len(centres) == 2


def test_a_psf_that_sums_to_zero_is_refused() -> None:
    psf = np.array([[0.1, -0.3, 0.2], [0.7, -0.9, 0.2]])
    assert psf.sum() != 0
    with pytest.raises(InputError, match="it must be positive"):
        SpatialResponse.from_psf(psf, ratio=2)


@pytest.mark.parametrize("off", [-1e-9, 0.0, 1e-9])
def test_a_corner_on_half_an_hr_pixel_belongs_to_the_same_one(off: float) -> None:
    """Whatever the georeference's last digits are."""
    crs = "EPSG:32633"
    hsi = Raster("hsi", (10, 10), Metadata(crs=crs, transform=(30.0, 0.0, 5.0 + off, 0.0, -30.0, -5.0 - off)))
    msi = Raster("msi", (40, 40), Metadata(crs=crs, transform=(10.0, 0.0, 0.0, 0.0, -10.0, 0.0)))
    nesting = nest(hsi, msi, Fraction(3))
    assert (nesting.hr.y0, nesting.hr.x0) == (1, 1)
    np.testing.assert_allclose(nesting.shift, (-1 / 6, -1 / 6), atol=1e-8)
