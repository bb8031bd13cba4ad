"""Every method after its fitted state has been in a file: the same cube, to the byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pipeline
from brief import BRIEF
from pipeline.methods import build, methods, settings_of
from pipeline.runs.fitted_store import read_fitted, write_fitted


@pytest.mark.parametrize("name", methods())
def test_a_stored_method_fuses_as_the_one_that_was_stored(name: str, tmp_path: Path) -> None:
    reference = np.random.default_rng(2).random((12, 24, 20), dtype=np.float32)
    response = pipeline.SpatialResponse.bicubic(ratio=4)
    bands = np.kron(np.eye(4), np.full(3, 1 / 3))
    scene = pipeline.simulate(
        reference, spectral_response=bands, spatial_response=response, snr_db=35, seed=0
    )
    method = build(settings_of(name)(method=name, **BRIEF.get(name, {})))
    fitted = method.fit(scene, seed=1)
    write_fitted(tmp_path / "fitted.safetensors", fitted.state(), {"fingerprint": "f"})
    restored = method.restore(scene, read_fitted(tmp_path / "fitted.safetensors", "f"), seed=1)
    cube = fitted.fuse()
    assert cube.shape == reference.shape
    assert np.isfinite(cube).all()
    np.testing.assert_array_equal(restored.fuse(), cube)
    assert {k: v.shape for k, v in restored.state().items()} == {
        k: v.shape for k, v in fitted.state().items()
    }


CLOSED = ("bicubic", "gaussian_subspace", "graph_subspace")


@pytest.mark.parametrize("name", [name for name in methods() if name not in CLOSED])
def test_images_without_a_positive_value_are_refused(name: str) -> None:
    response = pipeline.SpatialResponse.bicubic(ratio=4)
    with pytest.raises(pipeline.InputError, match="the largest value is 0, expected"):
        pipeline.fuse(
            np.zeros((12, 6, 5), np.float32),
            np.zeros((4, 24, 20), np.float32),
            spectral_response=np.kron(np.eye(4), np.full(3, 1 / 3)),
            spatial_response=response,
            sigma_hsi=np.full(12, 0.01),
            sigma_msi=np.full(4, 0.01),
            method=name,
            **BRIEF.get(name, {}),
        )


def test_noise_of_images_that_are_zero_is_not_estimated() -> None:
    with pytest.raises(pipeline.InputError, match="lr_hsi: every valid value is 0, expected"):
        pipeline.fuse(
            np.zeros((12, 6, 5), np.float32),
            np.zeros((4, 24, 20), np.float32),
            spectral_response=np.kron(np.eye(4), np.full(3, 1 / 3)),
            spatial_response=pipeline.SpatialResponse.bicubic(ratio=4),
            method="gaussian_subspace",
        )


@pytest.mark.parametrize("name", methods())
def test_images_that_are_views_are_taken(name: str) -> None:
    random = np.random.default_rng(4)
    coarse, fine = random.random((12, 6, 5)), random.random((4, 24, 20))
    cubes = [
        pipeline.fuse(
            lr_hsi,
            hr_msi,
            spectral_response=np.kron(np.eye(4), np.full(3, 1 / 3))[::-1],
            spatial_response="bicubic",
            method=name,
            **BRIEF.get(name, {}),
        ).cube
        for lr_hsi, hr_msi in [
            (coarse[:, ::-1], fine[:, ::-1]),
            (coarse[:, ::-1].copy(), fine[:, ::-1].copy()),
        ]
    ]
    np.testing.assert_array_equal(*cubes)
