"""The spatial response H against direct loops, MATLAB's convention, Pillow and SciPy."""

from __future__ import annotations

import json
from fractions import Fraction
from math import exp, pi
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.signal import correlate2d

from pipeline.core.sensing.resampling import keys_cubic, upsampling_matrix
from pipeline.core.sensing.spatial import (
    BORDERS,
    FWHM_PER_SIGMA,
    SpatialOperator,
    SpatialResponse,
    as_ratio,
    upsample,
)
from pipeline.core.window import Window
from pipeline.errors import InputError

Cube = NDArray[Any]
RANDOM = np.random.default_rng(3)
SKEWED = RANDOM.random((4, 6))  # full rank, no symmetry


def responses(ratio: str | int) -> list[SpatialResponse]:
    """One response of every kind."""
    return [
        SpatialResponse.bicubic(ratio=ratio),
        SpatialResponse.gaussian(ratio=ratio, fwhm=1.0),
        SpatialResponse.gaussian(ratio=ratio, mtf=0.3),
        SpatialResponse.box(ratio=ratio),
        SpatialResponse.from_psf(SKEWED, ratio=ratio),
        SpatialResponse.from_psf(np.outer([1, 2, 1], [1, 0, 3]), ratio=ratio),
    ]


SHIFTS = st.sampled_from([(0.0, 0.0), (0.3, -1.2)])
any_ratio = st.builds(lambda q, extra: Fraction(q + extra, q), st.integers(1, 4), st.integers(1, 24))


@st.composite
def operators(draw: st.DrawFn, borders: tuple[str, ...] = BORDERS) -> SpatialOperator:
    """An operator of any kind, rational ratio, border and size."""
    ratio = draw(any_ratio)
    response = draw(st.sampled_from(responses(str(ratio)))).bordered(draw(st.sampled_from(borders)))
    height, width = (draw(st.integers(1, 3)) * ratio.numerator for _ in "yx")
    return response.operator(height, width)


# ---- what holds for every response


