"""Metrics against scikit-image, direct loops, hypercomplex algebra by hand, and hand-worked values."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pipeline.core.quality import metrics
from pipeline.core.quality.blockwise import block_side, blocks
from pipeline.core.quality.comparison import PSNR_LIMIT
from pipeline.core.quality.metrics import evaluate, measure
from pipeline.core.quality.quality_index import hypercomplex_signs, q2n_blocks
from pipeline.core.quality.residuals import residuals
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError

Cube = NDArray[Any]
R2 = np.array([[0.5, 0.5]])
SCORES = ("psnr", "psnr_peak1", "sam", "ergas", "ssim", "ssim_gaussian", "uiqi", "q2n", "cc", "rmse")


def pair(bands: int = 3, height: int = 40, width: int = 37, seed: int = 0) -> tuple[Cube, Cube]:
    """A smooth reference and a noisy, slightly biased cube."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 10
    reference = 0.5 + 0.3 * np.sin(y + np.arange(bands)[:, None, None]) * np.cos(1.3 * x)
    reference += 0.02 * random.standard_normal(reference.shape)
    cube = 0.95 * reference + 0.04 + 0.03 * random.standard_normal(reference.shape)
    return reference.astype(np.float32), cube.astype(np.float32)


def assert_same(one: dict[str, Any], other: dict[str, Any], tolerance: float = 1e-9) -> None:
    for name in SCORES:
        assert one[name] == pytest.approx(other[name], abs=tolerance), name
    for name, values in one["per_band"].items():
        assert values == pytest.approx(other["per_band"][name], abs=tolerance), name


# ---- against scikit-image and plain formulas


def test_psnr_matches_scikit_image_band_by_band() -> None:
    reference, cube = (image.astype(np.float64) for image in pair())
    scores = evaluate(reference, cube, ratio=4)
    expected = [
        peak_signal_noise_ratio(x, y, data_range=x.max()) for x, y in zip(reference, cube, strict=True)
    ]
    assert scores["per_band"]["psnr"] == pytest.approx(expected, abs=1e-9)
    assert scores["psnr"] == pytest.approx(np.mean(expected), abs=1e-9)
    peak1 = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in zip(reference, cube, strict=True)]
    assert scores["psnr_peak1"] == pytest.approx(np.mean(peak1), abs=1e-9)


SSIM = {
    "ssim": {"win_size": 7},
    "ssim_gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
}


@pytest.mark.parametrize(("name", "options"), SSIM.items())
@pytest.mark.parametrize("size", [(40, 37), (11, 70), (64, 12)])
def test_ssim_matches_scikit_image(name: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    reference, cube = (image.astype(np.float64) for image in pair(2, *size))
    expected = [
        structural_similarity(x, y, data_range=x.max() - x.min(), **options)
        for x, y in zip(reference, cube, strict=True)
    ]
    scores = evaluate(reference, cube, ratio=4)
    assert scores[name] == pytest.approx(np.mean(expected), abs=1e-10)
    if name == "ssim":
        assert scores["per_band"]["ssim"] == pytest.approx(expected, abs=1e-10)


def test_ssim_range_is_the_references_not_the_cubes() -> None:
    reference, cube = pair(1)
    cube[0, 0, 0] = 9.0
    x, y = reference[0].astype(np.float64), cube[0].astype(np.float64)
    scores = evaluate(reference, cube, ratio=4)
    assert scores["ssim"] == pytest.approx(structural_similarity(x, y, data_range=x.max() - x.min()))
    assert scores["ssim"] != pytest.approx(structural_similarity(x, y, data_range=y.max() - y.min()))


def test_sam_ergas_cc_rmse_match_direct_formulas() -> None:
    reference, cube = (image.astype(np.float64) for image in pair(4))
    scores = evaluate(reference, cube, ratio="25/3")
    angles = [
        np.degrees(np.arccos(x @ y / np.sqrt((x @ x) * (y @ y))))
        for x, y in zip(reference.reshape(4, -1).T, cube.reshape(4, -1).T, strict=True)
    ]
    assert scores["sam"] == pytest.approx(np.mean(angles), abs=1e-9)
    assert scores["sam_skipped"] == scores["pixels_skipped"] == 0
    terms = [np.mean((x - y) ** 2) / np.mean(x) ** 2 for x, y in zip(reference, cube, strict=True)]
    assert scores["ergas"] == pytest.approx(100 * 3 / 25 * np.sqrt(np.mean(terms)), abs=1e-9)
    cc = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(reference, cube, strict=True)]
    assert scores["per_band"]["cc"] == pytest.approx(cc, abs=1e-10)
    assert scores["cc"] == pytest.approx(np.mean(cc), abs=1e-10)
    assert scores["rmse"] == pytest.approx(np.sqrt(np.mean((reference - cube) ** 2)), abs=1e-12)


