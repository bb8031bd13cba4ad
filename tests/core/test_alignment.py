"""Alignment against known shifts, against brute force on real pairs, and the detectors' common shift."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.optimize import minimize

from pipeline.config.scenes import SyntheticSource
from pipeline.core.estimation.shift import Alignment, estimate_alignment, most_precise, resampled_bands
from pipeline.core.estimation.shift.coarse import phase_correlation
from pipeline.core.estimation.shift.detectors import ResampledBands
from pipeline.core.estimation.shift.pairs import response_pairs
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import FWHM_PER_SIGMA, SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.errors import InputError
from pipeline.inputs.synthetic.scene import synthetic_scene

Cube = NDArray[Any]
SHIFTS = st.floats(-2, 2)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """24 bands, 150x150 pixels."""
    return synthetic_scene(SyntheticSource(kind="synthetic", height=150, width=150, bands=24, seed=4))


@pytest.fixture(scope="module")
def srf(scene: Scene) -> Cube:
    """Four bands, the last one in the short-wave infrared."""
    return gaussian_response(
        np.array([480.0, 560, 850, 1650]), np.array([60.0, 60, 90, 120]), scene.wavelength, scene.fwhm
    )


def seen(scene: Scene, srf: Cube, response: SpatialResponse, seed: int = 0) -> Observation:
    """At 35 dB; as large as the ratio allows."""
    side = 150 // response.ratio.numerator * response.ratio.numerator
    data = scene.data[:, :side, :side]
    return simulate(data, spectral_response=srf, spatial_response=response, snr_db=35, seed=seed)


def told(observation: Observation, shift: tuple[float, float] = (0.0, 0.0)) -> Observation:
    """The observation with a Gaussian of one LR pixel in place of its true response."""
    ratio = observation.spatial_response.ratio
    return replace(
        observation, spatial_response=SpatialResponse.gaussian(ratio=ratio, fwhm=1.0).shifted(*shift)
    )


# ---- known shifts


@given(
    st.sampled_from(["3", "4", "25/3"]), st.tuples(SHIFTS, SHIFTS), st.floats(0.8, 1.5), st.integers(0, 99)
)
@settings(max_examples=10, deadline=None, derandomize=True)
def test_known_shift_and_width(
    scene: Scene, srf: Cube, ratio: str, shift: tuple[float, float], fwhm: float, seed: int
) -> None:
    observation = seen(scene, srf, SpatialResponse.gaussian(ratio=ratio, fwhm=fwhm).shifted(*shift), seed)
    for known in (True, False):
        found = estimate_alignment(told(observation), spectral_known=known).overall
        error = np.abs(np.subtract(found.shift, shift))
        assert error.max() < 0.03
        assert (error < 3.5 * np.array(found.shift_error)).all()
        assert found.fwhm == pytest.approx(fwhm, abs=max(0.03, 3.5 * found.fwhm_error))
        assert not found.ambiguous


def test_standard_errors_are_those_of_repeated_noise(scene: Scene, srf: Cube) -> None:
    """Over noise and shifts, errors divided by their standard errors scatter by about one."""
    generator, scores = np.random.default_rng(5), []
    for seed in range(14):
        shift = generator.uniform(-1, 1, 2)
        response = SpatialResponse.gaussian(ratio=4, fwhm=1.2).shifted(*shift)
        found = estimate_alignment(told(seen(scene, srf, response, seed))).overall
        scores += ((np.array(found.shift) - shift) / found.shift_error).tolist()
    # 28 values: the standard deviation of their root mean square is 0.13
    assert sqrt(np.mean(np.square(scores))) == pytest.approx(1.0, abs=0.45)


def test_the_shape_of_the_psf_does_not_move_the_shift(scene: Scene, srf: Cube) -> None:
    for response in (SpatialResponse.bicubic(ratio=3), SpatialResponse.box(ratio=3)):
        found = estimate_alignment(told(seen(scene, srf, response.shifted(0.3, -0.6)))).overall
        np.testing.assert_allclose(found.shift, (0.3, -0.6), atol=0.01)


def test_several_pixels_and_a_start(scene: Scene, srf: Cube) -> None:
    """What the scene's own response already says is part of the shift that is returned."""
    response = SpatialResponse.gaussian(ratio=3, fwhm=1.1).shifted(6.4, -5.7)
    observation = seen(scene, srf, response)
    for start in ((0.0, 0.0), (6.0, -6.0), (9.0, 0.0)):
        found = estimate_alignment(told(observation, start)).overall
        np.testing.assert_allclose(found.shift, (6.4, -5.7), atol=0.01)


