"""Wavelengths, widths and flags in the spellings that occur in rasters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.scenes import FileSource
from pipeline.inputs.file_scene import open_file
from scene_files import CUBE, NM, raster, read, refused

LIST = "{" + ", ".join(f"{nm:g}" for nm in NM) + "}"


def tagged(
    path: Path, tags: list[dict[str, Any]], descriptions: list[str] | None = None, **file: str
) -> Path:
    """A GeoTIFF with tags of its bands."""
    path = path / "a.tif"
    path.unlink(missing_ok=True)
    with raster(path, "GTiff") as target:
        for band, tag in enumerate(tags, 1):
            target.update_tags(band, **tag)
        if descriptions:
            target.descriptions = descriptions
        target.update_tags(**file)
    return path


SPELLINGS: dict[str, list[dict[str, Any]]] = {
    "unit": [{"wavelength": f"{nm:.1f} nm"} for nm in NM],
    "unit without blank": [{"wavelength": f"{nm:.1f}nm"} for nm in NM],
    "comma": [{"wavelength": f"{nm:.2f}".replace(".", ",")} for nm in NM],
    "comma and unit": [{"wavelength": f"{nm / 1e3:.4f} µm".replace(".", ",")} for nm in NM],
    "list": [{"wavelength": LIST}] * 5,
    "upper case": [{"WAVELENGTH": f"{nm}", "WAVELENGTH_UNITS": "NANOMETERS"} for nm in NM],
    "mixed case": [{"Wavelength": f"{nm / 1e3}", "Wavelength_Units": "Micrometers"} for nm in NM],
    "unit in the name": [{"wavelength_um": f"{nm / 1e3}"} for nm in NM],
    "central": [{"central_wavelength": f"{nm}"} for nm in NM],
    "Angstrom": [{"wavelength": f"{10 * nm}", "wavelength_units": "Angstroms"} for nm in NM],
    "GHz": [{"wavelength": f"{299_792_458 / nm:.6f}", "wavelength_units": "GHz"} for nm in NM],
    "wavenumbers": [{"wavelength": f"{1e7 / nm:.8f} cm-1"} for nm in NM],
    "superscript": [{"wavelength": f"{1e7 / nm:.8f} cm⁻¹"} for nm in NM],
    "exponent": [{"wavelength": f"{nm / 1e9:.6e}", "wavelength_units": "m"} for nm in NM],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_tags_of_bands(tmp_path: Path, spelling: str) -> None:
    np.testing.assert_allclose(read(tagged(tmp_path, SPELLINGS[spelling])).wavelength, NM, rtol=1e-6)


DESCRIPTIONS = {
    "name and unit": [f"B{i:02} ({nm:g} nm)" for i, nm in enumerate(NM)],
    "number in brackets": [f"Band {i} ({nm:.1f})" for i, nm in enumerate(NM, 1)],
    "unit alone": [f"{nm:.1f} nm" for nm in NM],
    "Micrometers": [f"band {i} ({nm / 1e3:.6f} Micrometers)" for i, nm in enumerate(NM, 1)],
    "colon": [f"Band {i}: {nm:.2f}nm" for i, nm in enumerate(NM, 1)],
    "comma": [f"Band {i} ({nm:.2f} nm)".replace(".", ",") for i, nm in enumerate(NM, 1)],
    "bare": [f"{nm:.2f}" for nm in NM],
    "reflectance at": [f"Reflectance at {nm:g} nanometers" for nm in NM],
}


@pytest.mark.parametrize("spelling", DESCRIPTIONS)
def test_descriptions_of_bands(tmp_path: Path, spelling: str) -> None:
    np.testing.assert_allclose(read(tagged(tmp_path, [], DESCRIPTIONS[spelling])).wavelength, NM, rtol=1e-6)


@pytest.mark.parametrize(
    "descriptions",
    [
        ["Band 1", "Band 2", "Band 3", "Band 4", "Band 5"],
        ["(1)", "(2)", "(3)", "(4)", "(5)"],
        ["1", "2", "3", "4", "5"],
        ["B02 (492 furlong)", "B03", "B04", "B08", "B12"],
        ["NDVI 0.5 m", "a", "b", "c", "d"],
        ["2019 mosaic", "2020 mosaic", "2021 mosaic", "2022 mosaic", "2023 mosaic"],
        ["101", "102", "103", "104", "105"],
    ],
)
def test_descriptions_that_hold_no_wavelengths(tmp_path: Path, descriptions: list[str]) -> None:
    assert read(tagged(tmp_path, [], descriptions)).wavelength is None


ENVI_LISTS = {
    "blanks": ("{" + " ".join(f"{nm:g}" for nm in NM) + "}", "Nanometers"),
    "units": ("{" + ", ".join(f"{nm:g} nm" for nm in NM) + "}", "Nanometers"),
    "lines": ("{\n" + ",\n".join(f" {nm:g}" for nm in NM) + "}", "nm"),
    "decimal commas": ("{" + "; ".join(f"{nm:.2f}".replace(".", ",") for nm in NM) + "}", "Nanometers"),
    "decimal commas, blanks": ("{" + ", ".join(f"{nm:.2f}".replace(".", ",") for nm in NM) + "}", "nm"),
    "trailing comma": ("{" + ", ".join(f"{nm:g}" for nm in NM) + ",}", "Nanometers"),
    "wavenumbers": ("{" + ", ".join(f"{1e7 / nm:.8f}" for nm in NM) + "}", "Wavenumber"),
    "GHz": ("{" + ", ".join(f"{299_792_458 / nm:.6f}" for nm in NM) + "}", "GHz"),
    "unknown unit": (LIST, "Unknown"),
    "no unit": (LIST, None),
}


def envi(path: Path, **entries: str | None) -> Path:
    raster(path / "a.img", "ENVI").close()
    with (path / "a.hdr").open("a", encoding="utf-8") as stream:
        for key, text in entries.items():
            if text is not None:
                stream.write(f"{key.replace('_', ' ')} = {text}\n")
    return path / "a.img"


@pytest.mark.parametrize("spelling", ENVI_LISTS)
def test_lists_of_an_envi_header(tmp_path: Path, spelling: str) -> None:
    text, unit = ENVI_LISTS[spelling]
    path = envi(tmp_path, wavelength=text, wavelength_units=unit)
    np.testing.assert_allclose(read(path).wavelength, NM, rtol=1e-6)
    assumed = open_file(FileSource(kind="file", path=str(path))).report["assumed"]
    assert any("nm assumed" in sentence for sentence in assumed) == (unit in (None, "Unknown"))


def test_widths_follow_the_unit_of_the_centres(tmp_path: Path) -> None:
    wavenumbers = [
        {"wavelength": f"{1e7 / nm:.8f} cm-1", "fwhm": f"{1e7 / nm**2 * 10:.8f} cm-1"} for nm in NM
    ]
    np.testing.assert_allclose(read(tagged(tmp_path, wavenumbers)).fwhm, np.full(5, 10.0), rtol=1e-6)
    micrometres = [{"WAVELENGTH": f"{nm / 1e3}", "FWHM": "0,012"} for nm in NM]
    np.testing.assert_allclose(read(tagged(tmp_path, micrometres)).fwhm, np.full(5, 12.0))
    absent = tagged(tmp_path, [{"wavelength": f"{nm}", "fwhm": "n/a"} for nm in NM])
    assert read(absent).fwhm is None


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"wavelength": "blue"}, "wavelength: 'blue' of band 1 is no number"),
        (
            {"wavelength": "450 furlong"},
            "'450 furlong' of band 1 is no number with a known unit: 'furlong' is no unit",
        ),
        (
            {"wavelength": "450", "wavelength_units": "parsec"},
            "'parsec' is no unit of wavelengths",
        ),
        ({"wavelength": "450", "fwhm": "narrow"}, "fwhm: 'narrow' of band 1 is no number"),
        ({"wavelength": "450", "bbl": "perhaps"}, "bbl: 'perhaps' of band 1 is neither 1 nor 0"),
        (
            {"wavelength": "450", "fwhm": "0.012"},
            "the width of band 1, 0.012 nm at 450 nm, is none",
        ),
        ({"wavelength": "0.45 nm"}, "wavelength of band 1, 0.45 nm, lies outside 100 nm to 20 µm"),
        ({"wavelength": "45000"}, "wavelengths 45000 to 45000 have no unit, and neither nm nor µm"),
    ],
)
def test_unreadable_text_is_named_with_its_band(tmp_path: Path, tags: dict[str, str], message: str) -> None:
    path = tagged(tmp_path, [tags] * 5)
    assert message in refused(path)
    if "bbl" not in tags:
        np.testing.assert_array_equal(read(path, wavelengths=NM.tolist(), fwhm=9.0).wavelength, NM)


def test_flags_of_bands(tmp_path: Path) -> None:
    words = ["true", "True", "0", "good", "false"]
    assert read(tagged(tmp_path, [{"bbl": word} for word in words])).bands == 3
    assert read(envi(tmp_path, bbl="{1 1 0 1 1}")).bands == 4


def test_index_is_no_wavelength(tmp_path: Path) -> None:
    path = envi(tmp_path, wavelength="{1, 2, 3, 4, 5}", wavelength_units="Index")
    assert read(path).wavelength is None


def test_a_bad_band_may_have_an_impossible_wavelength(tmp_path: Path) -> None:
    tags = [{"wavelength": "0"}, *({"wavelength": f"{nm} nm"} for nm in NM[1:])]
    path = tagged(tmp_path, [{"wavelength": "0 nm"}, *tags[1:]])
    assert "lies outside" in refused(path)
    assert read(path, bad_bands=[0]).bands == 4


@pytest.mark.parametrize("text", ["450, 550, 650, 850, 2200", "0.45, 0.55, 0.65, 0.85, 2.2 um"])
def test_configured_wavelengths_with_units(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.tif"
    raster(path, "GTiff").close()
    np.testing.assert_allclose(read(path, wavelengths=text).wavelength, NM)
    assert "its bands have different units, nm and um" in refused(path, wavelengths="450 nm, 0.55 um, 600 nm")


def test_reflectance_scale_factor(tmp_path: Path) -> None:
    path = envi(tmp_path, reflectance_scale_factor="10000")
    np.testing.assert_allclose(read(path).data, CUBE / 1e4, rtol=1e-6)
    np.testing.assert_array_equal(read(path, scale=1).data, CUBE)
    assert "its reflectance scale factor 'ten' is no positive number" in refused(
        envi(tmp_path, reflectance_scale_factor="ten")
    )


S2 = "S2B_MSIL2A_20220724T101041_N{baseline}_R022_T33UUU_20220724T130000.tif"
LANDSAT = "LC08_L2SP_193023_20200920_20201005_02_T1_stack.tif"


@pytest.mark.parametrize(("baseline", "added"), [("0400", -1000), ("0510", -1000), ("0301", 0)])
def test_the_name_of_a_stack_tells_its_calibration(tmp_path: Path, baseline: str, added: int) -> None:
    cube = CUBE + np.uint16(1000)
    cube[:, 0, 0] = 0
    path = tmp_path / S2.format(baseline=baseline)
    raster(path, "GTiff", cube).close()
    expected = (cube.astype(np.float64) + added) / 1e4
    expected[:, 0, 0] = np.nan
    np.testing.assert_allclose(read(path).data, expected, rtol=1e-6)
    np.testing.assert_allclose(read(path, scale=10_000).data, expected, rtol=1e-6)
    assert np.nanmin(read(path, offset=0, scale=1).data) > 1000
    assert open_file(FileSource(kind="file", path=str(path))).metadata.units == "reflectance x 10000"
    calibrated = tmp_path / f"scaled_{path.name}"
    with raster(calibrated, "GTiff", cube) as file:
        file.scales, file.offsets = [1e-4] * 5, [-0.1] * 5
    np.testing.assert_allclose(read(calibrated).data, cube * 1e-4 - 0.1, atol=1e-6)


def test_a_stack_of_landsat_bands(tmp_path: Path) -> None:
    raster(tmp_path / LANDSAT, "GTiff").close()
    scene = read(tmp_path / LANDSAT)
    np.testing.assert_allclose(scene.data, CUBE * 2.75e-5 - 0.2, rtol=1e-5, atol=1e-7)
    assert scene.units == "reflectance"