def test_uiqi_matches_a_direct_loop() -> None:
    reference, cube = (image.astype(np.float64) for image in pair(2, 12, 15))
    windows = []
    for x, y in zip(reference, cube, strict=True):
        for top, left in np.ndindex(12 - 7, 15 - 7):
            u, v = x[top : top + 8, left : left + 8], y[top : top + 8, left : left + 8]
            cov = np.mean((u - u.mean()) * (v - v.mean()))
            windows.append(
                4 * cov * u.mean() * v.mean() / ((u.var() + v.var()) * (u.mean() ** 2 + v.mean() ** 2))
            )
    assert evaluate(reference, cube, ratio=4)["uiqi"] == pytest.approx(np.mean(windows), abs=1e-10)


# ---- hand-worked values


def test_hand_worked_values() -> None:
    reference = np.array([[[1.0, 3.0]], [[0.0, 4.0]]])
    cube = np.array([[[1.0, 2.0]], [[1.0, 4.0]]])
    scores = evaluate(reference, cube, ratio=2)
    # MSE is 1/2 in both bands; maxima 3 and 4; means 2 and 2
    assert scores["per_band"]["psnr"] == pytest.approx([10 * np.log10(18), 10 * np.log10(32)])
    assert scores["psnr_peak1"] == pytest.approx(10 * np.log10(2))
    assert scores["ergas"] == pytest.approx(50 * np.sqrt(1 / 8))
    assert scores["rmse"] == pytest.approx(np.sqrt(0.5))
    # (1,0) and (1,1) enclose 45 degrees; (3,4) and (2,4) arccos(22 / (5 sqrt 20))
    assert scores["sam"] == pytest.approx((45 + np.degrees(np.arccos(22 / (5 * np.sqrt(20))))) / 2)
    # two points per band that rise together
    assert scores["cc"] == pytest.approx(1)
    # nothing fits a window; Q2n mirrors the image up to its block
    assert scores["ssim"] is scores["ssim_gaussian"] is scores["uiqi"] is None
    assert scores["per_band"]["ssim"] == [None, None]
    assert 0 < scores["q2n"] < 1


def test_mean_psnr_is_not_the_psnr_of_the_mean() -> None:
    reference = np.ones((2, 4, 4))
    cube = reference + np.array([0.1, 0.001])[:, None, None]
    scores = evaluate(reference, cube, ratio=2)
    assert scores["psnr"] == pytest.approx((20 + 60) / 2)


def test_a_perfect_cube() -> None:
    reference, _ = pair(5)
    scores = evaluate(reference, reference, ratio=4)
    assert scores["psnr"] == scores["psnr_peak1"] == PSNR_LIMIT
    assert scores["sam"] == pytest.approx(0, abs=1e-5)
    assert scores["ergas"] == scores["rmse"] == 0
    for name in ("ssim", "ssim_gaussian", "uiqi", "q2n", "cc"):
        assert scores[name] == pytest.approx(1, abs=1e-12)


# ---- Q2n


