"""Pairs of real files with a known truth, from `download` to products, and those that cannot be used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.warp import Resampling, reproject
from rio_cogeo import cog_validate

import real_pair
from pipeline.commands import status, verify
from pipeline.config.experiment import Experiment
from pipeline.config.scenes import FileSource
from pipeline.core.scene import Metadata
from pipeline.core.sensing.spatial import FWHM_PER_SIGMA
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.file_scene import FileScene, open_file
from pipeline.inputs.pairs.pair import WarpedScene
from pipeline.runs.observation import read_scene
from pipeline.runs.paths import experiment_at
from pipeline.steps import clip, degrade, wald
from pipeline.store.schema import metadata_from
from pipeline.store.store import read_store
from real_pair import CENTRES, ESTIMATED, WIDTHS, Cube, R, Steps, Truth, pair_of, settings_text
from scores import psnr

ROOT = Path(__file__).resolve().parents[2]
OTHER_UNITS = {"gain": (120.0, 80.0, 300.0, 45.0), "offset": (5.0, -3.0, 0.0, 2.0)}
TRUTHS = {
    "4": Truth(seed=1, **OTHER_UNITS),
    "25/3": Truth((24, 18), ratio="25/3", border=3, seed=1, **OTHER_UNITS),
}
METHODS = ("bicubic", "gaussian_subspace")


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Truth, Steps, dict[str, Any]]]:
    """Truth, steps and what they found, of a ratio."""
    done: dict[str, tuple[Truth, Steps, dict[str, Any]]] = {}

    def of(ratio: str) -> tuple[Truth, Steps, dict[str, Any]]:
        if ratio not in done:
            folder, truth = tmp_path_factory.mktemp("pair"), TRUTHS[ratio]
            steps = Steps(folder, truth.write(folder), ESTIMATED | {"offset": True})
            found: dict[str, Any] = {"align": steps.align(), "estimate": steps.estimate()}
            for label in METHODS:
                found[label] = {"cube": steps.fuse(label), "metrics": steps.evaluate(label)}
            done[ratio] = truth, steps, found
        return done[ratio]

    return of


# ---- from the files to products

both_ratios = pytest.mark.parametrize("ratio", ["4", "25/3"])


@both_ratios
def test_alignment_finds_shift_width_and_footprint(tried: Any, ratio: str) -> None:
    truth, _, found = tried(ratio)
    aligned = found["align"]
    error = np.abs(np.subtract(aligned["shift"], truth.shift))
    assert error.max() < 0.05
    assert (error < 3.5 * np.array(aligned["shift_error"])).all()
    assert aligned["fwhm"] == pytest.approx(truth.fwhm, rel=0.05)
    metres = real_pair.PIXEL * float(Fraction(ratio))
    np.testing.assert_allclose(aligned["shift_metres"], metres * np.array(aligned["shift"]), rtol=1e-9)
    assert aligned["ratio"] == ratio
    assert aligned["resampled"] is False
    assert aligned["lr_window"] == [0, truth.lr[0], 0, truth.lr[1]]
    # the HSI's corner lies this far from the MSI's, to the nearest pixel
    corner = [round((truth.border + shift) * float(Fraction(ratio))) for shift in truth.shift]
    assert [aligned["hr_window"][0], aligned["hr_window"][2]] == corner


@pytest.mark.parametrize(("shift", "at"), [("estimated", (0.3, -0.45)), ((-0.1, -0.25), (0.3, -0.45))])
def test_a_shift_of_the_psf_counts_once(tmp_path: Path, shift: Any, at: tuple[float, float]) -> None:
    """An estimate takes its place, a given shift of the images is added to it."""
    truth = TRUTHS["4"]
    spatial = {"kind": "gaussian", "ratio": 4, "fwhm": truth.fwhm, "shift": [0.4, -0.2]}
    changes = {"spatial": spatial, "alignment": {"shift": shift}}
    steps = Steps(tmp_path, truth.write(tmp_path) | changes)
    found = steps.align()
    response = read_store(steps.inputs["observation"]).attrs["spatial_response"]
    corner = np.array(found["hr_window"])[[0, 2]] / 4 - truth.border
    np.testing.assert_allclose(corner + response["shift"], at, atol=0.05)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("rounding", [0.0, 6e-8])
def test_images_that_do_not_tell_their_shift_are_refused(
    tmp_path: Path, scale: float, rounding: float
) -> None:
    """A constant LR-HSI, in any units and whatever its last bits are."""
    wrong = rounding * np.random.default_rng(0).uniform(-1, 1, TRUTHS["4"].hsi.shape)
    steps = Steps(tmp_path, TRUTHS["4"].write(tmp_path, hsi=scale * (1 + wrong)))
    with pytest.raises(InputError, match=r"nothing in it and in .* determines the shift between them"):
        steps.align()
    assert not list(steps.path("").iterdir())


def test_an_ignored_rim_has_no_weight_in_any_step(tmp_path: Path) -> None:
    truth = TRUTHS["4"]
    spatial = {"kind": "gaussian", "ratio": 4, "fwhm": truth.fwhm, "border": "ignore"}
    steps = Steps(tmp_path, truth.write(tmp_path) | {"spatial": spatial}, ESTIMATED | {"offset": True})
    steps.align()
    steps.estimate()
    seen = read_scene(**steps.inputs)
    rows, columns = seen.spatial_response.rim(*seen.hr_shape)
    missing = np.isnan(np.asarray(seen.lr_hsi[:, :, :]))
    np.testing.assert_array_equal(missing.all(axis=0), rows[:, None] | columns)
    cube = steps.fuse("gaussian_subspace")
    assert psnr(truth.scene.data[:, *steps.window().slices], cube) > 34
    assert steps.evaluate("gaussian_subspace")["metrics"]["residual_hsi"] == pytest.approx(1, abs=0.25)


def test_a_psf_of_another_ratio_is_refused(tmp_path: Path) -> None:
    spatial = {"kind": "gaussian", "ratio": 3, "fwhm": 1.2}
    steps = Steps(tmp_path, TRUTHS["4"].write(tmp_path) | {"spatial": spatial})
    with pytest.raises(InputError, match=r"spatial.ratio: 3, but .* have the ratio 4"):
        steps.align()


def test_an_offset_and_a_collar_are_said_in_the_stores(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    truth = Truth(offset=(0.1, 0.1, 0.1, 0.1))
    msi = truth.msi.copy()
    msi[:, :4] = 7.0
    steps = Steps(tmp_path, truth.write(tmp_path, msi=msi))
    with caplog.at_level("WARNING"):
        (note,) = steps.align()["notes"]
        steps.estimate()
    assert "are 7 in all bands, up to the border: likely no data" in note
    sentences = read_store(steps.path("estimate.json")).attrs["agreement"]
    assert re.search(r"[+]0[.](1|10[0-2]|09[89])\d* beside what R predicts", sentences[0])
    assert "offset: true" in sentences[0]
    assert [text for text in (note, *sentences) if text not in caplog.text] == []


@both_ratios
def test_estimate_finds_the_units_of_the_msi(tried: Any, ratio: str) -> None:
    truth, steps, found = tried(ratio)
    told = found["estimate"]
    np.testing.assert_allclose(told["fwhm"], truth.fwhm, rtol=0.05)
    for band, gain, offset in zip(told["bands"], truth.gain, truth.offset, strict=True):
        assert band["gain"] == pytest.approx(gain, rel=0.02)
        assert band["offset"] == pytest.approx(offset, abs=0.005 * gain)
        assert abs(band["gain"] - gain) < 4 * band["gain_error"]
    seen = read_scene(steps.path("observation.json"), steps.path("estimate.json"))
    window = steps.window()
    expected = truth.seen.hr_msi[:, *window.slices]
    np.testing.assert_allclose(np.asarray(seen.hr_msi[:, :, :]), expected, atol=0.01)
    # what is left of the shift after the window was cut on whole HR pixels
    start = (np.array([window.y0, window.x0]) / float(Fraction(ratio))) - truth.border
    np.testing.assert_allclose(seen.spatial_response.shift, np.subtract(truth.shift, start), atol=0.02)


@both_ratios
def test_fusion_is_far_above_interpolation(tried: Any, ratio: str) -> None:
    truth, steps, found = tried(ratio)
    known = truth.scene.data[:, *steps.window().slices]
    interpolated, fused = (psnr(known, found[label]["cube"]) for label in METHODS)
    assert fused > interpolated + 10
    assert fused > 32


@both_ratios
def test_pair_is_judged_without_a_reference(tried: Any, ratio: str) -> None:
    truth, steps, found = tried(ratio)
    metrics, per_band = (found["gaussian_subspace"]["metrics"][key] for key in ("metrics", "per_band"))
    assert set(metrics) == {
        "d_lambda", "d_s", "qnr", "d_lambda_khan", "hqnr", "residual_hsi", "residual_msi",
    }  # fmt: skip
    assert metrics["hqnr"] > found["bicubic"]["metrics"]["metrics"]["hqnr"]
    assert metrics["hqnr"] > 0.9
    assert metrics["residual_msi"] < 1.5
    np.testing.assert_allclose(per_band["wavelength"], truth.scene.wavelength, atol=1e-6)
    assert len(per_band["residual_hsi"]) == len(per_band["bias_hsi"]) == truth.bands
    assert len(per_band["residual_msi"]) == len(per_band["bias_msi"]) == len(CENTRES)
    maps = read_store(steps.path("gaussian_subspace/residuals.json"))
    assert maps["hsi"].shape == truth.lr
    assert maps["msi"].shape == steps.window().shape
    # the map is the RMS over the bands of what the spectrum is the RMS over the pixels of
    power, squares = np.mean(np.square(per_band["residual_hsi"])), np.square(maps["hsi"].values)
    assert float(squares.mean()) == pytest.approx(power, rel=1e-4)
    # what lies beyond the files is not the mirror image that H takes it to be
    seen = read_scene(steps.path("observation.json"), steps.path("estimate.json"))
    rows, columns = seen.spatial_response.rim(*seen.hr_shape)
    rim = rows[:, None] | columns
    assert np.sqrt(squares[~rim].mean()) == pytest.approx(1, abs=0.25)
    assert np.sqrt(squares[rim].mean()) < 3


@both_ratios
def test_product_lies_where_the_msi_does(tried: Any, ratio: str) -> None:
    truth, steps, found = tried(ratio)
    folder, window = steps.export("gaussian_subspace"), steps.window()
    assert cog_validate(folder / "cube.tif", strict=True) == (True, [], [])
    for name in ("cube.tif", "cube.bsq"):
        with rasterio.open(folder / name) as file:
            assert file.crs.to_epsg() == 32633
            corner = truth.place @ (window.x0, window.y0)
            np.testing.assert_allclose(file.transform @ (0, 0), corner, rtol=0, atol=1e-6)
            np.testing.assert_allclose(file.res, real_pair.PIXEL, rtol=0, atol=1e-9)
            assert np.isnan(file.nodata)
            np.testing.assert_array_equal(file.read(), found["gaussian_subspace"]["cube"])
        scene = open_file(FileSource(kind="file", path=str(folder / name)))
        np.testing.assert_allclose(scene.metadata.wavelength, truth.scene.wavelength, atol=1e-6)
        np.testing.assert_allclose(scene.metadata.fwhm, truth.scene.fwhm, atol=1e-6)


# ---- references


def test_a_finished_pair_waits_for_no_reference(tried: Any) -> None:
    _, steps, _ = tried("4")
    scenes, labels = {"town": {"pair": steps.pair}}, {label: {} for label in METHODS}
    experiment = Experiment.model_validate({"experiment": "pair", "scenes": scenes, "methods": labels})
    assert "2 of 2 runs done" in status.run(experiment, experiment_at(steps.folder))


def test_damaged_residuals_are_made_again_with_the_metrics(tried: Any, tmp_path: Path) -> None:
    run = shutil.copytree(tried("4")[1].path("bicubic"), tmp_path / "run")
    shard = next(path for path in (run / "residuals.zarr/msi/c").rglob("*") if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-1])
    assert verify.run([run / "residuals.json"], withdraw=True)[1]
    assert not (run / "residuals.json").exists()
    assert not (run / "metrics.json").exists()


def gaussian_rows(size: int, ratio: int, fwhm: float, shift: float) -> Cube:
    """Mirrored Gaussian weights of each LR pixel along one axis, written down directly."""
    centres = (np.arange(size // ratio)[:, None] + 0.5 + shift) * ratio - 0.5
    sigma, at = fwhm * ratio / FWHM_PER_SIGMA, np.arange(-size, 2 * size)
    weights = np.exp(-0.5 * ((at - centres) / sigma) ** 2) * (np.abs(at - centres) <= 4 * sigma)
    inside = np.where(at < 0, -1 - at, np.where(at >= size, 2 * size - 1 - at, at))
    rows = np.zeros((size // ratio, size))
    np.add.at(rows.T, inside, (weights / weights.sum(axis=1, keepdims=True)).T)
    return rows


def test_one_wald_level_down_is_both_images_degraded(tried: Any, tmp_path: Path) -> None:
    _, steps, _ = tried("4")
    observation, estimate = steps.path("observation.json"), steps.path("estimate.json")
    degrade.run(observation=observation, estimate=estimate, out=tmp_path / "observation.json")
    wald.run(observation=observation, out=tmp_path / "reference.json")
    pair, told = read_store(observation), read_scene(observation, estimate)
    lr_hsi, hr_msi = np.asarray(pair["lr_hsi"]), np.asarray(told.hr_msi[:, :, :])
    np.testing.assert_array_equal(read_store(tmp_path / "reference.json")["reference"], lr_hsi)

    response = told.spatial_response
    level = read_store(tmp_path / "observation.json")
    for name, image, shift in (("lr_hsi", lr_hsi, (0.0, 0.0)), ("hr_msi", hr_msi, response.shift)):
        rows, columns = (
            gaussian_rows(size, 4, response.fwhm, moved)
            for size, moved in zip(image.shape[1:], shift, strict=True)
        )
        np.testing.assert_allclose(level[name], rows @ image @ columns.T, rtol=1e-5, atol=1e-6)
    assert level["lr_hsi"].shape == (24, 6, 5)
    assert level["hr_msi"].shape == (4, 24, 20)
    # the HR grid of this level is the LR grid of the pair, on the MSI's corner
    for made in (level, read_store(tmp_path / "reference.json")):
        a, _, c, _, e, f = metadata_from(made).transform or ()
        assert (a, e) == pytest.approx((40, -40))
        assert (c, f) == pytest.approx(metadata_from(pair).transform[2::3])


def test_a_pair_that_is_too_small_for_another_level_is_refused(tried: Any, tmp_path: Path) -> None:
    _, steps, _ = tried("25/3")
    with pytest.raises(InputError, match="at least 25x25 are needed"):
        degrade.run(**steps.inputs, out=tmp_path / "observation.json")
    assert not list(tmp_path.iterdir())


def test_the_reference_of_a_pair_is_cut_to_its_footprint(tmp_path: Path) -> None:
    truth = TRUTHS["4"]
    real_pair.write_tif(tmp_path / "truth.tif", truth.scene.data, truth.place)
    reference = {"kind": "file", "path": str(tmp_path / "truth.tif")}
    cut = {"height": 16, "width": 12, "at": [3, 5]}
    told = ESTIMATED | {"offset": True}
    steps = Steps(tmp_path, truth.write(tmp_path) | {"reference": reference}, told, cut)
    found = steps.align()
    assert found["lr_window"] == [3, 19, 5, 17]
    out = tmp_path / "town/reference.json"
    clip.run(source=steps.source, settings=steps.config, out=out, observation=steps.path("observation.json"))
    stored = read_store(out)
    window = steps.window()
    assert window.shape == (64, 48)
    np.testing.assert_array_equal(stored["reference"], truth.scene.data[:, *window.slices])
    assert metadata_from(stored).transform == metadata_from(read_store(steps.inputs["observation"])).transform
    steps.estimate()
    cube = steps.fuse("gaussian_subspace")
    metrics = steps.evaluate("gaussian_subspace", out)["metrics"]
    known = truth.scene.data[:, *window.slices].astype(np.float64)
    rmse = np.sqrt(np.square(known - cube).mean())
    assert metrics["rmse"] == pytest.approx(rmse, rel=1e-4)
    assert "hqnr" in metrics


REFERENCES: dict[str, tuple[slice, slice, float, str]] = {
    "shape": (slice(None), slice(1, None), 0.0, "111x96 pixels are not the grid of"),
    "place": (slice(None), slice(None), 1.0, "its pixels lie elsewhere than"),
    "bands": (slice(1, None), slice(None), 0.0, "its 23 bands are not the 24 of"),
}


@pytest.mark.parametrize("case", REFERENCES)
def test_a_reference_of_other_pixels_or_bands_is_refused(tmp_path: Path, case: str) -> None:
    truth = TRUTHS["4"]
    bands, rows, right, message = REFERENCES[case]
    place = truth.place @ Affine.translation(right, 0)
    real_pair.write_tif(tmp_path / "truth.tif", truth.scene.data[bands, rows], place)
    reference = {"kind": "file", "path": str(tmp_path / "truth.tif")}
    alignment = {"shift": truth.shift}
    steps = Steps(tmp_path, truth.write(tmp_path) | {"reference": reference, "alignment": alignment})
    steps.align()
    out = tmp_path / "town/reference.json"
    with pytest.raises(InputError, match=message):
        clip.run(
            source=steps.source, settings=steps.config, out=out, observation=steps.path("observation.json")
        )
    assert not out.exists()
    assert not out.with_suffix(".zarr").exists()


# ---- grids that do not nest


def warped_msi(truth: Truth, folder: Path, crs: str, pixel: float) -> tuple[Path, Affine]:
    """The MSI as another sensor would deliver it: on a grid of its own, larger than the HSI's footprint."""
    turn = Transformer.from_crs("EPSG:32633", crs, always_xy=True)
    height, width = truth.scene.shape
    corners = [truth.place @ at for at in ((0, 0), (width, 0), (0, height), (width, height))]
    x, y = np.array([turn.transform(*at) for at in corners]).T
    place = Affine(pixel, 0, x.min() - 7.3, 0, -pixel, y.max() + 4.1)
    shape = (int((y.max() - y.min()) / pixel) + 2, int((x.max() - x.min()) / pixel) + 2)
    image = np.full((len(CENTRES), *shape), np.nan, np.float32)
    reproject(
        truth.msi.astype(np.float32), image, src_transform=truth.place, src_crs="EPSG:32633",
        dst_transform=place, dst_crs=crs, resampling=Resampling.cubic, src_nodata=np.nan, dst_nodata=np.nan,
    )  # fmt: skip
    return real_pair.write_tif(folder / "msi.tif", image, place, crs), place


