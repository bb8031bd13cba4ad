"""Files that lead elsewhere, wait for ever or declare more than they hold: refused in one line, at once."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
import zarr

from command import call, refusal
from pipeline.config.experiment import parse_experiment
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError

CUBE = np.random.default_rng(2).uniform(0.1, 0.9, (4, 12, 10)).astype(np.float32)


def write_tif(path: Path) -> Path:
    shape = {"count": 4, "height": 12, "width": 10, "dtype": "float32"}
    with rasterio.open(path, "w", driver="GTiff", **shape) as file:
        file.write(CUBE)
    return path


# ---- files that lead elsewhere


def vrt(of: Path) -> str:
    source = f"<SimpleSource><SourceFilename>{of}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    band = f'<VRTRasterBand dataType="Float32" band="1">{source}</VRTRasterBand>'
    return f'<VRTDataset rasterXSize="10" rasterYSize="12">{band}</VRTDataset>'


WMS = '<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/${x}</ServerUrl></Service></GDAL_WMS>'


@pytest.mark.parametrize("name", ["a.tif", "a.vrt", "a.img"])
def test_text_that_refers_to_other_files_is_no_raster(tmp_path: Path, name: str) -> None:
    other = write_tif(tmp_path / "other.tif")
    for text in (vrt(other), f"\n {vrt(other)}", WMS, "/vsicurl/http://127.0.0.1:9/a.tif"):
        (tmp_path / name).write_text(text)
        said = refusal("inspect", tmp_path / name)
        assert (
            "is text that refers to other files or addresses, not a raster itself; write what it shows"
            in said
        )
    (tmp_path / name).write_text("<!-- a comment -->" + vrt(other))
    assert "no raster that can be read" in refusal("inspect", tmp_path / name)


def test_companions_of_a_raster_do_not_lead_elsewhere(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif")
    (tmp_path / "a.tif.msk").write_text(vrt(path))
    assert "a.tif.msk: belongs to a.tif but is no TIFF" in refusal("inspect", path)


def test_channels_of_pcidsk_lie_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pix"
    shape = {"count": 4, "height": 12, "width": 10, "dtype": "float32"}
    with rasterio.open(path, "w", driver="PCIDSK", INTERLEAVING="FILE", **shape) as file:
        file.write(CUBE)
    assert "its pixels lie in other files; write them into one" in refusal("inspect", path)
    with rasterio.open(path, "w", driver="PCIDSK", INTERLEAVING="TILED", **shape) as file:
        file.write(CUBE)
    assert call("inspect", path).exit_code == 0


def external(path: Path, other: Path) -> None:
    """A dataset whose bytes are those of another file."""
    other.write_bytes(CUBE.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", CUBE.shape, CUBE.dtype, external=[(str(other), 0, CUBE.nbytes)])


def virtual(path: Path, other: Path) -> None:
    """A dataset that shows one of another file."""
    with h5py.File(other, "w") as file:
        file["cube"] = CUBE
    layout = h5py.VirtualLayout(CUBE.shape, CUBE.dtype)
    layout[...] = h5py.VirtualSource(str(other), "cube", CUBE.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("cube", layout)


def linked(path: Path, other: Path) -> None:
    """A name that stands for a dataset of another file, as a MATLAB variable."""
    with h5py.File(other, "w") as file:
        file["cube"] = CUBE
        file["cube"].attrs["MATLAB_class"] = np.bytes_("single")
    with h5py.File(path, "w") as file:
        file["cube"] = h5py.ExternalLink(str(other), "cube")


@pytest.mark.parametrize(
    ("name", "make"), [("a.h5", external), ("a.h5", virtual), ("a.nc", virtual), ("a.mat", linked)]
)
def test_values_of_hdf5_lie_in_the_file(
    tmp_path: Path, name: str, make: Callable[[Path, Path], None]
) -> None:
    make(tmp_path / name, tmp_path / "other.bin")
    said = refusal("inspect", f"{tmp_path / name}::cube")
    assert "cube lies in other files, to which this one only refers; write its values into one file" in said


# ---- files without end, or out of all proportion


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".h5", ".mat", ".bsq"])
def test_a_pipe_is_no_file(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"a{suffix}")
    assert "is a pipe or a device, not a file; save its content" in refusal(
        "inspect", tmp_path / f"a{suffix}"
    )


def test_a_path_that_no_file_system_takes_is_one_line() -> None:
    said = refusal("inspect", "x" * 5000)
    assert f"{'x' * 60!r}... has 5000 bytes; a path has 4095 at most" in said
    assert "is not Unicode; rename the file or its folder" in refusal("inspect", "a\udcff.tif")
    assert "is not a path; a path is not empty" in refusal("inspect", "")


@pytest.mark.parametrize("value", [3.4e38, -3.4028235e38, 1e19, np.inf])
def test_values_too_large_to_be_squared_are_asked_for(tmp_path: Path, value: float) -> None:
    cube = CUBE.copy()
    cube[2, 3, 4:6] = value
    np.save(tmp_path / "a.npy", cube)
    said = refusal("inspect", tmp_path / "a.npy")
    assert "holds 2 infinite values, or values beyond 1e+18, the first, " in said
    assert "at row 3, column 4; declare it by --nodata" in said


def zeros_npz(path: Path) -> None:
    """5 GB of zeros would take seconds to write: the header is that of 5 GB, of which a part follows."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("cube.npy", "w") as member:
        header = {"descr": "<f8", "fortran_order": False, "shape": (100, 2500, 2500)}
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(2**20))


