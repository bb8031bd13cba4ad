"""The pairs of Berlin, Paris and Potsdam: alignment and responses against brute force, and a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from scipy.ndimage import zoom

from pipeline.config.experiment import Experiment, load_experiment
from pipeline.config.scenes import FileSource
from pipeline.core.sensing.spatial import FWHM_PER_SIGMA
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.core.window import Window
from pipeline.inputs.file_scene import open_file
from pipeline.steps import clip
from pipeline.store.files import read_record
from real_pair import ESTIMATED, Steps, write_tif

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.long


def steps_of(experiment: Experiment, name: str, folder: Path) -> Steps:
    """The steps of a scene as its configuration has it."""
    scene = experiment.scenes[name]
    assert scene.pair is not None
    told = experiment.estimation_of(name).model_dump(mode="json")
    return Steps(folder, scene.pair.model_dump(mode="json", exclude_none=True), told)


@pytest.mark.usefixtures("catalogued")
def test_berlin_is_where_brute_force_finds_it(tmp_path: Path) -> None:
    """The sharp image sampled 3.1 to 3.7 m north and 2.4 to 2.8 m west, sigma 12.6 to 13.2 m."""
    steps = steps_of(load_experiment(ROOT / "config/berlin.yaml"), "berlin", tmp_path)
    found = steps.align()
    south, east = found["shift_metres"]
    assert 3.1 - 1 < -south < 3.7 + 1
    assert 2.4 - 1 < -east < 2.8 + 1
    assert found["ratio"] == "25/3"
    assert found["resampled"] is False
    told = steps.estimate()
    sigma = 30 * np.array(told["fwhm"]) / FWHM_PER_SIGMA
    assert ((sigma > 12.6 - 1.5) & (sigma < 13.2 + 1.5)).all()
    assert 0 < told["fwhm_error"][0] < 0.1
    assert max(found["shift_error"]) < 0.1
    assert min(band["correlation"] for band in told["bands"]) > 0.97


@pytest.mark.usefixtures("catalogued")
def test_berlin_of_9_metres_is_aligned_and_fused(tmp_path: Path) -> None:
    steps = steps_of(load_experiment(ROOT / "config/berlin.yaml"), "berlin_9m", tmp_path)
    found = steps.align()
    assert sorted(np.abs(found["shift_metres"])) == pytest.approx([9.5, 19], abs=1.5)
    steps.estimate()
    out = tmp_path / "town/reference.json"
    clip.run(source=steps.source, settings=steps.config, out=out, observation=steps.path("observation.json"))
    scores = {}
    for label in ("bicubic", "gaussian_subspace"):
        steps.fuse(label)
        scores[label] = steps.evaluate(label, out)["metrics"]
    assert scores["gaussian_subspace"]["psnr"] > scores["bicubic"]["psnr"] + 4
    assert scores["gaussian_subspace"]["hqnr"] > scores["bicubic"]["hqnr"]
    assert list(read_record(steps.source)) == ["hsi", "kind", "msi", "reference"]


@pytest.mark.usefixtures("catalogued")
def test_the_detectors_of_hyperion_are_where_brute_force_finds_them(tmp_path: Path) -> None:
    """Rows 0.0 to 0.25 and columns 0.42 to 0.58, other ones in VNIR than in SWIR; within 0.1 pixel."""
    steps = steps_of(load_experiment(ROOT / "config/paris.yaml"), "paris_ms", tmp_path)
    found = steps.align()
    assert found["detectors"].keys() == {"VNIR", "SWIR"}
    for one in found["detectors"].values():
        row, column = one["shift"]
        assert -0.1 < row < 0.35
        assert 0.32 < column < 0.68
        assert max(one["shift_error"]) < 0.1
    vnir, swir = (np.array(found["detectors"][name]["shift"]) for name in ("VNIR", "SWIR"))
    assert np.abs(vnir - swir).max() > 0.05
    told = steps.estimate()
    assert len(told["bands"]) == 9
    assert np.median([band["correlation"] for band in told["bands"]]) > 0.9


def test_four_tiles_of_enmap_are_the_hsi_of_a_pair(data_sets: Path, tmp_path: Path) -> None:
    """With an MSI on a grid three times as fine, made of the tiles and displaced by a known shift."""
    source: dict[str, Any] = {"kind": "file", "path": str(data_sets / "enmap_potsdam/*.tif")}
    scene = open_file(FileSource.model_validate(source))
    bands, height, width = scene.shape
    assert (np.diff(scene.metadata.wavelength) > 0).all()
    bands, height, width = scene.shape
    assert (height, width) == (64, 64)
    cube = scene.read(Window(0, height, 0, width))
    centres, widths = [490.0, 560.0, 665.0, 842.0, 1610.0], [66.0, 36.0, 31.0, 106.0, 91.0]
    spectral = gaussian_response(
        np.array(centres), np.array(widths), scene.metadata.wavelength, scene.metadata.fwhm
    )
    fine = zoom(np.tensordot(spectral, cube, 1), (1, 3, 3), order=3, grid_mode=True, mode="nearest")
    fine += np.random.default_rng(0).normal(0, 0.002 * fine.mean(), fine.shape)
    # what the MSI shows lies 9 m further north and 6 m further west than its georeference says
    place = Affine(*scene.metadata.transform) @ Affine.scale(1 / 3) @ Affine.translation(0.6, 0.9)
    write_tif(tmp_path / "msi.tif", fine, place, scene.metadata.crs)
    pair = {
        "hsi": source,
        "msi": {"kind": "file", "path": str(tmp_path / "msi.tif")},
        "spectral": {"kind": "gaussian", "centres": centres, "fwhm": widths},
    }
    steps = Steps(tmp_path, pair, ESTIMATED)
    found = steps.align()
    assert found["detectors"].keys() == {"VNIR", "SWIR"}
    np.testing.assert_allclose(found["shift_metres"], [9, 6], atol=1.5)
    assert len(read_record(steps.source)["hsi"]["files"]) == 4
    steps.estimate()
    fused = steps.fuse("gaussian_subspace")
    assert fused.shape == (bands, *steps.window().shape)
    folder = steps.export("gaussian_subspace")
    product = open_file(FileSource(kind="file", path=str(folder / "cube.tif")))
    np.testing.assert_allclose(product.metadata.wavelength, scene.metadata.wavelength)
    assert steps.evaluate("gaussian_subspace")["metrics"]["residual_hsi"] < 1.5