@pytest.mark.parametrize(("crs", "pixel"), [("EPSG:32632", 10.0), ("EPSG:32633", 40 / np.sqrt(19))])
def test_an_msi_on_another_grid_is_warped(tmp_path: Path, crs: str, pixel: float) -> None:
    truth = Truth(seed=1, shift=(0.2, -0.35))
    truth.write(tmp_path)
    warped_msi(truth, tmp_path, crs, pixel)
    steps = Steps(tmp_path, pair_of(tmp_path))
    found = steps.align()
    assert found["resampled"] is True
    assert found["notes"] == ["The MSI was resampled (cubic convolution) onto the HSI's grid."]
    assert found["ratio"] == "4"
    np.testing.assert_allclose(found["shift"], truth.shift, atol=0.05)
    steps.estimate()
    cube, interpolated = steps.fuse("gaussian_subspace"), steps.fuse("bicubic")
    place = metadata_from(read_store(steps.path("gaussian_subspace/fused.json")))
    assert place.crs == "EPSG:32633"
    a, b, c, d, e, f = place.transform or ()
    assert (a, b, d, e) == (10, 0, 0, -10)
    # the fused grid divides the HSI's pixels, and so is the landscape's own
    column, row = ~truth.place @ (c, f)
    assert (column, row) == pytest.approx((round(column), round(row)), abs=1e-6)
    row, column = round(row), round(column)
    height, width = cube.shape[1:]
    known = truth.scene.data[:, row : row + height, column : column + width]
    assert psnr(known, cube) > psnr(known, interpolated) + 4


