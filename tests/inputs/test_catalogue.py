"""The catalogue's entries, the commands that show them, and a scene taken from it."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.config.experiment import load_experiment
from pipeline.config.scenes import Crop, DatasetSource, Scene
from pipeline.errors import InputError
from pipeline.inputs.datasets.catalogue import Dataset, data_folder, dataset, file_source, image, names
from pipeline.inputs.datasets.fetch import fetch_image
from pipeline.inputs.file_scene import open_file, read_scene, source_size
from pipeline.steps import crop, download
from pipeline.store.files import read_json

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = ROOT / "src/pipeline/config/datasets"
IMAGES = [(name, label) for name in names() for label in dataset(name).images]


def call(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["datasets", *map(str, arguments)], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_what_the_catalogue_does_not_have_is_one_line() -> None:
    with pytest.raises(InputError, match=r"pavia: no such data set; the catalogue has berlin, cat_island, c"):
        dataset("pavia")
    with pytest.raises(InputError, match=r"ksc: has no image 'gt'; it has scene"):
        image("ksc", "gt")


@pytest.mark.parametrize(("name", "label"), IMAGES)
def test_images_are_described_without_contradiction(name: str, label: str) -> None:
    entry, described = dataset(name), image(name, label)
    source = file_source(DatasetSource(kind="dataset", name=name, image=label, folder="d"))  # type: ignore[arg-type]
    assert fnmatch(f"d/{name}/{described.file.path}", source.path)
    height, width = described.size
    bands = described.bands + len(source.bad_bands)
    if described.file.shape is not None and described.tiles is None:
        stored = {"x,y,band": (width, height, bands), "y,x,band": (height, width, bands)}
        stored |= {"band,xy": (bands, height * width), "y,x": (height, width)}
        reversed_axes = described.file.format == "matlab73"  # HDF5 keeps MATLAB's axes the other way round
        found = tuple(described.file.shape)[:: -1 if reversed_axes else 1]
        assert found == stored.get(source.axes or "", (bands, height, width))
    if isinstance(source.wavelengths, str) and ":" in source.wavelengths and not source.band_numbers:
        assert int(source.wavelengths.split(":")[2]) == bands
    if isinstance(source.wavelengths, list):
        assert len(source.wavelengths) == bands
    for file in (described.file, *described.beside, entry.archive):
        for url in file.urls if file else ():
            assert re.match(r"https?://[^ ]+$", url)
            assert "raw.githubusercontent.com" not in url or re.search(r"/[0-9a-f]{40}/", url)


def test_raw_formats_have_a_checksum_in_place_of_a_header() -> None:
    for name, label in IMAGES:
        file = image(name, label).file
        assert file.format != "raw" or file.sha256


def test_an_entry_needs_somewhere_to_come_from() -> None:
    content = yaml.safe_load((ENTRIES / "chikusei_matlab.yaml").read_text())
    Dataset.model_validate(content)
    with pytest.raises(ValueError, match="is the member of an archive that the entry does not name"):
        Dataset.model_validate({key: value for key, value in content.items() if key != "archive"})
    del content["images"]["scene"]["file"]["member"]
    with pytest.raises(ValueError, match="has neither `urls` nor a `member`"):
        Dataset.model_validate(content)


def test_list_and_info(tmp_path: Path) -> None:
    table = call("list", "--folder", tmp_path)
    for name in names():
        assert re.search(rf"^ *{name} .* no *$", table, re.MULTILINE)
        entry = dataset(name)
        text = call("info", name, "--folder", tmp_path)
        assert entry.citation in text
        assert entry.licence in text
        assert entry.checked in text
        assert all(trap in text for trap in entry.traps)
        assert "not here" in text
    (tmp_path / "ksc").mkdir()
    (tmp_path / "ksc/KSC.mat").write_text("<html>")
    assert re.search(r"^ *ksc .* 1 *$", call("list", "--folder", tmp_path), re.MULTILINE)
    assert "here (" + str(tmp_path / "ksc/KSC.mat") + ", but it is a web page" in call(
        "info", "ksc", "--folder", tmp_path
    )


def test_errors_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "ksc").mkdir()
    (tmp_path / "ksc/KSC.mat").write_text("<html>")
    for arguments in (["info", "nothing"], ["fetch", "ksc", "--folder", str(tmp_path)]):
        result = CliRunner().invoke(app, ["datasets", *arguments])
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith("pipeline datasets: ")


def test_the_folder_of_the_data_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPELINE_DATA", raising=False)
    assert data_folder() == Path("data")
    monkeypatch.setenv("PIPELINE_DATA", "/scratch/scenes")
    assert data_folder() == Path("/scratch/scenes")
    assert data_folder("here") == Path("here")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A folder as mirror, with images of the true layout."""
    folder = tmp_path / "mirror"
    cube = np.random.default_rng(0).integers(1, 9000, (4, 300, 360)).astype(np.uint16)
    (folder / "mdas_augsburg").mkdir(parents=True)
    path = folder / "mdas_augsburg/EeteS_Sentinel_2_10m_sub_area1.tif"
    layout = {"count": 4, "height": 300, "width": 360, "dtype": "uint16", "crs": "EPSG:32632"}
    transform = rasterio.Affine(10, 0, 640000, 0, -10, 5360000)
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **layout) as file:
        file.write(cube)
    (folder / "cave").mkdir()
    np.save(folder / "cave/clay.npy", np.full((31, 512, 512), 65535, np.uint16))
    monkeypatch.setenv("PIPELINE_MIRROR", str(folder))
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path / "scenes"))
    return cube


