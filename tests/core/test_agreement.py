"""The sentences on two images that contradict each other, and the silence on images that agree."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import rotate, shift

import pipeline
from pipeline.config.scenes import SyntheticSource
from pipeline.core.estimation.agreement import (
    Suspicion,
    agreement,
    radiometric_agreement,
    suspicious_values,
)
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.rim import without_rim
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.core.window import Window
from pipeline.inputs.synthetic.scene import synthetic_scene

NAMES = ["blue", "green", "red", "nir"]
Images = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return synthetic_scene(SyntheticSource(kind="synthetic", height=144, width=128, bands=40, seed=4))


def observe(scene: Scene, blur: SpatialResponse, seed: int = 0, snr: float = 35) -> Observation:
    assert scene.wavelength is not None
    srf = gaussian_response(np.array([490.0, 560, 665, 842]), np.full(4, 60.0), scene.wavelength, scene.fwhm)
    return simulate(scene.data, spectral_response=srf, spatial_response=blur, snr_db=snr, seed=seed)


@pytest.fixture(scope="module")
def pair(scene: Scene) -> Observation:
    return observe(scene, SpatialResponse.gaussian(ratio=4, fwhm=1.0))


@pytest.mark.parametrize(
    "blur",
    [
        SpatialResponse.gaussian(ratio=4, fwhm=1.0),
        SpatialResponse.gaussian(ratio=8, fwhm=1.3).shifted(0.3, -0.2),
        SpatialResponse.bicubic(ratio=2),
        SpatialResponse.box(ratio="8/3"),
    ],
)
@pytest.mark.parametrize("snr", [20, 35, 60])
def test_nothing_is_said_of_a_pair_that_agrees(scene: Scene, blur: SpatialResponse, snr: float) -> None:
    for seed in range(3):
        assert agreement(observe(scene, blur, seed, snr)) == ()


def scaled(factor: float | list[float], offset: float = 0.0) -> Callable[[Observation], Observation]:
    def change(pair: Observation) -> Observation:
        gains = np.broadcast_to(factor, 4)[:, None, None]
        return replace(pair, hr_msi=(gains * pair.hr_msi + offset).astype(np.float32))

    return change


def cloudy(pair: Observation) -> Observation:
    msi = pair.hr_msi.copy()
    msi[:, 20:44, 60:88] += 0.3
    return replace(pair, hr_msi=msi)


def striped(pair: Observation) -> Observation:
    stripes = np.random.default_rng(0).normal(0, 0.02, pair.lr_shape[1])
    lr_hsi = pair.lr_hsi.copy()
    lr_hsi[7] += stripes.astype(np.float32)
    return replace(pair, lr_hsi=lr_hsi)


def dark_beyond(pair: Observation) -> Observation:
    """The LR-HSI as if zeros lay beyond the scene."""
    dark = pair.spatial_response.bordered("zero").operator(*pair.hr_shape).forward(np.ones(pair.hr_shape))
    return replace(pair, lr_hsi=(pair.lr_hsi * dark).astype(np.float32))


def turned(pair: Observation) -> Observation:
    msi = rotate(pair.hr_msi, 2.0, axes=(2, 1), reshape=False, order=3, mode="nearest")
    return replace(pair, hr_msi=msi)


@pytest.mark.parametrize(
    ("change", "cause", "text"),
    [
        (scaled(0.01), "gain", "MSI values are 0.01 times what R predicts"),
        (scaled([1, 1.3, 1, 1]), "gain", "1.3 (green)"),
        (scaled(1, 0.1), "offset", "+0.1 beside what R predicts"),
        (scaled(1.5, -0.05), "gain and offset", "1.5 times"),
        (lambda pair: replace(pair, spectral_response=100 * pair.spectral_response), "gain", "0.01 times"),
        (lambda pair: replace(pair, hr_msi=pair.hr_msi[[2, 1, 0, 3]]), "order", "blue resembles red"),
        (lambda pair: replace(pair, hr_msi=shift(pair.hr_msi, (0, 2, -1))), "shift", "rows and -0."),
        (turned, "rotation", "degrees"),
        (
            lambda pair: replace(pair, spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=2.0)),
            "psf",
            "narrower than H",
        ),
        (
            lambda pair: replace(pair, spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=0.4)),
            "psf",
            "wider than H",
        ),
        (dark_beyond, "zero border", "with zeros beyond the scene they agree"),
        (lambda pair: dark_beyond(dark_beyond(pair)), "border", "beyond the scene is not its mirror image"),
        (cloudy, "change", "around row 7, column 18 of the LR-HSI, where the HR-MSI is brighter"),
        (striped, "stripes", "HSI band 7 (0-based) has stripes along columns"),
    ],
)
def test_the_cause_of_a_difference_is_named_first(
    pair: Observation, change: Callable[[Observation], Observation], cause: str, text: str
) -> None:
    findings = agreement(change(pair), NAMES)
    assert findings[0].cause == cause
    assert text in findings[0].sentence
    assert len(findings) == 1


def test_a_border_that_is_ignored_or_right_is_not_named(pair: Observation) -> None:
    dark = dark_beyond(pair)
    for border in ("ignore", "zero"):
        told = replace(dark, spatial_response=pair.spatial_response.bordered(border))
        assert agreement(without_rim(told)) == ()
    wrong = agreement(replace(pair, spatial_response=pair.spatial_response.bordered("zero")))
    assert [finding.cause for finding in wrong] == ["border"]
    assert wrong[0].sentence.endswith("beyond the scene is not zeros")


@pytest.mark.parametrize(
    ("change", "cause"), [(scaled(10_000), "gain"), (scaled(1, 0.1), "offset"), (scaled(1), None)]
)
def test_images_that_are_not_registered_yet_show_their_units(
    pair: Observation, change: Callable[[Observation], Observation], cause: str | None
) -> None:
    moved = replace(pair, hr_msi=shift(pair.hr_msi, (0, 3, -2), mode="nearest"))
    causes = [finding.cause for finding in radiometric_agreement(change(moved))]
    assert causes == ([cause] if cause else [])


def test_a_remedy_follows_the_sentence(pair: Observation) -> None:
    (finding,) = agreement(scaled(1, 0.1)(pair))
    assert finding.with_remedy({"offset": "subtract it"}) == f"{finding.sentence}; subtract it"
    assert finding.with_remedy({}) == finding.sentence


def test_fuse_warns_of_a_response_in_per_cent_and_of_a_collar(pair: Observation) -> None:
    def fused(response: np.ndarray, hr_msi: np.ndarray = pair.hr_msi) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pipeline.fuse(
                pair.lr_hsi,
                hr_msi,
                spectral_response=response,
                spatial_response=pair.spatial_response,
                method="bicubic",
            )
        return [str(entry.message) for entry in caught]

    assert fused(pair.spectral_response) == []
    collar = pair.hr_msi.copy()
    collar[:, :10] = 0
    (message,) = fused(pair.spectral_response, collar)
    assert message.startswith("hr_msi: 6.9% of the pixels looked at are 0 in all bands, up to the border")
    assert message.endswith("set it to NaN")
    (message,) = fused(100 * pair.spectral_response)
    assert "0.01 times what R predicts" in message
    assert message.endswith("or hr_msi")


def collar(value: float, dtype: str = "float32") -> np.ndarray:
    image = np.random.default_rng(0).uniform(100, 5000, (3, 700, 90)).astype(dtype)
    rows, columns = np.mgrid[:700, :90]
    image[:, rows + 4 * columns < 200] = value
    return image


def suspicions(image: np.ndarray) -> list[Suspicion]:
    def read(window: Window) -> np.ndarray:
        return image[:, *window.slices]

    return suspicious_values(read, *image.shape[1:])


@pytest.mark.parametrize("value", [0, -9999, 65535])
def test_an_undeclared_collar_is_named_with_its_value(value: float) -> None:
    (found,) = [entry for entry in suspicions(collar(value)) if entry.kind == "no-data"]
    assert found.value == value
    assert f"{value} in all bands, up to the border" in found.sentence()


def test_a_saturated_band_is_named() -> None:
    image = collar(1.0, "float64")[:, 210:300]
    image[1] = np.minimum(image[1], 4500)
    (found,) = suspicions(image)
    assert (found.kind, found.value, found.bands) == ("saturated", 4500, 1)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_images_without_such_values_raise_no_suspicion(dtype: str) -> None:
    rng = np.random.default_rng(1)
    image = np.clip(rng.gamma(4, 20, (4, 300, 310)), 0, 250).astype(dtype)
    image[:, 100:110, 100:110] = 7  # uniform, but not at the border
    assert suspicions(image) == []