@pytest.fixture(scope="module")
def warped(tmp_path_factory: pytest.TempPathFactory) -> tuple[FileScene, WarpedScene, Cube]:
    """An image in UTM zone 32, as read in zone 33, and the whole of it."""
    folder, truth = tmp_path_factory.mktemp("warped"), TRUTHS["4"]
    path, _ = warped_msi(truth, folder, "EPSG:32632", 10.0)
    scene = open_file(FileSource(kind="file", path=str(path)))
    place = truth.place @ Affine.scale(0.5)
    onto = Metadata(crs="EPSG:32633", transform=tuple(place)[:6])
    opened = WarpedScene(scene, onto, (224, 192))  # several cells
    return scene, opened, opened.read(Window(0, 224, 0, 192))


@given(
    y=st.tuples(st.integers(0, 223), st.integers(0, 223)),
    x=st.tuples(st.integers(0, 191), st.integers(0, 191)),
)
@settings(max_examples=40, deadline=None)
def test_a_window_of_a_warped_scene_is_that_of_the_whole(
    warped: tuple[FileScene, WarpedScene, Cube], y: tuple[int, int], x: tuple[int, int]
) -> None:
    _, opened, whole = warped
    window = Window(min(y), max(y) + 1, min(x), max(x) + 1)
    np.testing.assert_array_equal(opened.read(window), whole[:, *window.slices])
    assert opened.read(window).dtype == np.float32


