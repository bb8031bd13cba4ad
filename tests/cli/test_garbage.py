"""No file ends in a traceback: garbage, empty and cut files under every name end in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from command import call
from labelled_files import WRITERS
from layouts import Desis, Emit, Prisma, save_matlab_73
from products import numbers, write_sentinel2, write_tif
from scene_files import CUBE, as_axes, raster, save

SUFFIXES = """.tif .TIF .img .bsq .hdr .mat .npz .npy .h5 .he5 .nc .nc4 .jp2 .png .pix .vrt .xml .json .zip
.csv .yaml .dat"""
NAMES = [
    "scene",
    *(f"scene{suffix}" for suffix in SUFFIXES.split()),
    "EMIT_L2A_RFL_001_20230316T045133_2307503_005.nc",
    "PRS_L2D_STD_20201214060713_20201214060717_0001.he5",
    "DESIS-HSI-L2A-DT0483531728_004-20200808T154228-V0210-SPECTRAL_IMAGE.tif",
    "ENMAP01-____L2A-DT0000001053_20220724T104526Z_001_V010400_20231221T134421Z-SPECTRAL_IMAGE.TIF",
]
MAGIC = [
    b"II*\0",
    b"\x89HDF\r\n\x1a\n",
    b"PK\x03\x04",
    b"\x93NUMPY\x01\0",
    b"CDF\x01",
    b"ENVI\n",
    b"MATLAB 5.0",
]


def one_line(*arguments: str | Path) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, (arguments, result.output, result.exception)
    assert len(result.stderr.splitlines()) == 1, (arguments, result.stderr)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tif(tmp_path_factory.mktemp("good") / "msi.tif", CUBE.astype(np.float32) / 1e4)


@pytest.mark.parametrize("name", NAMES)
def test_garbage_under_every_name(tmp_path: Path, good: Path, name: str) -> None:
    path = tmp_path / name
    rng = np.random.default_rng(0)
    for beginning in (b"", MAGIC[len(name) % 6], MAGIC[len(name) % 5]):
        path.write_bytes(beginning + rng.bytes(700))
        one_line("inspect", path)
    path.write_bytes(b"")
    one_line("inspect", path)
    one_line("pair", path, good, "--out", tmp_path / "a.yaml")
    one_line("pair", good, path, "--out", tmp_path / "a.yaml")


def netcdf(kind: str) -> Callable[[Path], Path]:
    dataset = xr.Dataset(
        {"cube": (("band", "y", "x"), CUBE.astype(np.int32))}, coords={"y": np.arange(6.0) * 10}
    )
    return lambda folder: WRITERS[kind](folder / "scene", dataset)


def geotiff(folder: Path) -> Path:
    raster(folder / "scene.tif", "GTiff", compress="deflate").close()
    return folder / "scene.tif"


def envi(folder: Path) -> Path:
    raster(folder / "scene.img", "ENVI").close()
    return folder / "scene.img"


def npy(folder: Path) -> Path:
    np.save(folder / "scene.npy", CUBE)
    return folder / "scene.npy"


CUT: dict[str, Callable[[Path], Path]] = {
    "GeoTIFF": geotiff,
    "ENVI": envi,
    "npy": npy,
    "npz": lambda folder: save(folder / "scene.npz", cube=CUBE),
    "mat": lambda folder: save(folder / "scene.mat", cube=as_axes(CUBE, "y,x,band")),
    "mat 7.3": lambda folder: save_matlab_73(folder / "scene.mat", cube=as_axes(CUBE, "y,x,band")),
    "NetCDF-4": netcdf("NetCDF-4"),
    "classic": netcdf("classic"),
    "EMIT": lambda folder: Emit().save(folder),
    "PRISMA": lambda folder: Prisma().save(folder),
    "DESIS": lambda folder: Desis().save(folder),
}


@pytest.mark.parametrize("kind", CUT)
def test_cut_files(tmp_path: Path, kind: str) -> None:
    path = CUT[kind](tmp_path)
    content = path.read_bytes()
    for fraction in (0.02, 0.3, 0.6, 0.9):
        path.write_bytes(content[: int(fraction * len(content))])
        one_line("inspect", path)


@pytest.mark.parametrize("kind", CUT)
def test_flipped_bytes_end_in_a_line_or_a_description(tmp_path: Path, kind: str) -> None:
    path = CUT[kind](tmp_path)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(6):
        damaged = bytearray(content)
        at = int(rng.integers(0, min(len(content), 3000) - 8))
        damaged[at : at + 8] = rng.bytes(8)
        path.write_bytes(damaged)
        result = call("inspect", path)
        assert result.exit_code in (0, 2), (at, result.exception)


@pytest.mark.parametrize("kind", ["Zarr 2", "Zarr 3"])
def test_damaged_zarr(tmp_path: Path, kind: str) -> None:
    path = netcdf(kind)(tmp_path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        content = file.read_bytes()
        for damaged in (b"", content[: len(content) // 2], b"[1, 2]", b"{}"):
            file.write_bytes(damaged)
            result = call("inspect", path)
            assert result.exit_code in (0, 2), (file, damaged, result.exception)
        file.write_bytes(content)
    empty = tmp_path / "empty.zarr"
    empty.mkdir()
    (empty / "zarr.json").write_text("{}")
    one_line("inspect", empty)


def test_folders_and_files_that_hold_no_image(tmp_path: Path) -> None:
    one_line("inspect", tmp_path)
    one_line("inspect", tmp_path / "missing.tif")
    one_line("inspect", tmp_path / "*.tif")
    one_line("inspect", f"{tmp_path / 'missing.nc'}::cube")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    one_line("inspect", tmp_path / "empty.h5")
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["text"] = "no image"
        file["none"] = h5py.Empty("f")
        file["cube"] = np.zeros((0, 3, 4))
    one_line("inspect", tmp_path / "odd.h5")
    np.savez(tmp_path / "objects.npz", a=np.array(["a", "b"]))
    one_line("inspect", tmp_path / "objects.npz")
    safe = write_sentinel2(tmp_path, {("B02", 10): numbers((9, 9), 0, "uint16")}, driver="GTiff")
    one_line("inspect", safe)
    raster(tmp_path / "nan.tif", "GTiff", np.full((2, 6, 8), np.nan, np.float32)).close()
    one_line("inspect", tmp_path / "nan.tif")
