"""A folder of one GeoTIFF for each band, and stacks of several dates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import Affine

from pipeline.config.scenes import FileSource
from pipeline.inputs.file_scene import open_file, source_size
from products import write_tif
from scene_files import CUBE, NM, PLACE, raster, read, refused

NAMES = ("B2", "B3", "B4", "B8", "B11")


def folder_of(path: Path, names: tuple[str, ...] = NAMES, **profile: Any) -> Path:
    """The bands of `CUBE`, a file each."""
    path.mkdir()
    for name, band in zip(names, CUBE, strict=True):
        write_tif(path / f"scene_{name}_sr.tif", band, transform=PLACE, **profile)
    return path


def test_a_file_for_each_band(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "scene", nodata=int(CUBE[0, 0, 0]))
    expected = CUBE.astype(np.float32)
    expected[CUBE[0, 0, 0] == CUBE] = np.nan
    for source in (path, path / "*_sr.tif"):
        scene = open_file(FileSource(kind="file", path=str(source)))
        assert scene.band_names == list(NAMES)
        np.testing.assert_array_equal(read(source).data, expected)
        assert source_size(FileSource(kind="file", path=str(source))) == (6, 8)
    assert scene.report["files"] == sorted(f"scene_{name}_sr.tif" for name in NAMES)
    np.testing.assert_array_equal(read(path, bands=["B4", "B11"]).data, expected[[2, 4]])
    np.testing.assert_array_equal(read(path, drop_bands=["B2"], wavelengths=NM.tolist()).wavelength, NM[1:])


def test_wavelengths_in_the_names_and_the_tags(tmp_path: Path) -> None:
    names = tuple(f"{nm:.0f}nm" for nm in NM[::-1])
    scene = read(folder_of(tmp_path / "names", names))
    np.testing.assert_array_equal(scene.wavelength, NM)
    np.testing.assert_array_equal(scene.data, CUBE[::-1])
    path = folder_of(tmp_path / "tags")
    for name, nm in zip(NAMES, NM, strict=True):
        with raster(path / f"scene_{name}_sr.tif", "GTiff", CUBE[:1]) as file:
            file.update_tags(1, wavelength=f"{nm} nm")
    np.testing.assert_array_equal(read(path).wavelength, NM)


def test_files_of_other_pixels_or_dates_are_refused(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "sizes")
    write_tif(path / "scene_B12_sr.tif", CUBE[0, :3, :4], transform=PLACE @ Affine.scale(2))
    assert "is not on the grid of" in refused(path)
    dated = folder_of(
        tmp_path / "dates", ("20220101_B2", "20220101_B3", "20220213_B2", "20220213_B3", "x_20220213")
    )
    message = refused(dated)
    assert (
        "its files are of 2 dates, 20220101, 20220213; an image has one: give a pattern of one date"
        in message
    )
    assert read(dated / "*20220101*.tif").bands == 2


@pytest.mark.parametrize("kind", ["wavelengths", "names"])
def test_two_dates_in_one_stack_are_refused(tmp_path: Path, kind: str) -> None:
    twice = np.concatenate([CUBE, CUBE[:, ::-1]])
    with raster(tmp_path / "a.tif", "GTiff", twice) as file:
        for band in range(10):
            if kind == "wavelengths":
                file.update_tags(band + 1, wavelength=f"{NM[band % 5]} nm")
            else:
                file.set_band_description(band + 1, NAMES[band % 5])
    message = refused(tmp_path / "a.tif")
    assert "each of its bands is there 2 times, as in a stack of 2 dates" in message
    assert "`bad_bands: [5, 6, 7, 8, 9]`" in message
    np.testing.assert_array_equal(read(tmp_path / "a.tif", bad_bands=[5, 6, 7, 8, 9]).data, CUBE)
