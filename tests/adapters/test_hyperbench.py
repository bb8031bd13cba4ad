"""Pairs that HyperBench makes, by its own code where it is installed, fused by functions that it calls."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat
from scipy.signal import convolve2d

from pipeline.adapters.hyperbench import fusion, spatial_response
from pipeline.config.experiment import load_experiment
from pipeline.core.scene import Scene
from pipeline.errors import InputError
from scores import psnr

Cube = NDArray[Any]
CONFIG = Path(__file__).parents[2] / "config/robust_psf.yaml"
SKEWED = np.random.default_rng(1).random((4, 7))  # no symmetry, one even side
GAUSSIAN = np.exp(-0.5 * (np.hypot(*np.mgrid[-7:8, -7:8]) / 3.4) ** 2)


def degraded(cube: Cube, psf: Cube, ratio: int) -> Cube:
    """The LR-HSI ``(h, w, C)`` without noise: zeros beyond a cube ``(H, W, C)``, and means over LR pixels."""
    blurred = np.stack([convolve2d(band, psf, mode="same") for band in np.moveaxis(cube, -1, 0)])
    means = blurred.reshape(len(blurred), cube.shape[0] // ratio, ratio, cube.shape[1] // ratio, ratio)
    return np.moveaxis(means.mean(axis=(2, 4)), 0, -1)


@pytest.fixture
def cube(landscape: Scene) -> Cube:
    """The landscape with the band last, between 0 and 1."""
    return np.moveaxis(landscape.data / landscape.data.max(), 0, -1)


@pytest.fixture
def case(cube: Cube, landscape_srf: Cube) -> dict[str, Any]:
    """What a method is given: ratio 4, a wide Gaussian PSF, noise of 35 and 40 dB."""
    random = np.random.default_rng(2)
    psf = GAUSSIAN / GAUSSIAN.sum()

    def noisy(image: Cube, snr_db: float) -> Cube:
        power = np.square(image).mean(axis=(0, 1))
        noisy = image + random.normal(0, np.sqrt(power / 10 ** (snr_db / 10)), image.shape)
        return noisy.astype(np.float32)

    srf = landscape_srf / landscape_srf.sum(axis=1, keepdims=True)
    return {
        "lr_hsi": noisy(degraded(cube, psf, 4), 35),
        "hr_msi": noisy(cube @ srf.T, 40),
        "srf": srf.astype(np.float32),
        "psf": psf.astype(np.float32),
        "metadata": {"downsample_ratio": 4},
    }


@pytest.mark.parametrize("ratio", [1, 3, 4, 8])
@pytest.mark.parametrize("psf", [SKEWED, SKEWED.T, GAUSSIAN, np.eye(5)[2:3], np.ones((6, 6))])
def test_the_total_response_is_what_was_done(psf: Cube, ratio: int) -> None:
    cube = np.random.default_rng(0).random((24, 48, 2))
    response = spatial_response(psf, ratio).operator(24, 48)
    expected = degraded(cube, psf / psf.sum(), ratio)
    np.testing.assert_allclose(np.moveaxis(response.forward(np.moveaxis(cube, -1, 0)), 0, -1), expected)


@pytest.mark.filterwarnings("ignore:the images:UserWarning")
def test_the_whole_truth_about_h_is_worth_more_than_the_psf(case: dict[str, Any], cube: Cube) -> None:
    scores = {}
    for told in ("total", "psf"):
        fused = fusion("gaussian_subspace", told=told)(**case)
        assert fused.shape == cube.shape
        assert fused.dtype == np.float32
        scores[told] = psnr(np.moveaxis(cube, -1, 0), np.moveaxis(fused, -1, 0))
    assert scores["total"] > scores["psf"] + 5


def test_the_sum_of_a_psf_is_a_gain_of_the_hsi(case: dict[str, Any]) -> None:
    double = case | {"psf": 2 * case["psf"], "lr_hsi": 2 * case["lr_hsi"]}
    cubes = [fusion("gaussian_subspace")(**which) for which in (case, double)]
    np.testing.assert_allclose(*cubes, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_hsi": np.ones((7, 10, 24))}, "hr_msi: 32x40 pixels are no multiple of lr_hsi's 7x10; crop the"),
        ({"lr_hsi": np.ones((8, 20, 24))}, "hr_msi: 32x40 pixels are no multiple of lr_hsi's 8x20; crop the"),
        ({"lr_hsi": np.ones((8, 10))}, r"lr_hsi: expected three axes \(y, x, band\), got shape \(8, 10\)"),
        ({"psf": np.ones(3)}, r"psf: expected two axes \(y, x\), got shape \(3,\)"),
        ({"psf": None}, "psf: "),
        ({"psf": -np.eye(3)}, "spatial response: the PSF sums to -3; it must be positive"),
    ],
)
def test_a_case_that_cannot_be_is_one_line(case: dict[str, Any], changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}[^\n]*$"):
        fusion("gaussian_subspace")(**(case | changes))


def test_unknown_choices_are_refused_before_a_benchmark_starts() -> None:
    with pytest.raises(InputError, match=r"^method: 'magic' is unknown"):
        fusion("magic")
    with pytest.raises(InputError, match=r"^told: 'box' is unknown; use 'total' or 'psf'$"):
        fusion("bicubic", told="box")  # type: ignore[arg-type]


@pytest.fixture
def hyperbench() -> ModuleType:
    """The package, where it is installed."""
    return pytest.importorskip(
        "hyperbench", reason="HyperBench is not installed (docs/reference/python.md says how to)"
    )


def test_the_configuration_has_the_psfs_of_the_benchmark(hyperbench: ModuleType) -> None:
    responses = load_experiment(CONFIG).responses
    for name in hyperbench.AVAILABLE_PSFS:
        expected = hyperbench.make_psf(name, 3.4, 7)
        psf = np.array(responses[f"{name.replace('2', '')}_4"].spatial.psf)
        if name == "delta":  # without its zeros
            psf = np.pad(psf, 7)
        np.testing.assert_allclose(psf / psf.max(), expected / expected.max(), atol=6e-5)


def test_a_run_of_the_benchmark_itself(hyperbench: ModuleType, cube: Cube, tmp_path: Path) -> None:
    savemat(tmp_path / "scene.mat", {"cube": cube})
    config = hyperbench.BenchmarkConfig(
        tmp_path / "scene.mat", psf_names=sorted(hyperbench.AVAILABLE_PSFS), save_csv=False, fail_fast=True
    )
    adapter = hyperbench.CallableAdapter(fusion("gaussian_subspace"), name="gaussian_subspace")
    rows = hyperbench.run_benchmark(adapter, config).rows
    assert {row["psf_name"]: row["status"] for row in rows} == dict.fromkeys(config.psf_names, "success")
    assert min(row["PSNR"] for row in rows) > 24
    psf = hyperbench.make_psf("gabor", 3.4, 7, psi=0.5)
    made = hyperbench.spatial_degradation(cube, psf, 4, 300, normalize=False)
    np.testing.assert_allclose(made, degraded(cube, psf, 4), atol=1e-5)
