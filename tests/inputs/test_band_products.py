"""Products of one file for each band: Hyperion, ALI, Sentinel-2 and Landsat, in their documented layouts."""

from __future__ import annotations

from math import radians, sin
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import Affine

import products
from pipeline.config.scenes import FileSource
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import no_progress
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.file_scene import open_file, read_scene, source_size
from pipeline.inputs.formats.band_order import OVERLAP
from pipeline.inputs.source import locate
from pipeline.steps import download

SHAPE = (7, 9)
UTM = (30.0, 0.0, 366015.0, 0.0, -30.0, 5807085.0)


def read(path: Path, **keys: Any) -> Scene:
    return read_scene(FileSource(kind="file", path=str(path), **keys))


def refused(path: Path, **keys: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(path, **keys)
    message = str(caught.value)
    assert "\n" not in message
    return message


def check_windows(path: Path, **keys: Any) -> None:
    """Windows give what the whole gives."""
    whole = read(path, **keys).data
    scene = open_file(FileSource(kind="file", path=str(path), **keys))
    _, height, width = scene.shape
    assert source_size(FileSource(kind="file", path=str(path), **keys)) == (height, width)
    for window in Window(0, height, 0, width).split(4):
        np.testing.assert_array_equal(scene.read(window), whole[:, *window.slices])


def expected(numbers: np.ndarray, gain: Any, offset: Any = 0.0) -> np.ndarray:
    """Physical values in float32, NaN where the number is zero."""
    gain, offset = (np.reshape(value, (-1, 1, 1)) for value in (gain, offset))
    return np.where(numbers == 0, np.nan, gain * numbers.astype(np.float64) + offset).astype(np.float32)


@pytest.fixture
def hyperion(tmp_path: Path) -> tuple[Path, dict[int, np.ndarray]]:
    """All 242 bands, of which only the calibrated ones hold numbers."""
    bands = {n: products.numbers(SHAPE, n) for n in range(1, 243)}
    for n in (*range(1, 8), *range(58, 77), *range(225, 243)):
        bands[n] = np.zeros(SHAPE, np.int16)
    bands[130][3, 4] = 0  # a dark band: zero is a radiance there
    return products.write_hyperion(tmp_path / "hyperion", bands), bands


def test_hyperion(hyperion: tuple[Path, dict[int, np.ndarray]]) -> None:
    path, bands = hyperion
    names = [f"B{n:03}" for n in (8, 57, 130, 224)]
    scene = read(path, bands=names)
    numbers = np.stack([bands[n] for n in (8, 57, 130, 224)]).astype(np.float64)
    values = numbers / np.array([40, 40, 80, 80])[:, None, None]
    values[:, 0, 0] = np.nan  # outside the swath all bands are zero
    np.testing.assert_array_equal(scene.data, values.astype(np.float32))
    assert scene.data[2, 3, 4] == 0
    assert (scene.crs, scene.transform, scene.units) == ("EPSG:32633", UTM, "W m-2 sr-1 um-1")
    assert scene.wavelength is not None
    assert scene.detector is not None
    np.testing.assert_allclose(scene.wavelength, [426.82, 925.41, 1447.14, 2395.5], atol=0.01)
    assert scene.detector.tolist() == ["VNIR", "VNIR", "SWIR", "SWIR"]
    check_windows(path, bands=names)


def test_hyperion_reads_the_calibrated_bands(hyperion: tuple[Path, dict[int, np.ndarray]]) -> None:
    path, _ = hyperion
    image = locate(FileSource(kind="file", path=str(path))).open()
    assert image.shape == (198, *SHAPE)
    assert image.detector is not None
    assert (image.detector == "VNIR").sum() == 50
    scene = open_file(FileSource(kind="file", path=str(path)))
    left_out = scene.report["left_out"]
    assert left_out == [{"reason": OVERLAP, "bands": [49, 50]}]  # B057 (925 nm) and B077 (912 nm)
    assert scene.report["names"][48:50] == ["B056", "B078"]
    assert scene.metadata.wavelength is not None
    assert (np.diff(scene.metadata.wavelength) > 0).all()
    assert "B007, B060 are not calibrated" in refused(path, bands=["B007", "B060", "B100"])
    (path / f"{products.HYPERION}_B100_L1T.TIF").unlink()
    assert "has no file of band B100" in refused(path)
    assert read(path, bands=["B099", "B101"]).bands == 2


def test_hyperion_level_1gst(tmp_path: Path) -> None:
    bands = {n: products.numbers(SHAPE, n) for n in (20, 30, 100)}
    path = products.write_hyperion(tmp_path / "scene", bands, level="L1GST")
    scene = read(path, bands=["B020", "B030", "B100"])
    np.testing.assert_array_equal(
        scene.data, expected(np.stack(list(bands.values())), [1 / 40, 1 / 40, 1 / 80])
    )


def test_hyperion_without_metadata(hyperion: tuple[Path, dict[int, np.ndarray]]) -> None:
    path, _ = hyperion
    mtl = path / f"{products.HYPERION}_MTL_L1T.TXT"
    mtl.write_text("GROUP = RADIANCE_SCALING\n  SCALING_FACTOR_VNIR = forty\nEND_GROUP = RADIANCE_SCALING\n")
    message = refused(path, bands=["B010"])
    assert "RADIANCE_SCALING/SCALING_FACTOR_VNIR is 'forty', not a number" in message
    mtl.write_text("nothing")
    assert "no MTL metadata that can be read" in refused(path, bands=["B010"])
    mtl.unlink()
    message = refused(path, bands=["B010"])
    assert f"has no {products.HYPERION}_MTL_L1T.TXT or" in message


def test_ali(tmp_path: Path) -> None:
    bands = {n: products.numbers(SHAPE if n > 1 else (21, 27), n) for n in range(1, 11)}
    path = products.write_ali(tmp_path / "ali", bands)
    scene = read(path)
    order = range(2, 11)
    gain, offset = ([table[n] for n in order] for table in (products.ALI_FACTOR, products.ALI_OFFSET))
    np.testing.assert_array_equal(scene.data, expected(np.stack([bands[n] for n in order]), gain, offset))
    assert scene.wavelength is not None
    assert scene.fwhm is not None
    assert scene.wavelength[[0, 1, 6]].tolist() == [443, 482.5, 1250]
    assert scene.fwhm[[0, 1, 6]].tolist() == [20, 65, 100]
    assert (scene.units, scene.transform) == ("W m-2 sr-1 um-1", UTM)
    pan = read(path, bands=["B01"])
    np.testing.assert_array_equal(pan.data, expected(bands[1][None], 0.024, -2.2))
    assert pan.transform == (10.0, 0.0, 366015.0, 0.0, -10.0, 5807085.0)
    check_windows(path)
    check_windows(path, bands=["B01"])
    message = refused(path, bands=["B03", "B01"])
    assert "pixels of (10.0, 10.0), but" in message
    assert "has (30.0, 30.0)" in message
    assert "has no file of band B11; there are B01, B02" in refused(path, bands=["B11"])


def safe_bands() -> dict[tuple[str, int], np.ndarray]:
    """Bands of an L2A product: B02 to B04 at 10 and 20 m, B08 at 10 m, B11 and B8A at 20 m."""
    fine = {
        (b, 10): products.numbers((12, 16), i, "uint16") for i, b in enumerate(["B02", "B03", "B04", "B08"])
    }
    names = ["B02", "B03", "B04", "B8A", "B11"]
    return fine | {(b, 20): products.numbers((6, 8), 9 + i, "uint16") for i, b in enumerate(names)}


@pytest.mark.parametrize("driver", ["JP2OpenJPEG", "GTiff"])
def test_sentinel2(tmp_path: Path, driver: str) -> None:
    bands = safe_bands()
    bands["B03", 10][5, 6] = 65535  # saturated
    path = products.write_sentinel2(tmp_path, bands, driver=driver)
    scene = read(path)
    names = ["B02", "B03", "B04", "B08"]
    values = expected(np.stack([bands[b, 10] for b in names]), 1e-4, -0.1)
    values[1, 5, 6] = np.nan
    np.testing.assert_allclose(scene.data, values, rtol=1e-6)
    assert scene.wavelength is not None
    assert scene.fwhm is not None
    np.testing.assert_array_equal(scene.wavelength, [492.4, 559.8, 664.6, 832.8])
    np.testing.assert_array_equal(scene.fwhm, [20, 20, 20, 20])
    assert (scene.units, scene.crs) == ("reflectance", "EPSG:32633")
    assert scene.transform == (10.0, 0.0, 366000.0, 0.0, -10.0, 5807100.0)
    coarse = read(path, bands=["B02", "B11"])  # both are stored at 20 m
    numbers = np.stack([bands["B02", 20], bands["B11", 20]])
    np.testing.assert_allclose(coarse.data, expected(numbers, 1e-4, -0.1), rtol=1e-6)
    check_windows(path)
    message = refused(path, bands=["B08", "B11"])
    assert "are not stored at a common pixel size" in message
    assert "(10 m: B02, B03, B04, B08; 20 m: B02, B03, B04, B11, B8A)" in message
    assert "has no file of band B09" in refused(path, bands=["B09"])


def test_sentinel2_level1_and_old_baseline(tmp_path: Path) -> None:
    bands = {key: data for key, data in safe_bands().items() if key[1] == 10 or key[0] in ("B8A", "B11")}
    path = products.write_sentinel2(tmp_path, bands, level="L1C", offset=None)
    scene = read(path, bands=["B02", "B04"])
    numbers = np.stack([bands["B02", 10], bands["B04", 10]])
    np.testing.assert_allclose(scene.data, expected(numbers, 1e-4), rtol=1e-6)
    assert scene.units == "reflectance at the top of the atmosphere"
    assert "20 m: B11, B8A" in refused(path, bands=["B02", "B11"])


def test_sentinel2_without_metadata(tmp_path: Path) -> None:
    bands = safe_bands()
    path = products.write_sentinel2(tmp_path, bands)
    (path / "MTD_MSIL2A.xml").write_text("<broken")
    assert "no XML metadata that can be read" in refused(path)
    (path / "MTD_MSIL2A.xml").unlink()
    assert "has no MTD_MSIL2A.xml or MTD_MSIL1C.xml" in refused(path)
    loose = next((path / "GRANULE").glob("*/IMG_DATA/R20m"))
    scene = read(loose, bands=["B03", "B8A"])
    numbers = np.stack([bands["B03", 20], bands["B8A", 20]])
    np.testing.assert_allclose(scene.data, expected(numbers, 1e-4, -0.1), rtol=1e-6)  # by the product's name
    assert scene.wavelength is not None
    np.testing.assert_array_equal(scene.wavelength, [559.8, 864.7])
    np.testing.assert_array_equal(
        read(loose, bands=["B03", "B8A"], scale=1, offset=0).data, expected(numbers, 1)
    )
    unnamed = tmp_path / "loose"
    loose.rename(unnamed)
    scene = read(unnamed, bands=["B03", "B8A"])
    np.testing.assert_array_equal(scene.data, expected(numbers, 1))
    assert scene.units is None


@pytest.mark.parametrize("form", ["txt", "json", "xml"])
def test_landsat_level2(tmp_path: Path, form: str) -> None:
    bands = {n: products.numbers(SHAPE, n, "uint16") for n in range(1, 8)}
    quality = np.full(SHAPE, 21824, np.uint16)  # clear
    quality[2, 3] = 1  # fill
    path = products.write_landsat(tmp_path / "scene", bands, quality, form=form)
    scene = read(path)
    values = expected(np.stack(list(bands.values())), 2.75e-5, -0.2)
    values[:, 2, 3] = np.nan
    np.testing.assert_allclose(scene.data, values, rtol=1e-6)
    assert (scene.units, scene.transform) == ("reflectance", UTM)
    assert scene.wavelength is not None
    assert scene.wavelength.tolist()[:2] == [442.96, 482.04]
    check_windows(path, bands=["B2", "B4"])
    assert "has no file of band B9; there are B1" in refused(path, bands=["B9"])
    (path / f"{products.LANDSAT[2]}_QA_PIXEL.TIF").unlink()
    assert f"has no {products.LANDSAT[2]}_QA_PIXEL.TIF" in refused(path)


def test_landsat_level1(tmp_path: Path) -> None:
    bands = {n: products.numbers(SHAPE, n, "uint16") for n in range(1, 8)}
    bands[8] = products.numbers((14, 18), 8, "uint16")
    path = products.write_landsat(tmp_path / "scene", bands, np.full(SHAPE, 21824, np.uint16), level=1)
    scene = read(path, bands=["B5"])
    height = sin(radians(30))
    np.testing.assert_allclose(scene.data, expected(bands[5][None], 2e-5 / height, -0.1 / height), rtol=1e-6)
    assert scene.units == "reflectance at the top of the atmosphere"
    assert read(path, bands=["B8"]).transform == (15.0, 0.0, 366015.0, 0.0, -15.0, 5807085.0)
    assert "pixels of (15.0, 15.0)" in refused(path, bands=["B4", "B8"])
    mtl = path / f"{products.LANDSAT[1]}_MTL.txt"
    mtl.write_text(mtl.read_text().replace("SUN_ELEVATION", "SUN_HEIGHT"))
    assert "IMAGE_ATTRIBUTES/SUN_ELEVATION is missing" in refused(path)


def test_landsat7_and_surface_reflectance_without_an_mtl(tmp_path: Path) -> None:
    bands = {n: products.numbers(SHAPE, n, "uint16") for n in (1, 2, 3, 4, 5, 7)}
    path = products.write_landsat(tmp_path / "scene", bands, np.full(SHAPE, 5440, np.uint16))
    for file in path.iterdir():
        file.rename(file.with_name(file.name.replace("LC08", "LE07")))
    scene = read(path)
    np.testing.assert_allclose(scene.data, expected(np.stack(list(bands.values())), 2.75e-5, -0.2), rtol=1e-6)
    assert scene.wavelength is not None
    assert scene.wavelength.tolist() == [485.0, 560, 660, 835, 1650, 2220]
    for name in ("MTL.txt", "QA_PIXEL.TIF"):
        (path / f"{products.LANDSAT[2].replace('LC08', 'LE07')}_{name}").unlink()
    loose = open_file(FileSource(kind="file", path=str(path)))
    np.testing.assert_array_equal(read(path).data, scene.data)
    assert any("no MTL beside the bands" in text for text in loose.assumed)


def test_nodata_is_compared_with_stored_numbers(tmp_path: Path) -> None:
    """A reflectance of zero is none, where the stored zero is no data."""
    data = products.numbers((12, 16), 0, "uint16")
    data[3, 3] = 1000
    path = products.write_sentinel2(tmp_path, {("B02", 10): data})
    scene = read(path, bands=["B02"], nodata=0)
    assert scene.data[0, 3, 3] == 0
    assert np.isnan(scene.data).sum() == 1


def test_metadata_and_archives_are_no_images(tmp_path: Path) -> None:
    path = products.write_sentinel2(tmp_path, safe_bands())
    assert f"is metadata, not an image; give the product's folder, {path}" in refused(path / "MTD_MSIL2A.xml")
    archive = tmp_path / "product.zip"
    archive.write_bytes(b"PK")
    assert "is an archive; unpack it" in refused(archive)


def test_report_names_product_and_files(tmp_path: Path) -> None:
    path = products.write_ali(tmp_path / "ali", {n: products.numbers(SHAPE, n) for n in range(2, 11)})
    report = open_file(FileSource(kind="file", path=str(path), bands=["B02", "B10"])).report
    assert report["product"] == "EO-1 ALI L1T, L1Gst"
    assert report["files"] == [
        f"{products.ALI}_{end}" for end in ("B02_L1T.TIF", "B10_L1T.TIF", "MTL_L1T.TXT")
    ]
    assert report["names"] == ["B02", "B10"]
    assert report["units"] == "W m-2 sr-1 um-1"


def test_bands_of_one_product_lie_on_one_grid(tmp_path: Path) -> None:
    bands = {n: products.numbers(SHAPE, n) for n in range(2, 11)}
    path = products.write_ali(tmp_path / "ali", bands)
    third = path / f"{products.ALI}_B04_L1T.TIF"
    for change, words in (
        ({"crs": "EPSG:32634"}, "CRS EPSG:32634, but"),
        ({"transform": products.GRID * Affine.translation(0, 1)}, "corner (366015.0, 5807055.0), but"),
    ):
        products.write_tif(third, bands[4], **change)
        message = refused(path)
        assert words in message
        assert third.name in message
    products.write_tif(third, bands[4][:5])
    assert "height and width (5, 9), but" in refused(path)
    products.write_tif(third, np.stack([bands[4]] * 2))
    assert "has 2 bands; a band file of a product has one" in refused(path)
    third.write_text("<!doctype html><p>log in")
    assert "is a web page" in refused(path)
    third.write_bytes(b"II*\0 cut short")
    assert "no raster that can be read" in refused(path)


def test_two_scenes_in_a_folder(tmp_path: Path) -> None:
    path = products.write_ali(tmp_path / "ali", {n: products.numbers(SHAPE, n) for n in range(2, 11)})
    products.write_tif(path / "EO1A0010012005001110KF_B02_L1T.TIF", products.numbers(SHAPE, 1))
    assert "holds bands of 2 scenes" in refused(path)


def test_download_records_every_file(tmp_path: Path) -> None:
    from hashlib import sha256

    path = products.write_ali(tmp_path / "ali", {n: products.numbers(SHAPE, n) for n in range(2, 11)})
    source = FileSource(kind="file", path=str(path), bands=["B03", "B02"])
    record = download.describe(source, no_progress)
    names = sorted(
        [f"{products.ALI}_B02_L1T.TIF", f"{products.ALI}_B03_L1T.TIF", f"{products.ALI}_MTL_L1T.TXT"]
    )
    digests = {name: sha256((path / name).read_bytes()).hexdigest() for name in names}
    assert record["files"] == digests
    listing = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    assert record["sha256"] == sha256(listing.encode()).hexdigest()
    assert record["bytes"] == sum((path / name).stat().st_size for name in names)
    known = source.model_copy(update={"sha256": record["sha256"]})
    assert open_file(known).shape == (2, *SHAPE)
    products.write_tif(path / f"{products.ALI}_B05_L1T.TIF", products.numbers(SHAPE, 99))
    assert open_file(known).shape == (2, *SHAPE)  # B05 is not read
    products.write_tif(path / f"{products.ALI}_B03_L1T.TIF", products.numbers(SHAPE, 99))
    with pytest.raises(InputError, match="its sha256 is"):
        open_file(known)
