"""The closed form and the interpolation in tiles: the same cube however the scene is cut, without seams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.config.experiment import load_experiment
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.inputs.file_scene import read_scene
from pipeline.inputs.responses import read_response
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods import FittedMethod, build
from pipeline.methods.bicubic.settings import BicubicSettings
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from seams import seam_ratio

REPOSITORY = Path(__file__).parents[2]
TOLERANCE = 1e-4  # of full scale
RESPONSES = {
    "bicubic": SpatialResponse.bicubic(ratio=4),
    "one pixel wide": SpatialResponse.gaussian(ratio=4, fwhm=1),
    "two pixels wide": SpatialResponse.gaussian(ratio=4, fwhm=2),
    "box": SpatialResponse.box(ratio=4),
    "ratio 3": SpatialResponse.gaussian(ratio=3, fwhm=2),
    "ratio 25/3": SpatialResponse.gaussian(ratio="25/3", fwhm=1),
    "ratio 25/3, two pixels wide": SpatialResponse.gaussian(ratio="25/3", fwhm=2),
}


@pytest.fixture(scope="module")
def synthetic() -> tuple[Scene, NDArray[np.float64]]:
    """The demonstration's scene at 256x256 pixels, and its spectral response."""
    experiment = load_experiment(REPOSITORY / "config/demo.yaml")
    source = experiment.scenes["synthetic"].source.model_copy(update={"height": 256, "width": 256})
    scene = synthetic_scene(source)
    spectral = experiment.responses["landsat_like"].spectral
    return scene, read_response(spectral, scene.wavelength, scene.fwhm)


def pair_of(scene: Scene, srf: NDArray[Any], response: SpatialResponse, snr_db: float = 35) -> Observation:
    """The pair of as much of a scene as whole LR pixels cover."""
    step = response.ratio.numerator
    height, width = (n // step * step for n in scene.shape)
    cube = scene.data[:, :height, :width]
    return simulate(cube, spectral_response=srf, spatial_response=response, snr_db=snr_db)


def in_tiles(fitted: FittedMethod, core: int) -> NDArray[np.float32]:
    """The cube put together from tiles."""
    cube = np.empty((fitted.scene.bands, *fitted.scene.hr_shape), np.float32)
    for window in fitted.scene.whole.split(core):
        cube[:, *window.slices] = fitted.fuse(window)
    return cube


def assert_tiles_agree(fitted: FittedMethod, tolerance: float = TOLERANCE) -> None:
    whole = fitted.fuse()
    for core in (64, 96):
        tiled = in_tiles(fitted, core)
        assert np.array_equal(np.isnan(tiled), np.isnan(whole))
        assert np.nanmax(np.abs(tiled - whole)) <= tolerance * (np.nanmax(whole) - np.nanmin(whole))
        assert seam_ratio(tiled, core, like=whole) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("name", "snr_db"),
    [
        ("bicubic", 20),
        ("bicubic", 50),
        ("two pixels wide", 20),
        *((name, 35) for name in list(RESPONSES)[1:]),
    ],
)
def test_tiles_of_the_synthetic_scene_agree(
    synthetic: tuple[Scene, NDArray[np.float64]], name: str, snr_db: float
) -> None:
    pair = pair_of(*synthetic, RESPONSES[name], snr_db)
    assert_tiles_agree(build(GaussianSubspaceSettings()).fit(pair))


def test_interpolated_tiles_are_those_of_the_whole(synthetic: tuple[Scene, NDArray[np.float64]]) -> None:
    for name in ("bicubic", "ratio 25/3"):
        assert_tiles_agree(build(BicubicSettings()).fit(pair_of(*synthetic, RESPONSES[name])), 1e-7)


