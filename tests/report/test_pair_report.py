"""The report of scenes without a reference: what it says of alignment, responses and residuals of a pair."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from page_parser import Page
from pipeline.commands import summary
from pipeline.config.experiment import Experiment, parse_experiment
from pipeline.core.scene import Scene
from pipeline.core.sensing.gaps import MissingShares
from pipeline.core.sensing.observation import ObservedScene, no_progress
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.report import pair, residuals
from pipeline.report.comparison import compare
from pipeline.report.description import introduction, what_was_done
from pipeline.report.drawing import figures, pair_figures, pictures, places, residual_figures
from pipeline.report.numbers import tables
from pipeline.report.numbers.columns import HEADLINE, QUALITY
from pipeline.report.numbers.standing import standings
from pipeline.report.overview import lr_pixel_around, overview
from pipeline.report.results import FusedImages, SceneResults
from pipeline.runs.observation import read_scene
from pipeline.steps import report
from pipeline.store.files import write_record
from pipeline.store.schema import cube_dataset, observation_dataset, observed_scene, reference_dataset
from pipeline.store.store import write_store

WAVELENGTH = np.array([440.0, 500, 550, 600, 650, 700, 750, 800, 860, 900])
MATRIX = np.exp(-(((WAVELENGTH - np.array([[450], [550], [650]])) / 40) ** 2))
GAIN, OFFSET = np.array([2.0, 0.5, 1.0]), np.array([0.1, 0.0, -0.2])
AGREEMENT = ["the HSI's PSF is wider than H", "bands <are> striped"]
MSI = ("B2", "B3", "B4")
LEVELS = {"smooth": (1.02, 6.5), "sharp": (3.1, 0.5)}  # residuals of LR-HSI and HR-MSI
ALIGNMENT = {
    "shift": [0.4, -0.3],
    "shift_error": [0.01, 0.02],
    "shift_metres": [12.0, -9.0],
    "fwhm": 1.08,
    "fwhm_error": 0.03,
    "limit": 3.0,
    "detectors": {
        "VNIR": {
            "shift": [0.4, -0.3],
            "shift_error": [0.01, 0.02],
            "correlation": 0.97,
            "resampled": False,
            "matched_by": "response",
        },
        "SWIR": {
            "shift": [0.6, 0.1],
            "shift_error": [0.03, 0.04],
            "correlation": [0.91, None, 0.95],
            "resampled": True,
        },
    },
    "correlation": None,
    "resampled": False,
    "notes": ["the CRS of the <HSI> was used"],
    "assumed": {"hsi": ["units are not stated"], "msi": []},
}
RESPONSES = {
    "spectral": "calibrated",
    "spatial": "gaussian",
    "fwhm": 1.08,
    "fwhm_error": 0.03,
    "shift": [0.4, -0.3],
    "shift_error": [0.01, 0.02],
    "bands": [
        {"name": name, "gain": gain, "offset": offset, "correlation": 0.98, "residual": 1.1, "coverage": seen}
        for name, gain, offset, seen in zip(
            MSI, GAIN.tolist(), OFFSET.tolist(), (1.0, 0.62, None), strict=True
        )
    ],
    "warnings": ["MSI band B3: the HSI sees 62% of its SRF & no more"],
}


def experiment_of(*scenes: str) -> Experiment:
    """An experiment with some of a simulated scene, a pair and the pair one level down."""
    file = {"kind": "file", "path": "data/hsi.tif"}
    known = {
        "field": {"source": {"kind": "file", "path": "field.mat"}},
        "town": {"pair": {"hsi": file, "msi": {"kind": "file", "path": "data/msi.tif"}, "ratio": 4}},
        "town_wald": {"wald": "town"},
    }
    spectral = {"kind": "gaussian", "centres": [450, 550, 650], "fwhm": 60}
    return parse_experiment(
        {
            "experiment": "real",
            "scenes": {name: known[name] for name in scenes},
            "responses": {"box": {"spatial": {"kind": "box", "ratio": 4}, "spectral": spectral}}
            if "field" in scenes
            else {},
            "noise": {"seeds": [0]},
            "methods": {"smooth": {"method": "bicubic"}, "sharp": {"method": "gaussian_subspace"}},
        },
        "test",
    )


def metrics(scene: str, response: str, label: str, with_reference: bool) -> dict[str, Any]:
    """What `evaluate` writes of a run."""
    hsi, msi = LEVELS[label]
    scores: dict[str, Any] = {"residual_hsi": hsi, "residual_msi": msi}
    scores |= {"d_lambda": 0.02, "d_s": 0.1, "qnr": 0.882, "d_lambda_khan": 0.05, "hqnr": 0.855 + 0.01 * msi}
    bands: dict[str, Any] = {
        "wavelength": WAVELENGTH.tolist(),
        "residual_hsi": [hsi] * 8 + [2 * hsi, None],
        "bias_hsi": [0.9 * hsi] * 9 + [None],
        "residual_msi": [msi] * 3,
        "bias_msi": [0.1] * 3,
    }
    if with_reference:
        scores |= {"psnr": 30.0 + hsi, "sam": 2.0, "ergas": 2.5, "ssim": 0.9}
        bands |= {"psnr": [30.0] * 10, "rmse": [0.01] * 10, "ssim": [0.9] * 10}
    return {
        **{"scene": scene, "response": response, "label": label, "method": "bicubic", "seed": 0},
        **{"learns_from": "pair", "trained_on": "the pair"},
        **{"metrics": scores, "per_band": bands},
        "seconds": {"estimate": 0.1, "train": 0.0, "fuse": 0.25, "io": 0.05},
        **{"peak_mem_mb": 321.5, "device": "cpu", "precision": "float32", "parameters": 0},
        **{"settings": {"method": "bicubic"}, "provenance": {"code": {"version": "0.1.0"}}},
    }


def town() -> Scene:
    """A scene with smooth contents and a contour."""
    y, x = np.mgrid[:24, :32]
    cube = 0.3 + 0.2 * np.sin(y / 4 + WAVELENGTH[:, None, None] / 200) * np.cos(x / 5) + 0.1 * (x > 15)
    return Scene(cube.astype(np.float32), wavelength=WAVELENGTH)


def make_results(folder: Path, *scenes: str) -> Experiment:
    """An experiment's folder as `evaluate` leaves it."""
    experiment, scene = experiment_of(*scenes), town()
    psf = SpatialResponse.gaussian(ratio=4, fwhm=1.08).shifted(0.4, -0.3)
    for name, response in experiment.observed():
        here = folder / name / response / "seed0"
        is_pair = experiment.scenes[name].pair is not None
        if not is_pair:
            write_store(folder / name / "reference.zarr", reference_dataset(scene), {})
        seen = simulate(scene.data, spectral_response=MATRIX, spatial_response=psf, seed=0)
        stored = observation_dataset(seen, scene)
        if is_pair:
            stored["hr_msi"] = (
                stored["hr_msi"] * GAIN.astype(np.float32)[:, None, None] + OFFSET[:, None, None]
            )
            stored["hr_msi"] = stored["hr_msi"].astype(np.float32)
            stored = stored.assign_attrs(alignment=ALIGNMENT)
            told = xr.Dataset(
                {
                    "spectral_response": (("msi_band", "band"), MATRIX),
                    "sigma_hsi": ("band", seen.sigma_hsi),
                    "sigma_msi": ("msi_band", seen.sigma_msi),
                    "gain": ("msi_band", GAIN),
                    "offset": ("msi_band", OFFSET),
                },
                attrs={"spatial_response": psf.to_dict(), "responses": RESPONSES, "agreement": AGREEMENT},
            )
            write_store(here / "estimate.zarr", told, {})
        write_store(here / "observation.zarr", stored, {})
        for index, label in enumerate(LEVELS):
            fused = scene.data * np.float32(1 + 0.02 * index)
            write_store(here / label / "fused.zarr", cube_dataset(fused, scene), {})
            write_record(here / label / "metrics.json", metrics(name, response, label, not is_pair))
            if is_pair:
                write_store(here / label / "residuals.zarr", residual_maps(label), {})
    return experiment


