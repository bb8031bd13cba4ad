"""A mission is one file, which is found by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.scenes import FileSource
from pipeline.core.window import Window
from pipeline.inputs import missions
from pipeline.inputs.file_scene import open_file
from pipeline.inputs.source import locate

READER = '''
"""Twin L1: a NumPy file of counts in halves, and its wavelengths beside it."""

from dataclasses import replace

import numpy as np

from pipeline.config.scenes import FileSource
from pipeline.inputs.formats.array_image import array_image

PRODUCT = "Twin L1"


def matches(path):
    return path.name.startswith("TWIN_L1_") and path.suffix == ".npy"


def open_image(path, bands):
    image = array_image(path, FileSource(kind="file", path=str(path), axes="band,y,x"))
    count = image.shape[0]
    wavelength = np.loadtxt(path.with_suffix(".nm"))
    return replace(
        image,
        wavelength=wavelength,
        gain=np.full(count, 0.5),
        offset=np.zeros(count),
        nodata=(0,),
        units="counts",
    )


def files(path, bands):
    return [path, path.with_suffix(".nm")]
'''


def test_a_file_adds_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, product = tmp_path / "missions", tmp_path / "TWIN_L1_001.npy"
    package.mkdir()
    (package / "twin.py").write_text(READER)
    numbers = np.arange(60).reshape(3, 4, 5)
    np.save(product, numbers)
    product.with_suffix(".nm").write_text("500 600 700")
    source = FileSource(kind="file", path=str(product))
    assert locate(source).product is None

    monkeypatch.setattr(missions, "__path__", [*missions.__path__, str(package)])
    try:
        scene = open_file(source)
        expected = np.where(numbers == 0, np.nan, numbers / 2)
        np.testing.assert_array_equal(scene.read(Window(0, 4, 0, 5)), expected)
    finally:
        sys.modules.pop("pipeline.inputs.missions.twin", None)
    assert scene.metadata.units == "counts"
    assert scene.report["product"] == "Twin L1"
    assert scene.report["files"] == ["TWIN_L1_001.nm", "TWIN_L1_001.npy"]


def test_every_product_has_a_name_of_its_own() -> None:
    names = [mission.PRODUCT for mission in missions.missions()]
    assert len(set(names)) == len(names) == 8
