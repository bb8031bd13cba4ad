"""Small files with the documented layouts of formats and products, for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rasterio
from rasterio.transform import Affine

WGS84 = rasterio.CRS.from_epsg(4326).to_wkt()


def matlab_class(values: np.ndarray) -> str:
    name = values.dtype.name
    return {"float64": "double", "float32": "single", "bool": "logical"}.get(name, name)


def save_matlab_73(path: Path, **arrays: Any) -> Path:
    """MATLAB's `save -v7.3`: HDF5 behind a block of 512 bytes, axes stored last to first."""
    path.unlink(missing_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            array = np.asarray(values)
            stored = np.atleast_2d(array).T
            options = {"chunks": True, "compression": "gzip"} if stored.ndim > 2 else {}
            dataset = file.create_dataset(name, data=stored, **options)
            dataset.attrs["MATLAB_class"] = np.bytes_(matlab_class(array))
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Nov  3 10:00:00 2025 HDF5 schema 1.00"
    with path.open("r+b") as stream:
        stream.write(header.ljust(124) + b"\x00\x02IM")
    return path


EMIT_NAME = "EMIT_L2A_RFL_001_20230316T045133_2307503_005.nc"


class Emit:
    """An EMIT L2A granule: a swath that lies askew in a grid, three of its lines unused.

    `ortho` is the expected image, built pixel by pixel.
    """

    bands, lines, samples = 12, 40, 24
    height, width = 50, 45
    geotransform = (-62.5120945, 0.00054223252, -0.0, -39.3064879, -0.0, -0.00054223252)

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.swath = rng.uniform(0.01, 0.6, (self.lines, self.samples, self.bands)).astype(np.float32)
        self.swath[7, 3] = -9999.0
        self.swath[:, :, 8] = -0.01  # water vapour
        self.nm = np.linspace(381, 2493, self.bands).astype(np.float32)
        self.width_nm = np.linspace(7.4, 8.8, self.bands).astype(np.float32)
        self.good = np.ones(self.bands, np.uint8)
        self.good[8] = 0
        self.glt_x = np.zeros((self.height, self.width), np.int32)
        self.glt_y = np.zeros((self.height, self.width), np.int32)
        self.ortho = np.full((self.bands, self.height, self.width), np.nan, np.float32)
        for y in range(self.height):
            for x in range(self.width):
                line, sample = round(0.8 * y - 0.4 * x + 12), round(0.35 * y + 0.6 * x - 9)
                if 0 <= line < self.lines and 0 <= sample < self.samples and line not in (20, 21, 22):
                    self.glt_y[y, x], self.glt_x[y, x] = line + 1, sample + 1
                    if (line, sample) != (7, 3):
                        self.ortho[:, y, x] = self.swath[line, sample]

    def save(self, folder: Path, **options: Any) -> Path:
        path = folder / EMIT_NAME
        path.unlink(missing_ok=True)  # a reader may still have it open
        with h5py.File(path, "w") as file:
            reflectance = file.create_dataset("reflectance", data=self.swath, **options)
            reflectance.attrs.update({"_FillValue": np.float32([-9999]), "units": "unitless"})
            for i, name in enumerate(("downtrack", "crosstrack", "bands")):  # as NetCDF-4 has them
                file[name] = np.zeros(self.swath.shape[i], np.float32)
                file[name].make_scale(name)
                reflectance.dims[i].attach_scale(file[name])
            for name, values in (("glt_x", self.glt_x), ("glt_y", self.glt_y)):
                file.create_dataset(f"location/{name}", data=values, compression="gzip")
            for name in ("lat", "lon", "elev"):
                file.create_dataset(f"location/{name}", data=np.zeros((self.lines, self.samples)))
            parameters = file.create_group("sensor_band_parameters")
            for name, values in (
                ("wavelengths", self.nm), ("fwhm", self.width_nm), ("good_wavelengths", self.good),
            ):  # fmt: skip
                parameters[name] = values
            file.attrs.update({"geotransform": np.array(self.geotransform), "spatial_ref": WGS84})
        return path


PRISMA_NAME = "PRS_L2D_STD_20201214060713_20201214060717_0001.he5"


class Prisma:
    """A PRISMA L2D product: bands from long to short, three of them unused, a triangle without data."""

    height, width = 30, 26
    low, high = (0.01, 0.0), (0.9, 0.7)

    def __init__(self) -> None:
        rng = np.random.default_rng(6)
        self.nm = [np.linspace(1010, 400, 66), np.linspace(2497, 920, 173)]
        self.fwhm = [np.linspace(13, 11, 66), np.linspace(9, 12, 173)]
        for part in (self.nm[0], self.fwhm[0]):
            part[-2:] = 0
        for part in (self.nm[1], self.fwhm[1]):
            part[-1] = 0
        self.stored = [
            rng.integers(1, 65536, (self.height, nm.size, self.width)).astype(np.uint16) for nm in self.nm
        ]
        self.errors = [np.zeros(stored.shape, np.uint8) for stored in self.stored]
        self.errors[0][4, 10, 5], self.errors[1][4, 10, 6], self.errors[1][4, 10, 7] = 1, 2, 3
        outside = np.add.outer(np.arange(self.height), np.arange(self.width)) < 8
        for stored, nm in zip(self.stored, self.nm, strict=True):
            stored[:, nm == 0] = 0
            stored.transpose(0, 2, 1)[outside] = 0
        self.outside = outside

    def reflectance(self, detector: int, band: int) -> np.ndarray:
        """Expected values of one stored band."""
        stored = self.stored[detector][:, band].astype(np.float64)
        low, high = self.low[detector], self.high[detector]
        error = self.errors[detector][:, band]
        hidden = self.outside | (error == 1) | (error == 3)
        return np.where(hidden, np.nan, low + stored * (high - low) / 65535)

    def save(self, folder: Path, *, level: str = "L2D", **attributes: Any) -> Path:
        path = folder / PRISMA_NAME.replace("L2D", level)
        path.unlink(missing_ok=True)
        with h5py.File(path, "w") as file:
            fields = file.create_group(f"HDFEOS/SWATHS/PRS_{level}_HCO/Data Fields")
            for i, name in enumerate(("Vnir", "Swir")):
                fields[f"{name.upper()}_Cube"] = self.stored[i]
                fields[f"{name.upper()}_PIXEL_L2_ERR_MATRIX"] = self.errors[i]
                file.attrs.update({
                    f"List_Cw_{name}": self.nm[i].astype(np.float32),
                    f"List_Fwhm_{name}": self.fwhm[i].astype(np.float32),
                    f"List_Cw_{name}_Flags": (self.nm[i] > 0).astype(np.int32),
                    f"L2Scale{name}Min": np.float32(self.low[i]),
                    f"L2Scale{name}Max": np.float32(self.high[i]),
                })  # fmt: skip
            file.attrs.update({
                "Epsg_Code": np.uint32(32633),
                "Product_ULcorner_easting": 366015.0, "Product_ULcorner_northing": 5806125.0,
                "Product_LRcorner_easting": 366015.0 + 30 * (self.width - 1),
                "Product_LRcorner_northing": 5806125.0 - 30 * (self.height - 1),
            })  # fmt: skip
            file.attrs.update(attributes)
        return path


class Desis:
    """A DESIS L2A product of 16 bands, its metadata with the other `band` elements that it has."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.stored = rng.integers(0, 9000, (16, 20, 22)).astype(np.int16)
        self.stored[:, :4, :3] = -32768
        self.nm = np.linspace(401.9, 999.5, 16)
        self.fwhm = np.linspace(2.9, 4.1, 16)
        self.gain, self.offset = np.linspace(1e-4, 2e-4, 16), np.linspace(0, 0.015, 16)

    def save(self, folder: Path) -> Path:
        stem = "DESIS-HSI-L2A-DT0483531728_004-20200808T154228-V0210"
        path = folder / f"{stem}-SPECTRAL_IMAGE.tif"
        with rasterio.open(
            path, "w", driver="GTiff", count=16, height=20, width=22, dtype="int16", interleave="pixel",
            compress="lzw", nodata=-32768, crs="EPSG:32618", transform=Affine(30, 0, 300000, 0, -30, 4500000),
        ) as file:  # fmt: skip
            file.write(self.stored)
        bands = "".join(
            f"<band><bandNumber>{i + 1}</bandNumber><wavelengthCenterOfBand>{nm}</wavelengthCenterOfBand>"
            f"<wavelengthWidthOfBand>{width}</wavelengthWidthOfBand><response>0.1,1.0,0.1</response>"
            f"<wavelengths>{nm - 2},{nm},{nm + 2}</wavelengths><gainOfBand>{gain}</gainOfBand>"
            f"<offsetOfBand>{offset}</offsetOfBand></band>"
            for i, (nm, width, gain, offset) in enumerate(
                zip(self.nm, self.fwhm, self.gain, self.offset, strict=True)
            )
        )
        (folder / f"{stem}-METADATA.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n<hsi_doc><metadata/><base/><specific>'
            f"<bandCharacterisation>{bands}</bandCharacterisation>"
            "<interiorOrientation><band><bandNumber>1</bandNumber></band></interiorOrientation>"
            "</specific></hsi_doc>"
        )
        return path
