"""Every kind of local file becomes the same scene, or one line that says what to do."""

from __future__ import annotations

import logging
import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.experiment import load_experiment
from pipeline.config.scenes import DatasetSource, FileSource, SyntheticSource
from pipeline.core.scene import Scene
from pipeline.core.window import Window
from pipeline.inputs import file_scene as readers
from pipeline.inputs.file_scene import open_file, read_scene, source_size
from pipeline.inputs.formats import raster as raster_module
from scene_files import CUBE, NM, as_axes, raster, read, refused, save

WIDTHS = np.array([10.0, 11.0, 12.0, 13.0, 14.0])
CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".npy"])
@pytest.mark.parametrize(
    "axes", ["band,y,x", "y,x,band", "x,y,band", "band,x,y", "band,yx", "band,xy", "yx,band", "xy,band"]
)
def test_axis_orders(tmp_path: Path, suffix: str, axes: str) -> None:
    array, path = as_axes(CUBE, axes), tmp_path / f"scene{suffix}"
    if suffix == ".npy":
        np.save(path, array)
    else:
        save(path, cube=array)
    scene = read(path, axes=axes, shape=(6, 8) if "yx" in axes or "xy" in axes else None, scale=10_000)
    np.testing.assert_array_equal(scene.data, (CUBE / 10_000).astype(np.float32))
    assert scene.data.dtype == np.float32
    assert scene.scale == 10_000
    assert (scene.wavelength, scene.crs, scene.transform) == (None, None, None)