@given(operators(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_adjoint(operator: SpatialOperator, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(2, *operator.hr_shape)), random.normal(size=(2, *operator.lr_shape))
    one, other = np.vdot(operator.forward(x), y), np.vdot(x, operator.adjoint(y))
    assert one == pytest.approx(other, abs=1e-9)


@given(operators(borders=("mirror", "ignore")))
@settings(max_examples=60, deadline=None)
def test_constants_are_preserved(operator: SpatialOperator) -> None:
    blurred = operator.forward(np.full(operator.hr_shape, 3.0))
    np.testing.assert_allclose(blurred, 3.0, rtol=1e-6)
    assert blurred.shape == operator.lr_shape


@pytest.mark.parametrize("response", responses(3), ids=lambda r: f"{r.kind}")
def test_responses_act_on_coefficient_planes(response: SpatialResponse) -> None:
    operator = response.operator(12, 15)
    planes, basis = RANDOM.random((3, 12, 15)), RANDOM.random((7, 3))
    cube = np.tensordot(basis, planes, axes=1)
    np.testing.assert_allclose(
        operator.forward(cube), np.tensordot(basis, operator.forward(planes), axes=1), atol=1e-12
    )


@pytest.mark.parametrize("response", responses("5/2"), ids=lambda r: r.kind)
def test_tensors_give_what_arrays_give(response: SpatialResponse) -> None:
    operator = response.operator(20, 15)
    moved = operator.to("cpu", torch.float64)
    x, y = RANDOM.random((2, 20, 15)), RANDOM.random((2, 8, 6))
    np.testing.assert_allclose(moved.forward(torch.from_numpy(x)).numpy(), operator.forward(x), atol=1e-12)
    np.testing.assert_allclose(moved.adjoint(torch.from_numpy(y)).numpy(), operator.adjoint(y), atol=1e-12)
    assert operator.to("cpu").forward(torch.from_numpy(x).float()).dtype == torch.float32


@pytest.mark.parametrize("response", responses(2), ids=lambda r: r.kind)
def test_noise_gain_is_the_variance_of_blurred_noise(response: SpatialResponse) -> None:
    operator = response.operator(16, 20)
    blurred = operator.forward(np.random.default_rng(0).normal(size=(4000, 16, 20)))
    # 4000 x 80 correlated values: 2 % is beyond four standard errors
    assert response.noise_gain(*operator.hr_shape) == pytest.approx(np.mean(blurred**2), rel=0.02)


@pytest.mark.parametrize("response", responses("25/3"), ids=lambda r: r.kind)
def test_dictionary_rebuilds_the_response(response: SpatialResponse) -> None:
    bordered = response.bordered("zero").shifted(0.1, 0.2)
    for each in (response, bordered.in_window(Window(0, 25, 0, 25), (50, 25))):
        fields = json.loads(json.dumps(each.to_dict()))
        assert SpatialResponse.from_dict(fields) == each


# ---- bicubic


def imresize(signal: Cube, scale: Fraction) -> Cube:
    """MATLAB's `imresize` along one axis, written from its documentation as plain loops.

    Output u (1-based) lies at ``u / scale + (1 - 1/scale) / 2``; the kernel is widened by
    1/scale when shrinking; weights are normalised; the border is mirrored.
    """
    size = signal.size
    stretch = min(float(scale), 1.0)
    out = []
    for u in range(1, int(np.ceil(size * scale)) + 1):
        centre = u / float(scale) + 0.5 * (1 - 1 / float(scale))
        total = weight_sum = 0.0
        for tap in range(int(np.floor(centre - 2 / stretch)) - 1, int(np.ceil(centre + 2 / stretch)) + 2):
            x = abs(stretch * (centre - tap))
            weight = 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            if x > 2:
                continue
            index = tap
            while not 1 <= index <= size:
                index = 1 - index if index < 1 else 2 * size + 1 - index
            total += weight * signal[index - 1]
            weight_sum += weight
        out.append(total / weight_sum)
    return np.array(out)


@pytest.mark.parametrize(
    ("ratio", "size"), [("2", 8), ("4", 4), ("3", 21), ("25/3", 50), ("5/2", 15), ("4/3", 8)]
)
def test_bicubic_matches_imresize(ratio: str, size: int) -> None:
    operator = SpatialResponse.bicubic(ratio=ratio).operator(size, 2 * size)
    for (matrix,) in (operator.rows, operator.cols):
        signal = RANDOM.random(matrix.shape[1])
        np.testing.assert_allclose(matrix @ signal, imresize(signal, 1 / Fraction(ratio)), atol=1e-12)


def test_imresize_by_hand() -> None:
    """``imresize(1:8, 0.5)``: weights 0.5 k(x / 2) at 1/2, 3/2, 5/2, 7/2 pixels, mirrored border."""
    operator = SpatialResponse.bicubic(ratio=2).operator(2, 8)
    result = operator.forward(np.tile(np.arange(1.0, 9.0), (2, 1)))
    np.testing.assert_allclose(result, [[1.44921875, 3.48828125, 5.51171875, 7.55078125]], atol=1e-12)


def test_bicubic_matches_pillow_inside() -> None:
    image = RANDOM.random((64, 80)).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((20, 16), Image.Resampling.BICUBIC))
    result = SpatialResponse.bicubic(ratio=4).operator(64, 80).forward(image)
    np.testing.assert_allclose(result[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize(("lr_size", "hr_size"), [(6, 12), (5, 20), (9, 75), (4, 4)])
def test_upsampling_matches_imresize(lr_size: int, hr_size: int) -> None:
    signal = RANDOM.random(lr_size)
    expected = imresize(signal, Fraction(hr_size, lr_size))
    np.testing.assert_allclose(upsampling_matrix(lr_size, hr_size) @ signal, expected, atol=1e-12)


def test_upsample_confines_no_data() -> None:
    image = RANDOM.random((2, 8, 9))
    image[0, 4, 4] = np.nan
    result = upsample(image, (32, 36))
    assert result.shape == (2, 32, 36)
    rows, cols = np.nonzero(np.isnan(result[0]))
    assert np.isnan(result[0]).any()
    assert np.ptp(rows) < 4 * 4  # the kernel is four LR pixels wide
    assert np.ptp(cols) < 4 * 4
    assert not np.isnan(result[1]).any()


def test_keys_cubic() -> None:
    np.testing.assert_allclose(
        keys_cubic(np.array([0, 0.5, -0.5, 1, 1.5, 2, 3])), [1, 0.5625, 0.5625, 0, -0.0625, 0, 0]
    )


# ---- Gaussian


def middle_row(response: SpatialResponse, lr_size: int) -> tuple[Cube, Cube]:
    """The PSF of the middle LR pixel, and the HR positions about its centre."""
    size = int(lr_size * response.ratio)
    operator = response.operator(size, size)
    (matrix,) = operator.rows
    middle = lr_size // 2
    return matrix[middle], np.arange(size) - ((middle + 0.5) * float(response.ratio) - 0.5)


@pytest.mark.parametrize("ratio", [4, 7, "25/3"])
@pytest.mark.parametrize("mtf", [0.1, 0.3])
def test_gaussian_has_the_given_transfer_at_nyquist(ratio: int | str, mtf: float) -> None:
    response = SpatialResponse.gaussian(ratio=ratio, mtf=mtf)
    row, position = middle_row(response, 21)
    transfer = np.sum(row * np.cos(2 * pi * position * 0.5 / float(response.ratio)))
    assert transfer == pytest.approx(mtf, abs=3e-4)  # the tails are cut at four standard deviations


@pytest.mark.parametrize("fwhm", [0.8, 1.0, 1.7])
def test_gaussian_has_the_given_width(fwhm: float) -> None:
    response = SpatialResponse.gaussian(ratio=9, fwhm=fwhm)
    row, position = middle_row(response, 15)
    assert np.sum(row * position) == pytest.approx(0, abs=1e-9)
    assert np.sqrt(np.sum(row * position**2)) * FWHM_PER_SIGMA == pytest.approx(9 * fwhm, rel=1e-3)
    half = np.interp(9 * fwhm / 2, position, row)
    assert half == pytest.approx(row.max() / 2, rel=0.02)


def test_width_and_transfer_are_two_names_of_one_gaussian() -> None:
    mtf = exp(-((pi * 1.0 / FWHM_PER_SIGMA) ** 2) / 2)  # exp(-2 pi^2 sigma^2 / 4)
    assert SpatialResponse.gaussian(ratio=4, mtf=mtf).fwhm == pytest.approx(1.0)


# ---- box


@pytest.mark.parametrize("ratio", [2, 3, 4, 5])
def test_box_is_the_block_mean(ratio: int) -> None:
    image = RANDOM.random((2, 6 * ratio, 5 * ratio))
    expected = image.reshape(2, 6, ratio, 5, ratio).mean(axis=(2, 4))
    result = SpatialResponse.box(ratio=ratio).operator(6 * ratio, 5 * ratio).forward(image)
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_box_shares_cut_pixels() -> None:
    (rows,) = SpatialResponse.box(ratio="5/2").operator(5, 5).rows
    np.testing.assert_allclose(rows, [[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]], atol=1e-12)


# ---- free PSF


@pytest.mark.parametrize(("size", "ratio"), [((5, 7), 3), ((4, 6), 2), ((6, 6), 4), ((3, 9), 5)])
def test_psf_is_correlated_and_decimated(size: tuple[int, int], ratio: int) -> None:
    """``lr[i, j] = sum_ab psf[a, b] hr[centre + a - middle, ...]``, exact where the parities match."""
    psf = RANDOM.random(size)
    image = RANDOM.random((12 * ratio, 11 * ratio))
    blurred = correlate2d(image, psf / psf.sum(), mode="valid")
    result = SpatialResponse.from_psf(psf, ratio=ratio).operator(*image.shape).forward(image)
    first = [(ratio - n) // 2 for n in size]  # first HR pixel under the PSF of LR pixel 0
    for i, j in np.ndindex(6, 6):
        y, x = (i + 3) * ratio + first[0], (j + 3) * ratio + first[1]
        assert result[i + 3, j + 3] == pytest.approx(blurred[y, x], abs=1e-6)


def test_psf_between_samples_is_interpolated() -> None:
    """A single sample with an even ratio: the centre lies between four HR pixels."""
    image = RANDOM.random((8, 8))
    result = SpatialResponse.from_psf([[1.0]], ratio=4).operator(8, 8).forward(image)
    np.testing.assert_allclose(result[0, 0], image[1:3, 1:3].mean())


def test_psf_is_mirrored_at_the_border() -> None:
    image = RANDOM.random((9, 9))
    psf = RANDOM.random((5, 5))
    result = SpatialResponse.from_psf(psf, ratio=3).operator(9, 9).forward(image)
    padded = np.pad(image, 1, mode="symmetric")
    assert result[0, 0] == pytest.approx(np.sum(psf / psf.sum() * padded[:5, :5]), abs=1e-6)


def test_psf_is_normalised_and_rank_decides_its_terms() -> None:
    assert np.sum(SpatialResponse.from_psf(7 * SKEWED, ratio=4).psf) == pytest.approx(1)
    assert SpatialResponse.from_psf(np.ones((3, 3)), ratio=3).operator(9, 9).separable
    assert len(SpatialResponse.from_psf(SKEWED, ratio=4).operator(8, 8).rows) == 4


@pytest.mark.parametrize(("ratio", "error"), [(1, 1e-12), (3, 1e-12), (4, 1e-12), ("25/3", 0.02)])
def test_an_averaged_point_is_the_mean_over_the_pixel(ratio: int | str, error: float) -> None:
    image = RANDOM.random((50, 25)) if isinstance(ratio, str) else RANDOM.random((24, 12))
    averaged, box = (
        response.operator(*image.shape).forward(image)
        for response in (
            SpatialResponse.from_psf([[2.0]], ratio=ratio, averaged=True),
            SpatialResponse.box(ratio=ratio),
        )
    )
    np.testing.assert_allclose(averaged, box, atol=error)


# ---- borders


@given(any_ratio, st.integers(1, 3), st.integers(1, 3), st.data())
@settings(max_examples=60, deadline=None)
def test_beyond_a_zero_border_are_zeros(
    ratio: Fraction, rows: int, columns: int, data: st.DataObject
) -> None:
    """The response of an image inside of a larger one of zeros."""
    response = data.draw(st.sampled_from(responses(str(ratio)))).shifted(*data.draw(SHIFTS))
    height, width = rows * ratio.numerator, columns * ratio.numerator
    image = RANDOM.random((2, height, width))
    margin = 6 * ratio.denominator
    beyond = margin * ratio
    padded = np.pad(image, [(0, 0), *[(int(beyond), int(beyond))] * 2])
    inside = slice(margin, -margin)
    expected = response.operator(*padded.shape[1:]).forward(padded)[:, inside, inside]
    zero = response.bordered("zero").operator(height, width)
    np.testing.assert_allclose(zero.forward(image), expected, atol=1e-9)
    assert (zero.energy_share(np.ones((height, width), bool)) <= 1 + 1e-9).all()


@given(any_ratio, st.integers(1, 4), st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_the_rim_is_where_values_beyond_count(
    ratio: Fraction, rows: int, columns: int, data: st.DataObject
) -> None:
    response = data.draw(st.sampled_from(responses(str(ratio)))).shifted(*data.draw(SHIFTS))
    height, width = rows * ratio.numerator, columns * ratio.numerator
    lines, samples = response.rim(height, width)
    assert (len(lines), len(samples)) == response.operator(height, width).lr_shape
    image = RANDOM.random((height, width))
    mirrored, zero = (response.bordered(border).operator(height, width) for border in ("mirror", "zero"))
    difference = np.abs(mirrored.forward(image) - zero.forward(image))
    inside = ~(lines[:, None] | samples)
    assert (difference[inside] <= 0.005).all()


def test_the_rim_of_a_box_is_empty() -> None:
    rims = (SpatialResponse.box(ratio=4).shifted(dy, 0).rim(16, 12) for dy in (0, -0.25, 0.25))
    assert [(lines.tolist(), samples.any()) for lines, samples in rims] == [
        ([False] * 4, False),
        ([True, False, False, False], False),
        ([False, False, False, True], False),
    ]


def test_windows_mirror_where_the_scene_goes_on() -> None:
    response = SpatialResponse.gaussian(ratio=4, fwhm=1.5).bordered("zero")
    image = RANDOM.random((32, 24))
    shape = image.shape
    upper, lower = Window(0, 16, 0, 24), Window(16, 32, 0, 24)
    for window, outer, inner in ((upper, 0, -1), (lower, -1, 0)):
        part = image[window.slices]
        own = response.in_window(window, shape).operator(*part.shape).forward(part)
        np.testing.assert_allclose(own[outer], response.operator(*shape).forward(image)[::7][outer])
        mirrored = response.bordered("mirror").operator(*part.shape).forward(part)
        np.testing.assert_allclose(own[inner, 2:-2], mirrored[inner, 2:-2])
    nested = response.in_window(upper, shape).in_window(Window(0, 16, 0, 12), upper.shape)
    assert nested.inner == (False, True, False, True)


# ---- no-data


@given(operators(), st.data())
@settings(max_examples=40, deadline=None)
def test_no_data_stays_in_the_support(operator: SpatialOperator, data: st.DataObject) -> None:
    height, width = operator.hr_shape
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    image = RANDOM.random((2, height, width))
    clean = operator.forward(image)
    image[0, y, x] = np.nan
    result = operator.forward_with_nodata(image)
    impulse = np.zeros((height, width))
    impulse[y, x] = 1
    reach = np.abs(operator.forward(impulse)) > 1e-12
    assert np.isnan(result[0])[reach].all()
    np.testing.assert_allclose(result[1], clean[1])
    kept = ~np.isnan(result[0])
    np.testing.assert_allclose(result[0][kept], clean[0][kept], atol=1e-9)
    if operator.separable:
        assert (np.isnan(result[0]) == reach).all()


@pytest.mark.parametrize("seed", range(8))
def test_empty_margins_of_a_psf_spread_nothing(seed: int) -> None:
    psf = np.zeros((9, 9))
    psf[3:6, 3:6] = np.random.default_rng(seed).random((3, 3))
    image = RANDOM.random((27, 27))
    image[13, 13] = np.nan
    result = SpatialResponse.from_psf(psf, ratio=3).operator(27, 27).forward_with_nodata(image)
    assert np.argwhere(np.isnan(result)).tolist() == [[4, 4]]


def test_without_no_data_nothing_is_masked() -> None:
    operator = SpatialResponse.bicubic(ratio=2).operator(8, 8)
    image = RANDOM.random((8, 8))
    np.testing.assert_array_equal(operator.forward_with_nodata(image), operator.forward(image))


# ---- ratios and errors


@pytest.mark.parametrize(
    ("given_ratio", "expected"),
    [(4, "4"), ("25/3", "25/3"), (8.33, "25/3"), (2.5, "5/2"), ("2.5", "5/2"), (Fraction(7, 3), "7/3")],
)
def test_ratios(given_ratio: Any, expected: str) -> None:
    assert as_ratio(given_ratio) == Fraction(expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpatialResponse.bicubic(ratio=0.5), "ratio 1/2 is below 1"),
        (lambda: SpatialResponse.box(ratio="4:1"), "ratio '4:1' is not a number; write 4, 8.33 or '25/3'"),
        (lambda: SpatialResponse.box(ratio="4/0"), "ratio '4/0' is not a number"),
        (lambda: SpatialResponse.box(ratio=float("nan")), "ratio nan is not a number"),
        (
            lambda: SpatialResponse("sinc", Fraction(4)),
            "kind 'sinc' is unknown; use one of bicubic, gaussian",
        ),
        (lambda: SpatialResponse.gaussian(ratio=4), "exactly one of fwhm and mtf"),
        (lambda: SpatialResponse.gaussian(ratio=4, fwhm=1, mtf=0.3), "exactly one of fwhm and mtf"),
        (lambda: SpatialResponse.gaussian(ratio=4, fwhm=-1), "needs a positive fwhm, got -1"),
        (lambda: SpatialResponse.gaussian(ratio=4, mtf=1.2), "mtf 1.2 is not between 0 and 1"),
        (lambda: SpatialResponse.from_psf([1, 2, 1], ratio=4), r"finite 2-D array, got shape \(3,\)"),
        (lambda: SpatialResponse.from_psf([[1, np.nan]], ratio=4), "finite 2-D array"),
        (
            lambda: SpatialResponse.box(ratio=4).bordered("wrap"),
            "border 'wrap' is unknown; use one of mirror, zero, ignore",
        ),
        (lambda: SpatialResponse.from_psf([[1, -1]], ratio=4), "sums to 0; it must be positive"),
        (
            lambda: SpatialResponse.bicubic(ratio=4).operator(98, 96),
            "98 HR pixels .* ratio 4; crop to a multiple of 4, the nearest being 96 or 100",
        ),
        (
            lambda: SpatialResponse.bicubic(ratio="25/3").operator(10, 25),
            "10 HR pixels .* ratio 25/3; crop to a multiple of 25, the nearest being 25",
        ),
    ],
)
def test_errors_are_one_line(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ratio", [2, 4, "25/3"])
def test_a_window_of_the_operator_is_the_operator(ratio: int | str) -> None:
    for response in (each.bordered(border) for each in responses(ratio) for border in ("mirror", "zero")):
        step = response.ratio.numerator
        height, width = 6 * step, 9 * step
        image = np.random.default_rng(5).random((2, height, width))
        whole = response.operator(height, width).forward(image)
        for lr in Window(0, whole.shape[1], 0, whole.shape[2]).split(4):
            operator, seen = response.window_operator((height, width), lr)
            part = operator.forward(image[:, *seen.slices])
            np.testing.assert_allclose(part, whole[:, *lr.slices], atol=1e-12)
