"""CNMF: its updates against brute force, its recovery of a scene of its own model, and its windows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.config.experiment import load_experiment
from pipeline.core.quality.metrics import evaluate
from pipeline.core.scene import Scene
from pipeline.core.sensing.nodata import missing_pixels
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.inputs.file_scene import read_scene
from pipeline.inputs.responses import read_response
from pipeline.methods import build
from pipeline.methods.bicubic.settings import BicubicSettings
from pipeline.methods.cnmf.alternation import sum_to_one_weight
from pipeline.methods.cnmf.factorisation import Factorisation, Recorder, descend
from pipeline.methods.cnmf.method import FittedCnmf, endmember_count
from pipeline.methods.cnmf.settings import CnmfSettings

REPOSITORY = Path(__file__).parents[2]
QUICK = CnmfSettings(endmembers=8, inner_loops=20, outer_loops=2)


def factors_of(bands: int, pixels: int, count: int, seed: int, weight: float = 0.3) -> Factorisation:
    generator = np.random.default_rng(seed)
    data, endmembers, abundances = (
        generator.random(shape) for shape in ((bands, pixels), (bands, count), (count, pixels))
    )
    return Factorisation(data, endmembers, abundances, weight)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 8), st.integers(1, 40), st.integers(1, 6), st.integers(0, 99), st.floats(0, 3))
def test_neither_update_raises_the_objective(
    bands: int, pixels: int, count: int, seed: int, weight: float
) -> None:
    factors = factors_of(bands, pixels, count, seed, weight)
    last = factors.objective()
    for update in (factors.update_abundances, factors.update_endmembers) * 10:
        update()
        value = factors.objective()
        assert value <= last * (1 + 1e-12) + 1e-24
        assert (factors.endmembers >= 0).all()
        assert (factors.abundances >= 0).all()
        last = value


def test_one_update_of_each_factor_is_that_of_the_appended_matrices() -> None:
    weight = 0.7
    factors = factors_of(3, 5, 2, seed=1, weight=weight)
    v = np.vstack([factors.data, np.full(5, weight)])
    w = np.vstack([factors.endmembers, np.full(2, weight)])
    h = factors.abundances.copy()
    assert factors.objective() == pytest.approx(((v - w @ h) ** 2).sum(), rel=1e-13)

    expected = np.empty_like(h)
    for k in range(2):
        for n in range(5):
            above = sum(w[i, k] * v[i, n] for i in range(4))
            below = sum(w[i, k] * w[i, j] * h[j, n] for i in range(4) for j in range(2))
            expected[k, n] = h[k, n] * above / below
    factors.update_abundances()
    np.testing.assert_allclose(factors.abundances, expected, rtol=1e-13)

    h = factors.abundances
    expected = np.empty_like(factors.endmembers)
    for i in range(3):
        for k in range(2):
            above = sum(v[i, n] * h[k, n] for n in range(5))
            below = sum(w[i, j] * h[j, n] * h[k, n] for j in range(2) for n in range(5))
            expected[i, k] = w[i, k] * above / below
    factors.update_endmembers()
    np.testing.assert_allclose(factors.endmembers, expected, rtol=1e-13)


def test_an_update_worked_by_hand() -> None:
    """V = [2 4], W = [1], H = [1 1], no appended row: H becomes V; then W stays at one."""
    factors = Factorisation(np.array([[2.0, 4.0]]), np.array([[1.0]]), np.ones((1, 2)), 0.0)
    factors.update_abundances()
    np.testing.assert_allclose(factors.abundances, [[2, 4]])
    factors.abundances = np.ones((1, 2))
    factors.update_endmembers()  # 1 * (2 + 4) / (1 + 1)
    np.testing.assert_allclose(factors.endmembers, [[3]])
    assert factors.error() == pytest.approx(1.0)


def test_a_heavy_weight_makes_the_abundances_sum_to_one() -> None:
    factors = factors_of(4, 30, 3, seed=2, weight=100.0)
    for _ in range(50):
        factors.update_abundances()
    np.testing.assert_allclose(factors.abundances.sum(axis=0), 1, atol=1e-3)


def test_the_descent_stops_at_a_small_relative_change() -> None:
    values = iter([8.0, 4.0, 2.0, 1.999, 1.0])
    taken = list(descend(lambda: None, lambda: next(values), limit=10, tolerance=1e-2))
    assert taken == [4.0, 2.0, 1.999]


def test_a_recorded_trajectory_is_replayed_to_rounding() -> None:
    factors = factors_of(5, 6000, 4, seed=3)  # more than one block
    start = factors.abundances.copy()
    recorder = Recorder(factors)
    for _ in range(4):
        recorder.update_abundances()
    for _ in range(3):
        recorder.update_both()
    trajectory = recorder.trajectory
    assert trajectory.counts.tolist() == [4, 1, 1, 1]
    part = start[:, 700:5000].copy()
    trajectory.replay(factors.data[:, 700:5000], part, factors.weight)
    np.testing.assert_allclose(part, factors.abundances[:, 700:5000], rtol=1e-10)


def test_the_weight_is_that_of_the_authors_code() -> None:
    assert sum_to_one_weight(np.full((4, 10), 0.7455 / 4)) == pytest.approx(2 * 0.5 / 64)


def test_no_phase_of_the_alternation_raises_its_objective(observation_of_landscape: Observation) -> None:
    phases = defaultdict(list)

    def record(phase: str, done: int, total: int, loss: float | None = None) -> None:
        phases[phase].append(loss)

    build(QUICK).fit(observation_of_landscape, progress=record)
    assert list(phases) == [
        "LR-HSI",
        "LR-HSI, both factors",
        "HR-MSI 0",
        "HR-MSI 0, both factors",
        "LR-HSI 1",
        "LR-HSI 1, both factors",
        "HR-MSI 1",
        "HR-MSI 1, both factors",
        "LR-HSI 2",
        "LR-HSI 2, both factors",
    ]
    for losses in phases.values():
        assert (np.diff(losses) <= 1e-12 * np.array(losses[:-1])).all()


def own_model(response: SpatialResponse, size: int = 48) -> tuple[NDArray[np.float32], Observation]:
    """Four materials in patches, pure in places on the LR grid, and in mixtures around them; no noise."""
    generator = np.random.default_rng(5)
    nm = np.linspace(0, 1, 20)
    pure = np.stack([0.1 + 0.8 * np.exp(-(((nm - centre) / 0.2) ** 2)) for centre in (0.1, 0.4, 0.65, 0.95)])
    y, x = np.mgrid[:size, :size] / size
    corners = ((0.2, 0.2), (0.2, 0.8), (0.8, 0.2), (0.8, 0.8))
    near = np.stack([np.clip(1.6 - 3 * np.hypot(y - v, x - u), 0, 1) for v, u in corners])
    near += 0.15 * generator.random(near.shape) * (near.max(axis=0) < 1)
    abundances = near / near.sum(axis=0)
    cube = np.tensordot(pure.T, abundances, axes=1).astype(np.float32)
    srf = np.kron(np.eye(5), np.full(4, 0.25))
    return cube, simulate(cube, spectral_response=srf, spatial_response=response, snr_db=150)


@pytest.mark.parametrize("final", ["alternated", "coupled"])
@pytest.mark.parametrize(
    "response",
    [SpatialResponse.box(ratio=4), SpatialResponse.gaussian(ratio=3, fwhm=1)],
    ids=["box", "gaussian"],
)
def test_a_noise_free_scene_of_its_own_model_is_recovered(response: SpatialResponse, final: str) -> None:
    cube, pair = own_model(response)
    fused = build(CnmfSettings(endmembers=4, final=final)).fit(pair).fuse()
    assert evaluate(cube, fused, ratio=response.ratio)["psnr"] > 45


def test_the_default_number_of_endmembers_is_enough_for_it() -> None:
    cube, pair = own_model(SpatialResponse.bicubic(ratio=4))
    assert endmember_count(pair) == 20  # all bands: fewer than the 30 that are wanted at least
    assert evaluate(cube, build(CnmfSettings()).fit(pair).fuse(), ratio=4)["psnr"] > 45


def in_tiles(fitted: FittedCnmf, core: int) -> NDArray[np.float32]:
    cube = np.empty((fitted.scene.bands, *fitted.scene.hr_shape), np.float32)
    for window in fitted.scene.whole.split(core):
        cube[:, *window.slices] = fitted.fuse(window)
    return cube


def test_tiles_and_a_stored_state_give_the_whole_cube(observation_of_landscape: Observation) -> None:
    fitted = build(QUICK).fit(observation_of_landscape, seed=3)
    whole = fitted.fuse()
    assert whole.dtype == np.float32
    np.testing.assert_allclose(in_tiles(fitted, 8), whole, atol=1e-6)
    restored = build(QUICK).restore(observation_of_landscape, fitted.state(), seed=3)
    np.testing.assert_array_equal(restored.fuse(), whole)
    again = build(QUICK).fit(observation_of_landscape, seed=3)
    np.testing.assert_array_equal(again.fuse(), whole)


def test_the_state_holds_every_update_of_the_abundances(observation_of_landscape: Observation) -> None:
    fitted = build(QUICK).fit(observation_of_landscape)
    state = fitted.state()
    assert state["endmembers"].shape == (24, 8)
    assert state["hsi_counts"].tolist() == [60] + [1] * 20
    assert state["msi_counts"].tolist() == ([20] + [1] * 20) * 2
    first = observation_of_landscape.spectral_response @ state["hsi_endmembers"][-1]
    np.testing.assert_allclose(state["msi_endmembers"][0], first, rtol=1e-12)  # W_m = R W
    assert fitted.parameters == 0  # none is trained by gradient descent


def test_no_data_does_not_spread_and_does_not_depend_on_the_cut(
    observation_of_landscape: Observation,
) -> None:
    pair = observation_of_landscape
    hsi, msi = pair.lr_hsi.copy(), pair.hr_msi.copy()
    hsi[3, 2, 2] = np.nan
    msi[0, 20:23, 30] = np.nan
    holed = replace(pair, lr_hsi=hsi, hr_msi=msi)
    fitted = build(QUICK).fit(holed)
    whole = fitted.fuse()
    expected = np.zeros(pair.hr_shape, bool)
    expected[8:12, 8:12] = True
    expected[20:23, 30] = True
    np.testing.assert_array_equal(missing_pixels(whole), expected)
    np.testing.assert_allclose(in_tiles(fitted, 8), whole, atol=1e-6)


@pytest.mark.parametrize(("bands", "moves"), [(3, False), (4, True)])
def test_endmembers_of_the_msi_are_updated_from_four_bands_on(
    landscape: Scene, landscape_srf: NDArray[np.float64], bands: int, moves: bool
) -> None:
    pair = simulate(
        landscape.data,
        spectral_response=landscape_srf[:bands],
        spatial_response=SpatialResponse.bicubic(ratio=4),
    )
    state = build(QUICK.model_copy(update={"outer_loops": 1})).fit(pair).state()
    assert len(state["msi_counts"]) == (21 if moves else 1)
    assert state["msi_counts"].sum() == 40


def test_the_scale_of_the_images_does_not_matter(observation_of_landscape: Observation) -> None:
    pair = observation_of_landscape
    scaled = replace(
        pair,
        lr_hsi=pair.lr_hsi * 1024,
        hr_msi=pair.hr_msi * 1024,
        sigma_hsi=pair.sigma_hsi * 1024,
        sigma_msi=pair.sigma_msi * 1024,
    )
    own, other = (build(QUICK).fit(each).fuse() for each in (pair, scaled))
    np.testing.assert_allclose(other / 1024, own, atol=1e-6)


def test_more_endmembers_than_bands_are_refused(observation_of_landscape: Observation) -> None:
    with pytest.raises(
        InputError, match="endmembers: 25 asked for, but 24 bands and 80 pixels allow 1 to 24"
    ):
        build(CnmfSettings(endmembers=25)).fit(observation_of_landscape)


def test_few_valid_pixels_make_few_endmembers(observation_of_landscape: Observation) -> None:
    hsi = observation_of_landscape.lr_hsi.copy()
    hsi[:, 2:] = np.nan
    few = replace(observation_of_landscape, lr_hsi=hsi)
    fitted = build(CnmfSettings(inner_loops=5, outer_loops=1)).fit(few)
    assert fitted.state()["endmembers"].shape == (24, 20)
    assert np.isfinite(fitted.fuse()[:, :8]).all()


def test_a_scene_without_a_pixel_that_both_images_show_is_refused(apart: Observation) -> None:
    with pytest.raises(InputError, match="no LR pixel") as error:
        build(QUICK).fit(apart)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("catalogued")
def test_jasper_ridge_is_sharpened_far_above_the_interpolation() -> None:
    experiment = load_experiment(REPOSITORY / "config/jasper_ridge.yaml")
    spectral = experiment.responses["landsat8"].spectral
    scene = read_scene(experiment.scenes["jasper_ridge"].source)
    cube = scene.data[:, 26:74, 26:74]
    pair = simulate(
        cube,
        spectral_response=read_response(spectral, scene.wavelength, scene.fwhm),
        spatial_response=SpatialResponse.bicubic(ratio=4),
        snr_db=35,
    )
    psnr = {
        method.method: evaluate(cube, build(method).fit(pair).fuse(), ratio=4)["psnr"]
        for method in (BicubicSettings(), CnmfSettings())
    }
    assert psnr["cnmf"] > psnr["bicubic"] + 5
