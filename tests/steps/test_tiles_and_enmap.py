"""Tiles side by side are one scene; EnMAP products; what a GeoTIFF says of its pixels and its place."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

import products
from pipeline.config.scenes import FileSource
from pipeline.config.scenes import Scene as SceneConfig
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import no_progress
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.file_scene import open_file, read_scene, source_size
from pipeline.inputs.formats.bands import detectors_of
from pipeline.inputs.source import locate
from pipeline.steps import crop, download
from pipeline.store.schema import scene_from
from pipeline.store.store import read_store

CUBE = np.random.default_rng(0).integers(1, 10_000, (3, 12, 10)).astype(np.int16)


def source(path: Path, **keys: Any) -> FileSource:
    return FileSource(kind="file", path=str(path), **keys)


def read(path: Path, **keys: Any) -> Scene:
    return read_scene(source(path, **keys))


def refused(path: Path, **keys: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(path, **keys)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write_tile(folder: Path, window: Window, grid: Affine = products.GRID, **profile: Any) -> Path:
    """A part of CUBE as a GeoTIFF in its place."""
    a, b, c, d, e, f = grid[:6]
    corner = (c + a * window.x0 + b * window.y0, f + d * window.x0 + e * window.y0)
    transform = Affine(a, b, corner[0], d, e, corner[1])
    path = folder / f"tile_{window.y0}_{window.x0}.tif"
    return products.write_tif(path, CUBE[:, *window.slices], **({"transform": transform} | profile))


SOUTH = 5807085 + 12 * 30


@pytest.mark.parametrize(
    ("grid", "expected", "upright"),
    [
        (products.GRID, CUBE, products.GRID),
        (Affine(30, 0, 366015, 0, 30, 5807085), CUBE[:, ::-1], Affine(30, 0, 366015, 0, -30, SOUTH)),
        (Affine(-30, 0, 366015, 0, 30, 5807085), CUBE[:, ::-1, ::-1], Affine(30, 0, 365715, 0, -30, SOUTH)),
        (Affine(24, 18, 366015, 18, -24, 5807085), CUBE, None),  # rotated: as it is
        (Affine(0, 30, 366015, -30, 0, 5807085), CUBE.swapaxes(1, 2), products.GRID),
    ],
)
def test_tiles_are_one_scene(
    tmp_path: Path, grid: Affine, expected: np.ndarray, upright: Affine | None
) -> None:
    for y in (0, 5):
        for x in (0, 4):
            write_tile(tmp_path, Window(y, 5 if y == 0 else 12, x, 4 if x == 0 else 10), grid)
    scene = read(tmp_path)
    np.testing.assert_array_equal(scene.data, expected)
    assert scene.transform == (upright or grid)[:6]
    assert scene.crs == "EPSG:32633"
    assert source_size(source(tmp_path)) == expected.shape[1:]
    np.testing.assert_array_equal(read(tmp_path / "tile_*.tif").data, expected)


def test_gaps_and_overlaps(tmp_path: Path) -> None:
    write_tile(tmp_path, Window(0, 6, 0, 6))
    write_tile(tmp_path, Window(4, 12, 4, 10))
    scene = read(tmp_path)
    expected = CUBE.astype(np.float32)
    expected[:, :4, 6:] = expected[:, 6:, :4] = np.nan
    np.testing.assert_array_equal(scene.data, expected)
    assert scene.transform == products.GRID[:6]


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_windows_of_tiles(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("tiles")
    for box in (Window(0, 5, 0, 4), Window(0, 5, 4, 10), Window(5, 12, 2, 9)):
        write_tile(folder, box)
    image = locate(source(folder)).open()
    whole, missing = image.read(Window(0, 12, 0, 10), [0, 1, 2])
    y0, x0 = data.draw(st.integers(0, 11)), data.draw(st.integers(0, 9))
    window = Window(y0, data.draw(st.integers(y0 + 1, 12)), x0, data.draw(st.integers(x0 + 1, 10)))
    values, absent = image.read(window, [2, 0])
    np.testing.assert_array_equal(values, whole[[2, 0], *window.slices])
    np.testing.assert_array_equal(absent, missing[[2, 0], *window.slices])


def test_tiles_that_do_not_fit(tmp_path: Path) -> None:
    write_tile(tmp_path, Window(0, 6, 0, 6))
    second = write_tile(tmp_path, Window(6, 12, 0, 6))

    def changed(**profile: Any) -> str:
        write_tile(tmp_path, Window(6, 12, 0, 6), **profile)
        return refused(tmp_path)

    message = changed(transform=Affine(30, 0, 366030, 0, -30, 5806905))
    assert "is not on the grid of" in message
    assert "column 0.50, row 6.00" in message
    assert "its pixels are 20 by -20, not 30 by -30" in changed(
        transform=Affine(20, 0, 366015, 0, -20, 5806905)
    )
    assert "its CRS is EPSG:32634, but" in changed(crs="EPSG:32634")
    assert "covers the same pixels as" in changed(transform=products.GRID)
    products.write_tif(second, CUBE[:2, 6:, :6], transform=Affine(30, 0, 366015, 0, -30, 5806905))
    assert "its number of bands is 2, but" in refused(tmp_path)
    assert "matches no file" not in refused(tmp_path)
    assert "no file matches this pattern" in refused(tmp_path / "nothing_*.tif")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "neither a known product nor GeoTIFF tiles" in refused(empty)
    assert "no such file" in refused(tmp_path / "none.tif")


def test_tiles_need_a_place(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", count=3, height=12, width=10, dtype="int16"
        ) as file:
            file.write(CUBE)
    assert "has no georeference, which is what places a tile" in refused(tmp_path)


def test_bands_belong_to_products(tmp_path: Path) -> None:
    write_tile(tmp_path, Window(0, 6, 0, 6))
    assert "`bands`: there is no band 'B02'; its bands are 0, 1, 2" in refused(tmp_path, bands=["B02"])
    assert read(tmp_path, bands=["0", "2"]).bands == 2


def test_potsdam(shared_data: Path) -> None:
    """The four tiles are one scene; each pixel is that of its own file."""
    folder = shared_data / "enmap_potsdam"
    scene = open_file(source(folder))
    assert scene.shape == (207, 64, 64)  # six bands are no-data, eleven see what the other detector sees
    assert scene.metadata.wavelength is not None
    assert (np.diff(scene.metadata.wavelength) > 0).all()
    pixels = scene.read(Window(0, 64, 0, 64))
    assert np.isfinite(pixels).all()
    assert scene.metadata.crs == "EPSG:32633"
    assert scene.metadata.transform == (30.0, 0.0, 366015.0, 0.0, -30.0, 5807085.0)
    image = locate(source(folder)).open()
    assert image.bad_bands == (129, 130, 131, 132, 133, 134)
    assert image.detector is not None
    assert image.detector[[0, 90, 91, 223]].tolist() == ["VNIR", "VNIR", "SWIR", "SWIR"]
    values, missing = image.read(Window(0, 64, 0, 64), [5, 91, 131])
    with rasterio.open(folder / "enmap_potsdam_tile_160_128.tif") as file:
        raw = file.read([6, 92, 132])
    np.testing.assert_allclose(values[:2, 32:, 32:], 1e-4 * raw[:2].astype(np.float64), rtol=1e-12)
    assert missing[2].all()
    assert not missing[:2].any()
    record = download.describe(source(folder), no_progress)
    assert sorted(record["files"]) == [
        f"enmap_potsdam_tile_{y}_{x}.tif" for y in (128, 160) for x in (128, 96)
    ]


def enmap_numbers(seed: int) -> np.ndarray:
    data = np.random.default_rng(seed).integers(-50, 6000, (64, 5, 6)).astype(np.int16)
    data[40] = -32768  # a band of water vapour
    data[:, 0, 0] = -32768
    return data


@pytest.mark.parametrize("declared", [{"nodata": -32768}, {}])
def test_enmap(tmp_path: Path, declared: dict[str, Any]) -> None:
    data = enmap_numbers(0)
    path = products.write_enmap(tmp_path, 1, data, **declared)
    image = locate(source(path)).open()
    assert image.shape == (64, 5, 6)
    assert image.wavelength is not None
    assert image.fwhm is not None
    assert image.detector is not None
    np.testing.assert_allclose(image.wavelength, products.ENMAP_NM, atol=5e-4)
    np.testing.assert_allclose(image.fwhm, 6 + np.arange(1, 65) / 10, atol=1e-9)
    assert image.detector.tolist() == ["VNIR"] * 30 + ["SWIR"] * 34
    values, missing = image.read(Window(0, 5, 0, 6), [0, 40, 63])
    np.testing.assert_array_equal(missing, data[[0, 40, 63]] == -32768)
    np.testing.assert_allclose(values[~missing], 1e-4 * data[[0, 40, 63]].astype(float)[~missing], rtol=1e-12)
    assert image.units == "reflectance"
    part, _ = image.read(Window(1, 3, 2, 6), [63])
    np.testing.assert_array_equal(part, values[2:, 1:3, 2:6])
    assert set(download.describe(source(path), no_progress)["files"]) == {
        path.name,
        path.name.replace("SPECTRAL_IMAGE.TIF", "METADATA.XML"),
    }


def test_enmap_products_side_by_side(tmp_path: Path) -> None:
    first, second = enmap_numbers(1), enmap_numbers(2)
    products.write_enmap(tmp_path, 1, first)
    products.write_enmap(tmp_path, 2, second, transform=Affine(30, 0, 366015, 0, -30, 5806935))
    image = locate(source(tmp_path)).open()
    assert image.shape == (64, 10, 6)
    values, missing = image.read(Window(0, 10, 0, 6), [3])
    both = np.concatenate([first[3], second[3]])
    np.testing.assert_array_equal(missing[0], both == -32768)
    np.testing.assert_allclose(values[0][~missing[0]], 1e-4 * both.astype(float)[~missing[0]], rtol=1e-12)


def test_enmap_with_wrong_metadata(tmp_path: Path) -> None:
    path = products.write_enmap(tmp_path, 1, enmap_numbers(0))
    metadata = next(tmp_path.glob("*-METADATA.XML"))
    text = metadata.read_text()
    for old, new, words in (
        ("<FWHMOfBand>6.10<", "<FWHMOfBand>wide<", "FWHMOfBand of band 1 is 'wide', not a number"),
        (",64</expectedChannelsList>", ",all</expectedChannelsList>", "SWIR channel is 'all', not a number"),
        ("<backgroundValue>-32768</backgroundValue>", "", "backgroundValue is missing"),
    ):
        assert old in text
        metadata.write_text(text.replace(old, new))
        message = refused(path)
        assert words in message
        assert metadata.name in message
    products.write_tif(path, enmap_numbers(0)[:60])
    metadata.write_text(text)
    assert "describes 64 bands" in refused(tmp_path)
    metadata.unlink()
    assert f"has no {metadata.name}" in refused(tmp_path)
    path.unlink()
    assert "no such file" in refused(path)
    with pytest.raises(InputError, match="no such file"):
        download.describe(source(path), no_progress)
    with pytest.raises(InputError, match="no such file"):
        open_file(source(path, sha256="0" * 64))


def test_enmap_bands_that_were_not_expected_are_bad(tmp_path: Path) -> None:
    path = products.write_enmap(tmp_path, 1, enmap_numbers(0))
    metadata = next(tmp_path.glob("*-METADATA.XML"))
    text = metadata.read_text()
    metadata.write_text(text.replace("<expectedChannelsList>1,2,", "<expectedChannelsList>2,"))
    image = locate(source(path)).open()
    assert image.bad_bands == (0,)
    assert image.detector is not None
    assert image.detector[:2].tolist() == ["", "VNIR"]


def test_alpha_is_a_mask_and_no_band(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = np.concatenate([CUBE, np.full((1, 12, 10), 255, np.int16)]).astype(np.uint16)
    data[3, 2:4, 5] = 0
    path = tmp_path / "a.tif"
    products.write_tif(path, data)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.gray, *[ColorInterp.undefined] * 2, ColorInterp.alpha]
    with caplog.at_level(logging.INFO):
        scene = read(path)
    assert scene.bands == 3
    np.testing.assert_array_equal(np.isnan(scene.data), np.broadcast_to(data[3] == 0, scene.data.shape))
    assert "declared to be alpha" in caplog.text


def test_mask_band_and_units(tmp_path: Path) -> None:
    path = products.write_tif(tmp_path / "a.tif", CUBE)
    valid = np.ones((12, 10), bool)
    valid[7, 1:] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(valid)
        file.units = ["W m-2 sr-1 um-1"] * 3
        file.scales, file.offsets = (0.5, 1.0, 2.0), (0.0, -1.0, 3.0)
    scene = read(path)
    expected = CUBE * np.reshape([0.5, 1, 2], (3, 1, 1)) + np.reshape([0, -1, 3], (3, 1, 1))
    np.testing.assert_array_equal(scene.data, np.where(valid, expected, np.nan).astype(np.float32))
    assert scene.units == "W m-2 sr-1 um-1"


def test_configured_nodata_is_compared_with_stored_numbers(tmp_path: Path) -> None:
    data = CUBE.copy()
    data[:, 2, 3] = -32768
    path = products.write_tif(tmp_path / "a.tif", data)
    with rasterio.open(path, "r+") as file:
        file.scales = (1e-4,) * 3
    scene = read(path, nodata=-32768)
    np.testing.assert_array_equal(np.isnan(scene.data), data == -32768)


def test_nodata_of_each_band(tmp_path: Path) -> None:
    """An ERDAS file can declare another no-data value for each band; it is written by way of a VRT."""
    path = products.write_tif(tmp_path / "a.tif", CUBE)
    values = CUBE[:, 3, 4].tolist()
    bands = "".join(
        f'<VRTRasterBand dataType="Int16" band="{i}"><NoDataValue>{value}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{path.name}</SourceFilename><SourceBand>{i}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for i, value in enumerate(values, 1)
    )
    vrt = tmp_path / "a.vrt"
    vrt.write_text(f'<VRTDataset rasterXSize="10" rasterYSize="12">{bands}</VRTDataset>')
    rasterio.shutil.copy(vrt, tmp_path / "a.img", driver="HFA")
    scene = read(tmp_path / "a.img")
    np.testing.assert_array_equal(np.isnan(scene.data), np.reshape(values, (3, 1, 1)) == CUBE)


def test_pixel_is_point(tmp_path: Path) -> None:
    """The corner is that of the upper left pixel, also where the file gives that pixel's centre."""
    path = products.write_tif(tmp_path / "a.tif", CUBE)
    with rasterio.open(path, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    assert read(path).transform == products.GRID[:6]


def test_detectors_of() -> None:
    """Where wavelengths step back another detector begins, if both have bands enough."""
    vnir, swir = np.linspace(420, 993, 91), np.linspace(902, 2445, 133)
    found = detectors_of(np.concatenate([vnir, swir]))
    assert found is not None
    assert found.tolist() == ["VNIR"] * 91 + ["SWIR"] * 133
    three = detectors_of(np.concatenate([np.linspace(400, 700, 20), np.linspace(690, 1300, 20), swir]))
    assert three is not None
    assert three[[0, 20, 40]].tolist() == ["detector 1", "detector 2", "detector 3"]
    assert detectors_of(np.array([650.0, 560, 480])) is None  # red, green, blue
    assert detectors_of(vnir) is None
    assert detectors_of(None) is None


def test_potsdam_becomes_a_reference(shared_data: Path, tmp_path: Path) -> None:
    """`download` and `crop` take the four tiles as one scene: monotonic wavelengths, bands left out."""
    tiles = source(shared_data / "enmap_potsdam" / "*.tif")
    download.run(settings=SceneConfig(source=tiles), out=tmp_path / "source.json")
    scene = SceneConfig(source=tiles)
    crop.run(source=tmp_path / "source.json", settings=scene, out=tmp_path / "reference.json")
    reference = scene_from(read_store(tmp_path / "reference.json"))
    assert reference.data.shape == (207, 64, 64)
    assert reference.wavelength is not None
    assert (np.diff(reference.wavelength) > 0).all()
    assert np.isfinite(reference.data).all()
