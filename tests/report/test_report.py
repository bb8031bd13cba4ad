"""The report: what the page says and draws against the metrics and cubes it was made from."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from page_parser import Page
from pipeline.cli.app import app
from pipeline.commands import compare as report_compare
from pipeline.commands import summary
from pipeline.config.experiment import Experiment, parse_experiment
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import no_progress
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.report.comparison import Numbers, compare
from pipeline.report.drawing import figures, pictures
from pipeline.report.galleries import error_galleries
from pipeline.report.numbers import published, significance, tables
from pipeline.report.numbers.columns import HEADLINE, QUALITY
from pipeline.report.numbers.standing import standing
from pipeline.report.overview import overview
from pipeline.report.page import provenance, render
from pipeline.report.results import FusedImages, SceneResults, common_seed
from pipeline.steps import report
from pipeline.store.files import write_record
from pipeline.store.schema import (
    cube_dataset,
    observation_dataset,
    observed_scene,
    reference_dataset,
    scene_from,
)
from pipeline.store.store import read_store, write_store

COLUMNS = (
    "scene,method,learns_from,trained_on,seed,psnr,psnr_peak1,sam,ergas,ssim,uiqi,q2n,cc,rmse,residual_hsi,residual_msi,"
    "d_lambda,d_s,qnr,hqnr,coverage_90,rank_correlation,"
    "parameters,device,seconds_estimate,seconds_train,seconds_fuse,seconds_io,peak_mem_mb"
)
WAVELENGTH = np.array([440.0, 500, 550, 600, 650, 700, 750, 800, 860, 900])
HOLE = (slice(4, 8), slice(10, 14))
SCORES = {  # per label and seed: psnr, sam, residual_hsi
    ("smooth", 0): (20.0, 4.0, 1.9),
    ("smooth", 1): (21.0, 5.0, 1.9),
    ("sharp", 0): (30.0, 6.0, 0.9),
    ("sharp", 1): (33.0, 6.5, 0.9),
    ("twin", 1): (31.5, 1.0, 0.2),
}
METHODS = {"smooth": "bicubic", "sharp": "gaussian_subspace", "twin": "gaussian_subspace"}


def metrics(scene: str, response: str, label: str, seed: int) -> dict[str, Any]:
    """What `evaluate` writes of a run."""
    psnr, sam, residual = SCORES[label, seed]
    values = {
        **{"psnr": psnr, "psnr_peak1": psnr + 1 / 3, "sam": sam, "ergas": 2.5, "ssim": 0.9, "uiqi": 0.8},
        **{"q2n": None, "cc": 0.99, "rmse": 0.0123456789, "residual_hsi": residual, "residual_msi": 1.0},
    }
    bands = len(WAVELENGTH)
    return {
        **{"scene": scene, "response": response, "label": label, "method": METHODS[label], "seed": seed},
        **{"learns_from": "pair", "trained_on": "the pair"},
        "metrics": values,
        "per_band": {
            "wavelength": WAVELENGTH.tolist(),
            **{"psnr": [psnr] * bands, "rmse": [0.01] * bands, "ssim": [None] + [0.9] * (bands - 1)},
        },
        "seconds": {"estimate": 0.1, "train": 0.0, "fuse": 0.25 + seed, "io": 0.05},
        **{"peak_mem_mb": 321.5, "device": "cpu", "precision": "float32", "parameters": 0},
        "settings": {"method": METHODS[label], "note": "<b>&"},
        "provenance": {"code": {"version": "0.1.0"}, "inputs": {"observation": f"digest{seed}"}},
    }


def cube_of(reference: np.ndarray, label: str) -> np.ndarray:
    """Something that a method could have fused."""
    error = {"smooth": 0.1, "sharp": 0.01, "twin": 0.02}[label]
    wave = np.sin(np.arange(reference.shape[2]) / 3).astype(np.float32)
    return (
        reference
        + np.float32(error) * wave * np.linspace(0, 1, len(reference), dtype=np.float32)[:, None, None]
    )


def make_results(folder: Path, responses: tuple[str, ...] = ("sensor",)) -> Experiment:
    """An experiment's folder as `evaluate` leaves it."""
    spectral = {"kind": "gaussian", "centres": [450, 550, 650], "fwhm": 60}
    experiment = parse_experiment(
        {
            "experiment": "small",
            "scenes": {"field": {"source": {"kind": "file", "path": "<field>&.mat"}}},
            "responses": {
                r: {"spatial": {"kind": "box", "ratio": 4}, "spectral": spectral} for r in responses
            },
            "noise": {"snr_db": 30, "seeds": [0, 1]},
            "methods": {
                "smooth": {"method": "bicubic"},
                "sharp": {"method": "gaussian_subspace"},
                "twin": {"method": "gaussian_subspace", "seeds": [1]},
            },
        },
        "test",
    )
    y, x = np.mgrid[:20, :24]
    cube = 0.3 + 0.2 * np.sin(y / 4 + WAVELENGTH[:, None, None] / 200) * np.cos(x / 5)
    cube[:, *HOLE] = np.nan
    scene = Scene(cube.astype(np.float32), wavelength=WAVELENGTH)
    matrix = np.exp(-(((WAVELENGTH - np.array([[450], [550], [650]])) / 40) ** 2))
    write_record(folder / "field" / "source.json", {"path": "field.mat", "sha256": "5" * 64})
    write_store(folder / "field" / "reference.zarr", reference_dataset(scene), {})
    for response in responses:
        for label, seed in SCORES:
            here = folder / "field" / response / f"seed{seed}"
            if not here.exists():
                seen = simulate(
                    scene.data,
                    spectral_response=matrix,
                    spatial_response=SpatialResponse.box(ratio=4),
                    seed=seed,
                )
                write_store(here / "observation.zarr", observation_dataset(seen, scene), {})
            write_store(here / label / "fused.zarr", cube_dataset(cube_of(scene.data, label), scene), {})
            write_record(here / label / "metrics.json", metrics("field", response, label, seed))
    return experiment