def residual_maps(label: str) -> xr.Dataset:
    """Maps of a size of their own on each grid; the LR-HSI's has no data in a corner."""
    hsi, msi = (
        np.full(shape, level, np.float32)
        for shape, level in zip(((6, 8), (24, 32)), LEVELS[label], strict=True)
    )
    hsi[:2] *= 2
    hsi[0, 0] = np.nan
    return xr.Dataset({"hsi": (("y_lr", "x_lr"), hsi), "msi": (("y", "x"), msi)})


def write_report(experiment: Experiment, folder: Path) -> tuple[str, str]:
    """Run the step; the page and the CSV."""
    out, summary = folder / "report.html", folder / "summary.csv"
    report.run(settings=experiment, results=folder, out=out, summary=summary)
    return out.read_text(encoding="utf-8"), summary.read_text()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Path, str, str]:
    """Experiment, folder, page and CSV of a pair."""
    folder = tmp_path_factory.mktemp("real")
    experiment = make_results(folder, "town")
    return experiment, folder, *write_report(experiment, folder)


def text_of(page: str) -> str:
    """The page with single spaces."""
    return " ".join(page.split())


def test_page_of_a_pair_has_no_errors_and_is_well_formed(made: tuple[Experiment, Path, str, str]) -> None:
    page = Page(made[2])
    # two composites (the MSI reaches one of them), maps of two images, the located pixels
    assert len(page.images) == 4 + 3 + 2 * 2 + 1
    assert not any("error" in alt or "Reference" in alt for alt in page.images)
    assert "Error maps" not in made[2]
    assert "PSNR" not in made[2].split("Published")[0].split("<main>")[1]
    assert "2nd to 98th percentile of the LR-HSI's picture" in made[2]
    assert "There is no reference" in made[2]
    assert len(set(page.ids)) == len(page.ids)
    assert page.tags.count("figcaption") == page.tags.count("figure")
    assert "<HSI>" not in made[2]
    assert "simulated from a reference" not in made[2]
    assert [part for part in ("Alignment", "Responses", "Residuals") if f">{part}</h3>" not in made[2]] == []