def test_axes_are_guessed_from_the_wavelengths(tmp_path: Path) -> None:
    default = save(tmp_path / "a.mat", cube=as_axes(CUBE, "y,x,band"))
    np.testing.assert_array_equal(read(default).data, CUBE)
    first = save(tmp_path / "b.npz", cube=CUBE)
    np.testing.assert_array_equal(read(first, wavelengths=NM.tolist()).data, CUBE)
    np.testing.assert_array_equal(read(first).data, CUBE)
    last = save(tmp_path / "d.npz", cube=as_axes(CUBE, "y,x,band"), wavelength=NM)
    np.testing.assert_array_equal(read(last).data, CUBE)
    np.testing.assert_array_equal(read(last).wavelength, NM)
    assert "has no axis for 7 wavelengths" in refused(first, wavelengths="400:900:7")


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".npy"])
def test_an_array_of_two_axes_is_one_band(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"pan{suffix}"
    if suffix == ".npy":
        np.save(path, CUBE[0])
    else:
        save(path, pan=CUBE[0], ratio=4)
    np.testing.assert_array_equal(read(path).data, CUBE[:1])


def test_short_axes_and_axes_of_length_1(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(1, 255, (40, 50, 3)).astype(np.uint8)
    np.save(tmp_path / "rgb.npy", photo)
    np.testing.assert_array_equal(read(tmp_path / "rgb.npy").data, np.moveaxis(photo, 2, 0))
    np.save(tmp_path / "batch.npy", CUBE[None])
    np.testing.assert_array_equal(read(tmp_path / "batch.npy").data, CUBE)
    np.testing.assert_array_equal(read(tmp_path / "batch.npy", axes="band,y,x").data, CUBE)


def test_fields_of_a_struct_are_variables(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", scene={"HSI": as_axes(CUBE, "y,x,band"), "wl": NM})
    np.testing.assert_array_equal(read(path).data, CUBE)
    np.testing.assert_array_equal(read(path, variable="scene.HSI").wavelength, NM)


def test_wavelengths_and_widths(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", cube=as_axes(CUBE, "y,x,band"), nm=NM, width=WIDTHS)
    for listed, expected in ((NM.tolist(), NM), ("nm", NM), ("400:800:5", np.linspace(400, 800, 5))):
        np.testing.assert_array_equal(read(path, wavelengths=listed).wavelength, expected)
    np.testing.assert_array_equal(read(path, fwhm="width").fwhm, WIDTHS)
    np.testing.assert_array_equal(read(path, fwhm=9.5).fwhm, np.full(5, 9.5))
    message = refused(path, axes="y,x,band", wavelengths="400:800:9")
    assert "wavelengths has 9 values, the file has 5 bands" in message
    assert "cannot be nm" in refused(path, wavelengths=(NM / 1000).tolist())
    assert "positive numbers" in refused(path, wavelengths=[0.0, *NM[1:]])
    assert "no variable 'lambda'; it holds" in refused(path, wavelengths="lambda")
    assert "fwhm has 2 values" in refused(path, fwhm=[1.0, 2.0])


def test_band_numbers_pick_among_the_wavelengths(tmp_path: Path) -> None:
    cube = as_axes(CUBE, "y,x,band")
    path = save(tmp_path / "a.mat", cube=cube, kept=[2, 3, 5, 8, 9], wrong=[0, 3, 5, 8, 9], half=[1.5] * 5)
    scene = read(path, variable="cube", wavelengths="400:1300:10", band_numbers="kept", fwhm=10)
    assert scene.wavelength is not None
    np.testing.assert_allclose(scene.wavelength, [500, 600, 800, 1100, 1200])
    common = {"variable": "cube", "wavelengths": "400:1300:10"}
    assert "holds 0 to 9; expected whole numbers from 1 to 10" in refused(
        path, band_numbers="wrong", **common
    )
    assert "expected whole numbers" in refused(path, band_numbers="half", **common)
    assert "from 1 to 5" in refused(path, variable="cube", wavelengths="400:800:5", band_numbers="kept")


def test_variables_are_listed(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.mat", cube=as_axes(CUBE, "y,x,band"), other=np.ones((2, 3, 4)), flat=np.ones((3, 7))
    )
    assert "no variable 'Y'; it holds cube 6x8x5, other 2x3x4, flat 3x7" in refused(path, variable="Y")
    assert "2 arrays have 3 axes; name one" in refused(path)
    flat = save(tmp_path / "b.npz", a=np.ones((3, 7)), b=np.ones((3, 7)))
    assert "none of the arrays has 3 axes" in refused(flat)


def test_wrong_rank_and_shape(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", flat=as_axes(CUBE, "band,xy"))
    message = refused(path, variable="flat", axes="y,x,band")
    assert "variable 'flat' of shape 5x48 does not fit axes y,x,band" in message
    assert "give `shape: [height, width]`" in refused(path, axes="band,xy")
    assert "48 pixels along xy, but shape [6, 9] has 54" in refused(path, axes="band,xy", shape=(6, 9))
    assert "5 pixels along xy" in refused(path, axes="xy,band", shape=(6, 8))


def test_objects_are_never_loaded(tmp_path: Path) -> None:
    cells = np.array([[np.ones(2), "text"]], dtype=object)
    path = save(tmp_path / "a.mat", cells=cells, info={"a": 1}, cube=as_axes(CUBE, "y,x,band"))
    assert "variable 'cells' holds cell elements" in refused(path, variable="cells")
    assert "variable 'info' holds struct elements" in refused(path, variable="info")
    np.testing.assert_array_equal(read(path).data, CUBE)

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("a pickle was executed",))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed = save(tmp_path / "b.npz", trap=np.array([Trap()]), cube=as_axes(CUBE, "y,x,band"))
        np.save(tmp_path / "c.npy", np.array([Trap()]), allow_pickle=True)
    assert "variable 'trap' holds Python object elements" in refused(packed, variable="trap")
    np.testing.assert_array_equal(read(packed, axes="y,x,band").data, CUBE)
    assert "not readable" in refused(tmp_path / "c.npy")


def test_complex_values_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", cube=as_axes(CUBE, "y,x,band") * 1j)
    assert "variable 'cube' is complex" in refused(path)


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".npy", ".tif"])
def test_web_page_instead_of_data(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scene{suffix}"
    path.write_text("\n <!DOCTYPE html>\n<html><body>404</body></html>")
    assert "is a web page, not data" in refused(path)


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".npy", ".tif", ".hdr"])
def test_missing_and_damaged_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scene{suffix}"
    assert "no such file" in refused(path)
    path.write_bytes(b"not what the name says")
    refused(path)
    path.write_bytes(b"")
    refused(path)


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "neither a known product nor GeoTIFF tiles" in refused(tmp_path)


@pytest.mark.parametrize("suffix", [".mat", ".npz"])
def test_truncated_container(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"scene{suffix}", cube=as_axes(CUBE, "y,x,band"))
    path.write_bytes(path.read_bytes()[:300])
    refused(path)


def test_flipped_bytes_in_an_archive(tmp_path: Path) -> None:
    path = save(tmp_path / "scene.npz", cube=as_axes(CUBE, "y,x,band"))
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    assert "damaged or not readable" in refused(path)


def test_matlab_7_3_without_its_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\0" * 384)
    assert "not an HDF5 file, or cut off" in refused(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 300)
    assert "damaged or not readable" in refused(path)


def test_digest(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", cube=as_axes(CUBE, "y,x,band"))
    right = sha256(path.read_bytes()).hexdigest()
    assert read(path, sha256=right).bands == 5
    assert f"its sha256 is {right}, expected 000" in refused(path, sha256="0" * 64)


@pytest.mark.parametrize("kind", ["npz", "tif"])
@pytest.mark.parametrize("declared", [None, -9999.0])
def test_nan_is_no_data_beside_a_declared_number(tmp_path: Path, kind: str, declared: float | None) -> None:
    cube = CUBE.astype(np.float32)
    cube[3, 2, 1] = np.nan
    expected = cube.copy()
    if declared is not None:
        cube[1, 0, 0], expected[1, 0, 0] = declared, np.nan
    path = tmp_path / f"a.{kind}"
    keys: dict[str, Any] = {}
    if kind == "tif":
        raster(path, "GTiff", cube, nodata=declared).close()
    else:
        save(path, cube=cube)
        keys = {"nodata": declared}
    np.testing.assert_array_equal(read(path, **keys).data, expected)


def test_infinity_is_refused_unless_declared(tmp_path: Path) -> None:
    cube = CUBE.astype(np.float64)
    cube[3, 2, 1] = np.nan
    cube[3, 4, 0] = np.inf
    path = save(tmp_path / "a.npz", cube=cube)
    message = refused(path)
    assert "band 3 holds 1 infinite values" in message
    assert "at row 4, column 0" in message
    assert read(path, bad_bands=[3]).bands == 4
    assert np.isnan(read(path, nodata=float("inf")).data).sum() == 2


LOWEST = "-3.40282347e+38"  # as many programs write the lowest float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_data_are_compared_in_the_type_of_the_file(tmp_path: Path, dtype: Any) -> None:
    cube = CUBE.astype(dtype)
    cube[0, 0, 0] = np.finfo(np.float32).min
    cube[1, 1, 1] = np.float32(-0.1)
    expected = cube.copy()
    expected[0, 0, 0] = expected[1, 1, 1] = np.nan
    second = -0.1 if dtype == np.float32 else float(np.float32(-0.1))
    path = save(tmp_path / "a.npz", cube=cube)
    np.testing.assert_array_equal(
        read(path, nodata=[float(LOWEST), second]).data, expected.astype(np.float32)
    )


def test_lowest_float_in_an_envi_header(tmp_path: Path) -> None:
    cube = CUBE.astype(np.float32)
    cube[:, 0, 7] = np.finfo(np.float32).min
    raster(tmp_path / "a.img", "ENVI", cube).close()
    envi_header(tmp_path / "a.hdr", data_ignore_value=LOWEST)
    data = read(tmp_path / "a.img").data
    assert np.isnan(data[:, 0, 7]).all()
    assert np.isnan(data).sum() == 5


def assert_raster(scene: Scene) -> None:
    np.testing.assert_array_equal(scene.data, (CUBE / 10_000).astype(np.float32))
    assert scene.crs == "EPSG:32633"
    assert scene.transform == (10, 0, 366015, 0, -10, 5806125)
    assert scene.wavelength is not None
    np.testing.assert_allclose(scene.wavelength, NM)


@pytest.mark.parametrize("unit", ["Nanometers", "Micrometers", None])
def test_geotiff_with_band_tags(tmp_path: Path, unit: str | None) -> None:
    factor = 1e-3 if unit == "Micrometers" else 1.0
    with raster(tmp_path / "a.tif", "GTiff") as file:
        for i, (nm, width) in enumerate(zip(NM, WIDTHS, strict=True), 1):
            tags = {"wavelength": nm * factor, "fwhm": width * factor}
            file.update_tags(i, **tags | ({"wavelength_units": unit} if unit else {}))
    scene = read(tmp_path / "a.tif", scale=10_000)
    assert_raster(scene)
    assert scene.fwhm is not None
    np.testing.assert_allclose(scene.fwhm, WIDTHS)


def test_geotiff_with_imagery_tags_and_descriptions(tmp_path: Path) -> None:
    with raster(tmp_path / "a.tif", "GTiff") as file:
        for i, (nm, width) in enumerate(zip(NM, WIDTHS, strict=True), 1):
            file.update_tags(i, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=nm / 1000, FWHM_UM=width / 1000)
    scene = read(tmp_path / "a.tif", scale=10_000)
    assert_raster(scene)
    assert scene.fwhm is not None
    np.testing.assert_allclose(scene.fwhm, WIDTHS)
    with raster(tmp_path / "b.tif", "GTiff") as file:
        file.descriptions = [f"band {i} ({nm / 1000:.6f} Micrometers)" for i, nm in enumerate(NM)]
    assert_raster(read(tmp_path / "b.tif", scale=10_000))


def test_geotiff_without_any_band_metadata(tmp_path: Path) -> None:
    raster(tmp_path / "a.tif", "GTiff").close()
    scene = read(tmp_path / "a.tif")
    assert (scene.wavelength, scene.fwhm) == (None, None)
    assert_raster(read(tmp_path / "a.tif", wavelengths=NM.tolist(), scale=10_000))


def test_geotiff_scale_nodata_and_bad_band_list(tmp_path: Path) -> None:
    cube = CUBE.astype(np.int16)
    cube[1, 3, 4] = -32768
    with raster(tmp_path / "a.tif", "GTiff", cube, nodata=-32768) as file:
        file.scales, file.offsets = [1e-4] * 5, [0.1] * 5
        for i in range(1, 6):
            file.update_tags(i, bbl=int(i != 3), wavelength=NM[i - 1])
    scene = read(tmp_path / "a.tif")
    expected = (cube[[0, 1, 3, 4]] * 1e-4 + 0.1).astype(np.float32)
    expected[1, 3, 4] = np.nan
    np.testing.assert_allclose(scene.data, expected, rtol=1e-6)
    assert scene.wavelength is not None
    np.testing.assert_array_equal(scene.wavelength, NM[[0, 1, 3, 4]])


def envi_header(path: Path, **lists: Any) -> None:
    with path.open("a") as stream:
        for key, value in lists.items():
            text = value if isinstance(value, str | int) else "{" + ", ".join(map(str, value)) + "}"
            stream.write(f"{key.replace('_', ' ')} = {text}\n")


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_envi(tmp_path: Path, interleave: str) -> None:
    raster(tmp_path / "a.img", "ENVI", interleave=interleave).close()
    envi_header(tmp_path / "a.hdr", wavelength=NM / 1000, fwhm=WIDTHS / 1000, wavelength_units="Micrometers")
    scene = read(tmp_path / "a.img", scale=10_000)
    assert_raster(scene)
    assert scene.fwhm is not None
    np.testing.assert_allclose(scene.fwhm, WIDTHS)
    assert "give the data file, not its header" in refused(tmp_path / "a.hdr")


def test_envi_ignore_value_and_bad_band_list(tmp_path: Path) -> None:
    cube = CUBE.astype(np.int16)
    cube[:, 0, 7] = -99
    raster(tmp_path / "a.img", "ENVI", cube).close()
    envi_header(
        tmp_path / "a.hdr", data_ignore_value=-99, bbl=[1, 1, 0, 1, 1], wavelength=NM, wavelength_units="nm"
    )
    scene = read(tmp_path / "a.img")
    assert np.isnan(scene.data[:, 0, 7]).all()
    assert np.isnan(scene.data).sum() == 4
    assert scene.wavelength is not None
    np.testing.assert_array_equal(scene.wavelength, NM[[0, 1, 3, 4]])


def test_unreadable_envi_lists_are_passed_over(tmp_path: Path) -> None:
    raster(tmp_path / "a.img", "ENVI").close()
    envi_header(tmp_path / "a.hdr", fwhm=["a", "b", "c", "d", "e"])
    assert read(tmp_path / "a.img").fwhm is None


def test_raster_refuses_keys_of_containers(tmp_path: Path) -> None:
    raster(tmp_path / "a.tif", "GTiff").close()
    assert "`variable` is for .mat" in refused(tmp_path / "a.tif", variable="Y")
    assert "a raster's axes are band,y,x" in refused(tmp_path / "a.tif", axes="y,x,band")
    assert "a raster has no variables" in refused(tmp_path / "a.tif", wavelengths="nm")
    assert "wavelengths has 3 values" in refused(tmp_path / "a.tif", wavelengths="400:900:3")


def roughness(scene: Scene) -> tuple[float, float]:
    """Mean squared step down and across, in units of the bands' variance."""
    centred = scene.data - scene.data.mean(axis=(1, 2), keepdims=True)
    down, across = (float(np.square(np.diff(centred, axis=axis)).mean()) for axis in (1, 2))
    power = float(np.square(centred).mean())
    return down / power, across / power


@pytest.mark.parametrize(
    ("experiment", "shape"),
    [("jasper_ridge", (198, 96, 96)), ("samson", (156, 92, 92)), ("cave_brocade", (31, 256, 256))],
)
@pytest.mark.usefixtures("catalogued")
def test_configured_scenes(experiment: str, shape: tuple[int, int, int]) -> None:
    content = load_experiment(CONFIG / f"{experiment}.yaml").scenes[experiment]
    assert isinstance(content.source, DatasetSource)
    whole = read_scene(content.source)
    scene = whole.crop(content.window(whole.shape))
    assert scene.data.shape == shape
    assert 0 <= scene.data.min() < scene.data.max() <= 1
    assert scene.wavelength is not None
    assert (np.diff(scene.wavelength) > 0).all()
    if experiment != "cave_brocade":  # a textile is as rough as it likes
        assert max(roughness(scene)) < 0.15  # pixels in the wrong order or shape: about 2


def test_real_enmap(shared_data: Path) -> None:
    scene = read(shared_data / "enmap_potsdam" / "enmap_potsdam_tile_128_128.tif")
    assert scene.data.shape == (207, 32, 32)  # of 224: six are no-data, eleven beyond the detectors' cut
    assert scene.crs == "EPSG:32633"
    assert scene.transform == (30, 0, 366015, 0, -30, 5806125)
    assert scene.wavelength is not None
    assert scene.fwhm is not None
    assert scene.wavelength[0] == 418.24
    assert scene.fwhm[0] == 6.99561
    assert (np.diff(scene.wavelength) > 0).all()  # VNIR up to 944.2 nm, SWIR from 951.7 nm
    assert scene.wavelength[84:86].tolist() == [944.217, 951.677]
    assert 0 <= scene.data.min() < scene.data.max() < 1  # the file's own scale makes it reflectance


def test_real_envi_pair(shared_data: Path) -> None:
    folder = shared_data / "berlin_urban_gradient"
    hyper = read(folder / "EnMAP02_testData_compressed.bsq", scale=10_000)
    sharp = read(folder / "HighResolution_testData_compressed.bsq", scale=10_000)
    assert hyper.data.shape == (233, 80, 60)  # of 244: VNIR and SWIR overlap from 905 to 994 nm
    assert sharp.data.shape == (4, 660, 494)
    assert sharp.wavelength is not None
    np.testing.assert_allclose(sharp.wavelength, [484.3, 558.4, 646.5, 804.6])
    assert hyper.transform is not None
    assert sharp.transform is not None
    assert hyper.transform[0] / sharp.transform[0] == pytest.approx(25 / 3)
    described = read(folder / "HyMap02_BUG2009.bsq")  # centres stand only in the band names
    assert described.wavelength is not None
    assert described.wavelength[0] == pytest.approx(455.4)


LARGE = np.random.default_rng(1).integers(1, 10_000, (4, 50, 70)).astype(np.uint16)
TILED = {"tiled": True, "blockxsize": 16, "blockysize": 16}


def large_file(folder: Path, kind: str) -> tuple[Path, dict[str, Any]]:
    """`LARGE` as a file of some kind, and the keys that its source needs."""
    path = folder / f"scene.{kind.split()[0]}"
    if path.suffix in (".mat", ".npz"):
        return save(path, cube=as_axes(LARGE, "y,x,band")), {}
    if path.suffix == ".npy":
        np.save(path, LARGE)
        return path, {"axes": "band,y,x"}
    if path.suffix == ".bsq":
        raster(path, "ENVI", LARGE, interleave="bil").close()
        return path, {}
    raster(path, "GTiff", LARGE, compress="deflate", **(TILED if "tiled" in kind else {})).close()
    return path, {}


KINDS = ["mat", "npz", "npy", "bsq", "tif striped", "tif tiled"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ahead", [0, 20_000, raster_module.AHEAD])
def test_windows_are_parts_of_the_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, ahead: int
) -> None:
    monkeypatch.setattr(raster_module, "AHEAD", ahead)
    path, keys = large_file(tmp_path, kind)
    keys |= {"scale": 3, "nodata": int(LARGE[2, 5, 6]), "bad_bands": [1]}
    whole = read(path, **keys)
    assert np.isnan(whole.data[1, 5, 6])
    expected = np.where(LARGE[2, 5, 6] == LARGE, np.nan, LARGE / 3)[[0, 2, 3]].astype(np.float32)
    np.testing.assert_array_equal(whole.data, expected)
    scene = open_file(FileSource(kind="file", path=str(path), **keys))
    assert scene.shape == (3, 50, 70)
    for window in [*Window(0, 50, 0, 70).split(17), Window(3, 20, 30, 31), Window(49, 50, 0, 70)]:
        np.testing.assert_array_equal(scene.read(window), expected[:, *window.slices])


class Counted:
    """A raster file that counts how often its pixels are read."""

    def __init__(self, file: Any) -> None:
        self.file, self.reads = file, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def read(self, *arguments: Any, **keys: Any) -> Any:
        self.reads += 1
        return self.file.read(*arguments, **keys)


@pytest.mark.parametrize(("kind", "reads"), [("tif striped", 2), ("tif tiled", 6)])
def test_each_strip_is_decoded_once_for_windows_side_by_side(tmp_path: Path, kind: str, reads: int) -> None:
    path, _ = large_file(tmp_path, kind)
    pixels: Any = raster_module.raster_image(path).pixels
    pixels._file = Counted(pixels._file)
    for window in Window(0, 50, 0, 70).split(25):
        np.testing.assert_array_equal(pixels.read(window, [1, 3])[0], LARGE[[1, 3], *window.slices])
    assert pixels._file.reads == reads


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(1, 4000),
)
def test_blocks_cover_the_file_once(shape: tuple[int, int, int], storage: tuple[int, int], size: int) -> None:
    class Stored:
        pass

    stored: Any = Stored()
    stored.shape, stored.storage = shape, (min(storage[0], shape[1]), min(storage[1], shape[2]))
    seen = np.zeros(shape[1:], int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK", size)
        for window in readers._blocks(stored):
            seen[window.slices] += 1
            rows, columns = window.shape
            assert shape[0] * rows * columns <= max(size, shape[0] * stored.storage[0] * stored.storage[1])
    assert (seen == 1).all()


@pytest.mark.parametrize("block", [1, 500, 10**6])
@pytest.mark.parametrize("kind", ["npy", "tif"])
def test_faults_are_found_however_the_file_is_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, block: int, kind: str
) -> None:
    monkeypatch.setattr(readers, "BLOCK", block)
    cube = LARGE.astype(np.float32)
    cube[0] = -1  # no data, but for a pixel that the last block holds
    cube[0, 49, 69] = 5
    cube[1] = -1
    cube[2, 30, 2] = cube[2, 30, 66] = cube[2, 7, 68] = np.inf
    cube[3, 0, 0] = np.nan  # no data
    path = tmp_path / f"scene.{kind}"
    if kind == "npy":
        np.save(path, cube)
    else:
        raster(path, "GTiff", cube, compress="deflate", **TILED).close()
    keys: dict[str, Any] = {"axes": "band,y,x", "nodata": -1}
    message = refused(path, **keys)
    assert "band 2 holds 3 infinite values" in message
    assert "at row 7, column 68;" in message
    with caplog.at_level(logging.WARNING):
        assert read(path, bad_bands=[2, 3], **keys).bands == 1
    assert "left out bands [1] (0-based), without valid values" in caplog.text
    assert np.isnan(read(path, bad_bands=[2], **keys).data[1]).sum() == 1


def test_damaged_strip_is_one_line(tmp_path: Path) -> None:
    path, keys = large_file(tmp_path, "tif striped")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)
    assert "no raster that can be read" in refused(path, **keys)


