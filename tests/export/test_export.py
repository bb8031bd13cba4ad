"""Products hold the fused cube exactly, and other programs find place, bands and no-data in them."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pystac import Item
from rio_cogeo import cog_validate
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.commands import verify
from pipeline.config.experiment import Estimation
from pipeline.config.exports import Products
from pipeline.core.scene import Metadata, Scene
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.export.cog import write_cog
from pipeline.export.envi import write_envi
from pipeline.export.folder import write_folder
from pipeline.export.layer import Layer, Tally, image_layer
from pipeline.export.quality import nearest_lr
from pipeline.export.stac import EXTENSIONS
from pipeline.inputs.formats.raster import raster_image
from pipeline.steps import estimate, export
from pipeline.store.files import named, read_json
from pipeline.store.schema import cube_dataset, metadata_from, observation_dataset
from pipeline.store.store import write_store

TIME = "2013-07-19T10:30:00Z"
EVERYTHING = Products(formats=["cog", "envi"], msi=True, stac=True, datetime=TIME)
CORNER = (366_015.123456789, 5_806_125.987654321)


@pytest.fixture
def scene(small_scene: Scene) -> Scene:
    """The small scene on an odd corner, with two detectors and units."""
    return replace(
        small_scene,
        transform=(3.6, 0.0, CORNER[0], 0.0, -3.6, CORNER[1]),
        units="W m-2 sr-1 um-1",
        detector=np.array(["VNIR"] * 4 + ["SWIR"] * 2),
    )


def observe(scene: Scene) -> Observation:
    response = np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.2, 0.8, 0, 0]])
    blur = SpatialResponse.gaussian(ratio=4, fwhm=1.0)
    return simulate(scene.data, spectral_response=response, spatial_response=blur)


def stores(folder: Path, scene: Scene, msi: Metadata | None = None) -> dict[str, Path]:
    """The three stores of a run whose cube is the scene itself."""
    run = folder / "field/oli/seed0"
    paths = {name: run / f"{name}.json" for name in ("observation", "estimate")}
    dataset = observation_dataset(observe(scene), scene, msi)
    write_store(run / "observation.zarr", dataset, {})
    estimate.run(observation=paths["observation"], settings=Estimation(), out=paths["estimate"])
    cube = cube_dataset(scene.data, metadata_from(dataset))
    return paths | {"fused": write_store(run / "mine/fused.zarr", cube, {"step": "fuse"})}


def exported(
    folder: Path, scene: Scene, settings: Products = EVERYTHING, msi: Metadata | None = None
) -> Path:
    """The folder of products of a scene."""
    out = folder / "field/oli/seed0/mine/product.json"
    export.run(**stores(folder, scene, msi), settings=settings, out=out)
    return out.with_suffix("")


def physical(scene: Scene) -> np.ndarray:
    return (scene.data.astype(np.float64) * scene.scale).astype(np.float32)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def test_cog_is_valid_and_says_what_it_holds(scene: Scene, tmp_path: Path) -> None:
    folder = exported(tmp_path, scene)
    for name in ("cube.tif", "quality.tif", "msi.tif"):
        assert cog_validate(folder / name, strict=True) == (True, [], [])
    with rasterio.open(folder / "cube.tif") as file:
        assert file.crs.to_epsg() == 32633
        assert np.isnan(file.nodata)
        assert file.dtypes[0] == "float32"
        assert file.units == ("W m-2 sr-1 um-1",) * 6
        assert file.descriptions[:2] == ("Band 1 (450 nm)", "Band 2 (550 nm)")
        assert file.tags(5, ns="IMAGERY") == {"CENTRAL_WAVELENGTH_UM": "1.65", "FWHM_UM": "0.01"}
        assert file.tags(5)["detector"] == "SWIR"
        assert file.interleaving.value == "BAND"
        assert file.tags()["AREA_OR_POINT"] == "Area"
        np.testing.assert_array_equal(file.read(), physical(scene))
        assert file.dataset_mask()[3, 5] == 0
        corners = [rasterio.transform.xy(file.transform, *place, offset="ul") for place in ((0, 0), (40, 72))]
    expected = [CORNER, (CORNER[0] + 72 * 3.6, CORNER[1] - 40 * 3.6)]
    np.testing.assert_allclose(corners, expected, rtol=0, atol=1e-6)


def test_own_reader_gets_everything_back_from_both_formats(scene: Scene, tmp_path: Path) -> None:
    folder = exported(tmp_path, replace(scene, wavelength=scene.wavelength + 1 / 3))
    for name in ("cube.tif", "cube.bsq"):
        image = raster_image(folder / name)
        values, missing = image.read(Window(0, 40, 0, 72), list(range(6)))
        np.testing.assert_array_equal(np.where(missing, np.nan, values), physical(scene))
        np.testing.assert_array_equal(image.wavelength, scene.wavelength + 1 / 3)
        np.testing.assert_array_equal(image.fwhm, scene.fwhm)
        np.testing.assert_allclose(image.transform, scene.transform, rtol=0, atol=1e-6)
        assert (image.crs, image.bad_bands) == ("EPSG:32633", ())


def test_envi_header_has_what_envi_reads(scene: Scene, tmp_path: Path) -> None:
    folder = exported(tmp_path, scene)
    lines = (folder / "cube.hdr").read_text()
    assert "description = {\ncube.bsq}" in lines
    for line in (
        "interleave = bsq",
        "data type = 4",
        "map info = {UTM, 1, 1, 366015.123456789, 5806125.98765432, 3.6, 3.6, 33, North,WGS-84}",
        'coordinate system string = {PROJCS["WGS_1984_UTM_Zone_33N"',
        "data ignore value = nan",
        "bbl = {1, 1, 1, 1, 1, 1}",
        "wavelength = {450.0, 550.0, 650.0, 850.0, 1650.0, 2200.0}",
        "wavelength units = Nanometers",
        "fwhm = {10.0, 10.0, 10.0, 10.0, 10.0, 10.0}",
        "data units = W m-2 sr-1 um-1",
    ):
        assert f"\n{line}" in lines
    with rasterio.open(folder / "cube.bsq") as file:
        assert file.tags(1, ns="IMAGERY") == {"CENTRAL_WAVELENGTH_UM": "0.450", "FWHM_UM": "0.010"}
        assert file.descriptions[0].startswith("Band 1")
    assert not list(folder.glob("*.xml"))


def test_int16_rounds_clips_and_counts(scene: Scene, tmp_path: Path) -> None:
    bright = scene.data.copy()
    bright[0, 10, 10], bright[1, 10, 10], bright[0, 10, 11] = 4.0, -4.0, 0.50005
    settings = EVERYTHING.model_copy(update={"dtype": "int16"})
    folder = exported(tmp_path, replace(scene, data=bright), settings)
    for name in ("cube.tif", "cube.bsq"):
        with rasterio.open(folder / name) as file:
            assert (file.dtypes[0], file.nodata) == ("int16", -32768)
        values = read(folder / name)
        expected = np.clip(np.rint(np.where(np.isnan(bright), -3.2768, bright) * scene.scale), -32768, 32767)
        expected[1, 10, 10] = -32767  # not the number for no data
        np.testing.assert_array_equal(values, expected.astype(np.int16))
    assert read_json(folder.with_suffix(".json"))["clipped"] == 2
    assert cog_validate(folder / "cube.tif", strict=True)[0]
    assets = json.loads((folder / "item.json").read_text())["assets"].values()
    nodata = {asset["data_type"]: asset["nodata"] for asset in assets if "nodata" in asset}
    assert nodata == {"int16": -32768, "float32": "nan"}


@pytest.mark.parametrize(
    ("lowest", "highest", "dtype", "nodata"),
    [
        (-3.0, 3.2, "int16", -32768),
        (0.0, 6.5, "uint16", 65535),
        (-3.0, 6.5, "int32", -(2**31)),
        (0.0, 6.5536, "int32", -(2**31)),
    ],
)
def test_integers_are_as_wide_as_the_values(
    scene: Scene, tmp_path: Path, lowest: float, highest: float, dtype: str, nodata: int
) -> None:
    values = np.maximum(scene.data, np.float32(0))
    values[0, 10, 10], values[1, 10, 10] = lowest, highest
    settings = Products(formats=["cog", "envi"], dtype="integer", quality=False)
    folder = exported(tmp_path, replace(scene, data=values), settings)
    ledger = read_json(folder.with_suffix(".json"))
    assert (ledger["dtype"], ledger["clipped"]) == (dtype, 0)
    expected = np.where(np.isnan(values), nodata, np.rint(values * np.float64(scene.scale)))
    for name in ("cube.tif", "cube.bsq"):
        with rasterio.open(folder / name) as file:
            assert (file.dtypes[0], file.nodata) == (dtype, nodata)
        np.testing.assert_allclose(read(folder / name), expected, atol=1)


def test_few_levels_stay_float32(scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = exported(tmp_path, replace(scene, scale=1.0), Products(dtype="integer", quality=False))
    assert read_json(folder.with_suffix(".json"))["dtype"] == "float32"
    assert "would be rounded to fewer than 100 levels; written as float32" in caplog.text


def test_integers_that_hold_no_such_values_are_refused(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no integers hold .* to .*e\+\d+; use float32"):
        exported(tmp_path, replace(scene, scale=1e12), Products(dtype="integer"))


def test_clipped_values_are_warned_of(scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exported(tmp_path, replace(scene, data=scene.data - 0.1), Products(dtype="uint16", quality=False))
    assert "values from -7" in caplog.text
    assert "were clipped to those of uint16; `dtype: integer` holds them all" in caplog.text


def test_int16_that_would_hold_nothing_is_refused(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"int16 would round values from 0.02.* to 0.69.* to fewer than 100"):
        exported(tmp_path, replace(scene, scale=1.0), Products(dtype="int16"))
    left = sorted(path.name for path in (tmp_path / "field/oli/seed0/mine").iterdir())
    assert left == ["fused.json", "fused.zarr"]


def test_msi_passes_through_in_its_own_units(scene: Scene, tmp_path: Path) -> None:
    own = Metadata(wavelength=np.array([480.0, 660.0]), scale=255.0, units="counts")
    folder = exported(tmp_path, scene, msi=own)
    seen = observe(scene).hr_msi
    np.testing.assert_array_equal(
        read(folder / "msi.tif"), (seen.astype(np.float64) * 255).astype(np.float32)
    )
    with rasterio.open(folder / "msi.tif") as file:
        assert file.units == ("counts", "counts")
        assert file.descriptions == ("Band 1 (480 nm)", "Band 2 (660 nm)")
        assert file.transform.c == CORNER[0]


def test_quality_layer_is_at_the_noise_for_the_true_cube(scene: Scene, tmp_path: Path) -> None:
    folder = exported(tmp_path, scene)
    msi, hsi, mask = read(folder / "quality.tif")
    np.testing.assert_array_equal(mask, (~np.isnan(scene.data)).any(axis=0))
    assert np.sqrt(np.nanmean(msi**2)) == pytest.approx(1, rel=0.05)
    assert np.sqrt(np.nanmean(hsi**2)) == pytest.approx(1, rel=0.1)
    np.testing.assert_array_equal(hsi[8:12, 8:12], hsi[8, 8])
    with rasterio.open(folder / "quality.tif") as file:
        assert file.descriptions[0] == "residual of the HR-MSI (noise = 1)"
        assert file.crs.to_epsg() == 32633


@pytest.mark.parametrize(("ratio", "shift"), [("4", (0.0, 0.0)), ("8/3", (0.3, -0.7)), ("4", (1.2, -1.6))])
def test_nearest_lr_pixel_is_the_one_whose_centre_is_nearest(
    small_scene: Scene, ratio: str, shift: tuple[float, float]
) -> None:
    response = SpatialResponse.gaussian(ratio=ratio, fwhm=1.0).shifted(*shift)
    seen = simulate(small_scene.data, spectral_response=np.eye(6)[:2], spatial_response=response)
    found = nearest_lr(seen)
    for axis in (0, 1):
        centres = (np.arange(seen.lr_shape[axis]) + 0.5 + shift[axis]) * float(response.ratio)
        distance = np.abs(np.arange(seen.hr_shape[axis])[:, None] + 0.5 - centres)
        chosen = np.take_along_axis(distance, found[axis][:, None], axis=1)[:, 0]
        np.testing.assert_allclose(chosen, distance.min(axis=1), atol=1e-9)


def test_item_is_valid_and_places_the_scene(scene: Scene, tmp_path: Path) -> None:
    folder = exported(tmp_path, scene)
    content = json.loads((folder / "item.json").read_text())
    assert content["stac_version"] == "1.1.0"
    assert content["stac_extensions"] == EXTENSIONS
    assert content["links"] == []
    item = Item.from_dict(content | {"stac_extensions": []})
    item.validate()  # the core schemas, which lie in pystac; those of the extensions are on the network
    properties = content["properties"]
    assert properties["datetime"] == TIME
    assert properties["proj:code"] == "EPSG:32633"
    assert properties["proj:shape"] == [40, 72]
    assert properties["proj:transform"] == list(scene.transform or ())
    assert properties["proj:bbox"] == pytest.approx(
        [CORNER[0], CORNER[1] - 144, CORNER[0] + 259.2, CORNER[1]]
    )
    west, south, east, north = content["bbox"]
    ring = np.array(content["geometry"]["coordinates"][0])
    assert ring[0].tolist() == ring[-1].tolist()
    assert ((ring >= [west - 1e-6, south - 1e-6]) & (ring <= [east + 1e-6, north + 1e-6])).all()
    area = np.sum(ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1]) / 2
    assert area > 0  # counter-clockwise
    band = content["assets"]["cube.tif"]["bands"][4]
    assert band == {
        "name": "Band 5",
        "eo:center_wavelength": 1.65,
        "eo:full_width_half_max": 0.01,
        "description": "detector SWIR",
    }
    for name, asset in content["assets"].items():
        data = (folder / name).read_bytes()
        assert asset["href"] == name
        assert asset["file:size"] == len(data)
        assert asset["file:checksum"] == "1220" + sha256(data).hexdigest()
    assert set(content["assets"]) == {"cube.tif", "cube.bsq", "cube.hdr", "quality.tif", "msi.tif"}


def test_item_at_the_central_meridian_and_equator(scene: Scene, tmp_path: Path) -> None:
    origin = replace(scene, transform=(3.6, 0.0, 500_000.0, 0.0, -3.6, 0.0))
    folder = exported(tmp_path, origin, Products(stac=True, datetime=TIME, quality=False))
    degree_y, degree_x = 110_574.28 * 0.9996, 111_319.49 * 0.9996  # metres at the equator, WGS 84
    expected = [15.0, -144 / degree_y, 15 + 259.2 / degree_x, 0.0]
    found = json.loads((folder / "item.json").read_text())["bbox"]
    assert found == pytest.approx(expected, abs=2e-7)


def test_item_of_an_interval_has_no_single_time(scene: Scene, tmp_path: Path) -> None:
    times = "2009-08-20T00:00:00Z/2009-08-20T23:59:59Z"
    folder = exported(tmp_path, scene, Products(stac=True, datetime=times, quality=False))
    content = json.loads((folder / "item.json").read_text())
    Item.from_dict(content | {"stac_extensions": []}).validate()
    properties = content["properties"]
    assert properties["datetime"] is None
    assert [properties["start_datetime"], properties["end_datetime"]] == times.split("/")


def test_item_of_a_south_up_grid_is_counter_clockwise(scene: Scene, tmp_path: Path) -> None:
    upside_down = replace(scene, transform=(3.6, 0.0, *CORNER[:1], 0.0, 3.6, CORNER[1]))
    folder = exported(tmp_path, upside_down, Products(stac=True, datetime=TIME, quality=False))
    ring = np.array(json.loads((folder / "item.json").read_text())["geometry"]["coordinates"][0])
    assert np.sum(ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1]) > 0


def test_rotated_grid_survives_both_formats(scene: Scene, tmp_path: Path) -> None:
    rotated = (8.0, 6.0, 366015.0, 6.0, -8.0, 5806125.0)
    folder = exported(tmp_path, replace(scene, transform=rotated))
    for name in ("cube.tif", "cube.bsq"):
        with rasterio.open(folder / name) as file:
            np.testing.assert_allclose(file.transform[:6], rotated, rtol=0, atol=1e-6)
    assert json.loads((folder / "item.json").read_text())["properties"]["proj:transform"] == list(rotated)


def test_scene_without_a_place_has_files_but_no_item(scene: Scene, tmp_path: Path) -> None:
    bare = Scene(scene.data, scale=scene.scale)
    settings = Products(formats=["cog", "envi"], msi=True)
    folder = exported(tmp_path, bare, settings)
    for name in ("cube.tif", "cube.bsq"):
        with rasterio.open(folder / name) as file:
            assert file.crs is None
            assert file.transform.is_identity
        np.testing.assert_array_equal(read(folder / name), physical(bare))
    assert cog_validate(folder / "cube.tif", strict=True)[0]
    before = (folder.with_suffix(".json")).read_bytes()
    with pytest.raises(InputError, match=r"^field-oli-seed0-mine: .* no CRS .* set products.stac to false$"):
        exported(tmp_path, bare)
    assert folder.with_suffix(".json").read_bytes() == before


def test_equal_runs_give_equal_bytes(scene: Scene, tmp_path: Path) -> None:
    first, second = (exported(tmp_path / name, scene) for name in ("a", "longer_name"))
    names = sorted(path.name for path in first.iterdir())
    assert names == ["cube.bsq", "cube.hdr", "cube.tif", "item.json", "msi.tif", "quality.tif"]
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    ledgers = [folder.with_suffix(".json").read_bytes() for folder in (first, second)]
    assert ledgers[0] == ledgers[1]
    files = read_json(first.with_suffix(".json"))["files"]
    assert {name: entry["sha256"] for name, entry in files.items()} == {
        name: sha256((first / name).read_bytes()).hexdigest() for name in names
    }


def test_verify_reads_products_again(scene: Scene, tmp_path: Path) -> None:
    folder = exported(tmp_path, scene)
    ledger = folder.with_suffix(".json")
    assert verify.run([ledger], withdraw=True) == (len(list(folder.iterdir())), [])
    (folder / "cube.tif").write_bytes(b"II*")
    (folder / "quality.tif").unlink()
    (folder / "cube.tif.aux.xml").touch()
    _, faults = verify.run([folder.parent], withdraw=True)
    assert [fault for fault in faults if str(folder) in fault] == [
        f"{folder / 'cube.tif'}: was changed",
        f"{folder / 'quality.tif'}: is missing",
    ]
    assert not ledger.exists()


def test_new_products_replace_the_old_ones(scene: Scene, tmp_path: Path) -> None:
    folder = exported(tmp_path, scene)
    exported(tmp_path, scene, Products(quality=False))
    assert [path.name for path in folder.iterdir()] == ["cube.tif"]
    assert list(read_json(folder.with_suffix(".json"))["files"]) == ["cube.tif"]


def test_two_exports_to_one_place_wait_for_each_other(tmp_path: Path) -> None:
    together = threading.Barrier(2)

    def fill(folder: Path) -> dict[str, int]:
        (folder / "a.txt").write_text("half")
        time.sleep(0.1)
        (folder / "b.txt").write_text("done")
        return {"clipped": 0}

    def job(_: int) -> Any:
        together.wait()
        return write_folder(tmp_path / "product.json", fill, {})

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(job, range(2))
    assert first == second
    assert verify.run([tmp_path / "product.json"], withdraw=False) == (2, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["product", "product.json"]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    with pytest.raises(OSError, match="No space left") as caught, named(tmp_path / "a.tif"):
        full.write_text("x")
    assert caught.value.filename == str(tmp_path / "a.tif")


def ramp(bands: int, side: int) -> Layer:
    """A layer that is computed where it is read."""

    def read(window: Window) -> np.ndarray:
        rows, columns = (np.arange(part.start, part.stop, dtype=np.float32) for part in window.slices)
        plane = rows[:, None] + columns / 4096
        return plane + np.arange(bands, dtype=np.float32)[:, None, None]

    names = [f"Band {number}" for number in range(1, bands + 1)]
    return Layer((bands, side, side), read, names, Metadata())


@pytest.mark.parametrize("writer", [write_cog, write_envi])
def test_memory_does_not_grow_with_the_scene(writer: Any, tmp_path: Path) -> None:
    layer = ramp(20, 2048)  # 320 MiB
    path = tmp_path / ("cube.tif" if writer is write_cog else "cube.bsq")
    tracemalloc.start()
    writer(path, layer)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80 * 2**20
    with rasterio.open(path) as file:
        part = file.read(window=((1000, 1100), (1900, 2000)))
        assert file.overviews(1) == ([2, 4, 8] if writer is write_cog else [])
    np.testing.assert_array_equal(part, layer.read(Window(1000, 1100, 1900, 2000)))


def test_blocks_cover_a_wide_layer_once() -> None:
    layer = replace(ramp(1, 1), shape=(5000, 130, 300))
    seen = np.zeros((130, 300), int)
    narrow = replace(layer, read=lambda window: np.zeros((1, *window.shape), np.float32))
    for window, _ in narrow.blocks(Tally()):
        seen[window.slices] += 1
        assert window.y0 % 64 == window.x0 % 64 == 0
    assert (seen == 1).all()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.parametrize("settings", [Products(quality=False), Products(formats=["envi"], quality=False)])
def test_a_full_disk_leaves_nothing(scene: Scene, small_disk: Path, settings: Products) -> None:
    paths = stores(small_disk, replace(scene, data=np.tile(scene.data, (1, 4, 4))))
    out = small_disk / "field/oli/seed0/mine/product.json"
    before = sorted(small_disk.rglob("*"))
    filler = small_disk / "filler"
    for left in (1, 60, 500, 1000):  # kB
        free = os.statvfs(small_disk)
        filler.write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - left * 1024)))
        with pytest.raises((InputError, OSError), match=r"full|No space left"):
            export.run(**paths, settings=settings, out=out)
        filler.unlink()
        assert sorted(small_disk.rglob("*")) == before
    export.run(**paths, settings=settings, out=out)
    assert out.exists()


def test_command_fails_with_one_line_where_it_cannot_write(scene: Scene, tmp_path: Path) -> None:
    paths = stores(tmp_path, scene)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    done = CliRunner().invoke(
        app, ["export", *options, "--settings", "{}", "--out", str(blocked / "mine/product.json")]
    )
    assert done.exit_code == 2
    assert done.stderr.startswith("pipeline export: ")
    assert done.stderr.count("\n") == 1
    assert blocked.read_text() == "a file"


def test_rounding_leaves_what_fits(scene: Scene) -> None:
    layer = image_layer(scene.data, scene, "int16")
    tally = Tally()
    ((window, values),) = layer.blocks(tally)
    assert window == Window(0, 40, 0, 72)
    assert np.nanmax(np.abs(values[:, 10:] - physical(scene)[:, 10:])[:, :20]) <= 0.5
    assert tally.clipped == 0
    assert 200 <= tally.lowest < tally.highest <= 7000


def test_deviation_is_a_product_of_its_own(tmp_path: Path, scene: Scene) -> None:
    paths = stores(tmp_path, scene)
    deviation = np.random.default_rng(5).random(scene.data.shape, dtype=np.float32)
    deviation[:, 3, 4] = np.nan
    folder = tmp_path / "field/oli/seed0/sure"
    paths["fused"] = write_store(folder / "fused.zarr", cube_dataset(scene.data, scene, deviation), {})
    export.run(**paths, settings=Products(stac=True, datetime=TIME), out=folder / "product.json")
    with rasterio.open(folder / "product/deviation.tif") as file:
        physical = np.multiply(deviation, scene.scale, dtype=np.float64).astype(np.float32)
        assert np.array_equal(file.read(), physical, equal_nan=True)
        with rasterio.open(folder / "product/cube.tif") as cube:
            assert (file.crs, file.transform, file.descriptions) == (
                cube.crs,
                cube.transform,
                cube.descriptions,
            )
    assert cog_validate(folder / "product/deviation.tif")[0]
    (asset,) = [
        asset
        for asset in Item.from_file(str(folder / "product/item.json")).assets.values()
        if asset.href.endswith("deviation.tif")
    ]
    assert asset.title == "standard deviation of the fused cube"
