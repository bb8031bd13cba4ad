"""The commands `inspect` and `pair`: what files hold, and the experiment of two of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from scipy.io import savemat

from command import call, refusal
from layouts import save_matlab_73
from pipeline.config.experiment import load_experiment
from pipeline.config.scenes import SyntheticSource
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.steps import align, download
from pipeline.store.store import read_store
from products import numbers, write_enmap, write_sentinel2

CENTRES = {"B2": 490.0, "B3": 560.0, "B4": 665.0, "B8": 842.0}
CORNER = (383000.0, 5818000.0)
S2_BANDS = ("B02", "B03", "B04", "B08")
SHIFT = (0.3, -0.2)  # LR pixels


def write(
    path: Path, values: np.ndarray, pixel: float, wavelength=None, crs="EPSG:32633", corner=CORNER
) -> Path:
    """A GeoTIFF with wavelengths where they are given."""
    place = rasterio.Affine(pixel, 0, corner[0], 0, -pixel, corner[1])
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    located = {"crs": crs, "transform": place} if crs else {}
    with rasterio.open(path, "w", driver="GTiff", **shape, **located) as file:
        file.write(values)
        for band, centre in enumerate(wavelength if wavelength is not None else (), 1):
            file.update_tags(band, wavelength=f"{centre:.6g}", wavelength_units="nm")
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """LR-HSI and HR-MSI of a synthetic scene as reflectance x 10000, at ratio 4 and a known shift."""
    folder = tmp_path_factory.mktemp("pair")
    scene = synthetic_scene(SyntheticSource(kind="synthetic", height=144, width=128, bands=40, seed=4))
    assert scene.wavelength is not None
    centres = np.array(list(CENTRES.values()))
    blur = SpatialResponse.gaussian(ratio=4, fwhm=1.1).shifted(*SHIFT)
    srf = gaussian_response(centres, np.full(4, 60.0), scene.wavelength, scene.fwhm)
    seen = simulate(scene.data, spectral_response=srf, spatial_response=blur, snr_db=40, seed=0)
    hsi, msi = (np.round(1e4 * np.asarray(image)).astype(np.int16) for image in (seen.lr_hsi, seen.hr_msi))
    return (
        write(folder / "hsi.tif", hsi, 40.0, scene.wavelength),
        write(folder / "msi.tif", msi, 10.0, centres),
    )


def rows(text: str) -> dict[str, str]:
    """The text of each label; of a repeated one the last."""
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.startswith("  ")]
    return {words[0]: words[1] for words in lines}


def test_inspect_names_what_a_file_holds(images: tuple[Path, Path]) -> None:
    text = call("inspect", images[1]).stdout
    assert text.splitlines()[0] == str(images[1])
    found = rows(text)
    assert found["format"] == "GTiff"
    assert found["size"] == "144 rows x 128 columns"
    assert found["bands"] == "4 of 4"
    assert found["wavelengths"] == "490 to 842 nm, FWHM not stated"
    assert found["CRS"] == "EPSG:32633, WGS 84 / UTM zone 33N"
    assert found["pixel"] == "10 x 10 metre"
    assert found["corner"].startswith("x 383000, y 5818000")
    assert found["units"] == "unknown"
    assert found["values"].endswith("reflectance x 10000?")


def test_inspect_names_bands_left_out_and_no_data(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0.1, 0.9, (6, 10, 20)).astype(np.float32)
    values[[1, 2, 4]] = 0
    values[3, :5] = np.nan
    np.savez(tmp_path / "scene.npz", cube=values)
    path = write(tmp_path / "scene.tif", values, 0.5, crs="EPSG:4326", corner=(13.0, 52.0))
    with rasterio.open(path, "r+") as file:
        file.nodata = np.nan
    found = rows(call("inspect", path).stdout)
    assert found["bands"] == "3 of 6"
    assert found["left"] == "out     bands 1-2, 4 (0-based): zero everywhere"
    assert found["no"].startswith("data      17 % of the values")
    assert found["pixel"] == "0.5 x 0.5 degree"


def test_inspect_names_detectors_and_a_variable(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0.1, 0.9, (5, 6, 24))
    nm = np.r_[np.linspace(450, 950, 12), np.linspace(940, 2300, 12)]
    savemat(tmp_path / "scene.mat", {"a": values, "b": values})
    assert rows(call("inspect", f"{tmp_path}/scene.mat::b").stdout)["format"] == "MATLAB"
    assert "name one by --variable" in refusal("inspect", tmp_path / "scene.mat")
    path = write(tmp_path / "scene.tif", np.moveaxis(values, 2, 0), 30.0, nm)
    found = rows(call("inspect", path).stdout)["detectors"]
    assert found == "VNIR 11 bands 450 to 904.545 nm, SWIR 11 bands 1063.64 to 2300 nm"


def test_inspect_says_how_two_grids_nest(images: tuple[Path, Path]) -> None:
    text = call("inspect", *images).stdout
    found = rows(text.split("HSI on MSI\n")[1])
    assert found["ratio"] == "an LR pixel is 4 HR pixels wide; the grids nest"
    assert found["in"] == "common    36 x 32 LR pixels = 144 x 128 HR pixels (100 % of the HSI)"
    assert found["rest"].startswith("+0.000 rows, +0.000 columns of HR pixels")


def test_inspect_says_why_two_grids_do_not_nest(images: tuple[Path, Path], tmp_path: Path) -> None:
    values = np.ones((2, 8, 8), np.float32)
    far = write(tmp_path / "far.tif", values, 10.0, corner=(100000.0, 5818000.0))
    bare = write(tmp_path / "bare.tif", values, 10.0, crs=None)
    for other, why in ((far, "no 1x1 pixels of the HSI in common"), (bare, "has no CRS and transform")):
        done = call("inspect", images[0], other)
        assert done.exit_code == 2
        assert why in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def written(images: tuple[Path, Path], tmp_path: Path) -> Path:
    out = tmp_path / "my_pair.yaml"
    done = call("pair", *images, "--out", out, "--name", "field", "--scale-hsi", 10000, "--scale-msi", 10000)
    assert done.exit_code == 0, done.stderr
    assert "36 x 32 LR pixels" in done.stdout
    return out


def test_what_pair_writes_passes_check(written: Path) -> None:
    assert call("check", written).stdout.endswith("experiment my_pair, 8 runs\n")
    experiment = load_experiment(written)
    assert list(experiment.scenes) == ["field", "field_wald"]
    assert list(experiment.methods) == ["bicubic", "gaussian_subspace", "hysure", "graph_subspace"]
    assert experiment.products is not None
    assert (experiment.products.dtype, experiment.products.quality) == ("integer", True)
    assert experiment.estimation_of("field").spectral_response == "calibrated"
    assert [source.model_dump()["scale"] for source in experiment.scenes["field"].pair.files.values()] == [
        1e4
    ] * 2
    assert max(map(len, written.read_text().splitlines())) <= max(110, 20 + len(str(written)))


def test_what_pair_writes_can_be_aligned(written: Path, tmp_path: Path) -> None:
    scene = load_experiment(written).scenes["field"]
    download.run(settings=scene, out=tmp_path / "source.json")
    align.run(source=tmp_path / "source.json", settings=scene, out=tmp_path / "observation.json")
    found = read_store(tmp_path / "observation.json").attrs["alignment"]
    assert found["ratio"] == "4"
    np.testing.assert_allclose(found["shift"], SHIFT, atol=0.05)


def test_the_commented_crop_is_valid(written: Path) -> None:
    text = written.read_text()
    (line,) = [line for line in text.splitlines() if "# crop:" in line]
    content = yaml.safe_load(text.replace(line, line.replace("# ", "")))
    assert content["scenes"]["field"]["crop"] == {"height": 24, "width": 24}


def pair_of(images: tuple[Path, Path], out: Path, *options: str) -> dict:
    """The scene that `pair` writes."""
    done = call("pair", *images, "--out", out, "--scale-hsi", "1e4", "--scale-msi", "1e4", *options)
    assert done.exit_code == 0, done.stderr
    content: dict = yaml.safe_load(out.read_text())
    return content


def test_a_sensors_bands_are_found_by_wavelength(images: tuple[Path, Path], tmp_path: Path) -> None:
    content = pair_of(images, tmp_path / "a.yaml", "--sensor", "sentinel2a", "--no-products")
    assert content["scenes"]["a"]["pair"]["spectral"]["bands"] == list(CENTRES)
    assert "products" not in content
    given = pair_of(images, tmp_path / "b.yaml", "--sensor", "sentinel2a", "--bands", "B2,B3,B4,B8A")
    assert given["scenes"]["b"]["pair"]["spectral"]["bands"] == ["B2", "B3", "B4", "B8A"]


def test_without_wavelengths_r_is_estimated(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    hsi = write(tmp_path / "hsi.tif", rng.random((12, 6, 6)).astype(np.float32), 30.0)
    msi = write(tmp_path / "msi.tif", rng.random((3, 18, 18)).astype(np.float32), 10.0)
    out = tmp_path / "pair.yaml"
    assert call("pair", hsi, msi, "--out", out).exit_code == 0
    experiment = load_experiment(out)
    assert experiment.estimation_of("pair").spectral_response == "estimated"
    assert experiment.products is not None
    assert experiment.products.dtype == "float32"
    images = {role: json.dumps(str(path)) for role, path in (("hsi", hsi), ("msi", msi))}
    assert all(f"path: {path}" in out.read_text() for path in images.values())


def test_two_products_say_all_by_themselves(tmp_path: Path) -> None:
    enmap = tmp_path / "enmap"
    enmap.mkdir()
    write_enmap(enmap, 1, numbers((64, 8, 8), 0))
    safe = write_sentinel2(tmp_path, {(name, 10): numbers((30, 30), 1, "uint16") for name in S2_BANDS})
    text = call("inspect", enmap, safe).stdout
    hsi, rest = text.split(f"{safe}\n")
    msi, nested = rest.split("HSI on MSI\n")
    assert rows(hsi)["format"] == "EnMAP L2A, L1C"
    assert rows(hsi)["units"] == rows(msi)["units"] == "reflectance"
    assert rows(msi)["format"] == "Sentinel-2 L2A, L1C"
    assert rows(msi)["bands"] == "4 of 4: B02, B03, B04, B08"
    assert rows(nested)["ratio"] == "an LR pixel is 3 HR pixels wide; the grids nest"
    assert rows(nested)["rest"].startswith("-0.500 rows, -0.500 columns")
    out = tmp_path / "pair.yaml"
    done = call("pair", enmap, safe, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert load_experiment(out).estimation_of("pair").spectral_response == "calibrated"


@pytest.mark.parametrize("kind", ["mat", "mat 7.3", "npz", "npy"])
def test_arrays_of_toolboxes_are_a_pair(tmp_path: Path, kind: str) -> None:
    """A cube and a panchromatic array of two axes, in the usual order of the format."""
    rng = np.random.default_rng(1)
    cube, pan = rng.random((50, 16, 14)).astype(np.float32), rng.random((96, 84)).astype(np.float32)
    last = np.moveaxis(cube, 0, 2)
    path = tmp_path / f"a.{kind[:3]}"
    if kind == "mat":
        savemat(path, {"I_MS_LR": last, "I_PAN": pan, "I_GT": np.kron(last, np.ones((6, 6, 1))), "ratio": 6})
    elif kind == "mat 7.3":
        save_matlab_73(path, I_MS_LR=last, I_PAN=pan, I_GT=np.kron(last, np.ones((6, 6, 1))))
    elif kind == "npz":
        np.savez(path, I_MS_LR=cube, I_PAN=pan)
    else:
        np.save(tmp_path / "hsi.npy", cube)
        np.save(tmp_path / "pan.npy", pan)
    images = (
        [f"{path}::I_MS_LR", f"{path}::I_PAN"]
        if kind != "npy"
        else [tmp_path / "hsi.npy", tmp_path / "pan.npy"]
    )
    done = call("pair", *images, "--out", tmp_path / "pair.yaml")
    assert done.exit_code == 0, done.stderr
    assert "an LR pixel is 6 HR pixels wide; the grids nest" in done.stdout
    assert "MSI: an array of two axes is taken as one band" in done.stdout
    inspected = call("inspect", *images).stdout
    assert "bands        50 of 50" in inspected
    assert "bands        1 of 1" in inspected


def test_stores_of_a_pair_are_inspected(written: Path, tmp_path: Path) -> None:
    scene = load_experiment(written).scenes["field"]
    download.run(settings=scene, out=tmp_path / "source.json")
    align.run(source=tmp_path / "source.json", settings=scene, out=tmp_path / "observation.json")
    store = tmp_path / "observation.zarr"
    alignment = read_store(tmp_path / "observation.json").attrs["alignment"]
    assert any("widths of the bands are not stated" in text for text in alignment["assumed"]["hsi"])
    shown = call("inspect", f"{store}::lr_hsi", f"{store}::hr_msi")
    assert shown.exit_code == 0, shown.stderr
    assert "ratio        an LR pixel is 4 HR pixels wide; the grids nest" in shown.stdout
    assert "format       Zarr" in shown.stdout
    assert "name one by --variable" in refusal("inspect", store)


def test_images_without_a_place_may_need_the_ratio(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    hsi = write(tmp_path / "hsi.tif", rng.random((12, 6, 6)).astype(np.float32), 1.0, crs=None)
    msi = write(tmp_path / "msi.tif", rng.random((3, 18, 20)).astype(np.float32), 1.0, crs=None)
    out = tmp_path / "pair.yaml"
    assert "give --ratio" in refusal("pair", hsi, msi, "--out", out)
    assert call("pair", hsi, msi, "--out", out, "--ratio", "3").exit_code == 0
    assert load_experiment(out).scenes["pair"].pair.ratio == "3"


SCALES = ("--scale-hsi", "1e4", "--scale-msi", "1e4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "hsi.tif: its values, .* have no unit; give --scale-hsi 10000 if .* --scale-hsi 1"),
        (("--scale-hsi", "1e4"), "msi.tif: its values, .* --scale-msi 10000"),
        ((*SCALES, "--scale-hsi", "0"), "--scale-hsi: scale: should be greater than 0"),
        ((*SCALES, "--sensor", "spot"), "--sensor: 'spot' is not known; give one of sentinel2a"),
        ((*SCALES, "--sensor", "ali", "--bands", "MS-1,MS-2"), "4 are read, but --bands names 2"),
        ((*SCALES, "--sensor", "sentinel2a", "--bands", "B2,B3,B4,B99"), "has no band 'B99'"),
        ((*SCALES, "--sensor", "sentinel2a", "--bands", "B4,B3,B2,B8"), "its band 1 lies at 490 nm"),
        ((*SCALES, "--bands", "B2"), "--bands-msi: there is no band .B2.; its bands are 490 nm"),
        ((*SCALES, "--name", "a b"), "--name: 'a b' cannot be a name"),
        ((*SCALES, "--ratio", "7"), "ratio: 7 does not fit"),
    ],
)
def test_pair_asks_in_one_line_and_writes_nothing(
    images: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    line = refusal("pair", *images, "--out", tmp_path / "pair.yaml", *options)
    assert re.search(message, line), line
    assert list(tmp_path.iterdir()) == []


def test_names_are_what_they_look_like(images: tuple[Path, Path], tmp_path: Path) -> None:
    """Names that YAML reads as dates or numbers, and files of any name."""
    files = [tmp_path / name for name in ("h {x} 'y' \"z\" #: é\n.tif", "$(m) <x> & * \\.tif")]
    for link, image in zip(files, images, strict=True):
        link.symlink_to(image)
    out = tmp_path / "2022-07-24.yaml"
    done = call("pair", *files, "--out", out, "--name", "20220724", "--scale-hsi", 1e4, "--scale-msi", 1e4)
    assert done.exit_code == 0, done.output
    experiment = load_experiment(out)
    assert experiment.experiment == "2022-07-24"
    assert list(experiment.scenes) == ["20220724", "20220724_wald"]
    pair = experiment.scenes["20220724"].pair
    assert pair is not None
    assert [source.path for source in (pair.hsi, pair.msi)] == [str(file) for file in files]


def test_pair_overwrites_nothing(images: tuple[Path, Path], written: Path) -> None:
    before = written.read_bytes()
    assert "exists already" in refusal("pair", *images, "--out", written)
    assert written.read_bytes() == before
    assert "ends in .yaml" in refusal("pair", *images, "--out", written.with_suffix(".json"))


def test_a_sensor_of_more_bands_asks_for_their_names(tmp_path: Path) -> None:
    values = np.ones((4, 12, 12), np.float32) * np.arange(1, 5)[:, None, None] / 10
    hsi = write(tmp_path / "hsi.tif", values[:, :3, :3], 40.0, CENTRES.values())
    msi = write(tmp_path / "msi.tif", values, 10.0)
    line = refusal("pair", hsi, msi, "--out", tmp_path / "pair.yaml", "--sensor", "sentinel2b")
    assert "which 4 bands of sentinel2b it holds is unknown; name each in the file's order" in line


def test_pair_names_an_offset_and_an_undeclared_collar(images: tuple[Path, Path], tmp_path: Path) -> None:
    hsi, msi = images
    shifted = tmp_path / "shifted.tif"
    with rasterio.open(msi) as file:
        values = file.read() + 1000
    values[:, :20] = 0
    write(shifted, values, 10.0, list(CENTRES.values()))
    scales = ("--scale-hsi", "10000", "--scale-msi", "10000")
    told = call("pair", str(hsi), str(shifted), "--out", str(tmp_path / "a.yaml"), *scales).stdout
    checks = [line for line in told.splitlines() if line.strip().startswith("check")]
    assert any("are 0 in all bands, up to the border" in line for line in checks)
    assert any("beside what R predicts" in line and "--estimate-offset" in line for line in checks)
    clean = call("pair", str(hsi), str(msi), "--out", str(tmp_path / "b.yaml"), *scales).stdout
    assert "  check  " not in clean
    assert "0 in all bands" in call("inspect", str(shifted)).stdout