def direct_q2n(x: Cube, y: Cube) -> float:
    """Q2n of one block ``(C, n, n)``: pixel by pixel products of hypercomplex numbers, as published."""
    bands, pixels = len(x), x[0].size
    size = 1 << (bands - 1).bit_length()
    x, y = x.reshape(bands, -1).astype(float), y.reshape(bands, -1).astype(float)
    mean, deviation = x.mean(1, keepdims=True), x.std(1, ddof=1, keepdims=True)
    z1, z2 = np.ones((size, pixels)), np.ones((size, pixels))
    z1[:bands], z2[:bands] = (x - mean) / deviation + 1, (y - mean) / deviation + 1
    conj = np.where(np.arange(size) == 0, 1, -1)[:, None]
    z2c = conj * z2
    m1, m2 = z1.mean(1, keepdims=True), z2c.mean(1, keepdims=True)
    sample = pixels / (pixels - 1)
    cov = sample * (multiply(z1, z2c).mean(1, keepdims=True) - multiply(m1, m2))
    var1 = sample * (np.mean(np.sum(z1**2, 0)) - np.sum(m1**2))
    var2 = sample * (np.mean(np.sum(z2c**2, 0)) - np.sum(m2**2))
    mean1, mean2 = np.linalg.norm(m1), np.linalg.norm(m2)
    return float(np.linalg.norm(cov) * 2 / (var1 + var2) * 2 * mean1 * mean2 / (mean1**2 + mean2**2))


def multiply(x: Cube, y: Cube) -> Cube:
    """Hypercomplex product ``(size, pixels)`` by the recursion over halves that the toolbox uses.

    Its components differ from those of the textbook algebra in their signs, its modulus does not.
    """
    if len(x) == 1:
        return x * y
    half = len(x) // 2
    conj = np.where(np.arange(half) == 0, 1, -1)[:, None]
    a, b, c, d = x[:half], conj * x[half:], y[:half], conj * y[half:]
    return np.concatenate(
        [
            multiply(a, c) - multiply(d, conj * b),
            multiply(conj * a, d) + multiply(c, b),
        ]
    )


def quaternion_q4(x: Cube, y: Cube) -> float:
    """Q4 of one block of normalised values, with Hamilton's product written out (ij = k)."""
    x, y = x.reshape(4, -1).astype(float), y.reshape(4, -1).astype(float)
    mean, deviation = x.mean(1, keepdims=True), x.std(1, ddof=1, keepdims=True)
    x, y = (x - mean) / deviation + 1, (y - mean) / deviation + 1
    mx, my = x.mean(1), y.mean(1)
    a, (b1, b2, b3, b4) = x - mx[:, None], y - my[:, None]
    c = np.array([b1, -b2, -b3, -b4])
    product = np.array(
        [
            a[0] * c[0] - a[1] * c[1] - a[2] * c[2] - a[3] * c[3],
            a[0] * c[1] + a[1] * c[0] + (a[2] * c[3] - a[3] * c[2]),
            a[0] * c[2] + a[2] * c[0] + (a[3] * c[1] - a[1] * c[3]),
            a[0] * c[3] + a[3] * c[0] + (a[1] * c[2] - a[2] * c[1]),
        ]
    )
    cov = np.linalg.norm(product.mean(1))
    variance = np.mean(np.sum(a**2, 0)) + np.mean(np.sum(np.square(y - my[:, None]), 0))
    bias = 2 * np.linalg.norm(mx) * np.linalg.norm(my) / (mx @ mx + my @ my)
    return float(2 * cov / variance * bias)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 8, 13])
def test_q2n_matches_the_pixelwise_definition(bands: int) -> None:
    reference, cube = (image.astype(np.float64) for image in pair(bands, 32, 32))
    expected = direct_q2n(reference, cube)
    assert q2n_blocks(reference, cube)[0, 0] == pytest.approx(expected, abs=1e-12)
    assert evaluate(reference, cube, ratio=4)["q2n"] == pytest.approx(expected, abs=1e-12)


def test_q2n_of_one_band_is_the_universal_index_of_the_normalised_block() -> None:
    x, y = (image[0].astype(np.float64) for image in pair(1, 32, 32))
    y = (y - x.mean()) / x.std(ddof=1) + 1
    x = (x - x.mean()) / x.std(ddof=1) + 1
    cov = np.cov(x.ravel(), y.ravel())
    expected = abs(
        4 * cov[0, 1] * x.mean() * y.mean() / ((cov[0, 0] + cov[1, 1]) * (x.mean() ** 2 + y.mean() ** 2))
    )
    assert q2n_blocks(x[None], y[None])[0, 0] == pytest.approx(expected, abs=1e-12)