def write_report(experiment: Experiment, folder: Path) -> tuple[str, str]:
    """Run the step; the page and the CSV."""
    out, summary = folder / "report.html", folder / "summary.csv"
    report.run(settings=experiment, results=folder, out=out, summary=summary)
    return out.read_text(encoding="utf-8"), summary.read_text()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Path, str, str]:
    """Experiment, folder, page and CSV."""
    folder = tmp_path_factory.mktemp("small")
    experiment = make_results(folder)
    return experiment, folder, *write_report(experiment, folder)


def test_page_is_well_formed_and_needs_no_network(made: tuple[Experiment, Path, str, str]) -> None:
    page = Page(made[2])
    # true colour, colour infrared (in which the MSI has no band), two error maps, the located pixels
    assert len(page.images) == 6 + 5 + 2 * 3 + 1
    assert "has no band near one of the three wavelengths" in made[2]
    assert len(set(page.ids)) == len(page.ids)
    assert page.addresses
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not re.search(r"url\((?!#)|@import|<script|<link|<iframe", made[2])
    assert page.tags.count("h1") == 1
    assert page.tags.count("figcaption") == page.tags.count("figure")


def test_quality_table_shows_every_method_its_seeds_and_the_metrics(
    made: tuple[Experiment, Path, str, str],
) -> None:
    head, *rows = Page(made[2]).tables[0]
    assert head[:5] == ["Method", "Seeds", "PSNR\xa0↑ dB", "PSNR peak 1\xa0↑ dB", "SAM\xa0↓ °"]
    assert [row[:2] for row in rows] == [["smooth", "2 0, 1"], ["sharp", "2 0, 1"], ["twin", "1 1"]]
    assert [row[2] for row in rows] == ["20.50 ±0.71", "31.50 ±2.12", "31.50"]
    assert [row[4] for row in rows] == ["4.500 ±0.707", "6.250 ±0.354", "1.000"]
    assert not any(name.startswith(("Q2n", "QNR")) for name in head)  # no method has a value
    assert [row[8] for row in rows] == ["0.9900"] * 3


def test_best_follows_each_columns_direction(made: tuple[Experiment, Path, str, str]) -> None:
    page = Page(made[2])
    names = [" ".join(name.split()[:2]) for name in page.tables[0][0]]
    best = {(page.tables[0][row][0], names[column]) for table, row, column in page.best if table == 0}
    assert {label for label, name in best if name.startswith("PSNR ↑")} == {"sharp"}  # by seed 1
    assert {label for label, name in best if name.startswith("SAM")} == {"twin"}
    assert {label for label, name in best if name.startswith("Residual HSI")} == {"sharp"}
    assert all(table == 0 for table, _, _ in page.best)


@pytest.mark.parametrize(("key", "best"), [("psnr", 2), ("sam", 0), ("residual_hsi", 1)])
def test_best_of_three(key: str, best: int) -> None:
    column = next(c for c in QUALITY if c.key == key)
    values = (0.5, 1.1, 2.0)
    groups = {str(i): {0: {key: value}} for i, value in enumerate(values)}
    assert [row.cells[0].best for row in tables.make_table(groups, [column]).rows] == [
        i == best for i in range(3)
    ]
    assert not tables.make_table({"0": groups["0"]}, [column]).rows[0].cells[0].best


