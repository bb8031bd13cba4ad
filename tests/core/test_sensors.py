"""Built-in sensors against measured responses, and their way into a scene and into R."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import scipy.io

from pipeline.config.responses import SensorResponse
from pipeline.config.scenes import FileSource
from pipeline.core.sensing.sensors import (
    FLANK,
    builtin_response,
    flat_top,
    multispectral_sensors,
    py6s_response,
    spectrometer,
)
from pipeline.core.sensing.spectral import gaussian_response, table_response
from pipeline.errors import InputError
from pipeline.inputs.file_scene import read_scene
from pipeline.inputs.responses import read_response, read_table, srf_curves

FOLDER = Path(__file__).parents[2] / "src" / "pipeline" / "core" / "sensing" / "sensors"
BANDS = json.loads((FOLDER / "multispectral.json").read_text(encoding="utf-8"))

# the measured responses of each sensor, and by how much centre and width of its bands differ at most, in nm
TABLES = {
    "sentinel2a": ("sentinel2a_msi_enmapbox.csv", 2.8, 2.0),
    "sentinel2b": ("sentinel2b_msi_enmapbox.csv", 2.0, 2.0),
    "landsat8_oli": ("landsat8_oli_py6s.csv", 0.3, 0.3),
    "landsat9_oli2": ("landsat8_oli_py6s.csv", 0.6, 0.8),
    "ikonos": ("ikonos_hysure.csv", 0.2, 0.3),
    "rapideye": ("rapideye_ms5_arcsi.csv", 0.9, 1.5),
    "pleiades": ("pleiades_ms4_arcsi.csv", 4.0, 10.0),
    "worldview3": ("worldview3_ms8_arcsi.csv", 2.0, 5.0),
}


def half_maximum(nm: np.ndarray, srf: np.ndarray) -> tuple[float, float]:
    """Where a response first and last crosses half its maximum, linearly between its samples."""
    above = np.flatnonzero(srf >= srf.max() / 2)
    first, last = above[0], above[-1]
    low = np.interp(srf.max() / 2, srf[first - 1 : first + 1], nm[first - 1 : first + 1])
    high = np.interp(srf.max() / 2, srf[last : last + 2][::-1], nm[last : last + 2][::-1])
    return float(low), float(high)


@pytest.mark.parametrize("sensor", TABLES)
def test_published_bands_are_those_of_the_measured_responses(sensor: str, shared_data: Path) -> None:
    file, centre, width = TABLES[sensor]
    nm, srf, names = read_table(shared_data / "srf" / file)
    names = [name.replace("PAN", "Pan") for name in names]
    compared = 0
    for band in BANDS[sensor]["bands"]:
        if band["name"] not in names or (sensor, band["name"]) in {
            ("worldview3", "NIR2"),  # its response falls off with the detector
            ("ikonos", "Pan"),
        }:
            continue
        low, high = half_maximum(nm, srf[names.index(band["name"])])
        assert band["centre"] == pytest.approx((low + high) / 2, abs=centre), band
        assert band["width"] == pytest.approx(high - low, abs=width), band
        compared += 1
    assert compared >= 4


def test_a_flat_top_has_its_width_at_half_its_height() -> None:
    nm, srf = flat_top(500.0, 60.0)
    assert np.interp([470.0, 530.0], nm, srf) == pytest.approx([0.5, 0.5])
    assert np.trapezoid(srf, nm) == 60.0
    assert nm.tolist() == [464.0, 476.0, 524.0, 536.0]
    assert FLANK == 0.2


@pytest.fixture(scope="session")
def jasper_bands(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Centres and widths of Jasper Ridge's 198 bands."""
    file = scipy.io.loadmat(shared_data / "jasper_ridge" / "jasperRidge2_R198.mat")
    kept = file["SlectBands"].ravel() - 1
    return np.linspace(380, 2500, 224)[kept], np.full(kept.size, 9.5)