def test_q4_matches_quaternions() -> None:
    random = np.random.default_rng(5)
    reference = random.normal(size=(4, 32, 32))
    mixed = np.einsum("bc,cyx->byx", random.normal(size=(4, 4)), reference)  # rotations count
    assert q2n_blocks(reference, mixed)[0, 0] == pytest.approx(quaternion_q4(reference, mixed), abs=1e-12)


def test_hypercomplex_units() -> None:
    assert hypercomplex_signs(4).tolist() == [[1, 1, 1, 1], [1, -1, 1, -1], [1, -1, -1, 1], [1, 1, -1, -1]]
    for bands in (2, 3, 7, 100):
        signs = hypercomplex_signs(bands)
        assert len(signs) >= bands > len(signs) // 2
        units = np.diag(signs)[1:]  # e_i e_i = -1
        assert (units == -1).all()
        off = signs[1:, 1:][~np.eye(len(signs) - 1, dtype=bool)]
        assert (off == -signs[1:, 1:].T[~np.eye(len(signs) - 1, dtype=bool)]).all()  # e_i e_j = -e_j e_i


def test_q2n_does_not_depend_on_the_scale_and_mirrors_the_border() -> None:
    reference, cube = (image.astype(np.float64) for image in pair(3, 40, 50))
    value = evaluate(reference, cube, ratio=4)["q2n"]
    assert evaluate(1e4 * reference, 1e4 * cube, ratio=4)["q2n"] == pytest.approx(value, abs=1e-10)
    padded = [np.pad(image, ((0, 0), (0, 24), (0, 14)), mode="symmetric") for image in (reference, cube)]
    assert value == pytest.approx(q2n_blocks(*padded).mean(), abs=1e-12)


# ---- blocks


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 64 pixels, computed in strips of 24 rows."""
    monkeypatch.setattr("pipeline.core.quality.comparison.block_side", lambda bands: 64)
    monkeypatch.setattr("pipeline.core.quality.residuals.block_side", lambda bands: 16)
    monkeypatch.setattr("pipeline.core.quality.partial_scores.STRIP", 24)


def whole(reference: Cube, cube: Cube) -> dict[str, Any]:
    """Scores from one block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.core.quality.comparison.block_side", lambda bands: 1024)
        patch.setattr("pipeline.core.quality.partial_scores.STRIP", 1024)
        return evaluate(reference, cube, ratio=4)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", [(3, 197, 41), (2, 95, 164), (1, 5, 170), (2, 128, 97), (1, 70, 70)])
def test_scores_do_not_depend_on_the_blocks(shape: tuple[int, int, int]) -> None:
    reference, cube = pair(*shape)
    assert_same(whole(reference, cube), evaluate(reference, cube, ratio=4))
    cube[0, 2, 3] = np.nan
    reference[0, -1, 60:80] = np.nan
    assert_same(whole(reference, cube), evaluate(reference, cube, ratio=4))


@pytest.mark.usefixtures("small_blocks")
def test_a_block_without_data_counts_nowhere() -> None:
    reference, cube = pair(2, 96, 160)
    reference[:, :64, :64] = np.nan
    assert_same(whole(reference, cube), evaluate(reference, cube, ratio=4))


@pytest.mark.usefixtures("small_blocks")
def test_constant_windows_do_not_depend_on_the_blocks() -> None:
    reference, cube = pair(2, 190, 130)
    reference[1, :90], cube[1, :90] = 0.3, 0.4
    reference[0, 40:80, 5:85] = cube[0, 40:80, 5:85] = 0
    assert_same(whole(reference, cube), evaluate(reference, cube, ratio=4), 1e-12)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", [(100, 170), (75, 64)])