def test_a_warped_scene_is_what_gdal_makes_of_the_whole(
    warped: tuple[FileScene, WarpedScene, Cube],
) -> None:
    scene, opened, whole = warped
    expected = np.full(whole.shape, np.nan, np.float32)
    image = scene.read(Window(0, scene.shape[1], 0, scene.shape[2]))
    reproject(
        image, expected, src_transform=Affine(*scene.metadata.transform), src_crs=scene.metadata.crs,
        dst_transform=Affine(*opened.metadata.transform), dst_crs="EPSG:32633", resampling=Resampling.cubic,
        src_nodata=np.nan, dst_nodata=np.nan, XSCALE=1, YSCALE=1,
    )  # fmt: skip
    np.testing.assert_array_equal(np.isnan(whole), np.isnan(expected))
    spread = np.nanstd(expected, axis=(1, 2))
    difference = np.sqrt(np.nanmean(np.square(whole - expected), axis=(1, 2)))
    assert (difference < 1e-3 * spread).all()
    assert opened.metadata.crs == "EPSG:32633"


def test_a_warped_scene_puts_values_where_they_belong(tmp_path: Path) -> None:
    """A smooth image that is known everywhere, against its formula."""
    place, onto = Affine(10, 0, 785_000, 0, -10, 5_830_000), Affine(12, 0, 380_500, 0, -12, 5_819_000)

    def field(x: Cube, y: Cube) -> Cube:
        return np.sin(x / 90) + np.cos(y / 130)

    rows, columns = np.mgrid[:300, :300] + 0.5
    real_pair.write_tif(tmp_path / "smooth.tif", field(*(place @ (columns, rows)))[None], place, "EPSG:32632")
    scene = open_file(FileSource(kind="file", path=str(tmp_path / "smooth.tif")))
    x0, y0 = Transformer.from_crs("EPSG:32632", "EPSG:32633", always_xy=True).transform(786_000, 5_829_000)
    onto = Affine(12, 0, x0, 0, -12, y0)
    opened = WarpedScene(scene, Metadata(crs="EPSG:32633", transform=tuple(onto)[:6]), (60, 50))
    rows, columns = np.mgrid[:60, :50] + 0.5
    back = Transformer.from_crs("EPSG:32633", "EPSG:32632", always_xy=True)
    expected = field(*back.transform(*(onto @ (columns, rows))))
    np.testing.assert_allclose(opened.read(Window(0, 60, 0, 50))[0], expected, atol=2e-3)
    far = WarpedScene(scene, Metadata(crs="EPSG:32633", transform=(12, 0, 5e5, 0, -12, 5e6)), (9, 9))
    assert np.isnan(far.read(Window(2, 5, 0, 4))).all()


