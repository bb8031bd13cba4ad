"""Quality without a reference against direct sums, worked values, and its ranking of wrong cubes."""

from __future__ import annotations

import pickle
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pipeline.core.quality.metrics import measure
from pipeline.core.quality.no_reference import no_reference, related_msi_band
from pipeline.core.quality.quality_index import q2n_blocks
from pipeline.core.quality.residuals import residuals
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse, upsample
from pipeline.errors import InputError

R = np.array([[0.6, 0.4, 0.0, 0, 0], [0, 0, 0.3, 0.7, 0]])  # nothing sees the last band


def scene_of(
    height: int, width: int, response: SpatialResponse, noise: float = 0.0
) -> tuple[np.ndarray, Observation]:
    """A smooth cube of five bands, and its observation."""
    rng = np.random.default_rng(height)
    coarse = rng.uniform(0.1, 0.6, (3, height // 4 + 1, width // 4 + 1))
    maps = upsample(coarse, (height, width))
    cube = np.tensordot(rng.uniform(0.2, 1, (5, 3)), maps, axes=1) + 0.02 * rng.random((5, height, width))
    lr = response.operator(height, width).forward(cube)
    msi = np.tensordot(R, cube, axes=1)
    observation = Observation(
        (lr + noise * rng.standard_normal(lr.shape)).astype(np.float32),
        (msi + noise * rng.standard_normal(msi.shape)).astype(np.float32),
        R,
        response,
        np.full(5, noise or 1.0),
        np.full(2, noise or 1.0),
    )
    return cube, observation


def indices(cube: np.ndarray, seen: Observation, **options: Any) -> dict[str, Any]:
    """Indices without a reference by the names of the metrics."""
    return measure(no_reference(cube, seen, **options))[0]


def uiqi(x: np.ndarray, y: np.ndarray) -> float:
    """Wang and Bovik's index of two sets of pixels, term by term."""
    covariance = np.mean((x - x.mean()) * (y - y.mean()))
    return float(
        4 * covariance * x.mean() * y.mean() / ((x.var() + y.var()) * (x.mean() ** 2 + y.mean() ** 2))
    )


def cuts(size: int, ratio: Fraction, shift: float) -> tuple[list[slice], list[slice]]:
    """Runs of 8 LR pixels, the rest with the last, and the HR pixels over them."""
    edges = [*range(0, size - 7, 8), size]
    hr = [int(np.floor((edge + Fraction(shift)) * ratio + Fraction(1, 2))) for edge in edges]
    hr = np.clip(hr, 0, int(size * ratio)).tolist()
    low, high = ([slice(*ends) for ends in pairwise(run)] for run in (edges, hr))
    return low, high


def brute_force(cube: np.ndarray, seen: Observation, partner: list[int]) -> dict[str, float]:
    """Every index as its definition says, pixel by pixel and pair by pair."""
    forward = seen.operator.forward
    x, z = np.asarray(seen.lr_hsi, np.float64), cube.astype(np.float64)
    y, hy = seen.hr_msi.astype(np.float64), forward(seen.hr_msi.astype(np.float64))
    response = seen.spatial_response
    rows, cols = (
        cuts(size, response.ratio, shift) for size, shift in zip(seen.lr_shape, response.shift, strict=True)
    )

    def mean_q(a: np.ndarray, b: np.ndarray, scale: int) -> float:
        return float(np.mean([uiqi(a[r, c], b[r, c]) for r in rows[scale] for c in cols[scale]]))

    bands = range(len(x))
    pairs = [(i, j) for i in bands for j in bands if i != j]
    d_lambda = np.mean([abs(mean_q(x[i], x[j], 0) - mean_q(z[i], z[j], 1)) for i, j in pairs])
    d_s = np.mean([abs(mean_q(x[b], hy[m], 0) - mean_q(z[b], y[m], 1)) for b, m in enumerate(partner)])
    padding = [(0, 0), *((0, -size % 32) for size in seen.lr_shape)]
    images = (np.pad(image, padding, mode="symmetric") for image in (x, forward(z)))
    khan = 1 - q2n_blocks(*images).mean()
    return {
        "d_lambda": float(d_lambda),
        "d_s": float(d_s),
        "qnr": float((1 - d_lambda) * (1 - d_s)),
        "d_lambda_khan": float(khan),
        "hqnr": float((1 - khan) * (1 - d_s)),
    }


@pytest.mark.parametrize(
    ("height", "width", "response"),
    [
        (80, 160, SpatialResponse.gaussian(ratio=2, fwhm=1.2)),
        (100, 75, SpatialResponse.bicubic(ratio="25/3")),
        (36, 44, SpatialResponse.from_psf(np.random.default_rng(2).random((7, 5)), ratio=4)),
        (64, 96, SpatialResponse.gaussian(ratio=4, fwhm=1).shifted(0.3, -0.6)),
    ],
    ids=["several blocks", "rational", "psf", "shifted"],
)
def test_indices_match_their_definitions(
    height: int, width: int, response: SpatialResponse, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube, seen = scene_of(height, width, response, noise=0.01)
    wrong = (cube + 0.02 * np.random.default_rng(9).standard_normal(cube.shape)).astype(np.float32)
    correlation = [
        np.corrcoef(seen.lr_hsi[4].ravel(), band.ravel())[0, 1] for band in seen.operator.forward(seen.hr_msi)
    ]
    partner = [0, 0, 1, 1, int(np.argmax(correlation))]
    expected = brute_force(wrong, seen, partner)
    assert indices(wrong, seen) == pytest.approx(expected, abs=1e-9)
    monkeypatch.setattr("pipeline.core.quality.no_reference.block_side", lambda bands: 1)
    assert indices(wrong, seen) == pytest.approx(expected, abs=1e-9)


def test_worked_values() -> None:
    # one window of 8x8 LR pixels, each of four equal HR pixels
    x = np.zeros((2, 8, 8), np.float32)
    x[0, :, ::2], x[1, ::2] = 2, 2  # stripes across one another: mean 1, variance 1, covariance 0
    msi = np.kron(x[:1], np.ones((2, 2))).astype(np.float32)
    flat = np.array([[1.0, 0.0]])
    seen = Observation(x, msi, flat, SpatialResponse.box(ratio=2), np.ones(2), np.ones(1))
    copied = np.stack([msi[0], msi[0]])  # both bands alike: Q of the pair is 1 in place of 0
    scores = indices(copied, seen)
    assert scores["d_lambda"] == pytest.approx(1)
    assert scores["d_s"] == pytest.approx(0.5)  # band 0 is right, band 1 has Q = 1 in place of 0
    assert scores["qnr"] == pytest.approx(0)
    faint = 1 + 0.5 * (np.kron(x, np.ones((2, 2))) - 1)  # half the contrast: Q = 2 * 0.5 / (1 + 0.5^2)
    scores = indices(faint, seen)
    expected = {"d_lambda": 0, "d_s": 0.1, "qnr": 0.9, "d_lambda_khan": 0.2, "hqnr": 0.72}
    assert scores == pytest.approx(expected, abs=1e-6)


def test_the_truth_without_noise_has_no_spectral_distortion() -> None:
    cube, seen = scene_of(96, 64, SpatialResponse.gaussian(ratio=4, fwhm=1))
    scores = indices(cube, seen)
    assert scores["d_lambda_khan"] == pytest.approx(0, abs=1e-6)  # the observation is float32
    assert scores["hqnr"] == pytest.approx(1 - scores["d_s"], abs=1e-6)


def test_hqnr_ranks_the_truth_above_wrong_cubes(landscape: Scene, landscape_srf: np.ndarray) -> None:
    seen = simulate(
        landscape.data,
        spectral_response=landscape_srf,
        spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=1),
        snr_db=40,
    )
    rng = np.random.default_rng(0)
    wrong = {
        "upsampled": upsample(seen.lr_hsi, seen.hr_shape),
        "noisy": landscape.data * (1 + 0.2 * rng.standard_normal(landscape.data.shape)),
        "moved": np.roll(landscape.data, (4, 4), axis=(1, 2)),
        "bands reversed": landscape.data[::-1],
    }
    best = indices(landscape.data, seen)["hqnr"]
    assert best > 0.9
    for name, cube in wrong.items():
        assert indices(cube, seen)["hqnr"] < best - 0.02, name


def test_bands_are_compared_with_those_that_see_them() -> None:
    response = np.array([[0.9, 0.1, 0.0005, 0], [0, 0.2, 0.8, 0]])
    correlation = np.array([[0, 1], [0, 1], [1, 0], [0.3, 0.2]])
    assert related_msi_band(response, correlation).tolist() == [0, 1, 1, 0]


def test_no_data_leaves_windows_out() -> None:
    cube, seen = scene_of(64, 64, SpatialResponse.box(ratio=4), noise=0.01)
    cube = cube.astype(np.float32)
    holed = cube.copy()
    holed[2, :32] = np.nan  # the upper half, in one band
    half = replace(seen, lr_hsi=seen.lr_hsi[:, 8:], hr_msi=seen.hr_msi[:, 32:])
    found, expected = indices(holed, seen), indices(cube[:, 32:], half)
    assert found["d_lambda"] == pytest.approx(expected["d_lambda"], abs=1e-12)
    assert found["d_s"] == pytest.approx(expected["d_s"], abs=1e-12)
    assert found["d_lambda_khan"] is None  # the only block of 32x32 holds no-data
    assert found["hqnr"] is None
    speckled = cube.copy()
    speckled[:, 1::4, 1::4] = np.nan  # every LR pixel loses one of its HR pixels
    assert indices(speckled, seen)["qnr"] == pytest.approx(indices(cube, seen)["qnr"], abs=0.01)
    nothing = indices(np.full_like(cube, np.nan), seen)
    assert set(nothing.values()) == {None}
    with pytest.raises(InputError, match=r"cube: shape \(4, 64, 64\) does not match .* \(5, 64, 64\)"):
        indices(cube[:4], seen)


# ---- residual maps


@pytest.mark.parametrize(
    "response",
    [SpatialResponse.bicubic(ratio="8/3"), SpatialResponse.gaussian(ratio=4, fwhm=1)],
    ids=["bicubic", "gaussian"],
)
def test_residual_maps_match_the_definition(
    response: SpatialResponse, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube, seen = scene_of(48, 40, response, noise=0.01)
    cube = cube.astype(np.float32)
    seen = replace(seen, sigma_hsi=np.linspace(0.01, 0.02, 5), sigma_msi=np.array([0.01, 0.03]))
    monkeypatch.setattr("pipeline.core.quality.residuals.block_side", lambda bands: 16)
    z = cube.astype(np.float64) - 0.004
    maps = residuals(z, seen, maps=True)
    hsi = (seen.lr_hsi - seen.operator.forward(z)) / seen.sigma_hsi[:, None, None]
    msi = (seen.hr_msi - np.tensordot(R, z, axes=1)) / seen.sigma_msi[:, None, None]
    for name, residual in (("hsi", hsi), ("msi", msi)):
        np.testing.assert_allclose(getattr(maps, name).map, np.sqrt((residual**2).mean(0)), rtol=1e-6)
        np.testing.assert_allclose(getattr(maps, name).spectrum, np.sqrt((residual**2).mean((1, 2))))
        np.testing.assert_allclose(getattr(maps, name).bias, residual.mean((1, 2)), atol=1e-12)
    assert maps.hsi.map.dtype == maps.msi.map.dtype == np.float32
    power = (maps.hsi.spectrum**2 * seen.sigma_hsi**2).sum() / (seen.sigma_hsi**2).sum()
    assert residuals(z, seen).hsi.level == pytest.approx(np.sqrt(power))


def test_residuals_of_the_truth_are_one_and_without_bias() -> None:
    cube, seen = scene_of(96, 80, SpatialResponse.gaussian(ratio=2, fwhm=1), noise=0.02)
    maps = residuals(cube, seen, maps=True)
    for name, pixels in (("hsi", 48 * 40), ("msi", 96 * 80)):
        assert np.abs(getattr(maps, name).spectrum - 1).max() < 4 / np.sqrt(2 * pixels)
        assert np.abs(getattr(maps, name).bias).max() < 4 / np.sqrt(pixels)


def test_no_data_stays_in_the_responses_support() -> None:
    cube, seen = scene_of(48, 48, SpatialResponse.box(ratio=4), noise=0.01)
    cube[:, 5, 6] = np.nan
    cube[4, 30, 30] = np.nan  # a band that no MSI band sees
    y = seen.hr_msi.copy()
    y[:, 20, 20] = np.nan
    maps = residuals(cube, replace(seen, hr_msi=y), maps=True)
    assert np.argwhere(np.isnan(maps.hsi.map)).tolist() == [[1, 1]]  # at (7, 7) four bands are left
    assert np.argwhere(np.isnan(maps.msi.map)).tolist() == [[5, 6], [20, 20]]
    assert np.isfinite(maps.hsi.spectrum).all()
    assert np.isfinite(maps.msi.bias).all()
    checkerboard = np.indices((48, 48)).sum(axis=0) % 2 == 0
    cube[:, checkerboard] = np.nan
    maps = residuals(cube, seen, maps=True)
    assert np.isnan(maps.hsi.map).all()
    assert np.isnan(maps.hsi.spectrum).all()
    checkerboard[5, 6] = True
    assert (np.isnan(maps.msi.map) == checkerboard).all()


def test_blocks_may_be_computed_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    cube, seen = scene_of(160, 96, SpatialResponse.gaussian(ratio=2, fwhm=1), noise=0.01)
    monkeypatch.setattr("pipeline.core.quality.residuals.block_side", lambda bands: 32)
    monkeypatch.setattr("pipeline.core.quality.no_reference.block_side", lambda bands: 64)

    def elsewhere(function: Any, items: Any) -> Any:
        for item in items:
            yield pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(function))(item)))

    assert indices(cube, seen, mapped=elsewhere) == indices(cube, seen)
    here, there = residuals(cube, seen, maps=True), residuals(cube, seen, maps=True, mapped=elsewhere)
    for image in ("hsi", "msi"):
        for values, same in zip(
            vars(getattr(here, image)).values(), vars(getattr(there, image)).values(), strict=True
        ):
            np.testing.assert_array_equal(values, same)