@pytest.mark.parametrize("kind", KINDS)
def test_size_comes_from_the_header(tmp_path: Path, kind: str) -> None:
    path, keys = large_file(tmp_path, kind)
    source = FileSource(kind="file", path=str(path), **keys)
    assert source_size(source) == (50, 70)
    assert source_size(source.model_copy(update={"path": str(tmp_path / "none.tif")})) is None
    path.write_bytes(path.read_bytes()[: 100 if "bsq" in kind else 60])
    source_size(source)  # whatever it says, it raises nothing


def test_size_needs_no_pixel(tmp_path: Path) -> None:
    path = tmp_path / "scene.npz"
    np.savez(path, cube=LARGE, nm=np.linspace(400, 700, 4), flat=LARGE.reshape(4, -1))
    content = bytearray(path.read_bytes())
    content[2000:3000] = bytes(1000)  # of the cube: reading it fails
    path.write_bytes(content)
    keys: dict[str, Any] = {"kind": "file", "path": str(path)}
    assert source_size(FileSource(**keys, axes="band,y,x")) == (50, 70)
    assert source_size(FileSource(**keys)) == (50, 70)
    assert source_size(FileSource(**keys, variable="cube", wavelengths="nm")) == (50, 70)
    assert source_size(FileSource(**keys, variable="cube", wavelengths="400:700:9")) is None
    assert source_size(FileSource(**keys, axes="band,yx", variable="flat", shape=(50, 70))) == (50, 70)
    assert source_size(FileSource(**keys, axes="band,yx", variable="flat")) is None
    assert source_size(FileSource(**keys, variable="none")) is None
    assert source_size(FileSource(kind="file", path=str(tmp_path))) is None
    assert source_size(SyntheticSource(kind="synthetic", height=3, width=5)) == (3, 5)
    assert "damaged or not readable" in refused(path, variable="cube")
