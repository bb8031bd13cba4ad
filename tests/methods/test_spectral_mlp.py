"""The per-pixel network: what it learns, and what it does not depend on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.methods import build, settings_of
from pipeline.methods.spectral_mlp.method import SpectralMlp
from pipeline.methods.spectral_mlp.settings import SpectralMlpSettings
from scores import psnr


def method(**changes: object) -> SpectralMlp:
    return SpectralMlp(
        SpectralMlpSettings.model_validate(
            {"iterations": 30, "device": "cpu", "checkpoint_every": 7} | changes
        )
    )


def test_it_beats_interpolation_by_far(observation_of_landscape: Observation, landscape: Scene) -> None:
    interpolated = build(settings_of("bicubic")()).fit(observation_of_landscape).fuse()
    fused = method(iterations=400).fit(observation_of_landscape).fuse()
    assert psnr(landscape.data, fused) > psnr(landscape.data, interpolated) + 8


def test_nothing_depends_on_the_spatial_response(observation_of_landscape: Observation) -> None:
    other = replace(observation_of_landscape, spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=2))
    cubes = [method().fit(scene).fuse() for scene in (observation_of_landscape, other)]
    np.testing.assert_array_equal(*cubes)


def test_a_killed_training_resumes_to_the_same_bytes(
    observation_of_landscape: Observation, tmp_path: Path
) -> None:
    class KilledError(Exception):
        """Stands for a kill between two steps."""

    def kill(phase: str, done: int, total: int, loss: float) -> None:
        if done == 20:
            raise KilledError

    unbroken = method().fit(observation_of_landscape, 1).state()
    with pytest.raises(KilledError):
        method().fit(observation_of_landscape, 1, tmp_path, kill)
    resumed = method().fit(observation_of_landscape, 1, tmp_path).state()
    other = method().fit(observation_of_landscape, 2).state()
    for name, array in unbroken.items():
        assert array.tobytes() == resumed[name].tobytes(), name
    assert not np.array_equal(unbroken["standardised.0.weight"], other["standardised.0.weight"])


def test_a_checkpoint_under_other_noise_is_refused(
    observation_of_landscape: Observation, tmp_path: Path
) -> None:
    method().fit(observation_of_landscape, checkpoint=tmp_path)
    noisier = replace(observation_of_landscape, sigma_msi=2 * observation_of_landscape.sigma_msi)
    with pytest.raises(InputError, match="another configuration or observation"):
        method().fit(noisier, checkpoint=tmp_path)


def test_a_diverged_training_is_one_line(observation_of_landscape: Observation) -> None:
    with pytest.raises(InputError, match=r"^spectral_mlp: the training of the network diverged at iteration"):
        method(learning_rate=1e38).fit(observation_of_landscape)


@pytest.mark.parametrize("shift", [0.0, 1.3])
def test_tiles_agree_with_the_whole_beside_no_data(
    landscape: Scene, landscape_srf: np.ndarray, shift: float
) -> None:
    blur = SpatialResponse.gaussian(ratio="8/3", fwhm=1).shifted(shift, -shift)
    pair = simulate(landscape.data, spectral_response=landscape_srf, spatial_response=blur)
    lr_hsi, hr_msi = pair.lr_hsi.copy(), pair.hr_msi.copy()
    lr_hsi[3, np.random.default_rng(0).random(pair.lr_shape) < 0.3] = np.nan
    hr_msi[0, 20:23, 30] = np.nan
    fitted = method().fit(replace(pair, lr_hsi=lr_hsi, hr_msi=hr_msi))
    whole = fitted.fuse()
    assert 0.2 < np.isnan(whole[0]).mean() < 0.5
    for window in pair.whole.split(7):
        np.testing.assert_allclose(fitted.fuse(window), whole[:, *window.slices], atol=1e-6)


def test_lr_pixels_without_data_teach_nothing(observation_of_landscape: Observation) -> None:
    """Whatever the other bands of a pixel hold, a pixel of which a band is missing is not learned from."""
    lr_hsi = observation_of_landscape.lr_hsi.copy()
    lr_hsi[2, 1, 1] = np.nan
    cubes = []
    for value in (0.1, 0.4):
        lr_hsi[3, 1, 1] = value
        cubes.append(method().fit(replace(observation_of_landscape, lr_hsi=lr_hsi)).fuse())
    np.testing.assert_array_equal(*cubes)
    missing = np.zeros(observation_of_landscape.hr_shape, bool)
    missing[4:8, 4:8] = True
    assert np.array_equal(np.isnan(cubes[0]).any(axis=0), missing)


def test_images_without_an_lr_pixel_are_refused(observation_of_landscape: Observation) -> None:
    nowhere = np.full_like(observation_of_landscape.lr_hsi, np.nan)
    with pytest.raises(InputError, match=r"^spectral_mlp: no pixel of lr_hsi has data; crop"):
        method().fit(replace(observation_of_landscape, lr_hsi=nowhere))


def test_values_are_in_the_images_units(observation_of_landscape: Observation) -> None:
    pair = observation_of_landscape
    images = {"lr_hsi": pair.lr_hsi * 1024, "hr_msi": pair.hr_msi * 1024}
    levels = {"sigma_hsi": pair.sigma_hsi * 1024, "sigma_msi": pair.sigma_msi * 1024}
    plain, large = (method().fit(scene).fuse() for scene in (pair, replace(pair, **images, **levels)))
    np.testing.assert_allclose(large, plain * 1024, rtol=1e-4, atol=1e-2)


def test_a_constant_band_is_fused_as_it_is(observation_of_landscape: Observation) -> None:
    lr_hsi = observation_of_landscape.lr_hsi.copy()
    lr_hsi[5] = 0.25
    fused = method().fit(replace(observation_of_landscape, lr_hsi=lr_hsi)).fuse()
    np.testing.assert_allclose(fused[5], 0.25, atol=1e-3)