def test_a_table_too_wide_for_the_page_is_split() -> None:
    values = {0: {column.key: 0.5 for column in QUALITY}}
    wide = tables.make_table({"a": values, "b": values}, QUALITY)
    narrow = tables.make_table({"a": values, "b": values}, QUALITY[:11])
    first, second = Numbers(wide, wide, [], {}, []).quality_parts
    assert [column.key for column in first.columns + second.columns] == [column.key for column in QUALITY]
    assert [column.key for column in second.columns][:2] == ["residual_hsi", "residual_msi"]
    assert [row.cells for row in second.rows] == [row.cells[len(first.columns) :] for row in wide.rows]
    assert Numbers(narrow, wide, [], {}, []).quality_parts == [narrow]


def test_summary_has_the_exact_columns_order_and_numbers(made: tuple[Experiment, Path, str, str]) -> None:
    _, folder, _, text = made
    assert text.splitlines()[0] == COLUMNS
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(r["scene"], r["method"], int(r["seed"])) for r in rows] == [("field", *key) for key in SCORES]
    for row in rows:
        path = folder / "field" / "sensor" / f"seed{row['seed']}" / row["method"] / "metrics.json"
        content = json.loads(path.read_text())
        for key in (column.key for column in QUALITY):
            value = content["metrics"].get(key)
            assert row[key] == "" if value is None else float(row[key]) == value
        for part in ("estimate", "train", "fuse", "io"):
            assert float(row[f"seconds_{part}"]) == content["seconds"][part]
        assert (float(row["peak_mem_mb"]), row["device"], row["parameters"]) == (321.5, "cpu", "0")


def test_several_responses_are_named_in_the_summary(tmp_path: Path) -> None:
    experiment = make_results(tmp_path, ("one", "two"))
    page, text = write_report(experiment, tmp_path)
    scenes = [row["scene"] for row in csv.DictReader(io.StringIO(text))]
    assert scenes == ["field/one"] * 5 + ["field/two"] * 5
    assert "field/two" in page
    assert len(Page(page).tables) == 2 + 2 * 3 + 2


def test_same_inputs_give_the_same_bytes(made: tuple[Experiment, Path, str, str]) -> None:
    experiment, folder, page, text = made
    assert write_report(experiment, folder) == (page, text)


def test_values_of_a_page_are_escaped(made: tuple[Experiment, Path, str, str]) -> None:
    experiment, folder, page, _ = made
    assert "&lt;field&gt;&amp;.mat" in page
    assert "<b>" not in page
    here = folder / "field" / "sensor" / "seed1" / "observation.zarr"
    scene = scene_from(read_store(folder / "field" / "reference.zarr"))
    seen = observed_scene(read_store(here))
    runs = [metrics("field", "sensor", label, 1) | {"label": f"<i>{label}"} for label in METHODS]
    labels = [run["label"] for run in runs]
    fused = {f"<i>{label}": FusedImages(cube_of(scene.data, label)) for label in METHODS}
    compared = compare(
        SceneResults("<u>field", labels, runs, seen, scene.wavelength, fused, reference=scene.data)
    )
    text = render(experiment, [compared], provenance(experiment, runs, {"<s>": "0"}))
    assert not re.search("<[ius]>", text)
    Page(text)


def test_charts_and_tables_escape_labels() -> None:
    label = "<i>&"
    svg = figures.band_curves({label: np.ones(5)}, None, "PSNR [dB]", figures.looks([label]))
    assert "<i>" not in svg
    assert "&lt;i&gt;&amp;" in svg
    assert "currentColor" in svg
    assert figures.INK not in svg


def test_error_maps_share_one_scale(made: tuple[Experiment, Path, str, str]) -> None:
    _, folder, page, _ = made
    reference = scene_from(read_store(folder / "field" / "reference.zarr")).data
    images = Page(page).images
    errors = {label: pictures.rms_error_map(reference, cube_of(reference, label)) for label in METHODS}
    upper = pictures.common_upper(list(errors.values()))
    for label, values in errors.items():
        drawn = images[f"RMS error over bands of {label} for field"]
        np.testing.assert_array_equal(drawn, pictures.map_picture(values, upper))
    brightness = {k: images[f"RMS error over bands of {k} for field"][..., 0].mean() for k in METHODS}
    assert brightness["smooth"] > 1.3 * brightness["twin"] > 1.3 * brightness["sharp"]