def test_tables_have_the_columns_that_have_values(made: tuple[Experiment, Path, str, str]) -> None:
    head, *rows = Page(made[2]).tables[0]
    names = [" ".join(name.replace("\xa0", " ").split()) for name in head[2:]]
    assert names == [
        *("Residual HSI → 1 noise levels", "Residual MSI → 1 noise levels"),
        *("D_λ ↓", "D_s ↓", "QNR ↑", "HQNR ↑"),
    ]
    assert [row[2:] for row in rows] == [
        ["1.02", "6.50", "0.0200", "0.1000", "0.8820", "0.9200"],
        ["3.10", "0.50", "0.0200", "0.1000", "0.8820", "0.8600"],
    ]
    (first, _) = csv.DictReader(io.StringIO(made[3]))
    assert (first["psnr"], first["qnr"], first["d_s"]) == ("", "0.882", "0.1")
    terminal = summary.run(made[1]).splitlines()
    shown = ["Res. HSI → 1", "Res. MSI → 1", "D_λ ↓", "D_s ↓", "QNR ↑", "HQNR ↑", "Host MB", "Seconds"]
    assert re.split(r"  +", terminal[0].strip()) == ["town", "seeds", *shown]


def test_alignment_by_detector_in_pixels_and_metres(made: tuple[Experiment, Path, str, str]) -> None:
    table = next(table for table in Page(made[2]).tables if table[0][0] == "Bands")
    assert table[0][1:6] == [
        *("Shift, rows LR pixels", "Shift, columns LR pixels", "Shift, rows m", "Shift, columns m"),
        "FWHM LR pixels",
    ]
    none = tables.NO_VALUE
    assert [row[:5] for row in table[1:]] == [  # an LR pixel is 30 m
        ["all", "0.400 ± 0.010", "-0.300 ± 0.020", "12.00 ± 0.30", "-9.00 ± 0.60"],
        ["VNIR", "0.400 ± 0.010", "-0.300 ± 0.020", "12.00 ± 0.30", "-9.00 ± 0.60"],
        ["SWIR", "0.600 ± 0.030", "0.100 ± 0.040", "18.00 ± 0.90", "3.00 ± 1.20"],
    ]
    assert [row[5:] for row in table[1:]] == [
        ["1.08 ± 0.03", none, none, none],
        [none, "0.970", "response", "no"],
        [none, "0.910 to 0.950", none, "yes"],
    ]
    assert "the CRS of the &lt;HSI&gt; was used" in made[2]
    lost = pair.alignment(
        pair.Records(ALIGNMENT | {"shift": [4.0, -3.0], "shift_metres": None, "detectors": None})
    )
    assert lost is not None
    assert [len(row) for row in lost.table.rows] == [7]
    assert lost.warnings == ["The images are 5.00 LR pixels apart; the limit is 3. Check both georeferences."]
    assert pair.alignment(pair.Records()) is None
    assert pair.missing(pair.Records()) is None
    said = MissingShares(0.1, 0.05, 0.02, 0.05, 0.001).sentence()
    assert pair.missing(pair.Records(missing=said)) == (
        "Missing: 10 % of the values of the LR-HSI (2 % of its pixels in all bands) and 5 % of the values of "
        "the HR-MSI (5 % of its pixels in all bands). They carry no weight: a pixel follows from its other "
        "bands and from the other image, and the 0.1 % of the pixels that neither image shows are no-data."
    )


