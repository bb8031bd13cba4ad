"""Bands that are less sharp than others, and what the standard deviation makes of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter

from pipeline.core.observation import Observation
from pipeline.core.reliability import reliability
from pipeline.core.sharpness import FEWEST_SQUARES, SIDE, laplacian, relative_blur
from pipeline.core.simulation import simulate
from pipeline.core.spatial import SpatialResponse
from pipeline.core.subspace import fit_subspace
from pipeline.methods import build
from pipeline.settings import GraphSubspaceSettings

BLUR = 0.5  # HR pixels, standard deviation of the Gaussian that blurs the first bands
BLURRED = 6  # of them
BANDS = 18


def scene_of(size: int, blur: float = BLUR, seed: int = 0) -> np.ndarray:
    """Three maps of patches, mixed linearly in all bands; the first bands are blurred."""
    rng = np.random.default_rng(seed)
    maps = gaussian_filter(rng.standard_normal((3, size, size)), (0, 1.5, 1.5)) > 0
    maps = maps + gaussian_filter(rng.standard_normal((3, size, size)), (0, 2, 2))
    scene = np.tensordot(rng.uniform(0.1, 1, (BANDS, 3)), maps, axes=1) + 1
    if blur:
        scene[:BLURRED] = gaussian_filter(scene[:BLURRED], (0, blur, blur))
    return scene.astype(np.float32)


def observed(scene: np.ndarray, snr_db: float = 40) -> Observation:
    """The HR-MSI sees the sharp bands alone."""
    response = np.zeros((3, BANDS))
    for band in range(3):
        response[band, BLURRED + 4 * band : BLURRED + 4 * band + 4] = 0.25
    return simulate(
        scene, spectral_response=response, spatial_response=SpatialResponse.bicubic(ratio=4), snr_db=snr_db
    )


def basis_of(pair: Observation, d: int = 6) -> np.ndarray:
    return fit_subspace(pair.lr_hsi, pair.sigma_hsi, d).basis


def test_the_blur_of_bands_is_found():
    pair = observed(scene_of(192))
    found = relative_blur([pair], basis_of(pair))
    assert found[:BLURRED] == pytest.approx(BLUR**2 / 2, rel=0.4)
    assert np.abs(found[BLURRED:]).max() < 0.04


def test_bands_of_equal_sharpness_are_left_alone():
    pair = observed(scene_of(192, blur=0))
    assert np.abs(relative_blur([pair], basis_of(pair))).max() < 0.04


def test_parts_say_the_same_in_any_order():
    parts = [observed(scene_of(96, seed=seed)) for seed in (1, 2, 3)]
    basis = basis_of(parts[0])
    assert relative_blur(parts, basis) == pytest.approx(relative_blur(parts[::-1], basis))


def test_little_data_say_nothing():
    side = 4 * SIDE * 2  # four squares
    assert FEWEST_SQUARES > 4
    pair = observed(scene_of(side))
    assert not relative_blur([pair], basis_of(pair)).any()
    gone = observed(scene_of(96))
    gone.lr_hsi[:] = np.nan
    assert not relative_blur([gone], basis_of(pair)).any()


def test_no_data_does_not_count():
    pair = observed(scene_of(192))
    basis = basis_of(pair)
    whole = relative_blur([pair], basis)
    pair.lr_hsi[:, 3:9, 20:30] = np.nan
    pair.hr_msi[:, 100:120, 10:40] = np.nan
    found = relative_blur([pair], basis)
    assert np.isfinite(found).all()
    assert found[:BLURRED] == pytest.approx(whole[:BLURRED], rel=0.2)


@given(arrays(np.float64, (2, 5, 6), elements=st.floats(-1e3, 1e3)))
def test_laplacian_is_that_of_the_padded_image(image):
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
    expected = (
        padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:] - 4 * image
    )
    assert np.allclose(laplacian(image), expected, atol=1e-9)


def test_intervals_hold_the_errors_of_blurred_bands():
    scene = scene_of(160, blur=0.8)
    pair = observed(scene, snr_db=45)
    fitted = build(GraphSubspaceSettings()).fit(pair)
    fused = fitted.fuse_part_with_deviation(pair, pair.whole)
    fitted.spread.blur[:] = 0  # what it would be if bands were taken to be equally sharp
    blind = fitted.fuse_part_with_deviation(pair, pair.whole)
    coverage = [
        reliability(scene[:BLURRED], result.cube[:BLURRED], result.deviation[:BLURRED])["coverage_90"]
        for result in (blind, fused)
    ]
    assert coverage[0] < 0.7
    assert coverage[1] > 0.85  # near one: the error is as large as is said, rarely more