def test_blocks_agree_with_scikit_image(shape: tuple[int, int]) -> None:
    reference, cube = (image.astype(np.float64) for image in pair(2, *shape))
    scores = evaluate(reference, cube, ratio=4)
    for name, options in SSIM.items():
        expected = [
            structural_similarity(x, y, data_range=np.ptp(x), **options)
            for x, y in zip(reference, cube, strict=True)
        ]
        assert scores[name] == pytest.approx(np.mean(expected), abs=1e-10)
    cc = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(reference, cube, strict=True)]
    assert scores["per_band"]["cc"] == pytest.approx(cc, abs=1e-12)
    edges = ((0, 0), *((0, -n % 32) for n in shape))
    padded = [np.pad(image, edges, mode="symmetric") for image in (reference, cube)]
    assert scores["q2n"] == pytest.approx(q2n_blocks(*padded).mean(), abs=1e-12)


@given(height=st.integers(1, 700), width=st.integers(1, 700))
def test_blocks_cover_an_image_once(height: int, width: int) -> None:
    counts = np.zeros((height, width), int)
    for block in blocks((height, width), 64, 32):
        counts[block.slices] += 1
        assert block.y0 % 64 == block.x0 % 64 == 0
        assert max(block.shape) < 64 + 32
        assert block.y1 - block.y0 >= min(32, height)
        assert block.x1 - block.x0 >= min(32, width)
    assert (counts == 1).all()


@given(bands=st.integers(1, 2000))
def test_blocks_bound_memory(bands: int) -> None:
    side = block_side(bands)
    assert side % 64 == 0
    assert side <= 512
    assert side == 64 or 2 * 4 * bands * side**2 <= 2**26


@pytest.mark.usefixtures("small_blocks")
def test_lazy_cubes_are_read_in_blocks() -> None:
    reference, cube = pair(3, 170, 133)

    class Lazy:
        """Records the size of each read."""

        shape = reference.shape
        read: ClassVar[set[tuple[int, ...]]] = set()

        def __getitem__(self, key: tuple[slice, slice, slice]) -> xr.DataArray:
            part = xr.DataArray(reference)[key]
            self.read.add(part.shape[1:])
            return part

    lazy = Lazy()
    assert_same(whole(reference, cube), evaluate(lazy, xr.DataArray(cube), ratio=4))
    # rows end at 64, 128 and 170; columns at 64 and 133, since 5 pixels are too few for a block
    assert lazy.read == {
        *((rows, cols) for rows in (64, 42) for cols in (64, 69)),
        *((rows, cols) for rows in (74, 42) for cols in (74, 69)),
    }


def test_blocks_may_be_computed_elsewhere() -> None:
    reference, cube = pair(2, 70, 40)
    observation = simulate(reference, spectral_response=R2, spatial_response=SpatialResponse.box(ratio=2))

    def elsewhere(function: Any, items: Any) -> Any:
        for item in items:
            yield pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(function))(item)))

    assert evaluate(reference, cube, ratio=4, mapped=elsewhere) == evaluate(reference, cube, ratio=4)
    assert residuals(cube, observation, mapped=elsewhere) == residuals(cube, observation)


def test_inputs_are_left_as_they_were() -> None:
    reference, cube = (image.astype(np.float64) for image in pair())
    reference[0, 0, 0] = np.nan
    before = reference.copy(), cube.copy()
    evaluate(reference, cube, ratio=4)
    np.testing.assert_array_equal(reference, before[0])
    np.testing.assert_array_equal(cube, before[1])


def test_scores_of_integers_are_those_of_their_values() -> None:
    reference, cube = (np.round(4000 * image).astype(np.uint16) for image in pair(3, 70, 40))
    scores = evaluate(reference, cube, ratio=4)
    assert_same(scores, evaluate(reference.astype(np.float64), cube.astype(np.float64), ratio=4))


BRIGHT = {"usual": (1, 0, 0), "bright": (0.01, 100, 0), "biased": (0.01, 0.3, 0.05), "faint": (1e-22, 0, 0)}


