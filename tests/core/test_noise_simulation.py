"""Noise by absolute position, simulated observations, and windows of an observation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import kstest

from pipeline.core.sensing.noise import derived_seed, noise_sigma, philox_key, power_of, standard_normal
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import Sensors, Simulation, simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError

Cube = NDArray[Any]
R = np.array([[0.6, 0.4, 0, 0, 0], [0, 0, 0.2, 0.3, 0.5]])
BICUBIC = SpatialResponse.bicubic(ratio=4)


def reference(height: int = 64, width: int = 48) -> Cube:
    """Five smooth bands of rising brightness."""
    y, x = np.mgrid[:height, :width] / 9
    planes = 1.2 + np.sin(y) * np.cos(x)
    return (np.linspace(0.1, 0.4, 5)[:, None, None] * planes).astype(np.float32)


# ---- noise


@given(
    st.integers(0, 200),
    st.integers(0, 200),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(0, 2**63),
)
@settings(max_examples=40, deadline=None)
def test_a_window_of_the_noise_is_the_noise_of_the_window(y: int, x: int, h: int, w: int, seed: int) -> None:
    whole = standard_normal(seed, "hr_msi", (2, y + h + 5, x + w + 5))
    part = standard_normal(seed, "hr_msi", (2, h, w), origin=(y, x))
    np.testing.assert_array_equal(part, whole[:, y : y + h, x : x + w])


def test_channels_do_not_depend_on_their_number() -> None:
    np.testing.assert_array_equal(
        standard_normal(1, "a", (5, 70, 9))[:2], standard_normal(1, "a", (2, 70, 9))
    )


def test_the_stream_stays_what_it_is() -> None:
    """Results of earlier versions can be made again: these values must not change."""
    values = standard_normal(7, "lr_hsi", (2, 1, 3), origin=(64, 129))
    expected = [[[-0.86888033, -0.15448369, -0.698452]], [[0.11001954, 0.16156328, -0.2216159]]]
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert philox_key(7, "lr_hsi") == 0x8423FE5A988B9431EE05FE2A902C80C7
    assert derived_seed(7, "train") == 4860186522636953433


def test_moments_and_distribution() -> None:
    values = standard_normal(0, "lr_hsi", (4, 256, 256)).astype(np.float64)
    n = values.size
    assert values.mean() == pytest.approx(0, abs=4 / np.sqrt(n))
    assert values.var() == pytest.approx(1, abs=4 * np.sqrt(2 / n))
    assert np.mean(values**3) == pytest.approx(0, abs=4 * np.sqrt(15 / n))
    assert np.mean(values**4) == pytest.approx(3, abs=4 * np.sqrt(96 / n))
    assert kstest(values.ravel(), "norm").pvalue > 1e-4


def test_neighbours_channels_blocks_seeds_and_purposes_are_independent() -> None:
    a = standard_normal(0, "lr_hsi", (2, 128, 128)).astype(np.float64)
    pairs = {
        "row": (a[0, 1:], a[0, :-1]),
        "column": (a[0, :, 1:], a[0, :, :-1]),
        "channel": (a[0], a[1]),
        "block": (a[0, :64, :64], a[0, 64:, 64:]),
        "block's neighbour": (a[0, :64, :64], a[0, :64, 64:]),
        "seed": (a, standard_normal(1, "lr_hsi", a.shape)),
        "purpose": (a, standard_normal(0, "hr_msi", a.shape)),
        "seed and purpose joined": (
            standard_normal(1, "1:x", a.shape),
            standard_normal(11, ":x", a.shape),
        ),
    }
    for name, (one, other) in pairs.items():
        correlation = np.mean(one.astype(np.float64) * other)
        assert abs(correlation) < 4.5 / np.sqrt(one.size), name


def test_derived_seeds() -> None:
    seeds = {derived_seed(seed, purpose) for seed in range(50) for purpose in ("train", "sample")}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_noise_level() -> None:
    clean = np.stack([np.full((3, 4), 2.0), np.full((3, 4), 4.0)])
    np.testing.assert_allclose(noise_sigma(power_of(clean), 20, per_band=True), [0.2, 0.4])
    np.testing.assert_allclose(noise_sigma(power_of(clean), 20, per_band=False), [np.sqrt(0.1)] * 2)
    clean[0, 0], clean[1, 1, 1] = np.nan, np.nan
    np.testing.assert_allclose(noise_sigma(power_of(clean), 20, per_band=True), [0.2, 0.4])
    np.testing.assert_allclose(
        noise_sigma(power_of(clean), 20, per_band=False), np.sqrt((8 * 4 + 11 * 16) / 19 / 100)
    )
    clean[0] = np.nan
    for per_band in (True, False):
        np.testing.assert_allclose(noise_sigma(power_of(clean), 20, per_band), [np.nan, 0.4])


@given(st.integers(1, 11), st.booleans())
@settings(max_examples=20, deadline=None)
def test_power_of_parts_adds_up(cut: int, empty: bool) -> None:
    image = np.random.default_rng(cut).normal(2, 1, (3, 4, 12))
    image[0, :, :2] = np.nan
    image[2] = np.nan if empty else image[2]
    parts = power_of(image[:, :, :cut]) + power_of(image[:, :, cut:])
    valid = ~np.isnan(image)
    np.testing.assert_array_equal(parts.counts, valid.sum(axis=(1, 2)))
    np.testing.assert_allclose(parts.mean, np.mean(image[valid] ** 2), rtol=1e-14)
    for band, mean in zip(image, parts.means, strict=True):
        kept = band[~np.isnan(band)]
        np.testing.assert_allclose(mean, np.mean(kept**2) if kept.size else np.nan, rtol=1e-14)


# ---- simulation


@pytest.mark.parametrize("per_band", [False, True])
@pytest.mark.parametrize("snr_db", [10, 35])
def test_the_snr_is_achieved(snr_db: float, per_band: bool) -> None:
    cube = reference(128, 128)
    observation = simulate(
        cube, spectral_response=R, spatial_response=BICUBIC, snr_db=snr_db, per_band=per_band, seed=2
    )
    clean_hsi = BICUBIC.operator(128, 128).forward(cube.astype(np.float64))
    clean_msi = np.tensordot(R, cube.astype(np.float64), axes=1)
    for image, clean, sigma in (
        (observation.lr_hsi, clean_hsi, observation.sigma_hsi),
        (observation.hr_msi, clean_msi, observation.sigma_msi),
    ):
        noise = image - clean
        axes = (1, 2) if per_band else None
        snr = 10 * np.log10(np.mean(clean**2, axis=axes) / np.mean(noise**2, axis=axes))
        count = clean[0].size if per_band else clean.size
        np.testing.assert_allclose(snr, snr_db, atol=4 * 10 / np.log(10) * np.sqrt(2 / count))
        level = np.sqrt(np.mean(clean**2, axis=axes) / 10 ** (snr_db / 10))
        np.testing.assert_allclose(sigma, np.broadcast_to(level, sigma.shape))
        # the level handed on is the one that was added, band by band
        normed = (noise / sigma[:, None, None]).reshape(len(sigma), -1)
        np.testing.assert_allclose(normed.std(1), 1, atol=4 / np.sqrt(2 * clean[0].size))
        assert image.dtype == np.float32


def test_seeds_change_the_noise_only() -> None:
    one, same, other = (
        simulate(reference(), spectral_response=R, spatial_response=BICUBIC, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.lr_hsi, same.lr_hsi)
    np.testing.assert_array_equal(one.hr_msi, same.hr_msi)
    assert (one.lr_hsi != other.lr_hsi).mean() > 0.99
    assert (one.hr_msi != other.hr_msi).mean() > 0.99
    np.testing.assert_array_equal(one.sigma_hsi, other.sigma_hsi)


def test_without_noise_the_images_are_the_responses() -> None:
    observation = simulate(reference(), spectral_response=R, spatial_response=BICUBIC, snr_db=np.inf)
    np.testing.assert_allclose(
        observation.lr_hsi, BICUBIC.operator(64, 48).forward(reference().astype(np.float64)), rtol=1e-6
    )
    np.testing.assert_allclose(observation.hr_msi, np.tensordot(R, reference(), axes=1), rtol=1e-6)
    for image, sigma in (
        (observation.lr_hsi, observation.sigma_hsi),
        (observation.hr_msi, observation.sigma_msi),
    ):  # methods divide by the noise level, so it is never zero
        np.testing.assert_allclose(sigma, 1e-6 * np.sqrt(np.mean(np.square(image))), rtol=1e-3)


@pytest.mark.parametrize("dtype", [np.float64, np.uint16])
def test_other_types_are_accepted(dtype: type) -> None:
    cube = (reference() * 1e4).astype(dtype)
    observation = simulate(cube, spectral_response=R.tolist(), spatial_response=BICUBIC)  # type: ignore[arg-type]
    expected = simulate(cube.astype(np.float64), spectral_response=R, spatial_response=BICUBIC)
    np.testing.assert_allclose(observation.lr_hsi, expected.lr_hsi, rtol=1e-6)
    np.testing.assert_allclose(observation.hr_msi, expected.hr_msi, rtol=1e-6)


def test_no_data_reaches_no_further_than_the_responses() -> None:
    cube = reference()
    clean = simulate(cube, spectral_response=R, spatial_response=SpatialResponse.box(ratio=4))
    cube[1, 20, 30] = np.nan
    observation = simulate(cube, spectral_response=R, spatial_response=SpatialResponse.box(ratio=4))
    assert np.argwhere(np.isnan(observation.lr_hsi)).tolist() == [[1, 5, 7]]
    assert np.argwhere(np.isnan(observation.hr_msi)).tolist() == [[0, 20, 30]]
    kept = ~np.isnan(observation.lr_hsi)
    np.testing.assert_allclose(observation.lr_hsi[kept], clean.lr_hsi[kept], atol=1e-4)


def whole_image_simulation(cube: Cube, response: SpatialResponse, seed: int) -> tuple[Cube, Cube]:
    """Both noisy images at 35 dB from arrays of the whole scene, in float64."""
    images = []
    clean_hsi = response.operator(*cube.shape[1:]).forward_with_nodata(cube.astype(np.float64))
    clean_msi = np.stack([np.tensordot(row[row != 0], cube[row != 0], axes=1) for row in R])
    for purpose, clean in (("lr_hsi", clean_hsi), ("hr_msi", clean_msi)):
        sigma = np.sqrt(np.nanmean(clean**2) / 10**3.5)
        images.append(clean + sigma * standard_normal(seed, purpose, clean.shape))
    return images[0], images[1]


RESPONSES = {
    "bicubic": BICUBIC,
    "wide": SpatialResponse.gaussian(ratio="5/2", fwhm=2.0),
    "box": SpatialResponse.box(ratio="25/3"),
    "free, reaching one way only": SpatialResponse.from_psf(np.pad(np.eye(3), ((9, 0), (0, 9))), ratio=5),
}


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("nodata", [False, True])
def test_windows_of_a_file_give_the_whole_image(name: str, nodata: bool, tmp_path: Path) -> None:
    response = RESPONSES[name]
    n = response.ratio.numerator
    cube = reference(200 // n * n, 150 // n * n)
    if nodata:
        cube[1, 20, 30] = np.nan
        cube[:, 60:110, :40] = np.nan
    np.save(tmp_path / "cube.npy", cube)
    on_disk = np.load(tmp_path / "cube.npy", mmap_mode="r")
    sensors = Sensors(on_disk, R, response)
    whole = Window(0, cube.shape[1], 0, cube.shape[2])
    tiles = list(whole.split(48 // n * n))
    streamed = Simulation(sensors, tiles, snr_db=35, per_band=False, seed=5)
    lr_hsi, hr_msi = whole_image_simulation(cube, response, 5)
    for tile in reversed(tiles):
        seen = streamed.observe(tile)
        assert seen.origin == (tile.y0, tile.x0)
        lr = sensors.lr_window(tile)
        np.testing.assert_allclose(seen.lr_hsi, lr_hsi[:, *lr.slices].astype(np.float32), rtol=1e-6)
        np.testing.assert_allclose(seen.hr_msi, hr_msi[:, *tile.slices].astype(np.float32), rtol=1e-6)
    at_once = simulate(cube, spectral_response=R, spatial_response=response, seed=5)
    np.testing.assert_allclose(at_once.lr_hsi, lr_hsi, rtol=1e-6)
    np.testing.assert_allclose(at_once.hr_msi, hr_msi, rtol=1e-6)
    np.testing.assert_allclose(at_once.sigma_hsi, streamed.sigma_hsi, rtol=1e-13)
    np.testing.assert_allclose(at_once.sigma_msi, streamed.sigma_msi, rtol=1e-13)


class Recorded:
    """A reference that remembers which windows were read."""

    def __init__(self, cube: Cube) -> None:
        self.cube, self.shape = cube, cube.shape
        self.read: list[tuple[slice, ...]] = []

    def __getitem__(self, key: tuple[slice, ...]) -> Cube:
        self.read.append(key)
        return self.cube[key]


def test_a_window_reads_no_more_than_its_sensors_see() -> None:
    recorded = Recorded(reference(256, 256))
    Sensors(recorded, R, BICUBIC).images(Window(64, 128, 128, 256))
    assert [key[1:] for key in recorded.read] == [(slice(58, 134), slice(122, 256))]


# ---- errors


def test_unusable_references_and_settings() -> None:
    cube = reference()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"reference": cube[0]}, r"reference: expected three axes \(band, y, x\), got shape \(64, 48\)"),
        ({"reference": np.where(cube > 0.5, np.inf, cube)}, "reference: holds infinite values"),
        ({"reference": np.full_like(cube, np.nan)}, "reference: holds no valid value"),
        (
            {"reference": np.moveaxis(cube, 0, 2)},
            r"reference: shape \(64, 48, 5\) has its 5 bands on the last axis, expected \(band, y, x\)",
        ),
        (
            {"reference": cube[:, :62]},
            "62 HR pixels are not .* at ratio 4; crop to a multiple of 4, the nearest being 60 or 64",
        ),
        (
            {"reference": np.where(np.arange(5)[:, None, None] % 4, cube, np.nan)},
            "reference: holds no valid value from which the hr_msi could be simulated",
        ),
        ({"snr_db": -20}, "snr_db: -20 dB leaves nothing of the signal; use a value above -20"),
        ({"snr_db": np.nan}, "snr_db: nan dB"),
        (
            {"spectral_response": R[:, :4]},
            r"spectral_response: expected shape \(2, 5\) = \(MSI bands, HSI bands\), got \(2, 4\)",
        ),
        ({"spectral_response": R[0]}, r"spectral_response: expected shape .* got \(5,\)"),
        ({"spectral_response": 1.0}, r"spectral_response: expected shape .* got \(\)"),
        ({"spectral_response": R * [[1], [0]]}, "spectral_response: row 1 is all zero; MSI band 1 sees none"),
        ({"spectral_response": R * np.nan}, "spectral_response: holds NaN or infinite values"),
    ]
    for change, message in cases:
        arguments: dict[str, Any] = {"reference": cube, "spectral_response": R, "spatial_response": BICUBIC}
        with pytest.raises(InputError, match=message) as error:
            simulate(**(arguments | change))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda o: {"lr_hsi": o.lr_hsi[0]},
            r"lr_hsi: expected three axes \(band, y, x\), got shape \(16, 12\)",
        ),
        (lambda o: {"hr_msi": o.hr_msi[None]}, "hr_msi: expected three axes"),
        (lambda o: {"lr_hsi": o.lr_hsi / 0}, "lr_hsi: holds infinite values; mark no-data as NaN"),
        (
            lambda o: {"lr_hsi": np.moveaxis(o.lr_hsi, 0, 2)},
            r"lr_hsi: shape \(16, 12, 5\) has its 5 bands on the last axis, .*moveaxis\(lr_hsi, 2, 0\)",
        ),
        (
            lambda o: {"hr_msi": np.moveaxis(o.hr_msi, 0, 2)},
            r"hr_msi: shape \(64, 48, 2\) has its 2 bands on the last axis, .*moveaxis\(hr_msi, 2, 0\)",
        ),
        (lambda o: {"lr_hsi": o.lr_hsi[:4]}, r"spectral_response: expected shape \(2, 4\) .* got \(2, 5\)"),
        (lambda o: {"hr_msi": o.hr_msi[:1]}, r"spectral_response: expected shape \(1, 5\) .* got \(2, 5\)"),
        (
            lambda o: {"lr_hsi": o.lr_hsi[:, 1:]},
            "lr_hsi: 15x12 pixels do not match hr_msi's 64x48 at ratio 4, which needs 16x12",
        ),
        (
            lambda o: {"spatial_response": SpatialResponse.box(ratio=8)},
            "lr_hsi: 16x12 pixels do not match hr_msi's 64x48 at ratio 8, which needs 8x6",
        ),
        (lambda o: {"hr_msi": o.hr_msi[:, 2:]}, "62 HR pixels .* the nearest being 60 or 64"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_images_that_do_not_fit_together(change: Any, message: str) -> None:
    observation = simulate(reference(), spectral_response=R, spatial_response=BICUBIC)
    with pytest.raises(InputError, match=message) as error:
        replace(observation, **change(observation))
    assert "\n" not in str(error.value)


# ---- windows


def rational_observation() -> Observation:
    """60x45 HR pixels and 24x18 LR pixels, at ratio 5/2."""
    return simulate(reference(60, 45), spectral_response=R, spatial_response=SpatialResponse.box(ratio="5/2"))


OBSERVATION = rational_observation()


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Any window inside the image."""
    y0, x0 = draw(st.integers(0, 59)), draw(st.integers(0, 44))
    return Window(y0, draw(st.integers(y0 + 1, 60)), x0, draw(st.integers(x0 + 1, 45)))