def test_what_was_assumed_and_whether_the_images_agree(made: tuple[Experiment, Path, str, str]) -> None:
    page = made[2]
    assert '<h3 id="scene-town-assumed">What was assumed</h3>' in page
    assert "<li>HSI: units are not stated.</li>" in page
    assert "<li>The HSI&#39;s PSF is wider than H.</li>" in page
    assert "<li>Bands &lt;are&gt; striped.</li>" in page
    assert pair.agreement(pair.Records(ALIGNMENT)) == []
    assert pair.agreement(pair.Records()) is None


def test_responses_with_their_fit_and_warnings(made: tuple[Experiment, Path, str, str]) -> None:
    table = next(table for table in Page(made[2]).tables if table[0][0] == "MSI band")
    assert table[1:] == [
        ["B2", "2", "0.1", "0.9800", "1.10", "100"],
        ["B3", "0.5", "0", "0.9800", "1.10", "62"],
        ["B4", "1", "-0.2", "0.9800", "1.10", tables.NO_VALUE],
    ]
    text = text_of(made[2])
    assert (
        '<ul class="warnings"> <li>MSI band B3: the HSI sees 62% of its SRF &amp; no more</li> </ul>' in text
    )
    assert "FWHM 1.08 ± 0.03 LR pixels, shifted by 0.400 ± 0.010 rows and -0.300 ± 0.020 columns" in text
    given_only = pair.Records(responses={"spectral": "given", "spatial": "given"})
    scene = simulate(town().data, spectral_response=MATRIX, spatial_response=SpatialResponse.box(ratio=4))
    assert pair.responses(given_only, scene, WAVELENGTH) is None
    assert given_only.msi_names(2) == ["band 1", "band 2"]
    assert pair.Records(responses={"bands": [{"name": "2"}, {"name": "B8A"}]}).msi_names(2) == [
        "band 2",
        "B8A",
    ]
    vague = RESPONSES | {"fwhm": [1.0, None], "fwhm_error": None, "shift_error": [None, 0.1]}
    told = pair.responses(pair.Records(responses=vague), scene, WAVELENGTH)
    assert told is not None
    assert told.facts.endswith(
        "FWHM 1.00 LR pixels, shifted by 0.400 rows and -0.300 ± 0.100 columns (LR pixels, down and right)."
    )