@pytest.mark.parametrize(("gain", "offset", "bias"), BRIGHT.values(), ids=BRIGHT)
def test_float32_resolves_the_structure(gain: float, offset: float, bias: float) -> None:
    """Bright or biased images whose structure is a small part of their values, with a flat dark corner."""
    reference, cube = (image.astype(np.float64) for image in pair(3, 150, 140))
    reference[:, :60, :60] = 0.5 * reference[:, :60, :60].mean()
    images = [
        (gain * reference + offset).astype(np.float32),
        (gain * cube + offset + bias).astype(np.float32),
    ]
    scores = evaluate(*images, ratio=4)
    assert_same(scores, evaluate(*(image.astype(np.float64) for image in images), ratio=4), 1e-5)


# ---- no-data


@given(
    holes=arrays(np.bool_, (9, 13), elements=st.booleans(), fill=st.just(False)),
    band=st.integers(0, 2),
    in_cube=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_pixels_without_data_count_nowhere(holes: Cube, band: int, in_cube: bool) -> None:
    """The values under no-data pixels are immaterial, in whichever band and cube NaN stands."""
    reference, cube = pair(3, 9, 13)
    holes[4, 4] = False
    garbage, marked = [reference.copy(), cube.copy()], [reference.copy(), cube.copy()]
    marked[in_cube][band, holes] = np.nan
    garbage[1 - in_cube][:, holes] = 1e6
    garbage[in_cube][:, holes] = np.nan
    one, other = evaluate(*marked, ratio=4), evaluate(*garbage, ratio=4)
    assert_same(one, other)
    assert one["pixels_skipped"] == holes.sum()
    x, y = reference[:, ~holes].astype(np.float64), cube[:, ~holes].astype(np.float64)
    assert one["rmse"] == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
    assert one["per_band"]["psnr"] == pytest.approx(
        10 * np.log10(x.max(1) ** 2 / np.mean((x - y) ** 2, axis=1))
    )


@given(row=st.integers(0, 29), col=st.integers(0, 39))
@settings(max_examples=20, deadline=None)
def test_windows_with_no_data_are_skipped(row: int, col: int) -> None:
    reference, cube = (image.astype(np.float64) for image in pair(1, 30, 40))
    cube[0, row, col] = np.nan
    scores = evaluate(reference, cube, ratio=4)
    full = structural_similarity(
        reference[0],
        np.nan_to_num(cube[0]),
        data_range=np.ptp(np.delete(reference, row * 40 + col)),
        full=True,
    )[1]
    inside = np.zeros((30, 40), bool)
    inside[3:-3, 3:-3] = True
    inside[max(0, row - 3) : row + 4, max(0, col - 3) : col + 4] = False
    assert scores["ssim"] == pytest.approx(full[inside].mean(), abs=1e-9)
    # one block of Q2n: none left on the left when the hole is there
    left, right = (image[:, np.r_[0:30, 29, 28]] for image in (reference, cube))
    expected = [
        direct_q2n(left[:, :, cols], right[:, :, cols])
        for cols in (np.arange(32), np.r_[32:40, 39:15:-1])
        if not np.isnan(right[:, :, cols]).any()
    ]
    assert scores["q2n"] == (pytest.approx(np.mean(expected), abs=1e-10) if expected else None)


def test_no_data_everywhere_is_refused() -> None:
    reference, cube = pair(2)
    reference[1] = np.nan
    with pytest.raises(InputError, match="no pixel is valid in all bands of both cubes"):
        evaluate(reference, cube, ratio=4)


# ---- degenerate bands and input errors


def test_zero_and_constant_bands_are_defined() -> None:
    reference, cube = pair(3, 40, 40)
    reference[0], reference[1] = 0, 0.25
    scores = evaluate(reference, cube, ratio=4)
    assert scores["per_band"]["psnr"][0] is None
    assert scores["psnr"] == pytest.approx(np.mean(scores["per_band"]["psnr"][1:]))
    for name in ("ssim", "cc"):
        assert scores["per_band"][name][:2] == [None, None]
        assert scores[name] == pytest.approx(scores["per_band"][name][2])
    third = evaluate(reference[2:], cube[2:], ratio=4)
    assert scores["ssim_gaussian"] == pytest.approx(third["ssim_gaussian"])
    mse = [np.mean((reference[b].astype(float) - cube[b]) ** 2) for b in (1, 2)]
    level = [0.25, reference[2].mean(dtype=float)]
    assert scores["ergas"] == pytest.approx(25 * np.sqrt(np.mean(np.array(mse) / np.square(level))))
    assert all(np.isfinite(scores[name]) for name in SCORES)


def test_zero_spectra_have_no_angle() -> None:
    reference, cube = pair(3, 20, 20)
    reference[:, :3, 0] = 0
    cube[:, 1:5, 0] = 0
    scores = evaluate(reference, cube, ratio=4)
    assert scores["sam_skipped"] == 5
    rest = evaluate(reference[:, :, 1:], cube[:, :, 1:], ratio=4)
    some = evaluate(reference[:, 5:, :1], cube[:, 5:, :1], ratio=4)
    assert scores["sam"] == pytest.approx((rest["sam"] * 380 + some["sam"] * 15) / 395)


def test_an_all_zero_reference_gives_no_nan() -> None:
    scores = evaluate(np.zeros((2, 40, 40)), np.ones((2, 40, 40)), ratio=4)
    for name in ("psnr", "sam", "ergas", "ssim", "ssim_gaussian", "cc"):
        assert scores[name] is None
    assert scores["sam_skipped"] == 1600
    assert scores["rmse"] == 1
    assert scores["psnr_peak1"] == 0
    assert scores["uiqi"] == 0  # both constant: 2 * 0 * 1 / (0 + 1)
    assert 0 <= scores["q2n"] <= 1


def test_a_constant_cube_does_not_correlate() -> None:
    reference, _ = pair(2, 40, 40)
    scores = evaluate(reference, np.full_like(reference, 0.1), ratio=4)
    assert scores["cc"] == 0
    assert scores["uiqi"] == pytest.approx(0, abs=1e-9)
    assert scores["q2n"] == pytest.approx(0, abs=1e-9)


def test_equal_constants_are_of_full_quality() -> None:
    reference = np.full((3, 40, 40), 0.7, np.float32)
    scores = evaluate(reference, reference, ratio=4)
    assert scores["uiqi"] == pytest.approx(1)
    assert scores["q2n"] == pytest.approx(1)
    scores = evaluate(reference, reference / 2, ratio=4)
    assert scores["uiqi"] == pytest.approx(2 * 0.5 / 1.25)


@pytest.mark.parametrize(
    ("reference", "cube", "message"),
    [
        (np.ones((2, 8, 8)), np.ones((2, 8, 9)), r"cube: shape \(2, 8, 9\) does not match .*\(2, 8, 8\)"),
        (np.ones((8, 8)), np.ones((8, 8)), r"both are \(band, y, x\)"),
        (np.ones((1, 8, 8)), np.full((1, 8, 8), np.inf), "cube: holds infinite values"),
        (np.full((1, 8, 8), -np.inf), np.ones((1, 8, 8)), "reference: holds infinite values"),
    ],
)
def test_unusable_input(reference: Cube, cube: Cube, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(reference, cube, ratio=4)


# ---- residuals

R = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.3, 0.7]])