def test_a_scene_of_the_catalogue_goes_through_download_and_crop(mirror: np.ndarray, tmp_path: Path) -> None:
    source = DatasetSource(kind="dataset", name="mdas_augsburg", image="sentinel_2")
    assert source_size(source) == (300, 360)
    record = tmp_path / "out/source.json"
    download.run(settings=Scene(source=source), out=record)
    content = read_json(record)
    assert content["path"] == "mdas_augsburg/EeteS_Sentinel_2_10m_sub_area1.tif"
    assert content["reading"] == {"scale": 10000}
    settings = Scene(source=source, crop=Crop(height=16, width=16, at=(20, 30)))
    crop.run(source=record, settings=settings, out=tmp_path / "out/reference.json")
    scene = crop.open_source(record, source)
    found = scene.read(settings.window((300, 360)))
    np.testing.assert_allclose(found, mirror[:, 20:36, 30:46] / 1e4, rtol=1e-6)
    path = tmp_path / "scenes" / content["path"]
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError, match=r"expected .*; it is not the one recorded in .*--accept-change"):
        download.run(settings=Scene(source=source), out=record)
    with pytest.raises(InputError, match="its sha256 is"):
        crop.open_source(record, source)


def test_an_image_of_cave_is_read(mirror: np.ndarray, tmp_path: Path) -> None:
    source = DatasetSource(kind="dataset", name="cave", image="clay")
    fetch_image("cave", "clay", folder=data_folder())
    scene = read_scene(file_source(source))
    assert scene.data.shape == (31, 512, 512)
    assert scene.wavelength is not None
    assert scene.wavelength[[0, 1, -1]].tolist() == [400, 410, 700]
    assert (scene.data == 1).all()


@pytest.mark.parametrize("name", ["samson", "pavia_centre_crop", "cat_island", "enmap_potsdam", "vegetation"])
def test_a_real_scene_is_what_its_entry_says(name: str, data_sets: Path, tmp_path: Path) -> None:
    """Fetched from a mirror, verified and read; Paris, Berlin and others are read in tests of their pairs."""
    source = DatasetSource(kind="dataset", name=name, folder=str(data_sets))
    download.run(settings=Scene(source=source), out=tmp_path / "source.json")
    scene = open_file(source)
    assert scene.shape[1:] == image(name).size == source_size(source)
    assert scene.report["file_bands"] == image(name).bands
    assert scene.metadata.wavelength is not None


def test_the_crop_of_pavia_centre_is_in_whole_numbers_again(data_sets: Path) -> None:
    scene = read_scene(DatasetSource(kind="dataset", name="pavia_centre_crop", folder=str(data_sets)))
    assert np.array_equal(scene.data, np.rint(scene.data))
    assert (scene.data.min(), scene.data.max()) == (0, 6733)


def test_the_experiment_of_the_paper_takes_its_scenes_from_the_catalogue() -> None:
    scenes = load_experiment(ROOT / "config/benchmark_paper.yaml").scenes
    assert {name: scene.source.kind for name, scene in scenes.items()} == dict.fromkeys(scenes, "dataset")
    assert [source_size(scene.source) for scene in scenes.values()] == [(610, 340), (2517, 2335), (512, 614)]


def test_the_commands_of_the_guide_exist() -> None:
    guide = (ROOT / "docs/data/datasets.md").read_text()
    commands = re.findall(r"^ +(?:PIPELINE_\w+=\S+ )*pipeline (datasets \w+)", guide, re.MULTILINE)
    assert {"datasets list", "datasets info", "datasets fetch"} == set(commands)
    for command in commands:
        assert CliRunner().invoke(app, [*command.split(), "--help"]).exit_code == 0
    for name in names():
        assert f"`{name}`" in guide