def test_ratio_one(scene: Scene, srf: Cube) -> None:
    response = SpatialResponse.gaussian(ratio=1, fwhm=0.6).shifted(0.23, -0.44)
    found = estimate_alignment(told(seen(scene, srf, response))).overall
    np.testing.assert_allclose(found.shift, (0.23, -0.44), atol=0.005)
    assert found.fwhm == pytest.approx(0.6, abs=0.05)


def test_nodata_and_units_do_not_matter(scene: Scene, srf: Cube) -> None:
    response = SpatialResponse.gaussian(ratio=3, fwhm=1.1).shifted(-0.4, 0.7)
    observation = told(seen(scene, srf, response))
    lr_hsi, hr_msi = observation.lr_hsi.copy(), 40 + 300 * observation.hr_msi
    lr_hsi[:, 10:20, 12:18], lr_hsi[3, 30, 30] = np.nan, np.nan
    hr_msi[:, 80:95, 60:100], hr_msi[1, 20, ::9] = np.nan, np.nan
    found = estimate_alignment(replace(observation, lr_hsi=lr_hsi, hr_msi=hr_msi)).overall
    np.testing.assert_allclose(found.shift, (-0.4, 0.7), atol=0.02)
    assert found.pixels < 46 * 46 - 60


# ---- matching


def test_detectors_have_their_own_shifts_and_can_share_one(scene: Scene, srf: Cube) -> None:
    of_first = np.arange(24) < 10
    detector = np.where(of_first, "VNIR", "SWIR")
    shifts = {"VNIR": (0.2, -0.3), "SWIR": (0.05, -0.15)}
    seen_by = {
        name: seen(scene, srf, SpatialResponse.gaussian(ratio=3, fwhm=1.2).shifted(*shift))
        for name, shift in shifts.items()
    }
    lr_hsi = np.where(of_first[:, None, None], seen_by["VNIR"].lr_hsi, seen_by["SWIR"].lr_hsi)
    pair = told(replace(seen_by["VNIR"], lr_hsi=lr_hsi))
    for known in (True, False):
        found = estimate_alignment(pair, detector, spectral_known=known).detectors
        for name, shift in shifts.items():
            np.testing.assert_allclose(found[name].shift, shift, atol=0.02)
    assert found.keys() == shifts.keys()

    found = estimate_alignment(pair, detector).detectors
    reference = most_precise(found)
    common = resampled_bands(pair.lr_hsi, detector, found, reference)
    again = estimate_alignment(replace(pair, lr_hsi=common[:, 0:50, 0:50]), detector).detectors
    for name in shifts:  # of the difference of 0.15 pixels, aliasing leaves less than a fifth
        np.testing.assert_allclose(again[name].shift, shifts[reference], atol=0.03)


def test_a_detector_that_r_does_not_see_is_matched_by_correlation(scene: Scene, srf: Cube) -> None:
    detector = np.where(np.arange(24) < 10, "VNIR", "SWIR")
    pair = seen(scene, srf[:2], SpatialResponse.gaussian(ratio=3, fwhm=1.2).shifted(0.2, -0.3))
    found = estimate_alignment(told(pair), detector).detectors
    assert set(found) == {"VNIR", "SWIR"}
    assert min(found["VNIR"].correlation) > 0.98
    np.testing.assert_allclose(found["SWIR"].shift, (0.2, -0.3), atol=5 * max(found["SWIR"].shift_error))
    assert most_precise(found) == "VNIR"


def test_rows_of_r_are_normalised_over_a_detector() -> None:
    response = np.array([[0.5, 0.3, 0.2, 0.0], [0.0, 0.1, 0.3, 0.6], [0.1, 0.4, 0.4, 0.1]])
    pairs = response_pairs(response, np.array([True, True, False, False]))
    assert pairs.msi == (0, 2)
    np.testing.assert_allclose(pairs.weights, [[0.625, 0.375, 0, 0], [0.2, 0.8, 0, 0]])