@pytest.mark.parametrize("known", [True, False])
def test_a_deviation_is_drawn_beside_the_error_it_foretells(known: bool) -> None:
    """On a scale that a method without deviation does not set."""
    scene = np.random.default_rng(5).random((10, 20, 24)).astype(np.float32)
    seen = simulate(scene, spectral_response=np.eye(3, 10), spatial_response=SpatialResponse.box(ratio=4))
    cubes = {label: cube_of(scene, label) for label in METHODS}
    deviations = {"sharp": np.full_like(scene, 0.005), "twin": np.full_like(scene, 0.02)}
    deviations["sharp"][:, :, 12:] = 0.002
    composites = pictures.composites(None, 10)
    kept = overview(scene if known else None, seen, cubes, composites, no_progress, deviations)
    galleries = {gallery.title: gallery for gallery in error_galleries("field", kept, (20, 24))}
    maps = {}
    for label, values in deviations.items():
        maps[f"{label}: standard deviation", f"Standard deviation of {label} for field"] = values[0]
        if known:
            alt = f"RMS error of {label} for field, on the scale of the deviations"
            maps[f"{label}: error", alt] = pictures.rms_error_map(scene, cubes[label])
    quantity = "Standard deviation and error" if known else "Standard deviation"
    drawn = galleries.pop(f"{quantity}, RMS over bands")
    assert [(entry.caption, entry.alt) for entry in drawn.pictures] == list(maps)
    assert f"{quantity} [scene values]" in drawn.scale
    page = Page("".join(f'<img alt="{entry.alt}" src="{entry.uri}">' for entry in drawn.pictures))
    upper = pictures.common_upper(list(maps.values()))
    for image, plane in zip(page.images.values(), maps.values(), strict=True):
        np.testing.assert_array_equal(image, pictures.map_picture(plane, upper))
    assert list(galleries) == (["RMS error over bands", "Spectral angle (SAM)"] if known else [])


def test_no_data_is_transparent_in_every_picture(made: tuple[Experiment, Path, str, str]) -> None:
    expected = np.full((20, 24), 255)
    expected[HOLE] = 0
    for alt, image in Page(made[2]).images.items():
        if "LR-HSI" in alt:
            assert image.shape == (5, 6, 4)
            assert (image[..., 3] == 0).any()
        else:
            np.testing.assert_array_equal(image[..., 3], expected, err_msg=alt)


def test_pictures_have_one_stretch(made: tuple[Experiment, Path, str, str]) -> None:
    """The same value is the same colour in every picture: the fused cube differs, so do its colours."""
    planes = np.random.default_rng(0).random((3, 30, 30))
    limits = pictures.stretch(planes)
    np.testing.assert_allclose(limits, np.percentile(planes.reshape(3, -1), (2, 98), axis=1).T)
    picture = pictures.colour_picture(planes, limits)
    brighter = pictures.colour_picture(planes + 0.1, limits)
    assert (brighter[..., :3] >= picture[..., :3]).all()
    assert brighter[..., :3].mean() > picture[..., :3].mean() + 20
    images = Page(made[2]).images
    reference = images["True colour picture of field: Reference"].astype(int)
    near = np.abs(images["True colour picture of field: twin"].astype(int) - reference).mean()
    far = np.abs(images["True colour picture of field: smooth"].astype(int) - reference).mean()
    assert 0 < near < far


def test_composites_follow_the_wavelengths() -> None:
    full = pictures.composites(WAVELENGTH, 10)
    assert [(c.name, c.bands) for c in full] == [("True colour", (4, 2, 0)), ("Colour infrared", (8, 4, 2))]
    assert [c.name for c in pictures.composites(WAVELENGTH[:7], 7)] == ["True colour"]
    assert [c.name for c in pictures.composites(np.linspace(1000, 2000, 9), 9)] == ["False colour"]


def test_msi_planes_are_on_the_scale_of_the_hsi() -> None:
    hsi = np.random.default_rng(0).random((10, 4, 4))
    response = np.zeros((4, 10))
    response[[0, 1, 2, 3], [0, 2, 4, 8]] = 5.0
    true_colour, infrared = pictures.composites(WAVELENGTH, 10)
    msi = np.tensordot(response, hsi, axes=1)
    np.testing.assert_allclose(pictures.msi_planes(msi, response, WAVELENGTH, true_colour), hsi[[4, 2, 0]])
    np.testing.assert_allclose(pictures.msi_planes(msi, response, WAVELENGTH, infrared), hsi[[8, 4, 2]])
    assert pictures.msi_planes(msi[:3], response[:3], WAVELENGTH, infrared) is None
    false_colour = pictures.composites(None, 10)[0]
    np.testing.assert_allclose(pictures.msi_planes(msi, response, None, false_colour), hsi[[8, 4, 0]])