# ---- detectors


def test_a_displaced_detector_is_found_and_resampled(tmp_path: Path) -> None:
    shifts = {"VNIR": (0.2, -0.3), "SWIR": (0.35, -0.3)}
    seen = {name: Truth(bands=40, shift=shift, seed=1) for name, shift in shifts.items()}
    vnir, swir = np.arange(13), np.arange(10, 40)  # three bands are seen by both
    truth = seen["VNIR"]
    stored = np.concatenate([seen["VNIR"].hsi[vnir], seen["SWIR"].hsi[swir]])
    order = np.concatenate([vnir, swir])
    scene = truth.scene
    real_pair.write_envi(
        tmp_path / "hsi.bsq", stored, scene.wavelength[order], scene.fwhm[order], truth.lr_place
    )
    real_pair.write_tif(tmp_path / "msi.tif", truth.msi, truth.place)
    steps = Steps(tmp_path, pair_of(tmp_path))
    found = steps.align()
    assert found["detectors"].keys() == shifts.keys()
    assert found["lr_window"] == [0, 24, 0, 20]
    for name, shift in shifts.items():
        np.testing.assert_allclose(found["detectors"][name]["shift"], shift, atol=0.03)
    (moved,) = [name for name, one in found["detectors"].items() if one["resampled"]]
    (kept,) = shifts.keys() - {moved}
    np.testing.assert_allclose(found["shift"], found["detectors"][kept]["shift"])

    # the moved bands now look as if the other detector had seen them, away from the border
    aligned = np.asarray(read_store(steps.path("observation.json"))["lr_hsi"])[:, 2:-2, 2:-2]
    kept_bands = slice(0, 13) if kept == "VNIR" else slice(13, 40)
    moved_bands = slice(13, 40) if kept == "VNIR" else slice(0, 10)
    assert len(aligned) == 40
    wanted, before = (seen[name].hsi[moved_bands][:, 2:-2, 2:-2] for name in (kept, moved))
    rms = [np.sqrt(np.square(image - wanted).mean()) for image in (aligned[moved_bands], before)]
    assert rms[0] < 0.4 * rms[1]
    np.testing.assert_allclose(aligned[kept_bands], seen[kept].hsi[kept_bands][:, 2:-2, 2:-2], rtol=1e-6)