@pytest.mark.usefixtures("catalogued")
def test_tiles_of_a_textile_agree() -> None:
    experiment = load_experiment(REPOSITORY / "config/cave_brocade.yaml")
    config = experiment.scenes["cave_brocade"]
    scene = read_scene(config.source)
    scene = scene.crop(config.window(scene.shape))
    response = experiment.responses["nikon_d700"]
    srf = read_response(response.spectral, scene.wavelength, scene.fwhm)
    pair = pair_of(scene, srf, response.spatial.build())
    assert_tiles_agree(build(GaussianSubspaceSettings()).fit(pair))
    assert_tiles_agree(build(BicubicSettings()).fit(pair), 1e-7)


@pytest.mark.long
def test_tiles_agree_around_nodata(synthetic: tuple[Scene, NDArray[np.float64]]) -> None:
    scene, srf = synthetic
    data = scene.data.copy()
    data[:, 60:70, 20:130] = np.nan  # across tile borders
    data[:, 150:, 170:] = np.nan  # more than a tile
    data[7, 33, 127] = np.nan
    fitted = build(GaussianSubspaceSettings()).fit(
        pair_of(replace(scene, data=data), srf, RESPONSES["bicubic"])
    )
    assert_tiles_agree(fitted)
    empty = fitted.fuse(Window(192, 256, 192, 256))
    assert empty.shape == (60, 64, 64)
    assert np.isnan(empty).all()


def test_tiles_without_valid_pixels_are_nodata_for_any_response(
    synthetic: tuple[Scene, NDArray[np.float64]],
) -> None:
    scene, srf = synthetic
    data = scene.data.copy()
    data[:, :128, :128] = np.nan
    psf = np.random.default_rng(0).random((4, 4))
    pair = pair_of(replace(scene, data=data), srf, SpatialResponse.from_psf(psf, ratio=4))
    fitted = build(GaussianSubspaceSettings(d=3)).fit(pair)
    assert np.isnan(fitted.fuse(Window(0, 64, 0, 64))).all()


class OnDisk:
    """An array in a file, of which no more than a part may be read at once."""

    def __init__(self, path: Path, array: NDArray[np.float32], most: int) -> None:
        np.save(path, array)
        self.array, self.most = np.load(path, mmap_mode="r"), most
        self.shape = array.shape

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[np.float32]:
        part = self.array[key]
        assert part[0].size <= self.most
        return part


def test_a_scene_on_disk_is_fitted_and_fused_in_parts(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    planes = np.cumsum(np.cumsum(rng.standard_normal((4, 768, 640), np.float32), axis=1), axis=2) / 500
    cube = np.tensordot(rng.random((8, 4), np.float32), planes, axes=1)
    srf = np.kron(np.eye(2), np.full(4, 0.25))
    pair = simulate(cube, spectral_response=srf, spatial_response=RESPONSES["bicubic"])
    scene = ObservedScene(
        OnDisk(tmp_path / "lr_hsi.npy", pair.lr_hsi, 150**2),
        OnDisk(tmp_path / "hr_msi.npy", pair.hr_msi, 400**2),
        pair.spectral_response,
        pair.spatial_response,
        pair.sigma_hsi,
        pair.sigma_msi,
    )
    method = build(GaussianSubspaceSettings(d=4))
    streamed, at_once = method.fit(scene), method.fit(pair)
    for name, array in at_once.state().items():
        assert np.array_equal(streamed.state()[name], array)
    window = Window(250, 500, 250, 500)
    whole = at_once.fuse()
    assert np.abs(streamed.fuse(window) - whole[:, *window.slices]).max() < TOLERANCE * np.ptp(whole)


def test_seams_are_seen() -> None:
    smooth = np.sin(np.mgrid[:128, :128].sum(axis=0) / 9)[None]
    steps = smooth + 0.01 * (np.indices((128, 128)) // 32).sum(axis=0)
    assert seam_ratio(smooth, 32) == pytest.approx(1, abs=0.05)
    assert seam_ratio(steps, 32) > 1.2
    assert seam_ratio(steps, 32, like=smooth) == pytest.approx(seam_ratio(steps, 32) / seam_ratio(smooth, 32))