def test_sentences_on_residuals(made: tuple[Experiment, Path, str, str]) -> None:
    text = text_of(made[2])
    smooth, sharp = (text.split(f"<dt>{label}</dt><dd>")[1].split("</dd>")[0] for label in LEVELS)
    assert smooth == (
        "LR-HSI at the noise level (1.02), except in 1 of 10 bands: 860 nm (2.04); HR-MSI above the "
        "noise level (6.50 times), in all bands, highest in B2 (6.50), B3 (6.50), B4 (6.50), with 100% of "
        "the pixels beyond 2 noise levels and 100% beyond 3, evenly over the image."
    )
    assert sharp == (  # the power is 8 + 4, that of the bias 9 * 0.81
        "LR-HSI above the noise level (3.10 times), in 9 of 10 bands, highest in 440 nm (3.10), 500 nm "
        "(3.10), 860 nm (6.20), 61% of its power in offsets of whole bands, with 100% of the pixels beyond 2 "
        "noise levels and 100% beyond 3, strongest in the upper third; "
        "HR-MSI below the noise level (0.50 times): the cube fits noise, or the noise is overestimated."
    )


def test_maps_share_one_scale_with_the_noise_in_white(made: tuple[Experiment, Path, str, str]) -> None:
    images = Page(made[2]).images
    maps = {
        (image, label): images[f"Residual of the {image} of {label} for town"]
        for image in ("LR-HSI", "HR-MSI")
        for label in LEVELS
    }
    assert maps["LR-HSI", "smooth"].shape == (6, 8, 4)
    assert maps["LR-HSI", "smooth"][0, 0, 3] == 0
    assert (maps["LR-HSI", "smooth"][3, 3, :3] > 240).all()  # 1.02: white
    red, _, blue, _ = maps["HR-MSI", "smooth"][3, 3].astype(int)
    assert red > blue + 100
    red, _, blue, _ = maps["HR-MSI", "sharp"][3, 3].astype(int)
    assert blue > red + 50
    assert residual_figures.common_upper([np.array([[1.0, 6.5]])]) == 8
    assert residual_figures.common_upper([np.full((2, 2), np.nan)]) == 4
    grey = residual_figures.map_picture(np.array([[0.125, 1, 8, 64]]), 8.0)[0]
    np.testing.assert_array_equal(grey[2], grey[3])  # beyond the scale


def test_map_is_counted_and_reduced_window_by_window() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=(1100, 700)).astype(np.float32)
    values[:50, :60] = np.nan
    found = residuals.read_map(values)
    known = values[np.isfinite(values)]
    assert found.fractions == pytest.approx(((known > 2).mean(), (known > 3).mean()))
    np.testing.assert_allclose(found.values, pictures.shrink(values, 3), rtol=1e-5)


def test_spectra_stand_on_what_both_images_saw(made: tuple[Experiment, Path, str, str]) -> None:
    """Without noise in the way: the told MSI is in the HSI's units, whatever its own are."""
    _, folder, page, _ = made
    here = folder / "town" / "measured" / "seed0"
    seen = read_scene(here / "observation.json", here / "estimate.json")
    scene = town()
    kept = overview(None, seen, {"a": scene.data}, pictures.composites(WAVELENGTH, 10), no_progress)
    assert kept.reference is None
    assert kept.errors == {}
    response = seen.spatial_response
    for pixel, spectrum, values in zip(kept.pixels, kept.spectra, kept.msi_values, strict=True):
        np.testing.assert_allclose(values, MATRIX @ scene.data[:, *pixel], atol=6 * seen.sigma_msi.max())
        row, column = lr_pixel_around(seen, pixel)
        np.testing.assert_array_equal(spectrum, np.asarray(seen.lr_hsi[:, row, column]))
        for at, lr, shift in zip(pixel, (row, column), response.shift, strict=True):
            assert abs((at + 0.5) / 4 - shift - (lr + 0.5)) <= 0.5 or lr in (0, 5, 7)
    assert "The pixels were chosen on the cube of smooth." in page
    assert 'aria-label="Spectra of the numbered pixels, LR-HSI and fused cubes"' in page