def test_images_that_show_nothing_alike_are_ambiguous() -> None:
    random = np.random.default_rng(0)
    pair = ObservedScene(
        random.normal(size=(6, 40, 40)).astype(np.float32),
        gaussian_filter(random.normal(size=(2, 120, 120)), (0, 3, 3)).astype(np.float32),
        np.full((2, 6), 1 / 6),
        SpatialResponse.gaussian(ratio=3, fwhm=1.0),
        np.ones(6),
        np.ones(2),
    )
    found = estimate_alignment(pair).overall
    assert found.ambiguous
    assert max(found.correlation) < 0.3


def test_what_cannot_be_aligned_is_refused(scene: Scene, srf: Cube) -> None:
    pair = told(seen(scene, srf, SpatialResponse.gaussian(ratio=25, fwhm=1.0)))
    with pytest.raises(InputError, match="only 16 LR pixels can be compared, at least 50 are needed"):
        estimate_alignment(pair)
    with pytest.raises(InputError, match="detector: 3 names for 24 bands; give one per HSI band"):
        estimate_alignment(pair, np.array(["a", "b", "c"]))


# ---- the parts


@given(st.tuples(st.integers(-7, 7), st.integers(-9, 9)), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_phase_correlation_finds_whole_pixels(shift: tuple[int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    image = gaussian_filter(random.normal(size=(70, 80)), 1.5)
    rows, cols = slice(15, 55), slice(15, 65)
    moved = np.roll(image, (-shift[0], -shift[1]), axis=(0, 1))[rows, cols]
    still = image[rows, cols].copy()
    still[5:9, 7:11] = np.nan
    (found, *_) = phase_correlation(3 * moved[None] + 7, still[None])
    # the no-data that both images share pulls towards zero; the start of a refinement may be this far off
    assert np.abs(np.subtract(found, shift)).max() < 0.75


class Recorded:
    """An image that remembers the most that was read of it at once."""

    def __init__(self, values: Cube) -> None:
        self.values, self.shape, self.most = values, values.shape, 0

    def __getitem__(self, key: Any) -> Any:
        found = self.values[key]
        self.most = max(self.most, found.size)
        return found


def test_a_large_scene_is_read_in_windows() -> None:
    random = np.random.default_rng(2)
    size = 2304
    hr_msi = gaussian_filter(random.normal(size=(size, size)).astype(np.float32), 3)[None]
    hr_msi[:, : size // 2] = 0.5  # half of it has no texture
    truth = SpatialResponse.gaussian(ratio=4, fwhm=1.3).shifted(0.35, -0.62)
    lr_hsi = truth.operator(size, size).forward(hr_msi).astype(np.float32)
    images = Recorded(lr_hsi), Recorded(hr_msi)
    pair = ObservedScene(
        *images, np.ones((1, 1)), SpatialResponse.gaussian(ratio=4, fwhm=1.0), np.ones(1), np.ones(1)
    )
    found = estimate_alignment(pair).overall
    np.testing.assert_allclose(found.shift, (0.35, -0.62), atol=0.002)
    assert found.fwhm == pytest.approx(1.3, abs=0.005)
    assert images[1].most == 512 * 512


@given(st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)))
@settings(max_examples=20, deadline=None)
def test_resampling_there_and_back(move: tuple[float, float]) -> None:
    image = gaussian_filter(np.random.default_rng(1).normal(size=(2, 60, 60)), (0, 2, 2)).astype(np.float32)
    there = ResampledBands(image, np.array([move, (0.0, 0.0)]))
    back = ResampledBands(there[:, 0:60, 0:60], -np.array([move, (0.0, 0.0)]))[:, 8:52, 8:52]
    inner = image[:, 8:52, 8:52]
    assert np.sqrt(np.mean((back[0] - inner[0]) ** 2)) < 0.02 * inner[0].std()
    np.testing.assert_array_equal(back[1], inner[1])


def test_resampling_moves_as_the_shift_of_h_does(scene: Scene, srf: Cube) -> None:
    """Bands seen with one shift, moved by the difference, are the bands seen with another."""
    at = SpatialResponse.gaussian(ratio=5, fwhm=1.4)
    one, other = (at.shifted(*s).operator(150, 150).forward(scene.data) for s in ((0.1, 0.3), (0.25, 0.2)))
    moved = ResampledBands(one, np.tile((0.15, -0.1), (24, 1)))[:, 4:26, 4:26]
    wrong = ResampledBands(one, np.tile((-0.15, 0.1), (24, 1)))[:, 4:26, 4:26]
    error, worse, still = (np.std(z - other[:, 4:26, 4:26]) for z in (moved, wrong, one[:, 4:26, 4:26]))
    assert error < 0.25 * still < still < worse


def test_resampled_windows_and_nodata() -> None:
    random = np.random.default_rng(3)
    image = random.normal(size=(3, 400, 500)).astype(np.float32)
    image[1, 50, 60] = np.nan
    bands = ResampledBands(image, np.array([(0.0, 0.0), (0.2, -0.4), (0.0, 0.3)]))
    whole = bands[:, 0:400, 0:500]
    np.testing.assert_array_equal(bands[1:, 45:300, 30:90], whole[1:, 45:300, 30:90])
    assert np.argwhere(np.isnan(whole)).tolist() == [[1, 50, 60]]


# ---- real pairs, against a brute-force search by other means


def berlin(shared_data: Path) -> tuple[ObservedScene, tuple[float, float]]:
    """EnMAP-like 30 m and HyMap 3.6 m, both from their first pixel; and what the headers say of the shift."""
    folder = shared_data / "berlin_urban_gradient"
    with rasterio.open(folder / "EnMAP02_testData_compressed.bsq") as file:
        lr_hsi, corner = file.read().astype(np.float32), file.transform
        wavelength = np.array([1000 * float(text.split("(")[1].split()[0]) for text in file.descriptions])
    with rasterio.open(folder / "HighResolution_testData_compressed.bsq") as file:
        hr_msi, hr_corner = file.read().astype(np.float32), file.transform
    kept = lr_hsi.std(axis=(1, 2)) > 0
    response = gaussian_response(
        np.array([484.3, 558.4, 646.5, 804.6]), np.full(4, 15.0), wavelength[kept], np.full(kept.sum(), 8.0)
    )
    pair = ObservedScene(
        lr_hsi[kept, :78, :57],
        hr_msi[:, : 26 * 25, : 19 * 25],
        response,
        SpatialResponse.gaussian(ratio="25/3", fwhm=1.0),
        np.ones(kept.sum()),
        np.ones(4),
    )
    return pair, ((hr_corner.f - corner.f) / 30, (corner.c - hr_corner.c) / 30)


@pytest.mark.parametrize("known", [True, False])
def test_berlin(shared_data: Path, known: bool) -> None:
    """A search per band gives 3.1 to 3.7 m to the north and 2.3 to 2.8 m to the west of the headers' places.

    The PSF's standard deviation is 12.6 to 13.2 m then, the correlation 0.975 to 0.983.
    """
    pair, header = berlin(shared_data)
    assert header == (pytest.approx(1.2 / 30), pytest.approx(2.4 / 30))
    found = estimate_alignment(pair, spectral_known=known).overall
    dy, dx = 30 * np.subtract(found.shift, header)
    assert dy == pytest.approx(-3.4, abs=0.5)
    assert dx == pytest.approx(-2.6, abs=0.5)
    assert 30 * found.fwhm / FWHM_PER_SIGMA == pytest.approx(12.9, abs=0.5)
    assert 30 * max(found.shift_error) < 0.5
    assert 0.97 < min(found.correlation) < max(found.correlation) < 0.99
    assert not found.ambiguous
    started = replace(pair, spatial_response=pair.spatial_response.shifted(*header))
    np.testing.assert_allclose(estimate_alignment(started).overall.shift, found.shift, atol=0.005)


def test_second_berlin_pair(shared_data: Path) -> None:
    """Its crops are offset by two pixels of 9 m in y and one in x, though the headers share an origin."""
    cubes = []
    for name in ("EnMAP01_BUG2009", "HyMap02_BUG2009"):
        with rasterio.open(shared_data / "berlin_urban_gradient" / f"{name}.bsq") as file:
            cubes.append(file.read().astype(np.float32))
            wavelength = np.array([1000 * float(text.split("(")[1].split()[0]) for text in file.descriptions])
    response = gaussian_response(
        np.array([484.3, 558.4, 646.5, 804.6]), np.array([65.0, 70, 60, 115]), wavelength, np.full(111, 15.0)
    )
    hr_msi = np.tensordot(response, cubes[1][:, :, :60], axes=1).astype(np.float32)
    spatial = SpatialResponse.gaussian(ratio="10/3", fwhm=1.0)
    pair = ObservedScene(cubes[0][:, :, :18], hr_msi, response, spatial, np.ones(111), np.ones(4))
    found = estimate_alignment(pair).overall
    np.testing.assert_allclose(found.shift, (-18 / 30, 9 / 30), atol=0.005)
    assert 30 * found.fwhm / FWHM_PER_SIGMA == pytest.approx(12.1, abs=0.2)
    assert min(found.correlation) > 0.999


def paris(shared_data: Path) -> tuple[ObservedScene, Cube]:
    """Hyperion and ALI at 30 m, and each Hyperion band's detector."""
    file = loadmat(shared_data / "paris_eo1" / "paris_data_hs_ms.mat")
    number = file["non_del_bands"].ravel().astype(int)
    wavelength = np.where(number <= 70, 355.59 + 10.175 * (number - 1), 851.92 + 10.0887 * (number - 71))
    response = gaussian_response(
        np.array([443.0, 482, 565, 660, 790, 867, 1250, 1650, 2215]),
        np.array([20.0, 65, 80, 60, 30, 45, 100, 200, 270]),
        wavelength,
        np.full(128, 10.5),
    )
    images = (np.moveaxis(file[name], 2, 0).astype(np.float32) for name in ("HSim", "MSim"))
    spatial = SpatialResponse.gaussian(ratio=1, fwhm=1.0)
    pair = ObservedScene(*images, response, spatial, np.ones(128), np.ones(9))
    return pair, np.where(number <= 70, "VNIR", "SWIR")


def searched(msi: Cube, hsi: Cube) -> Cube:
    """The shift ``(dy, dx)`` at which a blurred spline through the MSI correlates best with the HSI."""
    inner, (y, x) = (slice(4, -4),) * 2, np.mgrid[: hsi.shape[0], : hsi.shape[1]].astype(float)

    def loss(p: Cube) -> float:
        moved = map_coordinates(
            gaussian_filter(msi, abs(p[2])), [y + p[0], x + p[1]], order=5, mode="reflect"
        )
        return -float(np.corrcoef(moved[inner].ravel(), hsi[inner].ravel())[0, 1])

    options = {"xatol": 1e-3, "fatol": 1e-6}
    return np.asarray(minimize(loss, [0.1, 0.4, 0.3], method="Nelder-Mead", options=options).x[:2])


@pytest.mark.parametrize("known", [True, False])
def test_paris(shared_data: Path, known: bool) -> None:
    """Hyperion's pixels lie 0.0 to 0.25 pixels further down and 0.42 to 0.58 further right than ALI's."""
    pair, detector = paris(shared_data)
    found = estimate_alignment(pair, detector, spectral_known=known).detectors
    assert found["VNIR"].shift[0] - found["SWIR"].shift[0] > 0.1
    for name, nearest in (("VNIR", (3, 4)), ("SWIR", (6, 7))):
        by_search = []
        for band in nearest:
            best = int(np.where(detector == name, pair.spectral_response[band], 0).argmax())
            by_search.append(searched(pair.hr_msi[band].astype(float), pair.lr_hsi[best].astype(float)))
        np.testing.assert_allclose(found[name].shift, np.mean(by_search, axis=0), atol=0.1)
        assert 0.0 <= found[name].shift[0] <= 0.25
        assert 0.42 <= found[name].shift[1] <= 0.58
        assert max(found[name].shift_error) < 0.05
        assert min(found[name].correlation) > 0.88
    assert isinstance(found["VNIR"], Alignment)
    assert found["VNIR"].msi_bands[:6] == (0, 1, 2, 3, 4, 5)
    assert Fraction(1) == pair.spatial_response.ratio