def differences(found: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of absolute differences, and angle in degrees, of the rows of two responses."""
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = np.clip((found * expected).sum(axis=1) / norms, -1, 1)
    return np.abs(found - expected).sum(axis=1), np.degrees(np.arccos(cosine))


@pytest.mark.parametrize(
    ("sensor", "bands", "most", "mean"),
    [
        ("sentinel2a", [f"B{i}" for i in (2, 3, 4, 5, 6, 7, 8, 11, 12)], 13.5, 4.1),
        ("sentinel2b", [f"B{i}" for i in (2, 3, 4, 5, 6, 7, 8, 11, 12)], 13.0, 4.1),
        ("landsat8_oli", [f"B{i}" for i in range(1, 8)], 3.5, 2.0),
        ("worldview3", ["Coastal", "Blue", "Green", "Yellow", "Red", "RedEdge", "NIR1"], 9.5, 5.5),
        ("rapideye", ["Blue", "Green", "Red", "RedEdge", "NIR"], 6.0, 3.5),
        ("pleiades", ["Blue", "Green", "Red", "NIR"], 10.0, 8.0),
    ],
)
def test_builtin_response_on_a_real_spectrometers_bands(
    sensor: str,
    bands: list[str],
    most: float,
    mean: float,
    shared_data: Path,
    jasper_bands: tuple[np.ndarray, np.ndarray],
) -> None:
    nm, srf, names = read_table(shared_data / "srf" / TABLES[sensor][0], bands)
    measured = table_response(nm, srf, *jasper_bands, names)
    l1, angle = differences(builtin_response(sensor, bands, *jasper_bands), measured)
    print(sensor, {b: f"L1 {x:.3f}, {a:.1f} degrees" for b, x, a in zip(bands, l1, angle, strict=True)})
    assert angle.max() < most
    assert angle.mean() < mean
    published = {band["name"]: (band["centre"], band["width"]) for band in BANDS[sensor]["bands"]}
    centres, widths = np.array([published[band] for band in bands]).T
    gaussian, _ = differences(gaussian_response(centres, widths, *jasper_bands), measured)
    assert l1.mean() < 0.6 * gaussian.mean()  # a flat top is much nearer than a Gaussian


@pytest.mark.parametrize(
    ("sensor", "bands"),
    [("sentinel2a", ["B2", "B3", "B4", "B8", "B11"]), ("landsat8_oli", [f"B{i}" for i in range(1, 8)])],
)
def test_py6s_response_is_that_of_its_tables(
    sensor: str, bands: list[str], shared_data: Path, jasper_bands: tuple[np.ndarray, np.ndarray]
) -> None:
    pytest.importorskip("Py6S")
    found = py6s_response(sensor, bands, *jasper_bands)
    file = {"sentinel2a": "sentinel2a_msi_py6s.csv", "landsat8_oli": "landsat8_oli_py6s.csv"}[sensor]
    columns = [name.replace("B", "").zfill(2) for name in bands] if sensor == "sentinel2a" else bands
    nm, srf, names = read_table(shared_data / "srf" / file, columns)
    l1, angle = differences(found, table_response(nm, srf, *jasper_bands, names))
    assert l1.max() < 0.02
    assert angle.max() < 0.7
    l1, angle = differences(found, builtin_response(sensor, bands, *jasper_bands))
    print(sensor, {b: f"L1 {x:.3f}, {a:.1f} degrees" for b, x, a in zip(bands, l1, angle, strict=True)})
    assert angle.max() < 14


def test_py6s_that_is_missing_or_has_no_table_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    hsi = np.arange(400.0, 2500.0, 10.0)
    with pytest.raises(InputError, match=r"Py6S has no tables of ikonos's bands Blue, Green; use `tables: b"):
        py6s_response("ikonos", ["Blue", "Green"], hsi)
    monkeypatch.setitem(sys.modules, "Py6S", None)
    with pytest.raises(InputError, match=r"needs the package Py6S, which is not installed; install it"):
        py6s_response("sentinel2a", ["B2"], hsi)


def test_every_sensor_names_its_source_and_can_be_configured() -> None:
    for sensor, bands in multispectral_sensors().items():
        assert SensorResponse(kind="sensor", sensor=sensor, bands=bands).sensor == sensor
        entry = BANDS[sensor]
        assert entry["source"]
        assert entry["width"]
        names = [band["name"] for band in entry["bands"]]
        assert len(set(names)) == len(names) >= 3


def test_a_response_that_comes_with_the_package_is_its_source_s(shared_data: Path) -> None:
    hsi = np.arange(400.0, 701.0, 10.0)
    nm, srf, _ = read_table(shared_data / "srf" / "nikon_d700.csv")
    expected = table_response(nm, srf, hsi, None, ["Blue", "Green", "Red"])
    assert np.array_equal(builtin_response("nikon_d700", None, hsi), expected)
    (curve,) = srf_curves(SensorResponse(kind="sensor", sensor="nikon_d700", bands=["Red"]))
    assert np.array_equal(curve, (nm, srf[2]))


def test_response_of_a_sensor_through_the_configuration() -> None:
    hsi = np.arange(400.0, 1000.0, 5.0)
    config = SensorResponse(kind="sensor", sensor="rapideye", bands=["NIR", "Blue"])
    found = read_response(config, hsi)
    assert found.shape == (2, hsi.size)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found @ hsi, [805.0, 475.0], atol=0.01)  # centroids
    with pytest.raises(InputError, match=r"rapideye has no band 'SWIR'; its bands are Blue, Green, Red"):
        read_response(SensorResponse(kind="sensor", sensor="rapideye", bands=["SWIR"]), hsi)
    with pytest.raises(InputError, match=r"MSI bands MS-5p of ali \(1250 nm\), .* lie outside"):
        read_response(SensorResponse(kind="sensor", sensor="ali"), hsi)
    with pytest.raises(InputError, match=r"kind sensor needs the HSI's wavelengths"):
        read_response(config, None)


def test_hyperion_is_two_rising_detectors() -> None:
    bands = spectrometer("hyperion")
    assert bands is not None
    assert bands.wavelength.shape == bands.fwhm.shape == bands.detector.shape == (242,)
    assert (bands.detector == "VNIR").nonzero()[0].tolist() == list(range(70))
    assert set(bands.detector[70:]) == {"SWIR"}
    for detector, step in (("VNIR", 10.17), ("SWIR", 10.09)):
        steps = np.diff(bands.wavelength[bands.detector == detector])
        assert steps.mean() == pytest.approx(step, abs=0.01)
        assert np.abs(steps - step).max() < 0.13
    assert bands.wavelength[[7, 56, 76, 223]].tolist() == [426.82, 925.41, 912.45, 2395.5]  # calibrated ones
    assert (bands.fwhm.min(), bands.fwhm.max()) == (10.2856, 11.5634)
    assert spectrometer("aviris") is None


def test_paris_gets_hyperions_bands_by_number(shared_data: Path) -> None:
    scene = read_scene(
        FileSource(
            kind="file",
            path=str(shared_data / "paris_eo1" / "paris_data_hs_ms.mat"),
            variable="HSim",
            axes="y,x,band",
            wavelengths="hyperion",
            band_numbers="non_del_bands",
        )
    )
    assert scene.wavelength is not None
    assert scene.fwhm is not None
    assert scene.detector is not None
    assert scene.bands == 128
    assert (scene.wavelength[0], scene.wavelength[48], scene.wavelength[49]) == (426.82, 915.23, 972.99)
    assert scene.wavelength[-1] == 2345.11
    assert scene.detector.tolist() == ["VNIR"] * 49 + ["SWIR"] * 79
    assert scene.fwhm[49] == 11.0457


def test_a_variable_of_the_sensors_name_wins(tmp_path: Path) -> None:
    own = np.arange(500.0, 530.0, 10.0)
    np.savez(tmp_path / "a.npz", cube=np.ones((2, 2, 3)), hyperion=own)
    scene = read_scene(
        FileSource(kind="file", path=str(tmp_path / "a.npz"), variable="cube", wavelengths="hyperion")
    )
    assert scene.wavelength is not None
    assert scene.wavelength.tolist() == own.tolist()
    assert scene.detector is None


def test_a_raster_of_all_hyperion_bands(tmp_path: Path) -> None:
    path = tmp_path / "hyperion.tif"

    def write(bands: int) -> FileSource:
        profile = {"driver": "GTiff", "width": 2, "height": 2, "count": bands, "dtype": "int16"}
        profile["transform"] = rasterio.Affine(30, 0, 0, 0, -30, 0)
        with rasterio.open(path, "w", **profile) as file:
            file.write(np.ones((bands, 2, 2), np.int16))
        return FileSource(kind="file", path=str(path), wavelengths="hyperion", fwhm=12.0, bad_bands=[0, 241])

    scene = read_scene(write(242))
    assert scene.detector is not None
    assert scene.fwhm is not None
    # of 240 bands, 22 lie beyond the middle of the detectors' overlap
    assert (scene.bands, scene.detector[57], scene.detector[58], scene.fwhm[0]) == (218, "VNIR", "SWIR", 12.0)
    with pytest.raises(InputError, match=r"wavelengths has 242 values, the file has 198 bands"):
        read_scene(write(198))
    unknown = write(242).model_copy(update={"wavelengths": "hyperon"})
    with pytest.raises(InputError, match=r"'hyperon' is neither a list, .* nor a known sensor \(hyperion\)"):
        read_scene(unknown)