def test_pixel_of_a_shifted_response_is_the_nearest() -> None:
    cube = np.ones((2, 40, 40), np.float32)
    matrix = np.ones((1, 2))
    for shift in ((0.0, 0.0), (0.4, -0.3), (-1.2, 1.6)):
        response = SpatialResponse.box(ratio="5/2").shifted(*shift)
        seen = simulate(cube, spectral_response=matrix, spatial_response=response)
        assert isinstance(seen, ObservedScene)
        for pixel in ((20, 20), (15, 28)):
            centres = [(np.arange(16) + 0.5 + s) * 2.5 for s in shift]
            nearest = tuple(
                int(np.argmin(np.abs(c - at - 0.5))) for c, at in zip(centres, pixel, strict=True)
            )
            assert lr_pixel_around(seen, pixel) == nearest
        assert lr_pixel_around(seen, (0, 39))[0] >= 0
        assert lr_pixel_around(seen, (39, 39))[1] <= 15


# ---- places


def test_a_map_that_is_high_somewhere() -> None:
    rng = np.random.default_rng(0)
    scene = np.where(np.arange(60) < 30, 0.0, 1.0) * np.ones((3, 60, 1)) + 0.001 * rng.random((3, 60, 60))
    steep = places.contours(scene)
    assert steep is not None
    assert steep[:, 29:31].all()
    flat = 1 + 0.01 * rng.random((60, 60))
    assert places.places(flat, steep) == "evenly over the image"
    edge = flat.copy()
    edge[:, 29:31] = 5
    assert places.places(edge, steep) == "strongest along contours of the scene"
    right = flat.copy()
    right[:, 45:] = 5
    assert places.places(right, None) == "strongest in the right third"
    frame = np.full((60, 60), 4.0)
    frame[3:-3, 3:-3] = 1
    assert places.places(frame, None) == "strongest at the borders"
    assert places.contours(np.ones((2, 9, 9))) is None
    assert places.contours(np.full((2, 9, 9), np.nan)) is None
    assert places.places(np.full((9, 9), np.nan), None) == "evenly over the image"


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 12), width=st.integers(1, 12))
def test_maps_of_any_size_have_a_place(height: int, width: int) -> None:
    values = np.random.default_rng(height).random((height, width))
    values[::3] = np.nan
    assert places.places(values, places.contours(values[None]))


# ---- figures


@pytest.mark.parametrize("ratio", ["4", "25/3", "3"])
def test_profile_of_a_gaussian_has_its_width_and_shift(ratio: str) -> None:
    """Second moment of the samples, whose own width of a pixel is not in a sampled kernel."""
    response = SpatialResponse.gaussian(ratio=ratio, fwhm=1.2).shifted(0.3, -0.2)
    for (x, weight), shift in zip(pair_figures.profiles(response), (0.3, -0.2), strict=True):
        share = weight / weight.sum()
        centre = (x * share).sum()
        assert centre == pytest.approx(shift, abs=0.002)
        assert 2.3548 * np.sqrt(((x - centre) ** 2 * share).sum()) == pytest.approx(1.2, rel=0.01)
        height = np.interp(shift, x, weight)
        assert height == pytest.approx(2.3548 / (1.2 * np.sqrt(2 * np.pi)), rel=0.06)


def test_profile_of_a_free_psf_is_its_sum_over_the_other_axis() -> None:
    psf = np.array([[0, 1, 0], [2, 6, 1], [0, 3, 1.0]])
    (y, rows), (x, columns) = pair_figures.profiles(SpatialResponse.from_psf(psf, ratio=3))
    np.testing.assert_allclose(rows[np.abs(y) < 0.5], 3 * psf.sum(axis=1) / psf.sum(), atol=1e-9)
    np.testing.assert_allclose(columns[np.abs(x) < 0.5], 3 * psf.sum(axis=0) / psf.sum(), atol=1e-9)


def test_figures_escape_names() -> None:
    svg = pair_figures.spectral_response(MATRIX, None, ["<a>", "b", "c"])
    assert "<a>" not in svg
    assert "&lt;a&gt;" in svg
    look = figures.looks(["m"])
    assert "&lt;a&gt;" in residual_figures.named_bands(
        {"m": np.array([1.0, 2])}, ["<a>", "b"], "R", look, True, 1
    )


# ---- pairs beside simulated scenes