def levels(cube: Any, observation: Any) -> dict[str, Any]:
    """Residuals of both images by the names of the metrics."""
    return measure(residuals(cube, observation))[0]


def test_the_reference_is_at_the_noise_level_of_its_observation() -> None:
    reference, _ = pair(4, 120, 96)
    for per_band in (False, True):
        observation = simulate(
            reference,
            spectral_response=R,
            spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=1),
            per_band=per_band,
        )
        scores = levels(reference, observation)
        assert scores["residual_hsi"] == pytest.approx(1, abs=4 / np.sqrt(2 * observation.lr_hsi.size))
        assert scores["residual_msi"] == pytest.approx(1, abs=4 / np.sqrt(2 * observation.hr_msi.size))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "response",
    [
        SpatialResponse.bicubic(ratio="8/3"),
        SpatialResponse.gaussian(ratio=8, fwhm=0.2),  # LR pixels that see less than they cover
        SpatialResponse.from_psf(np.random.default_rng(2).random((7, 5)), ratio=4),
    ],
    ids=["bicubic", "narrow", "psf"],
)
def test_residuals_match_the_definition_in_blocks(response: SpatialResponse) -> None:
    reference, cube = pair(4, 48, 40)
    observation = simulate(reference, spectral_response=R, spatial_response=response, per_band=True)
    hsi = observation.lr_hsi - observation.operator.forward(cube.astype(np.float64))
    msi = observation.hr_msi - np.tensordot(R, cube.astype(np.float64), axes=1)
    expected = {
        "residual_hsi": np.sqrt(np.mean(hsi**2) / np.mean(observation.sigma_hsi**2)),
        "residual_msi": np.sqrt(np.mean(msi**2) / np.mean(observation.sigma_msi**2)),
    }
    assert levels(cube, observation) == pytest.approx(expected)
    assert levels(xr.DataArray(cube), observation) == pytest.approx(expected)