def test_maps_match_their_definitions() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 7, 70, 5)).astype(np.float32)
    x[:, 66, 2] = 0
    x[3, 1, 1] = np.nan
    np.testing.assert_allclose(
        pictures.rms_error_map(x, y)[5, 3], np.sqrt(np.mean((x - y)[:, 5, 3] ** 2)), rtol=1e-5
    )
    a, b = x[:, 65, 4].astype(float), y[:, 65, 4].astype(float)
    angle = math.degrees(math.acos(a @ b / math.sqrt((a @ a) * (b @ b))))
    sam = pictures.sam_map(x, y)
    assert sam[65, 4] == pytest.approx(angle, rel=1e-5)
    assert np.isnan(sam[[66, 1], [2, 1]]).all()
    assert np.isnan(sam).sum() == 2


def test_captions_say_how_far_a_picture_is_reduced(made: tuple[Experiment, Path, str, str]) -> None:
    assert "picture pixel" not in made[2]
    cube = np.random.default_rng(0).random((10, 1030, 90), dtype=np.float32)
    matrix = np.exp(-(((WAVELENGTH - np.array([[450], [550], [650]])) / 40) ** 2))
    seen = simulate(cube, spectral_response=matrix, spatial_response=SpatialResponse.box(ratio=2))
    runs = [metrics("field", "sensor", "smooth", 1)]
    fused = {"smooth": FusedImages(cube_of(cube, "smooth"))}
    compared = compare(SceneResults("field", ["smooth"], runs, seen, WAVELENGTH, fused, reference=cube))
    hr, lr = (f"1 picture pixel = {step} × {step} pixels" for step in (3, 2))  # noqa: RUF001
    assert [picture.reduction for picture in compared.views.composites[0].pictures] == [lr, hr, hr, hr]
    assert [gallery.pictures[0].reduction for gallery in compared.views.maps] == [hr, hr]
    text = render(made[0], [compared], provenance(made[0], runs, {}))
    page = Page(text)
    # true colour, colour infrared (in which the MSI has no band), two error maps, the located pixels
    assert text.count(f"<small>{hr}</small></figcaption>") == 3 + 2 + 2 + 1
    assert page.images["True colour picture of field: LR-HSI"].shape == (258, 23, 4)
    assert page.images["True colour picture of field: Reference"].shape == (344, 30, 4)

    # 344 picture pixels are 1032 rows, two more than the image has
    row = int(re.findall(r"Pixel 1: row (\d+)", compared.views.spectra)[0])
    assert compared.views.markers[0].top == pytest.approx(100 * (row + 0.5) / 1032, abs=0.005)


def test_curves_are_broken_at_missing_bands_and_sorted() -> None:
    x, y = figures.with_gaps(np.array([30.0, 10, 20, 100, 110]), np.array([3.0, 1, 2, 10, 11]))
    np.testing.assert_array_equal(x, [10, 20, 30, 65, 100, 110])
    np.testing.assert_array_equal(y, [1, 2, 3, np.nan, 10, 11])


def test_methods_keep_their_looks_and_none_repeats() -> None:
    labels = [f"m{i}" for i in range(13)]
    look = figures.looks(labels)
    assert len(set(look.values())) == 13
    assert figures.looks(labels[:3])["m1"] == look["m1"]


def test_seed_of_the_pictures() -> None:
    def runs(*pairs: tuple[str, int]) -> list[dict[str, Any]]:
        return [{"label": label, "seed": seed} for label, seed in pairs]

    assert common_seed(runs(("a", 0), ("a", 1), ("b", 1), ("b", 2))) == 1
    assert common_seed(runs(("a", 3), ("a", 2), ("b", 3), ("b", 2))) == 2
    assert common_seed(runs(("a", 5), ("b", 4))) == 4


def test_scene_without_wavelengths_or_common_seed(tmp_path: Path) -> None:
    experiment = make_results(tmp_path)
    reference = Scene(np.random.default_rng(0).random((10, 20, 24), dtype=np.float32))
    write_store(tmp_path / "field" / "reference.zarr", reference_dataset(reference), {})
    content = experiment.model_dump(exclude_unset=True)
    content["methods"]["sharp"]["seeds"] = [0]
    page, _ = write_report(parse_experiment(content, "test"), tmp_path)
    assert "False colour" in page
    assert "Band number" in page
    assert "Wavelength [nm]" not in page
    assert "These methods did not run with it: twin" in page


def test_terminal_table_and_summary_command(made: tuple[Experiment, Path, str, str], tmp_path: Path) -> None:
    text = summary.run(made[1])
    lines = text.splitlines()
    assert lines[0].split()[:4] == ["field", "seeds", "PSNR", "↑"]
    assert re.search(r"^sharp +2 +31\.50 ±2\.12\*", text, flags=re.MULTILINE)
    assert re.search(r"^twin +1 +31\.50 +1\.000\*", text, flags=re.MULTILINE)
    assert "\n* best mean over the seeds that all methods share (1)\n" in text
    assert lines[-1] == f"Report: {made[1] / 'report.html'}"
    with pytest.raises(InputError, match=r"summary\.csv: no such file; run the workflow"):
        summary.run(tmp_path)
    (tmp_path / "summary.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a summary of the report step"):
        summary.run(tmp_path)


