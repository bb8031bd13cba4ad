"""Small products in the documented layouts of their agencies, written where no sample can be kept.

Numbers are random and known; names, folders and metadata are those of real products.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine

GRID = Affine(30, 0, 366015, 0, -30, 5807085)
CRS = "EPSG:32633"
Array = np.ndarray[Any, Any]


def write_tif(path: Path, data: Array, **profile: Any) -> Path:
    """A GeoTIFF of one band (y, x) or several (band, y, x)."""
    data = data if data.ndim == 3 else data[None]
    profile = {"crs": CRS, "transform": GRID, "photometric": "minisblack"} | profile
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(data),
        height=data.shape[1],
        width=data.shape[2],
        dtype=data.dtype,
        **profile,
    ) as file:
        file.write(data)
    return path


def numbers(shape: tuple[int, ...], seed: int, dtype: str = "int16") -> Array:
    """Positive numbers, of which the pixel (0, 0) is zero: outside the image."""
    data = np.random.default_rng(seed).integers(200, 9000, shape).astype(dtype)
    data[..., 0, 0] = 0
    return data


# EnMAP

ENMAP = "ENMAP01-____L2A-DT0000001053_20220724T104526Z_00{tile}_V010400_20231221T134421Z"
ENMAP_NM = np.concatenate([np.linspace(420, 993, 30), np.linspace(902, 2445, 34)])


def write_enmap(folder: Path, tile: int, data: Array, **profile: Any) -> Path:
    """One L2A product of 30 VNIR and 34 SWIR bands."""
    name = ENMAP.format(tile=tile)
    bands = "".join(
        f'<bandID number="{i}"><wavelengthCenterOfBand>{nm:.3f}</wavelengthCenterOfBand>'
        f"<FWHMOfBand>{6 + i / 10:.2f}</FWHMOfBand><GainOfBand>0.0001</GainOfBand>"
        f"<OffsetOfBand>0</OffsetOfBand></bandID>"
        for i, nm in enumerate(ENMAP_NM, 1)
    )
    channels = {"vnir": range(1, 31), "swir": range(31, 65)}
    quality = "".join(
        f"<{name}ProductQuality><numChannelsExpected>{len(listed)}</numChannelsExpected>"
        f"<expectedChannelsList>{','.join(map(str, listed))}</expectedChannelsList></{name}ProductQuality>"
        for name, listed in channels.items()
    )
    (folder / f"{name}-METADATA.XML").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><level_X><base><level>L2A</level></base><specific>'
        f"<backgroundValue>-32768</backgroundValue>{quality}"
        f"<bandCharacterisation>{bands}</bandCharacterisation></specific></level_X>"
    )
    return write_tif(folder / f"{name}-SPECTRAL_IMAGE.TIF", data, **profile)


# EO-1


def eo1_mtl(scaling: dict[str, float]) -> str:
    """The MTL of an EO-1 scene, shortened."""
    lines = "".join(f"    {key} = {value}\n" for key, value in scaling.items())
    return (
        'GROUP = L1_METADATA_FILE\n  GROUP = METADATA_FILE_INFO\n    PRODUCT_ID = "L1T"\n'
        "  END_GROUP = METADATA_FILE_INFO\n  GROUP = RADIANCE_SCALING\n"
        f"{lines}  END_GROUP = RADIANCE_SCALING\nEND_GROUP = L1_METADATA_FILE\nEND\n"
    )


HYPERION = "EO1H1990262004112110KZ"


def write_hyperion(folder: Path, bands: dict[int, Array], level: str = "L1T") -> Path:
    """A folder of Hyperion bands with its MTL."""
    folder.mkdir()
    for n, data in bands.items():
        write_tif(folder / f"{HYPERION}_B{n:03}_{level}.TIF", data)
    scaling = {"SCALING_FACTOR_VNIR": 40.0, "SCALING_FACTOR_SWIR": 80.0}
    (folder / f"{HYPERION}_MTL_{level}.TXT").write_text(eo1_mtl(scaling))
    return folder


ALI = "EO1A1990262004112110KZ"
ALI_FACTOR = {
    1: 0.024,
    2: 0.045,
    3: 0.043,
    4: 0.028,
    5: 0.018,
    6: 0.011,
    7: 0.0091,
    8: 0.0083,
    9: 0.0028,
    10: 0.00091,
}
ALI_OFFSET = {1: -2.2, 2: -3.4, 3: -4.4, 4: -1.9, 5: -1.3, 6: -0.85, 7: -0.65, 8: -1.3, 9: -0.6, 10: -0.21}


def write_ali(folder: Path, bands: dict[int, Array]) -> Path:
    """A folder of ALI bands, the pan with pixels of 10 m, with its MTL."""
    folder.mkdir()
    for n, data in bands.items():
        grid = {"transform": Affine(10, 0, 366015, 0, -10, 5807085)} if n == 1 else {}
        write_tif(folder / f"{ALI}_B{n:02}_L1T.TIF", data, **grid)
    scaling = {f"BAND{n}_SCALING_FACTOR": value for n, value in ALI_FACTOR.items()}
    scaling |= {f"BAND{n}_OFFSET": value for n, value in ALI_OFFSET.items()}
    (folder / f"{ALI}_MTL_L1T.TXT").write_text(eo1_mtl(scaling))
    return folder


# Sentinel-2

SAFE = "S2A_MSI{level}_20220724T101041_N0400_R022_T33UUU_20220724T161041.SAFE"
S2_IDS = {
    f"B{n}": i for i, n in enumerate(["1", "2", "3", "4", "5", "6", "7", "8", "8A", "9", "10", "11", "12"])
}
S2_CENTRAL = dict(
    zip(
        S2_IDS,
        [442.7, 492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 945.1, 1373.5, 1613.7, 2202.4],
        strict=True,
    )
)


def s2_metadata(level: str, offsets: dict[str, int]) -> str:
    """The product's metadata, shortened; each band's response is 20 nm wide at half its height."""
    prefix, added = ("BOA_", "BOA_ADD_OFFSET") if level == "L2A" else ("", "RADIO_ADD_OFFSET")
    listed = "".join(f'<{added} band_id="{S2_IDS[b]}">{value}</{added}>' for b, value in offsets.items())
    response = " ".join(map(str, [0.1] * 10 + [0.9] * 20 + [0.2] * 10))
    bands = "".join(
        f'<Spectral_Information bandId="{S2_IDS[band]}" physicalBand="{band}"><RESOLUTION>10</RESOLUTION>'
        f'<Wavelength><MIN unit="nm">{nm - 20}</MIN><MAX unit="nm">{nm + 20}</MAX>'
        f'<CENTRAL unit="nm">{nm}</CENTRAL></Wavelength><Spectral_Response><STEP unit="nm">1</STEP>'
        f"<VALUES>{response}</VALUES></Spectral_Response></Spectral_Information>"
        for band, nm in S2_CENTRAL.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><n1:Level-2A_User_Product '
        'xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd"><n1:General_Info>'
        "<Product_Info><PROCESSING_BASELINE>04.00</PROCESSING_BASELINE></Product_Info>"
        "<Product_Image_Characteristics><Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>"
        "<SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>"
        f'<{prefix}QUANTIFICATION_VALUE unit="none">10000</{prefix}QUANTIFICATION_VALUE>'
        f"<{added}_VALUES_LIST>{listed}</{added}_VALUES_LIST>"
        f"<Spectral_Information_List>{bands}</Spectral_Information_List>"
        "</Product_Image_Characteristics></n1:General_Info></n1:Level-2A_User_Product>"
    )


def write_sentinel2(
    folder: Path,
    bands: dict[tuple[str, int], Array],
    level: str = "L2A",
    driver: str = "JP2OpenJPEG",
    offset: int | None = -1000,
) -> Path:
    """A SAFE folder with bands by name and pixel size, as JPEG 2000 without loss."""
    safe = folder / SAFE.format(level=level)
    images = safe / "GRANULE" / f"{level}_T33UUU_A028765_20220724T101558" / "IMG_DATA"
    for (name, gsd), data in bands.items():
        place = images / f"R{gsd}m" if level == "L2A" else images
        place.mkdir(parents=True, exist_ok=True)
        end = f"_{gsd}m" if level == "L2A" else ""
        grid = Affine(gsd, 0, 366000, 0, -gsd, 5807100)
        path = place / f"T33UUU_20220724T101041_{name}{end}.jp2"
        options = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
        with rasterio.open(
            path,
            "w",
            driver=driver,
            count=1,
            height=data.shape[0],
            width=data.shape[1],
            dtype=data.dtype,
            crs=CRS,
            transform=grid,
            **options,
        ) as file:
            file.write(data[None])
    offsets = {} if offset is None else dict.fromkeys(S2_IDS, offset)
    (safe / f"MTD_MSI{level}.xml").write_text(s2_metadata(level, offsets))
    return safe


# Landsat

LANDSAT = {
    2: "LC08_L2SP_193023_20200920_20201005_02_T1",
    1: "LC08_L1TP_193023_20200920_20201005_02_T1",
}


def landsat_groups(level: int) -> dict[str, dict[str, str]]:
    """The MTL's groups, shortened; Level 2 repeats those of Level 1 with other numbers."""
    bands = range(1, 10)
    groups = {
        "PRODUCT_CONTENTS": {"COLLECTION_NUMBER": "02"},
        "IMAGE_ATTRIBUTES": {"SPACECRAFT_ID": "LANDSAT_8", "SUN_ELEVATION": "30.0"},
        "LEVEL1_RADIOMETRIC_RESCALING": {
            **{f"REFLECTANCE_MULT_BAND_{n}": "2.0000E-05" for n in bands},
            **{f"REFLECTANCE_ADD_BAND_{n}": "-0.100000" for n in bands},
        },
    }
    if level == 2:
        groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"] = {
            **{f"REFLECTANCE_MULT_BAND_{n}": "2.75e-05" for n in range(1, 8)},
            **{f"REFLECTANCE_ADD_BAND_{n}": "-0.2" for n in range(1, 8)},
        }
    return groups