def test_scenes_of_all_kinds_in_one_report(tmp_path: Path) -> None:
    experiment = make_results(tmp_path, "field", "town", "town_wald")
    page, text = write_report(experiment, tmp_path)
    parsed = Page(page)
    assert [row["scene"] for row in csv.DictReader(io.StringIO(text))] == ["field"] * 2 + ["town"] * 2 + [
        "town_wald"
    ] * 2
    for head in (table[0] for table in parsed.tables[:2]):
        assert [name.split()[0] for name in head[2:]] == ["field", "town_wald", "Mean"]
    assert page.count(">Error maps</h3>") == 2
    assert page.count(">Alignment</h3>") == 1
    lines = summary.run(tmp_path).splitlines()
    assert "PSNR ↑" in lines[0]
    assert "QNR" not in lines[0]
    assert any("HQNR" in line and "PSNR" not in line for line in lines)
    said = what_was_done(experiment)
    assert said["Scenes"] == "field, town (two real images), town_wald (town one Wald level down)"
    assert said["Pairs"] == "town: LR-HSI hsi.tif, HR-MSI msi.tif, ratio 4, shift estimated"
    assert said["Noise"].startswith("white, SNR 35 dB")
    assert introduction(experiment).startswith("An HR-HSI is fused from an LR-HSI and an HR-MSI. Where these")
    assert introduction(experiment).endswith("is the reference.")


def test_head_of_a_page_without_simulated_scenes() -> None:
    said = what_was_done(experiment_of("town"))
    assert list(said) == ["Scenes", "Pairs", "Noise", "Given for pairs", "Methods"]
    assert said["Noise"] == "that of the images; seeds 0 for methods with random draws"
    assert said["Given for pairs"] == (
        "town: spectral response given, with estimated gains of the MSI's bands, spatial response an "
        "estimated Gaussian, noise levels estimated"
    )
    assert introduction(experiment_of("town")) == (
        "An HR-HSI is fused from an LR-HSI and an HR-MSI. Where a pair of real images has no "
        "reference, residuals show whether the HR-HSI explains them."
    )
    assert introduction(experiment_of("field")) == (
        "An HR-HSI is fused from an LR-HSI and an HR-MSI, both simulated from a reference, and compared with "
        "that reference."
    )


def test_standings_leave_out_scenes_without_the_metric() -> None:
    def runs(scene: str, with_reference: bool) -> list[dict[str, Any]]:
        return [metrics(scene, "r", label, with_reference) for label in LEVELS]

    scenes = {"a": runs("a", True), "b": runs("b", False), "c": runs("c", True)}
    found = standings(scenes, list(LEVELS))
    assert [(s.metric.key, [c.label for c in s.table.columns]) for s in found] == [
        ("psnr", ["a", "c", "Mean rank"]),
        ("sam", ["a", "c", "Mean rank"]),
    ]
    assert [row.cells[-1].mean for row in found[0].table.rows] == [2, 1]
    found = standings(scenes | {"d": runs("d", False)}, list(LEVELS))
    assert [s.metric.key for s in found] == ["psnr", "sam", "hqnr"]
    assert [c.label for c in found[2].table.columns] == ["b", "d", "Mean rank"]
    assert [row.cells[-1].mean for row in found[2].table.rows] == [1, 2]
    assert standings({"b": runs("b", False)}, list(LEVELS)) == []
    assert tables.filled(scenes["b"], [*HEADLINE, *QUALITY])[0].key == "residual_hsi"


def test_a_single_msi_band_is_shown_in_grey() -> None:
    scene = town()
    pan = simulate(
        scene.data, spectral_response=np.ones((1, 10)), spatial_response=SpatialResponse.box(ratio=4)
    )
    runs = [metrics("town", "measured", "smooth", False)]
    fused = {"smooth": FusedImages(scene.data)}
    compared = compare(SceneResults("town", ["smooth"], runs, pan, WAVELENGTH, fused))
    shown = compared.views.composites[0].pictures[1]
    assert shown.caption == "HR-MSI, its only band, with its own stretch"
    assert shown.uri
    assert compared.residuals is not None
    assert compared.residuals.galleries == []
    assert compared.alignment is None
    assert observed_scene(observation_dataset(pan, scene)).hr_msi.shape == (1, 24, 32)
