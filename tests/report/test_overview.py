"""What the report keeps of images: streamed from disk against whole arrays, and within bounded memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.vq import kmeans2

from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import BLOCK, ObservedScene, no_progress
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.report.drawing import pictures
from pipeline.report.drawing.pixels import Candidates
from pipeline.report.drawing.thumbnails import thumbnail, windows
from pipeline.report.overview import SHARES, Sample, overview
from pipeline.store.schema import cube_dataset, observation_dataset, observed_scene, reference_dataset
from pipeline.store.store import read_store, write_store

WAVELENGTH = np.array([440.0, 500, 550, 600, 650, 700, 750, 800, 860, 900])
MATRIX = np.exp(-(((WAVELENGTH - np.array([[450], [550], [650]])) / 40) ** 2))


def whole_typical_pixels(cube: np.ndarray, count: int = 6, candidates: int = 4096) -> list[tuple[int, int]]:
    """The typical pixels of a cube in memory."""
    height, width = cube.shape[1:]
    step = max(1, int(np.ceil(np.sqrt(height * width / candidates))))
    y, x = (slice(side // 20 + step // 2, side - side // 20, step) for side in (height, width))
    rows, columns = np.mgrid[y, x].reshape(2, -1)
    spectra = cube[:, rows, columns].T.astype(np.float64)
    valid = np.isfinite(spectra).all(axis=1)
    rows, columns, spectra = rows[valid], columns[valid], spectra[valid]
    chosen = [int(np.argmax(((spectra - spectra.mean(axis=0)) ** 2).sum(axis=1)))]
    distance = np.full(len(spectra), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, ((spectra - spectra[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(np.argmax(distance)))
    centres, _ = kmeans2(spectra, spectra[chosen], iter=10, minit="matrix")
    nearest = (int(np.argmin(((spectra - centre) ** 2).sum(axis=1))) for centre in centres)
    return [(int(rows[i]), int(columns[i])) for i in dict.fromkeys(nearest)]


def typical_pixels(cube: np.ndarray, count: int = 6, side: int = 7) -> list[tuple[int, int]]:
    """The typical pixels of a cube that comes in windows."""
    candidates = Candidates(*cube.shape)
    for window in Window(0, cube.shape[1], 0, cube.shape[2]).split(side):
        candidates.add(window, cube[:, *window.slices])
    return candidates.typical(count)


@pytest.mark.parametrize(("height", "width", "step"), [(90, 112, 1), (1100, 700, 3)])
def test_scene_on_disk_is_seen_as_in_memory(tmp_path: Path, height: int, width: int, step: int) -> None:
    """Where no picture is reduced, all numbers are those of whole-array functions."""
    y, x = np.mgrid[:height, :width]
    cube = 0.5 + 0.2 * np.sin(y / 70 + WAVELENGTH[:, None, None] / 200) * np.cos(x / 50)
    cube += 0.05 * np.random.default_rng(0).standard_normal(cube.shape)
    cube[:, height // 3 : height // 2, width // 4 : width // 3] = np.nan
    scene = Scene(cube.astype(np.float32), wavelength=WAVELENGTH)
    reference, fused = scene.data, (scene.data + 0.1 * np.sin(x / 3)).astype(np.float32)
    seen = simulate(reference, spectral_response=MATRIX, spatial_response=SpatialResponse.box(ratio=2))
    write_store(tmp_path / "reference.zarr", reference_dataset(scene), {})
    write_store(tmp_path / "fused.zarr", cube_dataset(fused, scene), {})
    write_store(tmp_path / "observation.zarr", observation_dataset(seen, scene), {})

    shown = pictures.composites(WAVELENGTH, scene.bands)
    kept = overview(
        read_store(tmp_path / "reference.json")["reference"],
        observed_scene(read_store(tmp_path / "observation.json")),
        {"a": read_store(tmp_path / "fused.json")["fused"]},
        shown,
        no_progress,
    )
    view, errors = kept.views["a"], kept.errors["a"]

    def assert_shrunk(values: np.ndarray, whole: np.ndarray) -> None:
        expected = pictures.shrink(whole, pictures.reduction(*whole.shape[-2:]))
        np.testing.assert_allclose(values, expected, rtol=0 if step == 1 else 1e-6)

    assert pictures.reduction(height, width) == step
    assert kept.reference is not None
    for index, composite in enumerate(shown):
        bands = list(composite.bands)
        assert_shrunk(kept.reference[index], reference[bands])
        assert_shrunk(kept.lr_hsi[index], seen.lr_hsi[bands])
        assert_shrunk(view.planes[index], fused[bands])
    assert_shrunk(kept.hr_msi, seen.hr_msi)
    assert_shrunk(errors.rms, pictures.rms_error_map(reference, fused))
    sam = pictures.sam_map(reference, fused)
    assert_shrunk(errors.sam, sam)
    shares = np.quantile(sam[np.isfinite(sam)], np.linspace(0, 1, SHARES))
    np.testing.assert_array_equal(errors.sam_shares, shares)

    assert kept.pixels == whole_typical_pixels(reference)
    at = ([row for row, _ in kept.pixels], [column for _, column in kept.pixels])
    np.testing.assert_array_equal(kept.spectra, reference[:, *at].T)
    np.testing.assert_array_equal(view.spectra, fused[:, *at].T)


def test_cube_of_another_size_is_refused() -> None:
    cube = np.ones((10, 16, 16), np.float32)
    seen = simulate(cube, spectral_response=MATRIX, spatial_response=SpatialResponse.box(ratio=2))
    with pytest.raises(InputError, match=r"fused cube of a: shape \(10, 16, 12\) does not match"):
        overview(cube, seen, {"a": cube[..., :12]}, pictures.composites(WAVELENGTH, 10), no_progress)


def test_squares_of_pixels_are_averaged() -> None:
    planes = np.arange(2 * 5 * 7, dtype=float).reshape(2, 5, 7)
    planes[:, 4, 6] = np.nan
    assert pictures.reduction(5, 7, max_side=4) == 2
    small = pictures.shrink(planes, 2)
    assert small.shape == (2, 3, 4)
    assert small[0, 0, 0] == planes[0, :2, :2].mean()
    assert small[1, 2, 1] == planes[1, 4, 2:4].mean()
    assert np.isnan(small[0, 2, 3])
    assert pictures.reduction(5, 7, max_side=7) == 1
    assert pictures.shrink(planes, 1) is planes


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 1700), breadth=st.integers(1, 40), wide=st.booleans())
def test_thumbnail_of_windows_is_that_of_the_whole(length: int, breadth: int, wide: bool) -> None:
    height, width = (breadth, length) if wide else (length, breadth)
    image = np.random.default_rng(0).random((3, height, width), dtype=np.float32)
    image[:, ::3, ::2] = np.nan
    bands = np.array([[2, 0, 1], [1, 1, 0]])
    step = pictures.reduction(height, width)
    small = thumbnail(image, bands)
    np.testing.assert_allclose(small, pictures.shrink(image[bands], step), rtol=1e-6)
    assert max(small.shape[-2:]) <= pictures.MAX_SIDE
    for window in windows(height, width):
        assert max(window.shape) <= BLOCK
        assert window.y0 % step == window.x0 % step == 0


def test_pixels_are_typical_different_and_valid() -> None:
    kinds = np.array([[0.1, 0.2], [0.9, 0.1], [0.5, 0.8]])
    which = np.arange(30)[:, None] // 10 * np.ones((1, 30), int)
    cube = kinds[which].transpose(2, 0, 1) + 0.01 * np.random.default_rng(0).standard_normal((2, 30, 30))
    cube[:, :10, :29] = np.nan
    cube[:, 0, 0] = 100.0
    chosen = typical_pixels(cube, count=2)
    assert sorted(int(which[y, x]) for y, x in chosen) == [1, 2]
    assert chosen == typical_pixels(cube, count=2)
    assert len(typical_pixels(np.ones((2, 30, 30)))) == 1
    assert typical_pixels(np.full((2, 30, 30), np.nan)) == []


@settings(max_examples=15, deadline=None)
@given(height=st.integers(10, 200), width=st.integers(10, 200), side=st.integers(5, 90))
def test_pixels_do_not_depend_on_the_windows(height: int, width: int, side: int) -> None:
    cube = np.random.default_rng(height).random((3, height, width), dtype=np.float32)
    assert typical_pixels(cube, side=side) == whole_typical_pixels(cube)


def test_candidates_are_few_on_any_scene() -> None:
    for height, width in ((100_000, 100_000), (64, 64), (1, 70_000)):
        candidates = Candidates(2, height, width)
        assert candidates.rows.size * candidates.columns.size <= 4096


def test_sample_is_even_and_repeatable() -> None:
    rng = np.random.default_rng(1)
    values = rng.gamma(2.0, size=(400, 500)).astype(np.float32)
    values[::7] = np.nan
    steps = np.linspace(0, 1, 101)

    def sampled(size: int) -> np.ndarray:
        sample = Sample(values.size, size)
        for rows in (slice(0, 150), slice(150, 400)):
            sample.add(values[rows])
        return sample.quantiles(101)

    np.testing.assert_array_equal(sampled(values.size), np.nanquantile(values, steps))
    few = sampled(20_000)
    np.testing.assert_array_equal(few, sampled(20_000))
    shares = [(values[np.isfinite(values)] < value).mean() for value in few]
    np.testing.assert_allclose(shares, steps, atol=0.015)  # 4 standard errors of 17 000 draws
    nothing = Sample(4)
    nothing.add(np.full((2, 2), np.nan))
    assert nothing.quantiles(101).size == 0


class Endless:
    """An image that is nowhere: its values follow from the pixel."""

    def __init__(self, bands: int, side: int, slope: float) -> None:
        self.shape = (bands, side, side)
        self.slope = np.float32(slope)

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        """Values of a window or a pixel, all bands."""
        _, y, x = (
            np.arange(size, dtype=np.float32)[part] for size, part in zip(self.shape, key, strict=True)
        )
        plane = np.add.outer(y / 50, x * self.slope)
        bands = np.arange(self.shape[0], dtype=np.float32)
        return 1 + np.sin(np.add.outer(bands, plane))


def test_memory_does_not_grow_with_the_scene() -> None:
    peaks = []
    for side in (1024, 2048):
        seen = ObservedScene(
            Endless(10, side // 2, 0.04),
            Endless(3, side, 0.02),
            MATRIX,
            SpatialResponse.box(ratio=2),
            np.ones(10),
            np.ones(3),
        )
        cubes = {"a": Endless(10, side, 0.0201)}
        tracemalloc.start()
        overview(Endless(10, side, 0.02), seen, cubes, pictures.composites(WAVELENGTH, 10), no_progress)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 2048**2 * 10 * 4  # a cube of the larger scene