def zeros_mat(path: Path) -> None:
    scipy.io.savemat(path, {"cube": np.zeros((3000, 3000, 8), np.uint8)}, do_compression=True)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", (6, 10**7, 10**7), np.float32, chunks=(6, 64, 64))


def tiff(path: Path) -> None:
    shape = {"count": 3, "height": 400_000, "width": 400_000, "dtype": "uint8"}
    tiles = {"tiled": True, "blockxsize": 8192, "blockysize": 8192, "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", SPARSE_OK=True, BIGTIFF="YES", **tiles, **shape):
        pass


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.npz", zeros_npz),
        ("a.mat", zeros_mat),
        ("a.h5", hdf5),
        ("a.tif", tiff),
        ("a.zarr", lambda path: zarr_of_nothing(path)),
    ],
)
def test_more_values_than_the_bytes_can_hold_are_refused(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path / name)
    start = perf_counter()
    said = refusal("inspect", tmp_path / name)
    assert perf_counter() - start < 20  # far less on an idle machine
    assert "values in" in said
    assert "bytes, more than 100 in a byte; it is damaged, or no measured image" in said


def test_a_struct_that_decodes_without_bounds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"s": {"cube": np.zeros((400, 400, 500), np.uint8)}}, do_compression=True)
    assert "more than 100 in a byte" in refusal("inspect", path)


def hdf5_chunk(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", (8, 5000, 5000), np.float32, chunks=(8, 5000, 5000))
    with path.open("ab") as stream:
        stream.truncate(2**24)  # as large as if something had been written


def zarr_chunk(path: Path) -> None:
    zarr.create_array(path / "cube", shape=(8, 5000, 5000), chunks=(8, 5000, 5000), dtype="float32")
    zarr.open_group(path, mode="a")


def tiff_tile(path: Path) -> None:
    shape = {"count": 3, "height": 16_384, "width": 16_384, "dtype": "uint8", "interleave": "pixel"}
    tile = {"tiled": True, "blockxsize": 16_384, "blockysize": 16_384, "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", SPARSE_OK=True, **shape, **tile):
        pass


@pytest.mark.parametrize(
    ("name", "make", "size"),
    [("a.h5", hdf5_chunk, 8 * 10**8), ("a.zarr", zarr_chunk, 8 * 10**8), ("a.tif", tiff_tile, 3 * 2**28)],
)
def test_pieces_too_large_to_be_read_in_part_are_refused(
    tmp_path: Path, name: str, make: Callable[[Path], None], size: int
) -> None:
    make(tmp_path / name)
    assert f"is stored in pieces of {size} bytes" in refusal("inspect", tmp_path / name)


def zarr_of_nothing(path: Path) -> None:
    zarr.open_group(path, mode="w").create_array(
        "cube", shape=(6, 10**6, 10**6), chunks=(6, 64, 64), dtype="float32"
    )


def test_a_gaussian_wider_than_any_image_is_refused() -> None:
    for fwhm in (1e6, 1e300, float("inf"), float("nan")):
        with pytest.raises(InputError, match="spatial response: a Gaussian"):
            SpatialResponse.gaussian(ratio=4, fwhm=fwhm)


# ---- configurations


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGED = "a0: &a0 {k: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "stands for more than 200000 values; a configuration holds fewer"),
        (MERGED, "stands for more than 200000 values"),
        ("[" * 3000 + "]" * 3000, "lists and mappings lie more than 50 deep in each other"),
        ("{a: " * 60 + "1" + "}" * 60, "lists and mappings lie more than 50 deep"),
        ("a: &a [*a]", "lists and mappings lie more than 50 deep in each other, or in themselves"),
        ("# " + "x" * 2**20, "has 1048578 bytes, expected a configuration of 1048576 at most"),
        (
            "experiment: a\nmethods: {}\nexperiment: b\n",
            "the key 'experiment' stands twice in the mapping that",
        ),
    ],
)
def test_configurations_are_read_within_bounds(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    line = refusal("check", tmp_path / "a.yaml")
    assert line.startswith(f"{tmp_path / 'a.yaml'}: ")
    assert said in line


def test_a_configuration_is_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    assert (
        refusal("check", tmp_path / "a.yaml") == f"{tmp_path / 'a.yaml'}: is not a file; give a configuration"
    )


def test_content_that_snakemake_has_read_is_bounded_too() -> None:
    content: list[object] = ["x"] * 9
    for _ in range(12):
        content = [content] * 9
    with pytest.raises(InputError, match="configuration: stands for more than 200000 values"):
        parse_experiment({"experiment": "a", "scenes": content}, "configuration")
