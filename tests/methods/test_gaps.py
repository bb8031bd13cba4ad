"""Missing values: what they cost, where the product is no-data, and that tiles agree around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import pipeline
from brief import BRIEF
from pipeline.config.experiment import load_experiment
from pipeline.config.scenes import SyntheticSource
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.core.subspace.completion import completed, learn_completion
from pipeline.core.window import Window
from pipeline.inputs.file_scene import read_scene
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods import build, settings_of

LOSSES = {"1 % of values": 0.3, "10 % of values": 1.0, "every second LR pixel": 1.5, "5 % of HR pixels": 0.5}
"""dB that `graph_subspace` may lose where both images have data."""
RESPONSE = SpatialResponse.gaussian(ratio=4, fwhm=1.0)


def holed(pair: Observation, kind: str) -> Observation:
    """The pair with missing values."""
    rng = np.random.default_rng(1)
    lr_hsi, hr_msi = pair.lr_hsi.copy(), pair.hr_msi.copy()
    if kind.endswith("of values"):
        lr_hsi[rng.random(lr_hsi.shape) < float(kind.split()[0]) / 100] = np.nan
    if kind == "every second LR pixel":
        lr_hsi[:, np.indices(pair.lr_shape).sum(axis=0) % 2 == 1] = np.nan
    if kind == "5 % of HR pixels":
        hr_msi[:, rng.random(pair.hr_shape) < 0.05] = np.nan
    return replace(pair, lr_hsi=lr_hsi, hr_msi=hr_msi)


def known_pixels(pair: Observation) -> NDArray[np.bool_]:
    """Pixels at which both images have data."""
    covered = np.kron(~np.isnan(pair.lr_hsi).all(axis=0), np.ones((4, 4), bool))
    return covered & ~np.isnan(pair.hr_msi).any(axis=0)


def fused(pair: Observation, method: str, **settings: object) -> NDArray[np.float32]:
    return pipeline.fuse(
        pair.lr_hsi,
        pair.hr_msi,
        spectral_response=pair.spectral_response,
        spatial_response=pair.spatial_response,
        method=method,
        **settings,
    ).cube


def psnr(truth: NDArray[np.float32], cube: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    error = np.square(truth - cube)[:, where].mean(axis=1)
    return float(np.mean(10 * np.log10(truth.max(axis=(1, 2)) ** 2 / error)))


def crop_of(experiment: str, scene: str, side: int = 64) -> Scene:
    path = Path(__file__).parents[2] / f"config/{experiment}.yaml"
    return read_scene(load_experiment(path).scenes[scene].source).crop(Window(0, side, 0, side))


def losses(scene: Scene, kind: str, method: str = "graph_subspace") -> float:
    """What gaps cost in dB at the pixels where both images have data."""
    wavelength = np.asarray(scene.wavelength)
    centres = np.array([450, 550, 650, 850])
    centres = centres[centres < wavelength.max() - 30]
    srf = gaussian_response(centres, np.full(len(centres), 60.0), wavelength, scene.fwhm)
    pair = simulate(scene.data, spectral_response=srf, spatial_response=RESPONSE, snr_db=40)
    gappy = holed(pair, kind)
    settings = {"draws": 0} if method == "graph_subspace" else {}
    cubes = [fused(each, method, **settings) for each in (pair, gappy)]
    assert not any(np.isnan(cube).any() for cube in cubes)
    complete, other = (psnr(scene.data, cube, known_pixels(gappy)) for cube in cubes)
    return complete - other


@pytest.mark.parametrize("kind", LOSSES)
def test_gaps_cost_little(kind: str) -> None:
    scene = synthetic_scene(SyntheticSource(kind="synthetic", height=48, width=48, bands=40, seed=4))
    assert losses(scene, kind) <= LOSSES[kind]
    assert losses(scene, kind, "gaussian_subspace") <= LOSSES[kind]


@pytest.mark.slow
@pytest.mark.usefixtures("catalogued")
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("name", ["jasper_ridge", "cave_brocade"])
def test_gaps_cost_little_on_real_scenes(name: str, kind: str) -> None:
    assert losses(crop_of(name, name), kind) <= LOSSES[kind]


def with_gaps_everywhere(pair: Observation) -> ObservedScene:
    """A tenth of the values of both images, a checkerboard of LR pixels and some HR pixels are missing."""
    rng = np.random.default_rng(4)
    lr_hsi, hr_msi = pair.lr_hsi.copy(), pair.hr_msi.copy()
    lr_hsi[rng.random(lr_hsi.shape) < 0.1] = np.nan
    lr_hsi[:, ::2, 1::2] = np.nan
    hr_msi[rng.random(hr_msi.shape) < 0.1] = np.nan
    hr_msi[:, rng.random(pair.hr_shape) < 0.05] = np.nan
    gappy = replace(pair, lr_hsi=lr_hsi, hr_msi=hr_msi)
    return completed(gappy, learn_completion(gappy))


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("gaussian_subspace", 1e-5),
        pytest.param("graph_subspace", 5e-4, marks=pytest.mark.long),  # complete images: 1e-4
    ],
)
def test_tiles_agree_around_scattered_gaps(name: str, tolerance: float) -> None:
    """As they do for complete images; the tolerance is that of the RMS, in units of the range."""
    source = SyntheticSource(kind="synthetic", height=96, width=96, bands=20, seed=1)
    pair = simulate(
        synthetic_scene(source).data,
        spectral_response=np.kron(np.eye(4), np.full(5, 0.2)),
        spatial_response=SpatialResponse.gaussian(ratio=2, fwhm=1.0),
    )
    settings = {"draws": 0} if name == "graph_subspace" else {}
    fitted = build(settings_of(name)(method=name, **settings)).fit(with_gaps_everywhere(pair))
    whole = fitted.fuse()
    unknown = np.isnan(whole)
    assert unknown.mean() < 0.01
    for window in (Window(32, 64, 64, 96), Window(0, 32, 0, 32)):
        assert fitted.read(window).hr_shape < pair.hr_shape
        tile, part = fitted.fuse(window), whole[:, *window.slices]
        assert np.array_equal(np.isnan(tile), np.isnan(part))
        assert np.sqrt(np.nanmean(np.square(tile - part))) < tolerance * np.ptp(whole[~unknown])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", LOSSES)
def test_gaps_alone_raise_no_warning(kind: str) -> None:
    """The images agree: gaps are no sign of another gain, displacement or change."""
    scene = synthetic_scene(SyntheticSource(kind="synthetic", height=64, width=64, bands=24, seed=4))
    pair = simulate(
        scene.data, spectral_response=np.kron(np.eye(4), np.full(6, 1 / 6)), spatial_response=RESPONSE
    )
    fused(holed(pair, kind), "bicubic")


@pytest.mark.parametrize("name", pipeline.methods())
def test_only_what_neither_image_shows_is_nodata(name: str, observation_of_landscape: Observation) -> None:
    """Values of single bands, an LR pixel, an HR pixel, and a place of which neither image says anything."""
    lr_hsi, hr_msi = observation_of_landscape.lr_hsi.copy(), observation_of_landscape.hr_msi.copy()
    lr_hsi[3, 2, 5] = lr_hsi[:, 6, 2] = hr_msi[1, 4, 4] = hr_msi[:, 20, 30] = np.nan
    lr_hsi[:, 1:4, 7:10] = hr_msi[:, 4:16, 28:40] = np.nan
    gappy = replace(observation_of_landscape, lr_hsi=lr_hsi, hr_msi=hr_msi)
    cube = fused(gappy, name, **BRIEF.get(name, {}))
    expected = np.zeros((32, 40), bool)
    expected[4:16, 28:40] = True
    assert np.array_equal(np.isnan(cube).any(axis=0), expected)