def test_missing_or_tampered_inputs_leave_nothing_half_written(tmp_path: Path) -> None:
    experiment = make_results(tmp_path)
    path = tmp_path / "field" / "sensor" / "seed1" / "twin"
    saved = (path / "metrics.json").read_text()
    (path / "metrics.json").unlink()
    with pytest.raises(InputError, match=r"twin/metrics\.json"):
        write_report(experiment, tmp_path)
    (path / "metrics.json").write_text(saved)
    shard = path / "fused.zarr" / "fused" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"twin/fused\.zarr: array fused, shard 0/0/0 was changed"):
        write_report(experiment, tmp_path)
    shutil.rmtree(path / "fused.zarr")
    with pytest.raises(InputError, match=r"fused\.zarr"):
        write_report(experiment, tmp_path)
    assert not list(tmp_path.glob("*report*"))
    assert not list(tmp_path.glob("*summary*"))


def test_provenance_separates_what_is_common(made: tuple[Experiment, Path, str, str]) -> None:
    experiment, folder, page, _ = made
    runs = [metrics("field", "sensor", label, seed) for label, seed in SCORES]
    found = provenance(experiment, runs, {})
    assert found.common == {"code.version": "0.1.0", "device": "cpu", "precision": "float32"}
    assert found.varying == ["inputs.observation"]
    assert ("field / sensor / seed 1 / twin", ["digest1"]) in found.runs
    digest = json.loads((folder / "field" / "reference.json").read_text())["digest"]
    stores = {row[0]: row[1] for row in Page(page).tables[-1][1:]}
    assert stores["field/reference.json"] == digest
    assert stores["field/source.json"] == "5" * 64
    assert "field/sensor/seed1/twin/fused.json" in stores


# ---- several scenes, several methods: tests and ranks


def scored(**values: list[float]) -> list[dict[str, Any]]:
    """Runs of each label, a PSNR for each seed; the SAM falls as the PSNR rises."""
    return [
        {"scene": "field", "label": label, "method": label, "seed": seed}
        | {"learns_from": "pair", "trained_on": "the pair"}
        | {"metrics": {"psnr": psnr, "sam": 100 - psnr, "ergas": 1.0, "ssim": 0.9}}
        for label, found in values.items()
        for seed, psnr in enumerate(found)
    ]


PSNR, SAM = HEADLINE


def by_seed(*values: float) -> dict[int, float]:
    """Values of the seeds 0, 1, ..."""
    return dict(enumerate(values))


def test_paired_test_against_a_worked_value() -> None:
    """Differences 1, 2, 3: mean 2, sd 1, t = 2 sqrt(3), two degrees of freedom."""
    values = {"a": by_seed(9.0, 8, 7), "b": by_seed(10.0, 10, 10)}
    assert significance.bases(values, PSNR) == {"b": "best"}
    found = significance.against("b", values)
    t = 2 * math.sqrt(3)
    p = 1 - t / math.sqrt(2 + t * t)  # Student's distribution at two degrees of freedom
    assert list(found) == ["a"]
    assert (found["a"].mean, found["a"].sd, found["a"].n) == (-2, 1, 3)
    assert found["a"].p == pytest.approx(p)
    assert found["a"].p == pytest.approx(0.0742, abs=1e-4)


def test_holm_corrects_over_the_tested_methods_only() -> None:
    rng = np.random.default_rng(0)
    best = 10 + rng.random(5)
    values = {
        "best": by_seed(*best),
        "near": by_seed(*best - 0.1 - 0.2 * rng.random(5)),
        "far": by_seed(*best - 5 - rng.random(5)),
        "few": by_seed(*best[:2] - 1),
    }
    found = significance.against("best", values)
    raw = {
        label: significance.against("best", {"best": values["best"], label: values[label]})[label]
        for label in ("near", "far")
    }
    assert (found["few"].n, found["few"].p) == (2, None)
    far, near = found["far"].p, found["near"].p
    assert far is not None
    assert raw["far"].p is not None
    assert far == pytest.approx(2 * raw["far"].p)
    assert near == pytest.approx(max(raw["near"].p or 0, far))
    assert significance.holm([0.2, 0.9, 0.5]) == pytest.approx([0.6, 1.0, 1.0])
    assert significance.holm([]) == []