@given(windows(), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_a_padded_window_is_aligned_and_holds_its_halo(window: Window, halo: int) -> None:
    padded = OBSERVATION.padded_window(window, halo)
    for low, high, inner_low, inner_high, size in (
        (padded.y0, padded.y1, window.y0, window.y1, 60),
        (padded.x0, padded.x1, window.x0, window.x1, 45),
    ):
        assert low % 5 == high % 5 == 0
        assert 0 <= low <= max(0, inner_low - 2.5 * halo)
        assert min(size, inner_high + 2.5 * halo) <= high <= size
        assert inner_low - low <= np.ceil(2.5 * halo) + 4  # no more than to the next whole LR pixels
        assert high - inner_high <= np.ceil(2.5 * halo) + 4
    inside = window.relative_to(padded)
    cropped = OBSERVATION.crop(padded)
    np.testing.assert_array_equal(cropped.hr_msi[:, *inside.slices], OBSERVATION.hr_msi[:, *window.slices])
    assert cropped.lr_shape == tuple(n / 2.5 for n in cropped.hr_shape)
    assert cropped.operator.hr_shape == cropped.hr_shape
    first = int(padded.y0 / 2.5), int(padded.x0 / 2.5)
    np.testing.assert_array_equal(cropped.lr_hsi[:, 0, 0], OBSERVATION.lr_hsi[:, *first])


@given(windows())
@settings(max_examples=50, deadline=None)
def test_crops_of_crops_keep_their_place(window: Window) -> None:
    outer = OBSERVATION.padded_window(window, 2)
    inner = OBSERVATION.padded_window(window, 0)
    direct = OBSERVATION.crop(inner)
    nested = OBSERVATION.crop(outer).crop(inner.relative_to(outer))
    np.testing.assert_array_equal(nested.hr_msi, direct.hr_msi)
    np.testing.assert_array_equal(nested.lr_hsi, direct.lr_hsi)
    assert nested.origin == direct.origin == (inner.y0, inner.x0)


def test_the_whole_is_a_window() -> None:
    assert OBSERVATION.whole == Window(0, 60, 0, 45) == OBSERVATION.padded_window(OBSERVATION.whole, 3)
    assert OBSERVATION.bands == 5
    assert OBSERVATION.lr_shape == (24, 18)


def test_noise_of_a_crop_is_noise_at_its_origin() -> None:
    window = Window(20, 40, 10, 30)
    crop = OBSERVATION.crop(window)
    noise = standard_normal(0, "hr_msi", crop.hr_msi.shape, crop.origin)
    clean = np.tensordot(R, reference(60, 45)[:, *window.slices].astype(np.float64), axes=1)
    np.testing.assert_allclose(crop.hr_msi, clean + crop.sigma_msi[:, None, None] * noise, rtol=1e-5)


@pytest.mark.parametrize(
    "window", [Window(-5, 10, 0, 10), Window(0, 65, 0, 10), Window(10, 10, 0, 5), Window(0, 5, 40, 50)]
)
def test_windows_outside_are_refused(window: Window) -> None:
    for method in (OBSERVATION.crop, lambda w: OBSERVATION.padded_window(w, 1)):
        with pytest.raises(InputError, match="does not lie inside the image of 60x45 pixels"):
            method(window)


def test_windows_across_lr_pixels_cannot_be_cropped() -> None:
    with pytest.raises(InputError, match="is not aligned with LR pixels at ratio 5/2"):
        OBSERVATION.crop(Window(0, 12, 0, 10))
