"""Datasets keep scenes and observations exactly, and other tools find CRS and grid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from affine import Affine

from pipeline.config.scenes import Crop
from pipeline.core.scene import Metadata, Scene
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.store.schema import (
    cube_dataset,
    metadata_from,
    msi_metadata_from,
    observation_dataset,
    observation_from,
    reference_dataset,
    scene_from,
)
from pipeline.store.store import read_store, write_store


def observe(scene: Scene, ratio: str = "4") -> Observation:
    response = np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.2, 0.8, 0, 0]])
    return simulate(
        scene.data, spectral_response=response, spatial_response=SpatialResponse.bicubic(ratio=ratio)
    )


def assert_same_metadata(left: object, right: Scene) -> None:
    for name in ("wavelength", "fwhm"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    for name in ("scale", "crs", "transform"):
        assert getattr(left, name) == getattr(right, name)


def test_scene_survives_the_store(small_scene: Scene, tmp_path: Path) -> None:
    write_store(tmp_path / "reference.zarr", reference_dataset(small_scene), {})
    back = scene_from(read_store(tmp_path / "reference.zarr"))
    np.testing.assert_array_equal(back.data, small_scene.data)
    assert back.data.dtype == np.float32
    assert_same_metadata(back, small_scene)


def test_scene_without_place_or_bands_survives(small_scene: Scene, tmp_path: Path) -> None:
    bare = Scene(small_scene.data)
    write_store(tmp_path / "reference.zarr", reference_dataset(bare), {})
    dataset = read_store(tmp_path / "reference.zarr")
    back = scene_from(dataset)
    assert (back.wavelength, back.fwhm, back.crs, back.transform) == (None, None, None, None)
    np.testing.assert_array_equal(dataset.x, np.arange(72) + 0.5)
    np.testing.assert_array_equal(dataset.y, np.arange(40) + 0.5)


def test_mask_marks_pixels_without_any_value(small_scene: Scene) -> None:
    mask = reference_dataset(small_scene).mask.values
    assert mask.dtype == np.uint8
    assert np.argwhere(mask == 0).tolist() == [[3, 5]]


@pytest.mark.parametrize("ratio", ["4", "8/3"])
def test_observation_survives_the_store(small_scene: Scene, tmp_path: Path, ratio: str) -> None:
    observation = replace(observe(small_scene, ratio), origin=(3, 9))
    write_store(tmp_path / "observation.zarr", observation_dataset(observation, small_scene), {})
    dataset = read_store(tmp_path / "observation.zarr")
    back = observation_from(dataset)
    for name in ("lr_hsi", "hr_msi", "spectral_response", "sigma_hsi", "sigma_msi"):
        np.testing.assert_array_equal(getattr(back, name), getattr(observation, name))
        assert getattr(back, name).dtype == getattr(observation, name).dtype
    assert back.spatial_response == observation.spatial_response
    assert back.origin == (3, 9)
    assert_same_metadata(metadata_from(dataset), small_scene)


def test_an_ignored_rim_is_not_measured(small_scene: Scene, tmp_path: Path) -> None:
    seen = observe(small_scene)
    stored = replace(seen, spatial_response=seen.spatial_response.bordered("ignore"))
    write_store(tmp_path / "observation.zarr", observation_dataset(stored, small_scene), {})
    back = observation_from(read_store(tmp_path / "observation.zarr"))
    assert back.spatial_response == stored.spatial_response
    rows, columns = seen.spatial_response.rim(*seen.hr_shape)
    rim = rows[:, None] | columns
    assert 0 < rim.sum() < rim.size
    assert np.isnan(back.lr_hsi[:, rim]).all()
    np.testing.assert_array_equal(back.lr_hsi[:, ~rim], seen.lr_hsi[:, ~rim])


def test_rioxarray_finds_crs_and_both_grids(small_scene: Scene, tmp_path: Path) -> None:
    dataset = observation_dataset(observe(small_scene), small_scene)
    write_store(tmp_path / "observation.zarr", dataset, {})
    opened = xr.open_dataset(
        tmp_path / "observation.zarr", engine="zarr", decode_coords="all", consolidated=False
    )
    high, low = opened["hr_msi"].rio, opened["lr_hsi"].rio
    assert high.crs.to_epsg() == low.crs.to_epsg() == 32633
    assert high.transform() == Affine(10, 0, 366015, 0, -10, 5806125)
    assert low.transform() == Affine(40, 0, 366015, 0, -40, 5806125)
    assert low.transform(recalc=True) == low.transform()
    assert high.transform(recalc=True) == high.transform()
    assert high.bounds() == low.bounds()


def test_cell_centres_come_from_the_affine(small_scene: Scene) -> None:
    dataset = reference_dataset(small_scene)
    assert dataset.x.dtype == np.float64
    assert dataset.x.values[[0, -1]].tolist() == [366020.0, 366015.0 + 715.0]
    assert dataset.y.values[[0, -1]].tolist() == [5806120.0, 5806125.0 - 395.0]
    assert dataset.wavelength.attrs["standard_name"] == "sensor_band_central_radiation_wavelength"
    assert dataset.wavelength.attrs["units"] == "nm"
    assert dataset.x.attrs["standard_name"] == "projection_x_coordinate"


def test_rotated_grid_keeps_its_affine(small_scene: Scene, tmp_path: Path) -> None:
    rotated = replace(small_scene, transform=(8.0, 6.0, 366015.0, 6.0, -8.0, 5806125.0))
    write_store(tmp_path / "reference.zarr", reference_dataset(rotated), {})
    dataset = read_store(tmp_path / "reference.zarr")
    assert scene_from(dataset).transform == rotated.transform
    assert dataset.reference.rio.transform() == Affine(*rotated.transform or ())
    assert dataset.x.values[0] == 0.5


def test_fused_cube_lies_where_the_observation_does(small_scene: Scene, tmp_path: Path) -> None:
    like = metadata_from(observation_dataset(observe(small_scene), small_scene))
    write_store(tmp_path / "fused.zarr", cube_dataset(small_scene.data, like), {})
    fused = scene_from(read_store(tmp_path / "fused.zarr"), "fused")
    np.testing.assert_array_equal(fused.data, small_scene.data)
    assert_same_metadata(fused, small_scene)


def test_wrong_dataset_is_refused(small_scene: Scene) -> None:
    with pytest.raises(InputError, match="no variable 'lr_hsi'; it holds reference, mask"):
        observation_from(reference_dataset(small_scene))
    with pytest.raises(InputError, match="no variable 'reference'"):
        scene_from(observation_dataset(observe(small_scene), small_scene))


def test_unknown_crs_is_refused(small_scene: Scene) -> None:
    with pytest.raises(InputError, match="'EPSG:1' is not a coordinate reference system"):
        reference_dataset(replace(small_scene, crs="EPSG:1"))


@pytest.mark.parametrize(
    ("crop", "corner"),
    [
        (Crop(height=20, width=31), (10, 20)),
        (Crop(height=20, width=31, at=(7, 41)), (7, 41)),
        (Crop(height=40, width=72), (0, 0)),
    ],
)
def test_crop_takes_its_transform_along(small_scene: Scene, crop: Crop, corner: tuple[int, int]) -> None:
    y, x = corner
    part = small_scene.crop(crop.window(small_scene.shape))
    expected = small_scene.data[:, y : y + crop.height, x : x + crop.width]
    np.testing.assert_array_equal(part.data, expected)
    assert part.transform == (10.0, 0.0, 366015.0 + 10 * x, 0.0, -10.0, 5806125.0 - 10 * y)
    whole, cut = reference_dataset(small_scene), reference_dataset(part)
    np.testing.assert_array_equal(cut.x, whole.x[x : x + crop.width])
    np.testing.assert_array_equal(cut.y, whole.y[y : y + crop.height])


def test_crop_outside_is_refused() -> None:
    with pytest.raises(InputError, match="41x10 is larger than the scene of 40x72"):
        Crop(height=41, width=10).window((40, 72))
    with pytest.raises(InputError, match="last possible corner is row 20, column 52"):
        Crop(height=20, width=20, at=(5, 53)).window((40, 72))


def test_scene_refuses_other_shapes() -> None:
    with pytest.raises(InputError, match=r"expected \(band, y, x\)"):
        Scene(np.zeros((4, 5), np.float32))
    with pytest.raises(InputError, match="wavelength has 3 values for 4 bands"):
        Scene(np.zeros((4, 5, 5), np.float32), wavelength=np.arange(3.0))


def test_units_and_detectors_survive_every_store(small_scene: Scene, tmp_path: Path) -> None:
    detector = np.array(["VNIR"] * 4 + ["SWIR 1"] * 2)
    scene = replace(small_scene, units="W m-2 sr-1 um-1", detector=detector)
    write_store(tmp_path / "reference.zarr", reference_dataset(scene), {})
    write_store(tmp_path / "observation.zarr", observation_dataset(observe(scene), scene), {})
    for name in ("reference", "observation"):
        dataset = read_store(tmp_path / f"{name}.zarr")
        meta = metadata_from(dataset)
        assert meta.units == scene.units
        assert meta.detector is not None
        assert meta.detector.tolist() == ["VNIR"] * 4 + ["SWIR_1"] * 2
    assert scene_from(read_store(tmp_path / "reference.zarr")).units == scene.units
    detectors = dataset.detector
    assert detectors.attrs["flag_meanings"] == "VNIR SWIR_1"
    assert detectors.values.tolist() == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("units", "scale", "expected"),
    [
        (None, 10_000.0, "1"),
        ("reflectance", 10_000.0, "1"),
        ("W m-2 sr-1 um-1", 1.0, "W m-2 sr-1 um-1"),
        ("W m-2 sr-1 um-1", 250.0, "250 W m-2 sr-1 um-1"),
    ],
)
def test_units_of_stored_values_count_the_scale(
    small_scene: Scene, units: str | None, scale: float, expected: str
) -> None:
    dataset = reference_dataset(replace(small_scene, units=units, scale=scale))
    assert dataset.reference.attrs["units"] == expected
    assert dataset.attrs.get("units") == units


def test_msi_keeps_its_own_bands_and_units(small_scene: Scene, tmp_path: Path) -> None:
    own = Metadata(
        wavelength=np.array([500.0, 750.0]), fwhm=np.array([60.0, 90.0]), scale=4.0, units="counts"
    )
    write_store(
        tmp_path / "observation.zarr", observation_dataset(observe(small_scene), small_scene, own), {}
    )
    dataset = read_store(tmp_path / "observation.zarr")
    found = msi_metadata_from(dataset)
    assert (found.scale, found.units, found.detector) == (4.0, "counts", None)
    assert (found.crs, found.transform) == (small_scene.crs, small_scene.transform)
    np.testing.assert_array_equal(found.wavelength, own.wavelength)
    np.testing.assert_array_equal(found.fwhm, own.fwhm)
    assert_same_metadata(metadata_from(dataset), small_scene)
    shared = msi_metadata_from(observation_dataset(observe(small_scene), small_scene))
    assert (shared.scale, shared.units, shared.wavelength) == (10_000.0, None, None)


def test_scenes_without_units_and_detectors_are_stored_as_before(small_scene: Scene) -> None:
    dataset = observation_dataset(observe(small_scene), small_scene)
    assert list(dataset.attrs) == ["Conventions", "scale", "spatial_response", "origin"]
    assert dataset.lr_hsi.attrs == {"long_name": "LR-HSI", "units": "1"}
    assert set(dataset.coords) == {
        *("band", "msi_band", "wavelength", "fwhm", "x", "y", "x_lr", "y_lr", "spatial_ref", "spatial_ref_lr")
    }


def test_geozarr_readers_find_the_grid_of_a_fused_cube(small_scene: Scene, tmp_path: Path) -> None:
    write_store(tmp_path / "fused.zarr", cube_dataset(small_scene.data, small_scene), {})
    attributes = json.loads((tmp_path / "fused.zarr/zarr.json").read_text())["attributes"]
    assert [convention["name"] for convention in attributes["zarr_conventions"]] == ["spatial", "proj:"]
    assert attributes["spatial:dimensions"] == ["y", "x"]
    assert attributes["spatial:shape"] == [40, 72]
    assert attributes["spatial:transform"] == [10.0, 0.0, 366015.0, 0.0, -10.0, 5806125.0]
    assert attributes["spatial:bbox"] == [366015.0, 5805725.0, 366735.0, 5806125.0]
    assert attributes["proj:code"] == "EPSG:32633"
    assert "proj:wkt2" not in attributes  # just one of them
    opened = xr.open_zarr(tmp_path / "fused.zarr", decode_coords="all", consolidated=False)
    assert opened.rio.crs.to_epsg() == 32633
    assert opened.fused.rio.transform() == Affine(10, 0, 366015, 0, -10, 5806125)
    assert np.isnan(opened.fused.encoding["_FillValue"])


def test_geozarr_names_a_crs_without_a_code_by_its_text(small_scene: Scene) -> None:
    local = "+proj=laea +lat_0=51.3 +lon_0=12.1 +ellps=GRS80 +units=m"
    attributes = cube_dataset(small_scene.data, replace(small_scene, crs=local)).attrs
    assert attributes["proj:wkt2"].startswith("PROJCRS[")
    assert "proj:code" not in attributes
    bare = cube_dataset(small_scene.data, Scene(small_scene.data)).attrs
    assert set(bare) == {"Conventions", "scale"}
