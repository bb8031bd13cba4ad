"""Axes, place, bands and calibration of labelled arrays: NetCDF-4, classic NetCDF, HDF5 and Zarr."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from rasterio.transform import Affine

from labelled_files import WRITERS, netcdf4
from pipeline.config.scenes import FileSource
from pipeline.core.scene import Metadata
from pipeline.core.window import Window
from pipeline.inputs.file_scene import open_file, source_size
from pipeline.store.schema import cube_dataset
from pipeline.store.store import write_store
from products import write_tif
from scene_files import CUBE, NM, PLACE, read, refused

TRANSFORM = (10.0, 0.0, 366015.0, 0.0, -10.0, 5806125.0)
Y = PLACE.f + PLACE.e * (np.arange(6) + 0.5)
X = PLACE.c + PLACE.a * (np.arange(8) + 0.5)
WKT = rasterio.CRS.from_epsg(32633).to_wkt()
GEOTRANSFORM = "366015.0 10.0 0.0 5806125.0 0.0 -10.0"
ORDERS = {
    "wavelength,y,x": (0, 1, 2),
    "y,x,wavelength": (1, 2, 0),
    "y,wavelength,x": (1, 0, 2),
    "x,wavelength,y": (2, 0, 1),
}


def labelled(order: str = "wavelength,y,x", *, up: bool = False, **options: Any) -> xr.Dataset:
    """`CUBE` with coordinates, a grid mapping and, if wanted, rows from south to north."""
    units, geotransform = options.get("units", "nm"), options.get("geotransform", GEOTRANSFORM)
    place = {"crs_wkt": WKT} | ({"GeoTransform": geotransform} if geotransform else {})
    array = xr.DataArray(
        CUBE,
        dims=("wavelength", "y", "x"),
        coords={
            "wavelength": ("wavelength", options.get("wavelength", NM), {"units": units}),
            "y": ("y", Y, {"standard_name": "projection_y_coordinate", "units": "m"}),
            "x": ("x", X, {"standard_name": "projection_x_coordinate", "units": "m"}),
            "spatial_ref": ((), 0, place),
        },
        attrs={"grid_mapping": "spatial_ref"},
    )
    if up:
        array = array.isel(y=slice(None, None, -1))
    return array.transpose(*order.split(",")).to_dataset(name="reflectance")


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[xr.Dataset], Path]:
    return lambda dataset: WRITERS[request.param](tmp_path / "scene", dataset)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("up", [False, True])
def test_axes_place_and_wavelengths_are_those_of_the_labels(
    write: Callable[[xr.Dataset], Path], order: str, up: bool
) -> None:
    path = write(labelled(order, up=up, geotransform=None if up else GEOTRANSFORM))
    scene = read(path)
    np.testing.assert_array_equal(scene.data, CUBE)
    np.testing.assert_array_equal(scene.wavelength, NM)
    assert scene.crs == "EPSG:32633"
    assert scene.transform == pytest.approx(TRANSFORM)
    assert source_size(FileSource(kind="file", path=str(path))) == (6, 8)


def test_an_affine_that_contradicts_the_coordinates_is_refused(write: Callable[[xr.Dataset], Path]) -> None:
    dataset = labelled(up=True)  # the affine still says north-up
    message = refused(write(dataset))
    assert "its coordinate of the rows begins at 5806070 and rises" in message
    assert "they contradict each other" in message


@pytest.mark.parametrize("shift", [5.0, 10.0, 1000.0])  # half a pixel: corners for centres
def test_an_affine_beside_the_coordinates_is_refused(tmp_path: Path, shift: float) -> None:
    affine = f"{366015 + shift} 10.0 0.0 5806125.0 0.0 -10.0"
    assert "the first pixel's corner is x 366015" in refused(
        netcdf4(tmp_path / "a", labelled(geotransform=affine))
    )


def test_gdal_stores_south_first_under_a_north_up_affine(tmp_path: Path) -> None:
    dataset = labelled(up=True).assign_attrs(GDAL="GDAL 3.10.3, released 2025/04/01", Conventions="CF-1.5")
    scene = read(netcdf4(tmp_path / "a", dataset))
    np.testing.assert_array_equal(scene.data, CUBE)
    assert scene.transform == pytest.approx(TRANSFORM)


def test_coordinates_without_equal_steps_are_refused(tmp_path: Path) -> None:
    dataset = labelled(geotransform=None).assign_coords(x=("x", X + np.r_[np.zeros(7), 4]))
    assert "its coordinate 'x', 366020 to 366094, does not have equal steps" in refused(
        netcdf4(tmp_path / "a", dataset)
    )


def test_float32_coordinates_have_equal_steps_within_their_rounding(tmp_path: Path) -> None:
    dataset = labelled(geotransform=None).assign_coords(y=("y", Y.astype(np.float32)))
    scene = read(netcdf4(tmp_path / "a", dataset))
    assert scene.transform == pytest.approx(TRANSFORM, abs=0.6)


@pytest.mark.parametrize(
    ("values", "units"),
    [
        (NM / 1e3, "um"),
        (NM / 1e3, "µm"),
        (NM / 1e3, "micrometers"),
        (NM * 10, "angstrom"),
        (NM / 1e9, "m"),
        (1e7 / NM, "cm-1"),
        (299_792_458 / NM, "GHz"),
        (NM / 1e3, ""),
        (NM, ""),
    ],
)
def test_units_of_wavelengths(tmp_path: Path, values: np.ndarray, units: str) -> None:
    path = netcdf4(tmp_path / "a", labelled(wavelength=values, units=units))
    np.testing.assert_allclose(read(path).wavelength, NM)
    assumed = open_file(FileSource(kind="file", path=str(path))).report["assumed"]
    assert any("not stated: " in text and "assumed" in text for text in assumed) == (units == "")


def test_an_unknown_unit_or_an_impossible_wavelength_is_no_nm(tmp_path: Path) -> None:
    path = netcdf4(tmp_path / "a", labelled(units="furlong"))
    assert "array 'wavelength': 'furlong' is no unit of wavelengths" in refused(path)
    assert read(path, wavelengths=NM.tolist()).bands == 5
    path = netcdf4(tmp_path / "b", labelled(wavelength=NM / 1e3, units="nm"))
    assert "the wavelength of band 1, 0.45 nm, lies outside 100 nm to 20 µm" in refused(path)
    path = netcdf4(tmp_path / "c", labelled(wavelength=NM * 1e3, units=""))
    assert "have no unit, and neither nm nor µm" in refused(path)


def test_wavelengths_beside_numbered_or_named_bands(write: Callable[[xr.Dataset], Path]) -> None:
    array = labelled()["reflectance"].rename(wavelength="band").assign_coords(band=np.arange(1, 6))
    dataset = array.to_dataset().assign(
        wavelength=("band", NM / 1e3, {"units": "um"}), fwhm=("band", np.arange(1, 6) / 1e3, {"units": "um"})
    )
    scene = read(write(dataset), variable="reflectance")
    np.testing.assert_allclose(scene.wavelength, NM)
    np.testing.assert_allclose(scene.fwhm, np.arange(1, 6))


def test_names_of_bands_and_dimensions_without_coordinates(tmp_path: Path) -> None:
    array = labelled("y,x,wavelength", geotransform=None)["reflectance"].rename(wavelength="band")
    names = ["B2", "B3", "B4", "B8", "B12"]
    path = netcdf4(tmp_path / "a", array.assign_coords(band=names).to_dataset())
    assert open_file(FileSource(kind="file", path=str(path))).band_names == names
    assert read(path, bands=["B3", "B08"]).data.tolist() == CUBE[[1, 3]].tolist()
    assert read(path, drop_bands=["B3", "B12"]).bands == 3
    bare = xr.Dataset({"cube": (("rows", "samples", "bands"), np.moveaxis(CUBE, 0, 2))})
    np.testing.assert_array_equal(read(netcdf4(tmp_path / "b", bare)).data, CUBE)


def test_longitude_and_latitude(write: Callable[[xr.Dataset], Path]) -> None:
    lat, lon = 52.5 + 0.001 * np.arange(6), 13.4 + 0.001 * np.arange(8)
    array = xr.DataArray(
        CUBE[:, ::-1],
        dims=("band", "lat", "lon"),
        coords={
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )
    scene = read(write(array.to_dataset(name="cube")))
    np.testing.assert_array_equal(scene.data, CUBE)
    assert scene.crs == "EPSG:4326"
    assert scene.transform == pytest.approx((0.001, 0, 13.3995, 0, -0.001, 52.5055))


def test_a_crs_in_parameters_and_coordinates_in_km(tmp_path: Path) -> None:
    grid = {
        "grid_mapping_name": "transverse_mercator",
        "scale_factor_at_central_meridian": 0.9996,
        "longitude_of_central_meridian": 15.0,
        "latitude_of_projection_origin": 0.0,
        "false_easting": 500000.0,
        "false_northing": 0.0,
        "semi_major_axis": 6378137.0,
        "inverse_flattening": 298.257223563,
    }
    dataset = labelled().assign_coords(
        spatial_ref=((), 0, grid), y=("y", Y / 1e3, {"units": "km"}), x=("x", X / 1e3, {"units": "km"})
    )
    dataset["reflectance"].attrs["grid_mapping"] = "spatial_ref"
    scene = read(netcdf4(tmp_path / "a", dataset))
    assert scene.transform == pytest.approx(TRANSFORM)
    assert scene.crs is not None
    assert rasterio.CRS.from_user_input(scene.crs).to_dict()["proj"] in ("tmerc", "utm")


def test_coordinates_without_a_crs_take_the_configured_one(tmp_path: Path) -> None:
    dataset = labelled(up=True).drop_vars("spatial_ref")
    del dataset["reflectance"].attrs["grid_mapping"]
    path = netcdf4(tmp_path / "a", dataset)
    scene = read(path, crs="EPSG:32633")
    np.testing.assert_array_equal(scene.data, CUBE)
    assert (scene.crs, scene.transform) == ("EPSG:32633", pytest.approx(TRANSFORM))
    report = open_file(FileSource(kind="file", path=str(path))).report
    assert "its coordinates have no CRS (`crs` names it)" in report["assumed"]
    other = netcdf4(tmp_path / "b", labelled())
    assert "`crs` is EPSG:32632, but the file says EPSG:32633" in refused(other, crs="EPSG:32632")


def test_bands_that_are_arrays_of_their_own(write: Callable[[xr.Dataset], Path]) -> None:
    array = labelled(up=True, geotransform=None)["reflectance"].astype(np.int16)
    names = ["B02", "B03", "B04", "B08", "B12"]
    bands = {name: array.isel(wavelength=i, drop=True) for i, name in enumerate(names)}
    bands["B03"] = bands["B03"].assign_attrs(bands["B03"].attrs | {"scale_factor": 0.5})
    flags = bands["B02"].astype(np.int32).assign_attrs(flag_values=np.array([0, 1], np.int32))
    path = write(xr.Dataset(bands | {"flags": flags}))
    expected = CUBE * np.array([1, 0.5, 1, 1, 1])[:, None, None]
    scene = open_file(FileSource(kind="file", path=str(path)))
    assert scene.band_names == names
    np.testing.assert_array_equal(read(path).data, expected.astype(np.float32))
    assert scene.metadata.transform == pytest.approx(TRANSFORM)
    assert source_size(FileSource(kind="file", path=str(path))) == (6, 8)
    np.testing.assert_array_equal(read(path, wavelengths=NM.tolist(), drop_bands=["B12"]).wavelength, NM[:4])
    assert read(path, variable="B04").bands == 1


def test_bands_apart_that_state_their_wavelengths(tmp_path: Path) -> None:
    array = labelled()["reflectance"]
    bands = {
        f"rhos_{nm:.0f}": array.isel(wavelength=i, drop=True).assign_attrs(
            grid_mapping="spatial_ref", wavelength=float(nm)
        )
        for i, nm in enumerate(NM)
    }
    np.testing.assert_array_equal(read(netcdf4(tmp_path / "a", xr.Dataset(bands))).wavelength, NM)


@pytest.mark.parametrize("order", ORDERS)
def test_coordinates_beside_an_array_name_its_axes_by_their_lengths(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["cube"] = CUBE.transpose(ORDERS[order])
        file["wavelength"], file["y"], file["x"] = NM, Y[::-1], X
    scene = read(path, crs="EPSG:32633")
    np.testing.assert_array_equal(scene.data, CUBE[:, ::-1])
    np.testing.assert_array_equal(scene.wavelength, NM)
    assert scene.transform == pytest.approx(TRANSFORM)


def test_a_swath_has_no_place(write: Callable[[xr.Dataset], Path]) -> None:
    grid = (("downtrack", "crosstrack"), np.linspace(50, 51, 48).reshape(6, 8))
    cube = (("downtrack", "crosstrack", "bands"), np.moveaxis(CUBE, 0, 2).astype(np.int32))
    path = write(xr.Dataset({"reflectance": cube, "lat": grid, "lon": grid}))
    np.testing.assert_array_equal(read(path).data, CUBE)
    scene = open_file(FileSource(kind="file", path=str(path)))
    assert scene.metadata.transform is None
    assert any("longitude and latitude of each pixel are not used" in text for text in scene.assumed)


def test_wavelengths_in_another_group(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image/cube"] = np.moveaxis(CUBE, 0, 2)
        file["sensor/wavelengths"], file["sensor/fwhm"] = NM, np.full(5, 9.0)
    scene = read(tmp_path / "a.h5")
    np.testing.assert_array_equal(scene.data, CUBE)
    np.testing.assert_array_equal(scene.fwhm, np.full(5, 9.0))


def test_a_square_image_has_rows_before_columns(tmp_path: Path) -> None:
    square = CUBE[:, :, :6]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = np.moveaxis(square, 0, 2)
        file["wavelength"], file["lat"], file["lon"] = NM, 52 - np.arange(6) / 100, 13 + np.arange(6) / 100
    scene = read(tmp_path / "a.h5")
    np.testing.assert_array_equal(scene.data, square)
    assert scene.crs == "EPSG:4326"


def test_netcdf_of_gdal(tmp_path: Path) -> None:
    """GDAL stores a variable for each band, from south to north under a north-up affine."""
    from rasterio.drivers import raster_driver_extensions

    if "nc" not in raster_driver_extensions():
        pytest.skip("this GDAL writes no NetCDF")
    source = write_tif(tmp_path / "a.tif", CUBE, transform=PLACE)
    rasterio.shutil.copy(source, tmp_path / "a.nc", driver="netCDF")
    scene = read(tmp_path / "a.nc")
    np.testing.assert_array_equal(scene.data, CUBE)
    assert (scene.crs, scene.transform) == ("EPSG:32633", pytest.approx(TRANSFORM))


def test_affine_and_crs_among_the_attributes_of_the_array(tmp_path: Path) -> None:
    attributes = {"transform": np.array(TRANSFORM), "crs": "+init=epsg:32633"}
    bare = xr.Dataset({"cube": (("band", "y", "x"), CUBE, attributes)})
    scene = read(netcdf4(tmp_path / "a", bare))
    assert scene.transform == TRANSFORM
    assert scene.crs == "EPSG:32633"


def test_dates_are_one(write: Callable[[xr.Dataset], Path]) -> None:
    dataset = labelled()
    single = dataset.expand_dims(time=[0])
    np.testing.assert_array_equal(read(write(single[["reflectance"]])).data, CUBE)


def test_two_dates_are_refused(write: Callable[[xr.Dataset], Path]) -> None:
    dataset = xr.concat([labelled(), labelled()], dim="time")
    assert "its dimension 'time' has 2 dates, an image has one" in refused(write(dataset[["reflectance"]]))


def test_packed_numbers_fill_values_and_valid_ranges(write: Callable[[xr.Dataset], Path]) -> None:
    dataset = labelled("y,x,wavelength")
    stored = dataset["reflectance"].astype(np.int16)
    stored[0, 0, 0], stored[1, 1, 1], stored[2, 2, 2] = 15000, -5, 32000
    stored.attrs |= {
        "_FillValue": np.int16(15000), "scale_factor": 1e-4, "add_offset": 0.5,
        "valid_range": np.array([0, 20000], np.int16), "units": "1",
    }  # fmt: skip
    path = write(dataset.assign(reflectance=stored).drop_encoding())
    expected = np.moveaxis(stored.values, 2, 0) * 1e-4 + 0.5
    expected[0, 0, 0] = expected[1, 1, 1] = expected[2, 2, 2] = np.nan
    np.testing.assert_allclose(read(path).data, expected, rtol=1e-6)


def test_a_factor_for_each_band_and_one_that_is_no_number(tmp_path: Path) -> None:
    dataset = labelled("y,x,wavelength")
    dataset["reflectance"].attrs["scale_factor"] = np.arange(1.0, 6)
    np.testing.assert_allclose(
        read(netcdf4(tmp_path / "a", dataset)).data, CUBE * np.arange(1.0, 6)[:, None, None]
    )
    dataset["reflectance"].attrs["scale_factor"] = np.arange(1.0, 4)
    assert "its scale_factor has 3 numbers for 5 bands" in refused(netcdf4(tmp_path / "b", dataset))
    dataset["reflectance"].attrs["scale_factor"] = "small"
    assert "its scale_factor 'small' is no number" in refused(netcdf4(tmp_path / "c", dataset))


@pytest.mark.parametrize("crs", ["EPSG:32633", None])
def test_stores_of_this_package_are_sources(tmp_path: Path, crs: str | None) -> None:
    like = Metadata(
        wavelength=NM,
        fwhm=np.full(5, 9.0),
        scale=1e4,
        crs=crs,
        transform=TRANSFORM if crs else None,
        units="reflectance",
    )
    cube = (CUBE / 1e4).astype(np.float32)
    cube[:, 0, 0] = np.nan
    path = tmp_path / "cube.zarr"
    write_store(path, cube_dataset(cube, like, deviation=cube), {"step": "mosaic"})
    scene = read(path)
    np.testing.assert_allclose(scene.data, cube * 1e4, rtol=1e-6)
    np.testing.assert_array_equal(scene.fwhm, like.fwhm)
    assert (scene.crs, scene.transform, scene.units) == (crs, like.transform, "reflectance")
    rmtree(path / "fused" / "c")
    assert "since the store was written" in refused(path)
    (tmp_path / "cube.json").unlink()  # without its ledger, what is not there reads as no data
    assert "no band is left" in refused(path)


TURNED = {
    "south-up": ((10, 0, 366015, 0, 10, 5806065), CUBE[:, ::-1]),
    "mirrored": ((-10, 0, 366095, 0, -10, 5806125), CUBE[:, :, ::-1]),
    "half a turn": ((-10, 0, 366095, 0, 10, 5806065), CUBE[:, ::-1, ::-1]),
    "transposed": ((0, 10, 366015, -10, 0, 5806125), CUBE.swapaxes(1, 2)),
    "quarter": ((0, -10, 366095, -10, 0, 5806125), CUBE[:, :, ::-1].swapaxes(1, 2)),
}


@pytest.mark.parametrize("name", TURNED)
def test_grids_turned_by_right_angles_are_read_north_up(tmp_path: Path, name: str) -> None:
    affine, stored = TURNED[name]
    path = tmp_path / "a.tif"
    write_tif(path, stored, transform=Affine(*affine))
    scene = read(path)
    np.testing.assert_array_equal(scene.data, CUBE)
    assert scene.transform == pytest.approx(TRANSFORM)
    assert source_size(FileSource(kind="file", path=str(path))) == (6, 8)
    opened = open_file(FileSource(kind="file", path=str(path)))
    np.testing.assert_array_equal(opened.read(Window(1, 4, 2, 7)), CUBE[:, 1:4, 2:7])
    assert any("on reading" in text for text in opened.report["assumed"])
