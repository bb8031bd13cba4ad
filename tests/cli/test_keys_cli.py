"""Every key of a source and of a pair is an option of `inspect` and `pair`, and messages name options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import typer
import yaml
from rasterio.transform import Affine
from typer.main import get_command

from command import call, refusal
from pipeline.cli.app import app
from pipeline.cli.keys import PAIR_KEYS, SOURCE_KEYS, in_options, source_settings
from pipeline.config.experiment import load_experiment
from pipeline.config.scenes import FileSource, Pair
from products import GRID, write_tif
from scene_files import CUBE, save

ARGUMENTS = {"kind", "path", "hsi", "msi"}  # of the commands


def options_of(command: str) -> set[str]:
    top: Any = get_command(app)
    names = top.get_command(typer.Context(top), command).params
    return {option for parameter in names for option in parameter.opts if option.startswith("--")}


@pytest.mark.parametrize("command", ["inspect", "pair"])
def test_every_key_is_an_option(command: str) -> None:
    options = options_of(command)
    keys = (set(FileSource.model_fields) | set(Pair.model_fields)) - ARGUMENTS
    assert {f"--{key.replace('_', '-')}" for key in keys} <= options
    of_roles = {f"--{key.replace('_', '-')}-{role}" for key in SOURCE_KEYS for role in ("hsi", "msi")}
    assert of_roles <= options


@pytest.mark.parametrize("command", ["inspect", "pair"])
def test_messages_name_options_that_the_command_has(command: str) -> None:
    options = options_of(command)
    for key in (*SOURCE_KEYS, *PAIR_KEYS):
        for role in ("hsi", "msi", None) if key in SOURCE_KEYS else (None,):
            assert in_options(f"give `{key}`", role).split()[1] in options
    assert in_options("declare `nodata: .nan`", None) == "declare --nodata nan"
    assert in_options("by `drop_bands: [B11, B12]`", "msi") == "by --drop-bands-msi B11,B12"
    assert in_options("by `drop_bands: [1614 nm]`", "msi") == 'by --drop-bands-msi "1614 nm"'
    assert in_options("with `offset: true`", None) == "with --estimate-offset"
    assert in_options("set `estimation.offset: true`", None) == "set --estimate-offset"
    assert in_options("`alignment.largest_shift: 6`", None) == '--alignment "{largest_shift: 6}"'
    assert "--estimate-offset" in options_of("pair")


def test_texts_of_options() -> None:
    keys = {
        "nodata": "-9999,nan",
        "shape": "6x8",
        "bad_bands": "1,7-9",
        "drop_bands_msi": "B11, B12",
        "scale": "1e4",
        "wavelengths": "400,410",
        "fwhm_hsi": "10",
        "crs": "EPSG:32633",
    }
    settings = source_settings(keys, "hsi")
    assert np.isnan(settings.pop("nodata")[1])
    assert settings == {
        "shape": [6, 8],
        "bad_bands": [1, 7, 8, 9],
        "scale": 1e4,
        "wavelengths": [400, 410],
        "fwhm": 10,
        "crs": "EPSG:32633",
    }
    assert source_settings(keys, "msi")["drop_bands"] == ["B11", "B12"]
    assert source_settings({"nodata": "nan", "nodata_msi": "0"}, "msi") == {"nodata": 0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--shape", "six"), "--shape: 'six' is no value of this option"),
        (("--nodata", "none"), "--nodata: 'none' is no value"),
        (("--scale", "-1"), "--scale: scale: should be greater than 0"),
        (("--axes", "y,x,z"), "--axes: axes: should be"),
        (("--bad-bands", "1,x"), "--bad-bands: '1,x' is no value"),
        (("--crs", "nowhere"), "its CRS 'nowhere' is not understood"),
        (("--alignment", "near"), "--alignment: 'near' is no mapping"),
    ],
)
def test_options_that_are_no_values_end_in_one_line(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    path = write_tif(tmp_path / "a.tif", CUBE)
    images = (path, path) if "--alignment" in options else (path,)
    result = call("inspect", *images, *options)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert message in result.stderr


READING = ["--axes-hsi", "yx,band", "--shape-hsi", "6x6", "--axes-msi", "y,x,band", "--nodata", "-1"]


def test_options_reach_the_images_and_the_experiment(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hsi = rng.uniform(0.1, 0.9, (36, 5)).astype(np.float32)
    hsi[0] = -1
    msi = rng.uniform(0.1, 0.9, (18, 18, 3)).astype(np.float32)
    arrays = save(tmp_path / "a.npz", flat=hsi, sharp=msi, other=msi)
    images = f"{arrays}::flat", f"{arrays}::sharp"
    out = tmp_path / "a.yaml"
    more = [
        "--fwhm-hsi",
        "90",
        "--bad-bands-msi",
        "2",
        "--estimate-offset",
        "--wavelengths-hsi",
        "450,550,650,850,2200",
    ]
    done = call(
        "pair", *images, "--out", out, *READING, *more, "--spatial", "{kind: gaussian, ratio: 3, fwhm: 1.2}"
    )
    assert done.exit_code == 0, done.stderr
    pair = load_experiment(out).scenes["a"].pair
    assert pair is not None
    assert isinstance(pair.hsi, FileSource)
    assert isinstance(pair.msi, FileSource)
    assert (pair.hsi.axes, pair.hsi.shape, pair.hsi.nodata, pair.hsi.fwhm) == ("yx,band", (6, 6), -1, 90)
    assert (pair.msi.bad_bands, pair.msi.variable) == ([2], "sharp")
    assert pair.spatial is not None
    assert yaml.safe_load(out.read_text())["scenes"]["a"]["estimation"]["offset"] is True
    shown = call("inspect", *images, *READING).stdout
    assert "no data      2.8 % of the values" in shown
    assert "ratio        an LR pixel is 3 HR pixels wide" in shown


S2 = {"B2": (492.4, 66), "B3": (559.8, 36), "B4": (664.6, 31), "B8": (832.8, 106), "B11": (1613.7, 91)}


SENSOR = ("--sensor", "sentinel2a", "--bands", ",".join(S2))


def sentinel_pair(folder: Path, **msi: Any) -> tuple[Path, Path]:
    """An HSI of 400 to 1000 nm and an MSI of five bands, one of which lies beyond."""
    rng = np.random.default_rng(0)
    nm = np.linspace(400, 1000, 30)
    hsi = write_tif(folder / "hsi.tif", rng.uniform(0.1, 0.9, (30, 6, 6)).astype(np.float32))
    place = {"transform": GRID @ Affine.scale(1 / 3)}
    sharp = write_tif(folder / "msi.tif", rng.uniform(0.1, 0.9, (5, 18, 18)).astype(np.float32), **place)
    with rasterio.open(hsi, "r+") as file:
        for band, centre in enumerate(nm, 1):
            file.update_tags(band, wavelength=f"{centre} nm")
    with rasterio.open(sharp, "r+") as file:
        for band, (name, (centre, width)) in enumerate(S2.items(), 1):
            if msi.get("centres", True):
                width_tag = {"fwhm": str(width)} if msi.get("fwhm") else {}
                file.update_tags(band, wavelength=f"{centre} nm", **width_tag)
            if msi.get("names"):
                file.set_band_description(band, name)
    return hsi, sharp


@pytest.mark.parametrize(
    ("msi", "options", "named"),
    [
        ({"fwhm": True}, (), '"1614 nm"'),
        ({}, (), '"1614 nm"'),
        ({"names": True}, (), "B11"),
        ({"names": True, "centres": False}, SENSOR, "B11"),
        ({"centres": False}, SENSOR, "4"),
    ],
)
def test_bands_outside_the_hsi_are_named_and_left_out_by_an_option(
    tmp_path: Path, msi: dict[str, Any], options: tuple[str, ...], named: str
) -> None:
    images = sentinel_pair(tmp_path, **msi)
    out = tmp_path / "a.yaml"
    line = refusal("pair", *images, "--out", out, *options)
    assert "lies outside the HSI's range, 400 to 1000 nm" in line
    assert f"leave it out by --drop-bands-msi {named}" in line
    drop = "B11" if options else named.strip('"')
    done = call("pair", *images, "--out", out, *options, "--drop-bands-msi", drop)
    assert done.exit_code == 0, done.stderr
    pair = load_experiment(out).scenes["a"].pair
    assert pair is not None
    bands = getattr(pair.spectral, "bands", None)
    assert bands == (None if msi.get("fwhm") else ["B2", "B3", "B4", "B8"])


def test_guessed_widths_are_called_guessed_and_sensors_recognised(tmp_path: Path) -> None:
    images = sentinel_pair(tmp_path)
    text = call("inspect", *images).stdout
    assert "sensor       centres within 0.0 nm of sentinel2a" in text
    assert "--sensor sentinel2a --bands B2,B3,B4,B8,B11` of `pipeline pair`" in text
    assert "outside      bands 1614 nm of the MSI lie outside the HSI's range" in text
    assert "widths of the bands are not stated: their spacing, 20.7 nm, is guessed where needed" in text
    out = tmp_path / "a.yaml"
    done = call("pair", *images, "--out", out, "--drop-bands-msi", "1614 nm")
    assert "published bands are guessed for R: is it this sensor? `--sensor sentinel2a" in done.stdout
    assert "assumed: widths are not stated" in " ".join(out.read_text().split())
    unknown = tmp_path / "b.yaml"
    centres = ",".join(map(str, (470, 520, 730, 900, 1000)))
    assert call("pair", *images, "--out", unknown, "--wavelengths-msi", centres).exit_code == 0
    assert "the widths are guessed from their spacing" in unknown.read_text()


def test_reflectance_is_not_divided_twice(tmp_path: Path) -> None:
    hsi, msi = sentinel_pair(tmp_path, fwhm=True)
    with rasterio.open(msi, "r+") as file:
        file.units = ["reflectance"] * 5
    line = refusal("pair", hsi, msi, "--out", tmp_path / "a.yaml", "--scale-msi", "10000")
    assert "are reflectance already; leave --scale-msi out, which would divide them by 10000" in line