def landsat_mtl(groups: dict[str, dict[str, str]], form: str) -> str:
    """The MTL in one of the three forms in which USGS delivers it."""
    if form == "json":
        return json.dumps({"LANDSAT_METADATA_FILE": groups})
    if form == "xml":
        inner = "".join(
            f"<{name}>{''.join(f'<{k}>{v}</{k}>' for k, v in group.items())}</{name}>"
            for name, group in groups.items()
        )
        return f'<?xml version="1.0"?><LANDSAT_METADATA_FILE>{inner}</LANDSAT_METADATA_FILE>'
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for name, group in groups.items():
        lines += [
            f"  GROUP = {name}",
            *(f'    {k} = "{v}"' for k, v in group.items()),
            f"  END_GROUP = {name}",
        ]
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END"])


def write_landsat(
    folder: Path, bands: dict[int, Array], quality: Array, level: int = 2, form: str = "txt"
) -> Path:
    """A folder of Landsat 8 bands, QA_PIXEL and MTL."""
    folder.mkdir()
    scene = LANDSAT[level]
    for n, data in bands.items():
        grid = {"transform": Affine(15, 0, 366015, 0, -15, 5807085)} if n == 8 else {}
        write_tif(folder / f"{scene}{'_SR' if level == 2 else ''}_B{n}.TIF", data, **grid)
    write_tif(folder / f"{scene}_QA_PIXEL.TIF", quality)
    (folder / f"{scene}_MTL.{form}").write_text(landsat_mtl(landsat_groups(level), form))
    return folder
