"""Bands come out in the order of their wavelengths, each wavelength from one detector."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layouts import Emit, Prisma
from pipeline.config.scenes import FileSource
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.file_scene import FileScene, open_file
from pipeline.inputs.formats.band_order import FEWEST, OVERLAP, REPEATED, by_wavelength
from scene_files import save

VNIR, SWIR = np.linspace(420, 990, 20), np.linspace(900, 2450, 32)  # 30 and 50 nm apart


def labels(*parts: tuple[str, int]) -> np.ndarray:
    return np.repeat([name for name, _ in parts], [count for _, count in parts])


def test_increasing_wavelengths_stay() -> None:
    bands = [0, 2, 3, 7]
    assert by_wavelength(bands, None, None) == (bands, {})
    assert by_wavelength(bands, np.linspace(400, 900, 8), None) == (bands, {})
    apart = np.concatenate([VNIR, SWIR + 100])
    assert by_wavelength(list(range(52)), apart, labels(("a", 20), ("b", 32))) == (list(range(52)), {})


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("step", [1, -1])
def test_two_detectors_are_cut_at_the_middle_of_their_overlap(labelled: bool, step: int) -> None:
    nm = np.concatenate([VNIR[::step], SWIR[::step]])
    detector = labels(("VNIR", 20), ("SWIR", 32)) if labelled else None
    kept, left_out = by_wavelength(list(range(52)), nm, detector)
    # they overlap from 900 to 990 nm: VNIR to 945, SWIR from there
    expected = [*VNIR[VNIR <= 945], *SWIR[SWIR > 945]]
    np.testing.assert_array_equal(nm[kept], expected)
    assert sorted([*kept, *left_out[OVERLAP]]) == list(range(52))
    assert list(left_out) == [OVERLAP]
    np.testing.assert_allclose(sorted(nm[left_out[OVERLAP]]), [900, 960, 990])


def test_interleaved_detectors_are_cut_too() -> None:
    order = np.argsort(np.concatenate([VNIR, SWIR]), kind="stable")
    nm = np.concatenate([VNIR, SWIR])[order]
    kept, left_out = by_wavelength(list(range(52)), nm, labels(("VNIR", 20), ("SWIR", 32))[order])
    np.testing.assert_array_equal(nm[kept], [*VNIR[VNIR <= 945], *SWIR[SWIR > 945]])
    assert len(left_out[OVERLAP]) == 3


def test_multispectral_bands_may_overlap() -> None:
    landsat = np.array([443.0, 482, 561, 655, 865, 1609, 2201, 590, 1373])
    kept, left_out = by_wavelength(list(range(9)), landsat, None)
    assert kept == [0, 1, 2, 7, 3, 4, 8, 5, 6]
    assert left_out == {}
    assert by_wavelength([7, 8], landsat, labels(("OLI", 7), ("pan", 2))) == ([7, 8], {})


def test_one_band_for_each_wavelength() -> None:
    kept, left_out = by_wavelength([0, 1, 3, 4], np.array([500.0, 400, 0, 500, 450]), None)
    assert kept == [1, 4, 0]
    assert left_out == {REPEATED: [3]}


def test_a_detector_inside_another_is_only_sorted() -> None:
    nm = np.concatenate([np.linspace(400, 2400, 41), np.linspace(901, 1299, 20)])
    kept, left_out = by_wavelength(list(range(61)), nm, None)
    assert left_out == {}
    np.testing.assert_array_equal(nm[kept], np.sort(nm))


@given(st.data())
def test_wavelengths_come_out_increasing(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 60))
    nm = np.array(data.draw(st.lists(st.integers(400, 480), min_size=count, max_size=count)), float)
    detector = None
    if data.draw(st.booleans()):
        detector = np.array(data.draw(st.lists(st.sampled_from("ab"), min_size=count, max_size=count)))
    bands = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    kept, left_out = by_wavelength(bands, nm, detector)
    assert (np.diff(nm[kept]) > 0).all()
    assert sorted([*kept, *left_out.get(OVERLAP, []), *left_out.get(REPEATED, [])]) == bands
    if len(bands) < FEWEST:
        assert OVERLAP not in left_out
        assert len(kept) == np.unique(nm[bands]).size


def opened(path: Path, **keys: Any) -> FileScene:
    return open_file(FileSource(kind="file", path=str(path), **keys))


def test_the_report_accounts_for_every_band(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cube = np.random.default_rng(0).integers(1, 900, (7, 6, 8)).astype(np.int32)
    cube[1] = -9999
    cube[2] = 0
    cube[5] = 0
    cube[5, 0, :4] = -9999
    cube[6, 2] = 0  # zero pixels are values
    cube[6, 0, :3] = -9999
    nm = [700.0, 400, 450, 500, 550, 600, 650]
    path = save(tmp_path / "a.npz", cube=cube)
    keys: dict[str, Any] = {"axes": "band,y,x", "wavelengths": nm, "nodata": -9999, "scale": 1000}
    with caplog.at_level(logging.WARNING):
        scene = opened(path, bad_bands=[3], **keys)
    assert scene.report == {
        "path": str(path),
        "product": None,
        "files": ["a.npz"],
        "names": None,
        "shape": [3, 6, 8],
        "file_bands": 7,
        "bands": [4, 6, 0],
        "left_out": [
            {"reason": "listed as bad", "bands": [3]},
            {"reason": "without valid values", "bands": [1]},
            {"reason": "zero everywhere", "bands": [2, 5]},
        ],
        "nodata_share": pytest.approx(3 / (3 * 48)),
        "scale": 1000,
        "units": None,
        "assumed": [
            "widths of the bands are not stated: their spacing, 50 to 100 nm, is guessed where needed "
            "(`fwhm`)",
            "units are not stated; values are divided by 1000",
        ],
    }
    assert json.loads(json.dumps(scene.report)) == scene.report
    for entry in scene.report["left_out"]:
        assert f"left out bands {entry['bands']} (0-based), {entry['reason']}" in caplog.text
    assert "its wavelengths do not increase; bands are put in their order" in caplog.text
    assert scene.metadata.wavelength is not None
    assert scene.metadata.wavelength.tolist() == [550, 650, 700]
    expected = np.where(cube == -9999, np.nan, cube / 1000)[[4, 6, 0]].astype(np.float32)
    np.testing.assert_array_equal(scene.read(Window(0, 6, 0, 8)), expected)
    with pytest.raises(InputError, match="no band is left, all are no-data, zero or listed as bad"):
        opened(save(tmp_path / "b.npz", cube=np.zeros((7, 6, 8))), axes="band,y,x")


def test_the_reports_of_products(tmp_path: Path) -> None:
    granule = Emit()
    report = opened(granule.save(tmp_path)).report
    assert report["left_out"] == [{"reason": "listed as bad", "bands": [8]}]
    assert report["units"] == "reflectance"
    assert report["nodata_share"] == pytest.approx(np.isnan(granule.ortho).mean())
    report = opened(Prisma().save(tmp_path)).report
    assert [entry["reason"] for entry in report["left_out"]] == ["listed as bad", OVERLAP]
    assert (
        report["file_bands"]
        == 239
        == len(report["bands"]) + sum(len(entry["bands"]) for entry in report["left_out"])
    )


def test_berlins_enmap_bands_lap_over(shared_data: Path) -> None:
    scene = opened(shared_data / "berlin_urban_gradient" / "EnMAP02_testData_compressed.bsq", scale=10_000)
    (left_out,) = scene.report["left_out"]
    assert left_out["reason"] == OVERLAP
    assert left_out["bands"] == list(range(83, 94))
    assert scene.metadata.wavelength is not None
    assert (np.diff(scene.metadata.wavelength) > 0).all()


def test_the_four_enmap_tiles_agree(shared_data: Path) -> None:
    reports = [opened(path).report for path in sorted((shared_data / "enmap_potsdam").glob("*.tif"))]
    assert len(reports) == 4
    for report in reports:
        assert report["bands"] == reports[0]["bands"]
        assert report["left_out"][0] == {"reason": "listed as bad", "bands": list(range(129, 135))}