def test_methods_that_differ_by_a_constant_need_no_test() -> None:
    same = by_seed(30.1, 30.2, 30.3)
    shifted = {seed: value - 1 for seed, value in same.items()}
    found = significance.against("a", {"a": same, "twin": same, "shifted": shifted})
    assert [d.p for d in found.values()] == [1.0, 0.0]


def test_a_best_method_with_two_seeds_leaves_the_others_their_test() -> None:
    """Against `closed`, at two degrees of freedom, p = 1 - t / sqrt(2 + t t), and Holm doubles the least.

    `linear`: differences 1, 2, 3, t = 2 sqrt(3), p = 0.0742. `floor`: 9, 10, 11, t = 10 sqrt(3), p = 0.0033.
    """
    values = {
        "floor": by_seed(21.0, 21, 21),
        "linear": by_seed(29.0, 29, 29),
        "closed": by_seed(30.0, 31, 32),
        "trained": by_seed(35.0, 36),
        "weak": by_seed(1.0, 2),
    }
    assert significance.bases(values, PSNR) == {"trained": "best", "closed": "best with 3 seeds or more"}
    assert [d.p for d in significance.against("trained", values).values()] == [None] * 4
    found = significance.against("closed", values)
    linear, floor = (1 - t / math.sqrt(2 + t * t) for t in (2 * math.sqrt(3), 10 * math.sqrt(3)))
    assert (found["linear"].p, found["linear"].n) == (pytest.approx(linear), 3)
    assert (found["floor"].p, found["floor"].n) == (pytest.approx(2 * floor), 3)
    assert (found["trained"].p, found["trained"].n) == (None, 2)

    runs = scored(**{label: list(own.values()) for label, own in values.items()})
    columns = significance.contrasts(runs, list(values), [PSNR])
    assert [column.base for column in columns] == ["trained", "closed"]
    best, many = (column.cells for column in columns)
    assert (best["trained"].text, many["closed"].text) == ("best", "best with 3 seeds or more")
    assert best["closed"] == significance.Verdict("−5.000 ± 0.000", "n = 2, no test")  # noqa: RUF001
    assert many["linear"] == significance.Verdict("−2.000 ± 1.000", "n = 3, p = 0.074")  # noqa: RUF001
    assert many["floor"].remark == "n = 3, p = 0.007"
    assert many["trained"] == significance.Verdict("+5.000 ± 0.000", "n = 2, no test")
    only = {"trained": values["trained"], "closed": values["closed"]}  # nothing to test `closed` against
    assert significance.bases(only, PSNR) == {"trained": "best"}


def test_the_best_is_chosen_over_common_seeds() -> None:
    """`long` has the higher mean, by seeds that `short` did not run with."""
    runs = [run | {"seconds": {}} for run in scored(long=[30.0, 31.0, 50.0], short=[32.0, 33.0])]
    found = tables.table(runs, ["long", "short"], [PSNR])
    assert [row.cells[0].text for row in found.rows] == ["37.00", "32.50"]
    assert [row.cells[0].compared for row in found.rows] == [30.5, 32.5]
    assert [row.cells[0].best for row in found.rows] == [False, True]
    assert found.basis == "over the seeds that all methods share (0, 1)"
    values = {"long": by_seed(30.0, 31, 50), "short": by_seed(32.0, 33)}
    assert significance.bases(values, PSNR) == {"short": "best"}
    ranked = standing(PSNR, {"one": runs}, ["long", "short"]).table.rows
    assert [row.cells[-1].mean for row in ranked] == [2, 1]

    apart = [run | {"seed": 7} if run["label"] == "short" and run["seed"] else run for run in runs]
    apart = [run for run in apart if (run["label"], run["seed"]) != ("short", 0)]
    found = tables.table(apart, ["long", "short"], [PSNR])
    assert found.basis == "over each method's own seeds, since no seed is common to all"
    assert [row.cells[0].best for row in found.rows] == [True, False]


def test_differences_in_words() -> None:
    runs = scored(best=[40.0, 40.2, 40.1], other=[39.0, 39.3, 39.0], two=[38.0, 38.1])
    runs += [{"label": "late", "seed": 7, "metrics": {"psnr": 1.0, "sam": 99.0}}]
    labels = ["best", "other", "two", "late", "none"]
    psnr, sam = (column.cells for column in significance.contrasts(runs, labels, [PSNR, SAM]))
    assert list(psnr) == list(sam) == labels
    assert (psnr["best"].text, sam["best"].text) == ("best", "best")
    assert psnr["other"].text == "−1.000 ± 0.100"  # noqa: RUF001
    assert sam["other"].text == "+1.000 ± 0.100"
    assert psnr["other"].remark.startswith("n = 3, p = 0.00")
    assert psnr["two"].remark == "n = 2, no test"
    assert psnr["late"] == significance.Verdict("no common seed", "no test")
    assert psnr["none"] == significance.Verdict("no value")
    assert significance.contrasts(runs, ["none"], [PSNR]) == []