def test_detectors_may_be_kept_together(tmp_path: Path) -> None:
    truth = TRUTHS["4"]
    steps = Steps(tmp_path, truth.write(tmp_path) | {"alignment": {"detectors": "together"}})
    assert steps.align()["detectors"] == {}


# ---- no-data


def nearest_lr_pixel(size: int, lr_size: int, ratio: float, shift: float) -> Cube:
    """The LR pixel whose centre is nearest to each HR pixel's, along one axis."""
    centres = (np.arange(lr_size) + 0.5 + shift) * ratio
    return np.argmin(np.abs(np.arange(size)[:, None] + 0.5 - centres), axis=1)


@pytest.mark.parametrize(("role", "side"), [("hsi", 1), ("hsi", 8), ("msi", 48)])
def test_a_checkerboard_of_nodata_is_filled_from_the_other_image(
    tmp_path: Path, whole: Cube, role: str, side: int
) -> None:
    truth = Truth((36, 32), seed=1)
    images = {"hsi": truth.hsi.copy(), "msi": truth.msi.copy()}
    missing = np.add.outer(*(np.arange(size) // side for size in images[role].shape[1:])) % 2 == 1
    images[role][:, missing] = np.nan
    steps = Steps(tmp_path, truth.write(tmp_path, **images))
    np.testing.assert_allclose(steps.align()["shift"], truth.shift, atol=0.05)
    steps.estimate()
    cube = steps.fuse("gaussian_subspace")
    window, response = steps.window(), read_scene(**steps.inputs).spatial_response
    expected = missing[window.slices] if role == "msi" else None
    if expected is None:
        pixels = [
            nearest_lr_pixel(hr, lr, 4, shift)
            for hr, lr, shift in zip(window.shape, truth.lr, response.shift, strict=True)
        ]
        expected = missing[np.ix_(*pixels)]
    assert not np.isnan(cube).any()
    judged = steps.evaluate("gaussian_subspace")
    assert judged["metrics"]["residual_msi"] < 1
    assert judged["metrics"]["residual_hsi"] < 2  # a third of the LR pixels see beyond the file
    in_both = np.where(expected, np.nan, truth.scene.data[:, *window.slices])
    assert psnr(in_both, cube) > psnr(in_both, whole) - 1


def test_gaps_scattered_over_a_pair_cost_little_at_any_step(tmp_path: Path, whole: Cube) -> None:
    """No pixel of the HSI is complete, and hardly any of H(Y)."""
    truth, rng = Truth((36, 32), seed=1), np.random.default_rng(0)
    images = {"hsi": truth.hsi.copy(), "msi": truth.msi.copy()}
    images["hsi"][rng.random(truth.hsi.shape) < 0.1] = np.nan
    images["msi"][:, rng.random(truth.msi.shape[1:]) < 0.03] = np.nan
    steps = Steps(tmp_path, truth.write(tmp_path, **images), ESTIMATED)
    np.testing.assert_allclose(steps.align()["shift"], truth.shift, atol=0.05)
    steps.estimate()
    cube = steps.fuse("gaussian_subspace")
    judged = steps.evaluate("gaussian_subspace")["metrics"]
    assert not np.isnan(cube).any()
    known = ~np.isnan(np.asarray(read_store(steps.inputs["observation"])["hr_msi"])).any(axis=0)
    scene = np.where(known, truth.scene.data[:, *steps.window().slices], np.nan)
    assert psnr(scene, cube) > psnr(scene, whole) - 1
    assert judged["residual_hsi"] < 1.5
    assert judged["residual_msi"] < 1.5

    # one level down
    degrade.run(**steps.inputs, out=tmp_path / "observation.json")
    wald.run(observation=steps.inputs["observation"], out=tmp_path / "reference.json")
    for store, name in (("observation", "lr_hsi"), ("observation", "hr_msi"), ("reference", "reference")):
        assert not np.isnan(read_store(tmp_path / f"{store}.json")[name]).any()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Cube:
    """The fused cube of images without gaps."""
    folder = tmp_path_factory.mktemp("whole")
    steps = Steps(folder, Truth((36, 32), seed=1).write(folder))
    steps.align()
    steps.estimate()
    return steps.fuse("gaussian_subspace")


# ---- pairs that cannot be used


def without_crs(folder: Path, truth: Truth) -> dict[str, Any]:
    real_pair.write_tif(folder / "msi.tif", truth.msi, truth.place, crs=None)
    return pair_of(folder)


def disjoint(folder: Path, truth: Truth) -> dict[str, Any]:
    real_pair.write_tif(folder / "msi.tif", truth.msi, Affine.translation(1e5, 0) @ truth.place)
    return pair_of(folder)


def coarser(folder: Path, truth: Truth) -> dict[str, Any]:
    real_pair.write_tif(folder / "msi.tif", truth.msi[:, ::8, ::8], truth.place @ Affine.scale(8))
    return pair_of(folder)


def coarser_elsewhere(folder: Path, truth: Truth) -> dict[str, Any]:
    warped_msi(truth, folder, "EPSG:32632", 80.0)
    return pair_of(folder)


def other_bands(folder: Path, truth: Truth) -> dict[str, Any]:
    return pair_of(folder, spectral=R | {"centres": CENTRES[:3], "fwhm": WIDTHS[:3]})


def other_order(folder: Path, truth: Truth) -> dict[str, Any]:
    msi = pair_of(folder)["msi"] | {"wavelengths": list(CENTRES)}
    return pair_of(folder, msi=msi, spectral=R | {"centres": CENTRES[::-1], "fwhm": WIDTHS[::-1]})


def too_far(folder: Path, truth: Truth) -> dict[str, Any]:
    return pair_of(folder, alignment={"largest_shift": 0.2})


def as_it_is(folder: Path, truth: Truth) -> dict[str, Any]:
    return pair_of(folder)


REFUSED = {
    "missing CRS": (without_crs, None, "msi.tif: has no CRS"),
    "disjoint": (disjoint, None, "their footprints have no 1x1 pixels of the HSI in common"),
    "coarser": (coarser, None, "msi.tif: its pixels are 2 times those of"),
    "coarser in another CRS": (coarser_elsewhere, None, "coarser than the HSI; exchange `hsi` and `msi`"),
    "band list": (other_bands, None, "msi.tif: has 4 bands, but `spectral` describes 3"),
    "band order": (other_order, None, "its band 1 lies at 480 nm, but this band of `spectral` at"),
    "too far": (too_far, None, "beyond alignment.largest_shift 0.2; register the images first"),
    "crop": (as_it_is, {"height": 40, "width": 8}, "crop: 40x8 is larger than the scene of 24x20 pixels"),
}


def pipeline(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line of this working tree."""
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("case", REFUSED)
def test_pairs_that_cannot_be_used_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    change, cut, message = REFUSED[case]
    truth = TRUTHS["4"]
    truth.write(tmp_path)
    pair = change(tmp_path, truth)
    steps = Steps(tmp_path, pair, crop=cut)
    results = tmp_path / "town"
    steps.path("").mkdir(parents=True)
    text = settings_text(pair, cut)
    real_pair.download.run(settings=steps.config, out=steps.source)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    out = steps.path("observation.json")
    done = pipeline("align", "--source", steps.source, "--settings", text, "--out", out)
    assert done.returncode == 2, done.stderr
    *others, line = done.stderr.splitlines()
    assert line.startswith("pipeline align: ")
    assert message in line
    progress = [
        other for other in others if not other.startswith(str(tmp_path))
    ]  # what was assumed of a file
    assert all("just started" in other or " left" in other for other in progress), others
    assert done.stdout == ""
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert not list(results.rglob("observation*"))


def test_a_crop_that_cuts_hr_pixels_is_refused(tmp_path: Path) -> None:
    truth = TRUTHS["25/3"]
    pair = truth.write(tmp_path) | {"alignment": {"shift": truth.shift}}
    steps = Steps(tmp_path, pair, crop={"height": 6, "width": 6, "at": [0, 4]})
    with pytest.raises(InputError, match="use multiples of 3"):
        steps.align()
    assert not list(steps.path("").iterdir())


@pytest.mark.parametrize("role", ["hsi", "msi"])
def test_download_names_the_missing_file_of_a_pair(tmp_path: Path, role: str) -> None:
    pair = TRUTHS["4"].write(tmp_path)
    Path(pair[role]["path"]).unlink()
    done = pipeline("download", "--settings", settings_text(pair), "--out", tmp_path / "source.json")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"pipeline download: {pair[role]['path']}: no such file")
    assert not (tmp_path / "source.json").exists()


def test_an_image_that_was_exchanged_after_download_is_refused(tmp_path: Path) -> None:
    truth = TRUTHS["4"]
    steps = Steps(tmp_path, truth.write(tmp_path))
    steps.path("").mkdir(parents=True)
    real_pair.download.run(settings=steps.config, out=steps.source)
    truth.write(tmp_path, msi=2 * truth.msi)
    with pytest.raises(InputError, match=r"msi.tif: its sha256 is .*, expected"):
        real_pair.align.run(source=steps.source, settings=steps.config, out=steps.path("observation.json"))
    assert not list(steps.path("").iterdir())
