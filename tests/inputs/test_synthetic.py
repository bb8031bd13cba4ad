"""The synthetic scene: a function of the absolute pixel, with spectra and detail as in nature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.scenes import SyntheticSource
from pipeline.core.scene import Scene
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.synthetic.landscape import COVERS
from pipeline.inputs.synthetic.lattice import bricks, fractal, uniform
from pipeline.inputs.synthetic.scene import SyntheticScene, synthetic_scene
from pipeline.inputs.synthetic.spectra import MATERIALS, material_spectra


def source(height: int = 96, width: int = 112, bands: int = 20, seed: int = 0) -> SyntheticSource:
    return SyntheticSource(kind="synthetic", height=height, width=width, bands=bands, seed=seed)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return synthetic_scene(source())


@pytest.fixture(scope="module")
def spectral_scene() -> Scene:
    return synthetic_scene(source(128, 128, 100))


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_window_is_part_of_the_scene(scene: Scene, data: st.DataObject) -> None:
    y0, x0 = data.draw(st.integers(0, 95)), data.draw(st.integers(0, 111))
    y1, x1 = (
        data.draw(st.integers(y0 + 1, min(96, y0 + 40))),
        data.draw(st.integers(x0 + 1, min(112, x0 + 40))),
    )
    part = synthetic_scene(source(), Window(y0, y1, x0, x1))
    np.testing.assert_array_equal(part.data, scene.data[:, y0:y1, x0:x1])
    assert part.transform == (10.0, 0.0, 380_000.0 + 10 * x0, 0.0, -10.0, 5_820_000.0 - 10 * y0)


def test_size_does_not_matter(scene: Scene) -> None:
    small = synthetic_scene(source(33, 47))
    np.testing.assert_array_equal(small.data, scene.data[:, :33, :47])


def test_far_away_windows_exist() -> None:
    far = synthetic_scene(source(100_000, 100_000, 5), Window(99_960, 100_000, 99_970, 100_000))
    assert far.data.shape == (5, 40, 30)
    assert far.data.std() > 0.02


def test_the_scene_is_the_same_everywhere_and_always() -> None:
    far = synthetic_scene(source(5000, 5000, 10, seed=3), Window(4000, 4100, 3000, 3150))
    pixels = far.data[::3].reshape(4, -1)[:, [0, 3333, 7777, 14_999]]
    expected = [
        [0.045100335, 0.071143143, 0.13637362, 0.1017129],
        [0.50258571, 0.0038779138, 0.38699919, 0.1425692],
        [0.43976921, 0.001801361, 0.4307318, 0.15623821],
        [0.27453938, 0.0015191038, 0.37228763, 0.13774699],
    ]
    np.testing.assert_allclose(pixels, expected, rtol=1e-6)
    assert far.data.mean(dtype=np.float64) == pytest.approx(0.262087898515, rel=1e-9)


def test_an_open_scene_is_the_scene(scene: Scene) -> None:
    opened = SyntheticScene(source())
    assert opened.shape == scene.data.shape
    np.testing.assert_array_equal(opened.read(Window(7, 90, 3, 112)), scene.data[:, 7:90, 3:])
    np.testing.assert_array_equal(opened.metadata.wavelength, scene.wavelength)
    assert opened.metadata.transform == scene.transform


def test_noise_is_that_of_its_definition() -> None:
    """Interpolated lattice values, looked up pixel by pixel."""
    y, x = np.arange(7.0, 21), np.arange(3.0, 15)
    found = fractal(11, y, x, period=9, octaves=1)
    for (i, j), value in np.ndenumerate(found):
        (row, v), (column, u) = (divmod(t / 9, 1) for t in (y[i], x[j]))
        v, u = (t**3 * (6 * t**2 - 15 * t + 10) for t in (v, u))
        corners = [[float(uniform(11, int(row) + a, int(column) + b)) for b in (0, 1)] for a in (0, 1)]
        mean = np.array([1 - v, v]) @ np.array(corners) @ np.array([1 - u, u])
        assert value == pytest.approx(2.4 * (2 * mean - 1), abs=1e-12)


def test_window_outside_is_refused() -> None:
    with pytest.raises(InputError, match="leaves its 96x112 pixels"):
        synthetic_scene(source(), Window(0, 97, 0, 10))


def test_seeds_differ(scene: Scene) -> None:
    other = synthetic_scene(source(seed=1)).data
    assert abs(np.corrcoef(other.ravel()[:: scene.bands], scene.data.ravel()[:: scene.bands])[0, 1]) < 0.5
    assert (other != scene.data).mean() > 0.99


def test_values_bands_and_place(scene: Scene) -> None:
    assert scene.data.dtype == np.float32
    assert np.isfinite(scene.data).all()
    assert scene.data.min() >= 0
    assert scene.data.max() <= 1
    assert (scene.data == 1).mean() < 1e-3  # hardly anything saturates
    assert scene.wavelength is not None
    assert scene.fwhm is not None
    assert scene.wavelength[[0, -1]].tolist() == [400, 2500]
    np.testing.assert_allclose(scene.fwhm, np.diff(scene.wavelength)[0])
    assert (scene.crs, scene.scale) == ("EPSG:32633", 1.0)


def band(scene: Scene, nm: float) -> np.ndarray:
    assert scene.wavelength is not None
    return scene.data[int(np.abs(scene.wavelength - nm).argmin())]


def test_vegetation_and_water_look_like_themselves(spectral_scene: Scene) -> None:
    red, edge, infrared = (band(spectral_scene, nm) for nm in (670, 720, 850))
    green_leaves = (infrared - red) / (infrared + red) > 0.6
    assert green_leaves.mean() > 0.1

    def mean(nm: float) -> float:
        return float(band(spectral_scene, nm)[green_leaves].mean())

    assert mean(550) > 1.3 * mean(670)  # green bump
    assert mean(670) < edge[green_leaves].mean() < mean(850)  # red edge
    assert mean(850) > 4 * mean(670)
    assert mean(1450) < 0.75 * mean(1250)  # leaf water
    assert mean(1940) < 0.6 * mean(1650)
    water = (infrared < 0.05) & (band(spectral_scene, 560) > infrared)
    assert 0.005 < water.mean() < 0.6
    assert band(spectral_scene, 1650)[water].mean() < 0.03


def test_rank_and_detail_are_those_of_a_hard_scene(spectral_scene: Scene) -> None:
    pixels = spectral_scene.data.reshape(100, -1).astype(np.float64)
    power = np.linalg.eigvalsh(pixels @ pixels.T)[::-1]
    share = np.cumsum(power) / power.sum()
    assert np.searchsorted(share, 0.9999) >= 10  # components for 99.99 % of the power

    # one pixel differs from its neighbour by a good part of the scene's contrast
    steps = np.diff(spectral_scene.data, axis=2).std(axis=(1, 2)) / spectral_scene.data.std(axis=(1, 2))
    assert steps.min() > 0.3


def test_much_of_the_spectra_is_hidden_from_an_msi(spectral_scene: Scene) -> None:
    pixels = spectral_scene.data.reshape(100, -1).astype(np.float64)
    assert spectral_scene.wavelength is not None
    centres = np.array([480, 560, 655, 865, 1610, 2200])[:, None]
    msi = np.exp(-(((spectral_scene.wavelength - centres) / 40) ** 2)) @ pixels
    design = np.vstack([msi, np.ones(pixels.shape[1])])
    rest = pixels - pixels @ design.T @ np.linalg.pinv(design @ design.T) @ design
    snr = 10 * np.log10((pixels**2).mean() / (rest**2).mean())
    assert 20 < snr < 33  # a regression on the MSI leaves more than 35 dB noise would


def test_every_cover_has_its_materials() -> None:
    for cover in COVERS.values():
        assert {cover.main, cover.rest} <= set(MATERIALS)


def test_spectra_stay_physical_within_their_modes() -> None:
    spectra = material_spectra(np.linspace(350, 2550, 200))
    assert spectra[:, 0].min() > 0
    assert (spectra[:, 0] + np.abs(spectra[:, 1:]).max(axis=1)).max() < 1
    assert np.linalg.matrix_rank(spectra.reshape(-1, 200), tol=1e-3) > 40


@settings(max_examples=25, deadline=None)
@given(st.integers(-300, 300), st.integers(-300, 300), st.floats(2, 20), st.floats(0, 0.45))
def test_bricks_hold_their_positions(y0: int, x0: int, size: float, jitter: float) -> None:
    y, x = np.mgrid[y0 : y0 + 20, x0 : x0 + 20] + 0.25
    wall = bricks(3, y, x, size, 1.5 * size, jitter)
    assert ((wall.y >= -1e-9) & (wall.y < wall.height + 1e-9)).all()
    assert ((wall.x >= -1e-9) & (wall.x < wall.width + 1e-9)).all()
    assert (wall.edge >= -1e-9).all()
    for identity in np.unique(wall.id):
        here = wall.id == identity  # one brick: one corner and one size
        assert np.ptp((y - wall.y)[here]) < 1e-9
        assert np.ptp((x - wall.x)[here]) < 1e-9
        assert np.ptp(wall.width[here]) < 1e-9


def test_lattice_noise_is_uniform_and_smooth() -> None:
    draws = uniform(5, np.arange(300)[:, None], np.arange(300))
    assert 0 <= draws.min() < 0.001
    assert 0.999 < draws.max() < 1
    assert abs(draws.mean() - 0.5) < 5 / np.sqrt(12 * draws.size)
    assert abs(np.corrcoef(draws[:, 1:].ravel(), draws[:, :-1].ravel())[0, 1]) < 0.02
    noise = fractal(5, np.arange(200.0), np.arange(200.0), period=20)
    assert 0.6 < noise.std() < 1.4
    assert np.abs(np.diff(noise, axis=0)).max() < noise.std()