def test_overview_ranks_methods_over_scenes() -> None:
    scenes = {
        "one": scored(a=[30.0, 31.0], b=[32.0], c=[20.0]),
        "two": scored(a=[40.0], b=[40.0], c=[41.0]),
    }
    found = standing(PSNR, scenes, ["a", "b", "c"])
    assert [column.label for column in found.table.columns] == ["one", "two", "Mean rank"]
    assert [[cell.text for cell in row.cells] for row in found.table.rows] == [
        ["30.50", "40.00", "2.25"],  # ranks 2 and 2.5
        ["32.00", "40.00", "1.75"],
        ["20.00", "41.00", "2.00"],
    ]
    assert [cell.best for cell in found.table.rows[1].cells] == [True, False, True]
    assert [row.seeds for row in found.table.rows] == [[0, 1], [0], [0]]
    assert found.test == "No test across scenes: it needs at least 6 scenes; there are 1."
    sam = standing(SAM, scenes, ["a", "b", "c"])
    assert [row.cells[-1].mean for row in sam.table.rows] == [2.25, 1.75, 2.0]


def test_friedman_over_six_scenes() -> None:
    """All scenes rank alike: chi-square = 12 n / (k (k + 1)) sum (mean rank - 2)^2 = 12 at two degrees."""
    scenes = {
        f"s{i}": [r | {"scene": f"s{i}"} for r in scored(a=[3.0 + i], b=[2.0], c=[1.0])] for i in range(6)
    }
    found = standing(PSNR, scenes, ["a", "b", "c"])
    p = math.exp(-12 / 2)
    assert found.test == (
        f"Friedman's test of the hypothesis that all methods rank equally, 6 scenes: p = {p:.3f}."
    )
    again = {f"{title}/{r}": runs for title, runs in scenes.items() for r in ("x", "y")}
    assert "counts once" in standing(PSNR, again, ["a", "b", "c"]).test


# ---- published results


def test_published_results_stand_beside_ours_and_out_of_every_rank(tmp_path: Path) -> None:
    runs = scored(args_diff=[40.0, 41.0], bicubic=[30.0, 30.0])
    runs = [run | {"seconds": {}} for run in runs]
    lines = published.side_by_side("pavia_university", runs, ["bicubic", "args_diff"])
    names = [(line.name, line.is_published) for line in lines]
    assert names.index(("args_diff", False)) == names.index(("ARGS-Diff", True)) + 1
    assert sum(not line.is_published for line in lines) == 1
    ours = next(line for line in lines if not line.is_published)
    assert (ours.cells[0].text, ours.cells[0].spread, ours.seeds) == ("40.50", "0.71", 2)
    assert not any(cell.best for line in lines for cell in line.cells)

    experiment = make_results(tmp_path)
    content = experiment.model_dump(exclude_unset=True)
    content["scenes"]["field"]["dataset"] = "chikusei"
    page, text = write_report(parse_experiment(content, "test"), tmp_path)
    assert "Published results" in page
    assert "Published results for reference" not in page  # none of its methods is among the published
    assert "S2CycleDiff" in page
    assert "S2CycleDiff" not in text
    assert not any("MIAE" in row[0] for row in Page(page).tables[0])
    assert published.has_peers(["args_diff", "miae"])
    assert not published.has_peers(["args_diff", "args_diff", "bicubic"])


# ---- comparing summaries


def test_compare_finds_what_differs_and_passes_over_times(
    made: tuple[Experiment, Path, str, str], tmp_path: Path
) -> None:
    _, folder, _, text = made
    other = tmp_path / "summary.csv"
    other.write_text(text.replace("321.5", "99").replace(",1.25,", ",7,"))
    assert report_compare.run(folder, other) == []
    rows = text.splitlines(keepends=True)
    other.write_text("".join(rows[:-1]).replace("20.0,", "20.5,", 1))
    assert report_compare.run(folder, tmp_path) == [
        "row 1 (field, smooth, seed 0): psnr: 20.0 and 20.5",
        f"row 5 (field, twin, seed 1): only in {folder}",
    ]
    done = CliRunner().invoke(app, ["compare", str(folder), str(other), "--show", "1"])
    assert done.exit_code == 1
    assert done.output.splitlines() == ["row 1 (field, smooth, seed 0): psnr: 20.0 and 20.5", "2 differences"]
    same = CliRunner().invoke(app, ["compare", str(folder), str(folder)])
    assert (same.exit_code, same.output) == (0, "the same results\n")