@pytest.mark.usefixtures("small_blocks")
def test_residuals_leave_no_data_out() -> None:
    reference, _ = pair(4, 48, 40)
    response = SpatialResponse.box(ratio=4)
    observation = simulate(reference, spectral_response=R, spatial_response=response)
    holed = reference.copy()
    holed[:2, 5, 6] = np.nan  # bands that only the first MSI band sees
    blurred = observation.operator.forward(reference.astype(np.float64))
    hsi = observation.lr_hsi - blurred
    hsi[:2, 1, 1] = np.nan
    msi = observation.hr_msi - np.tensordot(R, reference.astype(np.float64), axes=1)
    msi[0, 5, 6] = np.nan
    scores = levels(holed, observation)
    assert scores["residual_hsi"] == pytest.approx(np.sqrt(np.nanmean(hsi**2)) / observation.sigma_hsi[0])
    assert scores["residual_msi"] == pytest.approx(np.sqrt(np.nanmean(msi**2)) / observation.sigma_msi[0])


def test_residuals_without_data_are_none() -> None:
    reference, _ = pair(4, 16, 16)
    observation = simulate(reference, spectral_response=R, spatial_response=SpatialResponse.box(ratio=4))
    nothing = np.full_like(reference, np.nan)
    assert levels(nothing, observation) == {"residual_hsi": None, "residual_msi": None}
    with pytest.raises(InputError, match=r"cube: shape \(3, 16, 16\) does not match .* \(4, 16, 16\)"):
        residuals(reference[:3], observation)


# ---- the table


def relative_error(reference: Cube, cube: Cube) -> Cube:
    """A plain function of spectra: undefined where the reference is zero."""
    return np.abs(cube - reference) / np.where(reference == 0, np.nan, reference)


@pytest.mark.usefixtures("small_blocks")
def test_a_plain_function_becomes_a_metric_with_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "METRICS", list(metrics.METRICS))
    description = {"title": "MRE", "unit": "", "direction": "lower", "digits": ".3f", "formula": "mean |x|"}
    assert metrics.metric("mre", **description)(relative_error) is relative_error
    reference, cube = pair(3, 100, 90)
    reference[0, :5], cube[1, 40] = 0, np.nan
    expected = np.nanmean(np.delete(relative_error(reference.astype(float), cube.astype(float)), 40, axis=1))
    assert evaluate(reference, cube, ratio=4)["mre"] == pytest.approx(expected)
    assert evaluate(np.zeros((2, 8, 8)), np.ones((2, 8, 8)), ratio=4)["mre"] is None
    assert metrics.markdown_table().splitlines()[-1] == (
        r"| MRE | `mre` | lower |  | mean \|x\| | the reference | yes |"
    )


def test_every_metric_is_described() -> None:
    names = [entry.name for entry in metrics.METRICS]
    assert len(set(names)) == len(names)
    for entry in metrics.METRICS:
        assert entry.formula, entry.name
        assert entry.title, entry.name
        assert entry.score or entry.per_band, entry.name
        assert entry.text(0.5), entry.name
