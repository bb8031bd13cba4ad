"""The shift of H: its direction by hand, what holds for every response, and every method that uses it."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.config.responses import SpatialConfig
from pipeline.core.scene import Scene
from pipeline.core.sensing.nodata import footprint
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.resampling import keys_cubic
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import FWHM_PER_SIGMA, SpatialResponse, upsample
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods import build
from pipeline.methods.args_diff.settings import ArgsDiffSettings
from pipeline.methods.bicubic.settings import BicubicSettings
from pipeline.methods.cnmf.settings import CnmfSettings
from pipeline.methods.cucanet.settings import CucanetSettings
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.methods.hysure.settings import HysureSettings
from pipeline.methods.miae.settings import MiaeSettings
from pipeline.methods.settings import MethodSettings

RANDOM = np.random.default_rng(7)
PSF = RANDOM.random((4, 5))
SHIFT = (0.4, -0.3)
QUICK: list[MethodSettings] = [
    BicubicSettings(),
    GaussianSubspaceSettings(),
    CnmfSettings(endmembers=8, inner_loops=60),
    HysureSettings(iterations=40),
]


def responses(ratio: str | Fraction) -> list[SpatialResponse]:
    """One response of every kind."""
    return [
        SpatialResponse.bicubic(ratio=ratio),
        SpatialResponse.gaussian(ratio=ratio, fwhm=1.1),
        SpatialResponse.box(ratio=ratio),
        SpatialResponse.from_psf(PSF, ratio=ratio),
    ]


ratios = st.builds(lambda q, extra: Fraction(q + extra, q), st.integers(1, 3), st.integers(0, 20))
shifts = st.tuples(st.floats(-2.5, 2.5), st.floats(-2.5, 2.5))


@st.composite
def shifted_responses(draw: st.DrawFn) -> SpatialResponse:
    """A response of any kind, rational ratio and shift."""
    return draw(st.sampled_from(responses(draw(ratios)))).shifted(*draw(shifts))


# ---- what it means


def test_an_lr_pixel_lies_shift_pixels_further_down_and_right() -> None:
    """At ratio 4, 1/4 LR pixel is one HR pixel: the LR image is that of the HR image moved up."""
    image = RANDOM.random((24, 32))
    for response in responses("4"):
        whole = response.operator(24, 32).forward(image)
        moved = response.shifted(0.25, -0.5).operator(24, 32).forward(image)
        expected = response.operator(24, 32).forward(np.roll(image, (-1, 2), axis=(0, 1)))
        np.testing.assert_allclose(moved[2:4, 2:6], expected[2:4, 2:6], atol=1e-12)
        assert np.abs(moved - whole).max() > 0.01


def test_gaussian_of_a_ramp_reads_its_position() -> None:
    """On a ramp, a PSF without skew sees the position of its centre: ``(i + 1/2 + shift) ratio - 1/2``."""
    ramp = np.add.outer(np.arange(100.0), 1000 * np.arange(75.0))
    response = SpatialResponse.gaussian(ratio="25/3", fwhm=0.8).shifted(0.31, -0.17)
    seen = response.operator(100, 75).forward(ramp)
    i, j = 5, 4
    expected = (i + 0.81) * 25 / 3 - 0.5 + 1000 * ((j + 0.33) * 25 / 3 - 0.5)
    # the Gaussian's ends, at 4 standard deviations, move the mean by some 1e-4 pixels
    assert seen[i, j] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("ratio", ["1", "3", "25/3"])
def test_upsampling_undoes_the_shift_of_a_smooth_image(ratio: str) -> None:
    response = SpatialResponse.gaussian(ratio=ratio, fwhm=1.0).shifted(0.6, -1.3)
    size = 24 * response.ratio.numerator
    y, x = np.mgrid[:size, :size] / size * 2 * np.pi
    image = np.sin(y) + np.cos(2 * x)
    back = upsample(response.operator(size, size).forward(image), (size, size), response.shift)
    inside = (slice(size // 4, -size // 4),) * 2
    told_wrong = upsample(response.operator(size, size).forward(image), (size, size))
    error, wrong = (np.abs(z - image)[inside].max() for z in (back, told_wrong))
    assert error < 0.1 * wrong


def test_ratio_one_is_a_blur_and_a_shift() -> None:
    image = RANDOM.random((9, 8))
    for response in (SpatialResponse.bicubic(ratio=1), SpatialResponse.box(ratio=1)):
        np.testing.assert_allclose(response.operator(9, 8).forward(image), image, atol=1e-15)
    keys = SpatialResponse.bicubic(ratio=1).shifted(0, 0.3).operator(9, 8).forward(image)
    weights = keys_cubic(np.array([1.3, 0.3, 0.7, 1.7]))
    np.testing.assert_allclose(keys[:, 3], image[:, 2:6] @ weights, atol=1e-14)
    linear = SpatialResponse.box(ratio=1).shifted(-0.25, 0).operator(9, 8).forward(image)
    np.testing.assert_allclose(linear[4], 0.75 * image[4] + 0.25 * image[3], atol=1e-14)


def test_a_narrow_gaussian_of_ratio_one_is_an_interpolation() -> None:
    """Its weights move with the shift, however narrow it is, which samples of it would not."""
    image, ramp = RANDOM.random((9, 8)), np.tile(np.arange(40.0), (3, 1))
    keys = SpatialResponse.bicubic(ratio=1).shifted(0.2, -0.4).operator(9, 8).forward(image)
    point = SpatialResponse.gaussian(ratio=1, fwhm=1e-6).shifted(0.2, -0.4).operator(9, 8).forward(image)
    np.testing.assert_allclose(point, keys, atol=1e-5)
    for fwhm in (0.2, 0.5, 1.0, 2.0):
        response = SpatialResponse.gaussian(ratio=1, fwhm=fwhm).shifted(0, 0.3)
        seen = response.operator(3, 40).forward(ramp)
        np.testing.assert_allclose(seen[1, 20], 20.3, atol=1e-9)
        blurred = response.operator(3, 40).forward(ramp**2)
        # Keys' kernel has no second moment: the parabola rises by the Gaussian's variance, cut at 4 sigma
        assert blurred[1, 20] - 20.3**2 == pytest.approx((fwhm / FWHM_PER_SIGMA) ** 2, rel=0.005)


# ---- what holds for every response


@given(shifted_responses(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_adjoint_and_constants(response: SpatialResponse, seed: int) -> None:
    step = response.ratio.numerator
    operator, random = response.operator(2 * step, step), np.random.default_rng(seed)
    x, y = random.normal(size=operator.hr_shape), random.normal(size=operator.lr_shape)
    assert np.vdot(operator.forward(x), y) == pytest.approx(np.vdot(x, operator.adjoint(y)), abs=1e-9)
    np.testing.assert_allclose(operator.forward(np.ones(operator.hr_shape)), 1.0, rtol=1e-6)


@given(shifted_responses(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_window_is_the_restriction_of_the_whole(response: SpatialResponse, data: st.DataObject) -> None:
    q = response.ratio.denominator
    size = 6 * response.ratio.numerator
    y0, x0 = (data.draw(st.integers(0, 6 * q - 1)) for _ in "yx")
    y1, x1 = (data.draw(st.integers(low + 1, 6 * q)) for low in (y0, x0))
    lr = Window(y0, y1, x0, x1)
    operator, seen = response.window_operator((size, size), lr)
    image = np.random.default_rng(0).random((size, size))
    whole = response.operator(size, size).forward(image)
    np.testing.assert_allclose(operator.forward(image[seen.slices]), whole[lr.slices], atol=1e-12)


@given(shifted_responses())
@settings(max_examples=60, deadline=None)
def test_nothing_is_seen_beyond_the_support(response: SpatialResponse) -> None:
    ratio, lr_size = float(response.ratio), 20 * response.ratio.denominator
    size = 20 * response.ratio.numerator
    pixel = lr_size // 2
    _, seen = response.window_operator((size, size), Window(pixel, pixel + 1, pixel, pixel + 1))
    low, high = ((pixel + 0.5 + side * response.support_lr) * ratio for side in (-1, 1))
    assert low <= max(seen.y0, 0.0) + 0.5
    assert min(seen.y0, seen.x0) >= low - 0.5
    assert max(seen.y1, seen.x1) <= high + 0.5


@pytest.mark.parametrize("response", responses("5/2"), ids=lambda r: r.kind)
def test_noise_gain_of_a_shifted_response(response: SpatialResponse) -> None:
    shifted = response.shifted(0.3, -1.2)
    blurred = shifted.operator(15, 20).forward(np.random.default_rng(0).normal(size=(4000, 15, 20)))
    # 4000 x 48 correlated values: 2 % is beyond four standard errors
    assert shifted.noise_gain(15, 20) == pytest.approx(np.mean(blurred**2), rel=0.02)


# ---- storage and settings


@pytest.mark.parametrize("response", responses("25/3"), ids=lambda r: r.kind)
def test_the_shift_is_stored_where_there_is_one(response: SpatialResponse) -> None:
    assert "shift" not in response.to_dict()
    assert response.shifted(0.5, 0.25).shifted(-0.5, -0.25) == response
    shifted = response.shifted(0.5, -0.25).shifted(0.5, 0)
    assert SpatialResponse.from_dict(json.loads(json.dumps(shifted.to_dict()))) == shifted
    assert shifted.shift == (1.0, -0.25)


def test_the_configuration_has_a_shift() -> None:
    config = SpatialConfig.model_validate({"kind": "gaussian", "ratio": 3, "fwhm": 1.2, "shift": [0.3, -0.2]})
    assert config.build() == SpatialResponse.gaussian(ratio=3, fwhm=1.2).shifted(0.3, -0.2)
    with pytest.raises(InputError, match=r"shift .* is not finite"):
        SpatialResponse.box(ratio=2).shifted(float("nan"), 0)


# ---- no-data


def test_footprint_of_a_shifted_pixel() -> None:
    missing = np.zeros((5, 6), bool)
    missing[2, 3] = True
    covered = footprint(missing, (20, 24), (0.25, -0.5))
    assert np.flatnonzero(covered.any(axis=1)).tolist() == [9, 10, 11, 12]
    assert np.flatnonzero(covered.any(axis=0)).tolist() == [10, 11, 12, 13]
    missing[0] = True
    assert footprint(missing, (20, 24), (0.25, 0))[:5].all(), "what lies in no LR pixel is the nearest one's"


@given(st.sampled_from(["2", "5", "25/3"]), st.sampled_from([0.1, -0.3, 0.7, 1.3]), st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_a_part_and_the_whole_agree_on_the_pixel_around(ratio: str, shift: float, first: int) -> None:
    """Also where a centre falls on the edge of two LR pixels, up to rounding."""
    step, q = Fraction(ratio).numerator, Fraction(ratio).denominator
    mask = np.random.default_rng(first).random((30 * q, 1)) < 0.5
    whole = footprint(mask, (30 * step, 1), (shift, 0))
    part = footprint(mask[first * q :], ((30 - first) * step, 1), (shift, 0))
    np.testing.assert_array_equal(part[2 * step :], whole[(first + 2) * step :])


# ---- methods


def observed(
    landscape: Scene, srf: NDArray[Any], response: SpatialResponse, size: tuple[int, int] = (32, 40)
) -> Observation:
    data = landscape.data[:, : size[0], : size[1]]
    return simulate(data, spectral_response=srf, spatial_response=response)


def psnr(cube: NDArray[Any], reference: NDArray[Any]) -> float:
    """Over the inner pixels, in dB of the largest value."""
    inner = (slice(None), slice(6, -6), slice(6, -6))
    error = np.mean(np.square(cube[inner] - reference[inner]))
    return float(10 * np.log10(np.square(reference).max() / error))


@pytest.mark.parametrize("ratio", [1, 4])
@pytest.mark.parametrize("method", QUICK, ids=lambda s: s.method)
def test_a_method_gains_from_the_shift(
    landscape: Scene, landscape_srf: NDArray[Any], method: MethodSettings, ratio: int
) -> None:
    response = SpatialResponse.gaussian(ratio=ratio, fwhm=1.0).shifted(*SHIFT)
    seen = observed(landscape, landscape_srf, response)
    blind = replace(seen, spatial_response=SpatialResponse.gaussian(ratio=ratio, fwhm=1.0))
    told, not_told = (psnr(build(method).fit(o).fuse(), landscape.data) for o in (seen, blind))
    assert told > not_told + 0.2


@pytest.mark.parametrize("method", QUICK, ids=lambda s: s.method)
def test_tiles_are_the_whole_with_a_shift(
    landscape: Scene, landscape_srf: NDArray[Any], method: MethodSettings
) -> None:
    wide = np.tile(landscape.data, (1, 3, 3))[:, :96, :96]
    wide[:, 50:54, 40:46] = np.nan
    response = SpatialResponse.gaussian(ratio=4, fwhm=0.8).shifted(0.7, -1.2)
    seen = simulate(wide, spectral_response=landscape_srf, spatial_response=response)
    fitted = build(method).fit(seen)
    whole = fitted.fuse()
    for window in (Window(0, 32, 0, 32), Window(32, 64, 32, 64), Window(64, 96, 64, 96)):
        tile = fitted.fuse(window)
        np.testing.assert_array_equal(np.isnan(tile), np.isnan(whole[:, *window.slices]))
        np.testing.assert_allclose(tile, whole[:, *window.slices], atol=1e-4 * np.nanmax(whole))


@pytest.mark.parametrize("method", QUICK[1:], ids=lambda s: s.method)
def test_nodata_stays_under_the_shifted_pixel(
    landscape: Scene, landscape_srf: NDArray[Any], method: MethodSettings
) -> None:
    response = SpatialResponse.gaussian(ratio=4, fwhm=0.8).shifted(0.5, -0.25)
    seen = observed(landscape, landscape_srf, response)
    lr_hsi = seen.lr_hsi.copy()
    lr_hsi[:, 3, 4] = np.nan
    lost = np.isnan(build(method).fit(replace(seen, lr_hsi=lr_hsi)).fuse()).all(axis=0)
    expected = np.zeros((32, 40), bool)
    expected[14:18, 15:19] = True  # rows (3 + 1/2) 4 to (4 + 1/2) 4, columns (4 - 1/4) 4 to (5 - 1/4) 4
    np.testing.assert_array_equal(lost, expected)


@pytest.mark.parametrize("kind", ["bicubic", "box"])
def test_sharp_responses_of_ratio_one(landscape: Scene, landscape_srf: NDArray[Any], kind: str) -> None:
    """H is the identity: there is no detail to add, and nothing overflows."""
    response = SpatialResponse(kind, Fraction(1))
    seen = observed(landscape, landscape_srf, response)
    cube = build(GaussianSubspaceSettings()).fit(seen).fuse()
    assert psnr(cube, landscape.data) > psnr(seen.lr_hsi, landscape.data)


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1, 4])
def test_networks_with_a_shift(landscape: Scene, landscape_srf: NDArray[Any], ratio: int) -> None:
    response = SpatialResponse.gaussian(ratio=ratio, fwhm=1.0).shifted(*SHIFT)
    seen = observed(landscape, landscape_srf, response)
    budget = {"width": 32, "spatial_iterations": 2, "spectral_iterations": 2, "crop": 16, "spatial_batch": 1}
    short = {"constant_iterations": 1, "falling_iterations": 1}
    for method in (
        MiaeSettings.model_validate({"device": "cpu", "threads": 1, "budget": short}),
        CucanetSettings.model_validate(
            {"device": "cpu", "threads": 1, "budget": {"constant": 1, "falling": 1}}
        ),
        ArgsDiffSettings.model_validate({"device": "cpu", "threads": 1, "budget": budget, "steps": 3}),
    ):
        assert np.isfinite(build(method).fit(seen).fuse()).all()


def test_learned_responses_have_no_shift(landscape: Scene, landscape_srf: NDArray[Any]) -> None:
    seen = observed(landscape, landscape_srf, SpatialResponse.box(ratio=4).shifted(*SHIFT))
    method = CucanetSettings.model_validate({"device": "cpu", "responses": "learned"})
    with pytest.raises(InputError, match="responses: learned needs images without a shift"):
        build(method).fit(seen)
