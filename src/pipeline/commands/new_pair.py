"""`pipeline pair`: write the experiment of a real pair, from the content of its two files.

Facts missing from the files are asked for in one line, or guessed and named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline.commands.inspect import Inspected, inspect, pair_lines, paired, source_of
from pipeline.commands.pair_text import Draft, experiment_text
from pipeline.config.experiment import parse_experiment
from pipeline.config.responses import REMEDIES, SensorResponse
from pipeline.config.scenes import NAME, Pair
from pipeline.core.estimation.agreement import radiometric_agreement
from pipeline.core.sensing.sensors import Recognised, multispectral_bands, multispectral_sensors
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.inputs.pairs.msi_response import SAME_BAND, MsiBands, msi_bands
from pipeline.inputs.pairs.pair import START_FWHM, OpenPair
from pipeline.settings.validation import parse
from pipeline.store.files import write_text

ESTIMATED = "the experiment estimates it, by `spectral_response: calibrated`"
Remark = tuple[str, str, str | None]
"""Label and text of a line, and the image that it speaks of, `hsi` or `msi`."""
LEAST_SCALE, DARKEST = 100.0, 2e-3  # a scale that leaves reflectance below this was divided by twice


@dataclass(frozen=True)
class Request:
    """The arguments of `pipeline pair`.

    Attributes
    ----------
    hsi, msi : str
        Paths, or `path::variable`.
    out : Path
        The experiment's file; its name is the experiment's.
    hsi_settings, msi_settings : mapping
        Further keys of the two sources.
    pair_settings : mapping
        Further keys of the pair.
    scene : str or None
        Name of the scene; default: the experiment's.
    sensor : str or None
        The multispectral sensor.
    bands : sequence of str or None
        Names of its bands in the file's order.
    estimate_offset : bool
        Whether an offset of each MSI band is estimated.
    products : bool
        Whether fused cubes are exported.
    """

    hsi: str
    msi: str
    out: Path
    hsi_settings: Mapping[str, Any] = field(default_factory=dict)
    msi_settings: Mapping[str, Any] = field(default_factory=dict)
    pair_settings: Mapping[str, Any] = field(default_factory=dict)
    scene: str | None = None
    sensor: str | None = None
    bands: Sequence[str] | None = None
    estimate_offset: bool = False
    products: bool = True


def run(request: Request) -> list[Remark]:
    """Write the experiment's file, and return a description of the pair.

    Parameters
    ----------
    request : Request
        The two files, and facts that they do not state.

    Returns
    -------
    list of Remark
        Properties of the pair, and what was assumed of the image of a role, `hsi` or `msi`.

    Raises
    ------
    InputError
        A file cannot be used, the two do not belong together, an option is missing, or the experiment's
        file exists already. Nothing is written then.
    """
    experiment, scene = _names(request)
    hsi = _scaled(request.hsi, request.hsi_settings, "hsi")
    msi = _scaled(request.msi, _numbered(request), "msi")
    spectral, guess = _sensor(request, msi)
    settings = dict(request.pair_settings) | ({"spectral": spectral} if spectral else {})
    pair = parse(Pair, {"hsi": hsi.source, "msi": msi.source} | settings, "pair")
    images = paired(hsi, msi, settings)
    description = pair_lines(images)
    bands = msi_bands(pair, images)
    doubts = _doubts(hsi, msi, images, bands)
    assumed = {"hsi": list(hsi.scene.report["assumed"]), "msi": [*msi.scene.report["assumed"], *guess]}
    draft = Draft(
        experiment,
        scene,
        pair,
        hsi,
        msi,
        images,
        bands.known,
        request.products,
        assumed,
        request.estimate_offset,
    )
    text = experiment_text(draft)
    parse_experiment(yaml.safe_load(text), str(request.out))
    write_text(request.out, text)
    return [
        *((label, value, "msi") for label, value in description),
        *doubts,
        *(("assumed", f"{role.upper()}: {text}", role) for role, texts in assumed.items() for text in texts),
    ]


def _numbered(request: Request) -> Mapping[str, Any]:
    """Return the MSI's keys, with bands to leave out that are named as in `--bands` by their numbers."""
    settings = dict(request.msi_settings)
    if request.bands and "drop_bands" in settings:
        names = list(request.bands)
        settings["drop_bands"] = [
            str(names.index(name)) if name in names else name for name in settings["drop_bands"]
        ]
    return settings


def _doubts(hsi: Inspected, msi: Inspected, images: OpenPair, bands: MsiBands) -> list[Remark]:
    """Return what contradicts itself in the images, before they are registered."""
    doubts: list[Remark] = [
        ("check", f"{image.source.path}: {text}", role)
        for role, image in (("hsi", hsi), ("msi", msi))
        for text in image.doubts()
    ]
    if bands.known:
        blur = SpatialResponse.gaussian(ratio=images.ratio, fwhm=START_FWHM)
        scene = images.observed(images.nesting(), blur, bands.response)
        doubts += [
            ("check", finding.with_remedy(REMEDIES | {"gain": ESTIMATED}), None)
            for finding in radiometric_agreement(scene, bands.names)
        ]
    return doubts


def _names(request: Request) -> tuple[str, str]:
    """Return the names of the experiment and of the scene."""
    out = request.out
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"{out}: an experiment's file ends in .yaml; correct --out")
    if out.exists():
        raise InputError(f"{out}: exists already and is not changed; give another --out, or delete it")
    scene = request.scene or out.stem
    for option, name in (("--out", out.stem), ("--name", scene)):
        if not re.fullmatch(NAME, name):
            raise InputError(
                f"{option}: {name!r} cannot be a name; use letters, digits, _ . - and begin with one of the "
                "first two"
            )
    return out.stem, scene


def _scaled(text: str, settings: Mapping[str, Any], role: str) -> Inspected:
    """Inspect an image with its scale, which is required if its values are too large for reflectance."""
    image = inspect(source_of(text, settings))
    if image.values is None:
        return image
    low, high = image.values
    scale = image.source.scale
    if scale is None and image.unit_unknown:
        raise InputError(
            f"{image.source.path}: its values, {low:.4g} to {high:.4g}, have no unit; give "
            f"--scale-{role} 10000 if they are {image.guess}, or --scale-{role} 1 to leave them unchanged"
        )
    if (
        scale is not None
        and scale >= LEAST_SCALE
        and image.scene.metadata.units == "reflectance"
        and high < DARKEST
    ):
        raise InputError(
            f"{image.source.path}: its values, {low * scale:.4g} to {high * scale:.4g}, are reflectance "
            "already; leave "
            f"--scale-{role} out, which would divide them by {scale:g}"
        )
    return image


def _sensor(request: Request, msi: Inspected) -> tuple[SensorResponse | None, list[str]]:
    """Return the bands of the requested or recognised sensor that the MSI holds, and what was guessed."""
    if request.sensor is None:
        sensor = None if "spectral" in request.pair_settings else msi.recognised
        return (None, []) if sensor is None else (_response(sensor.sensor, sensor.bands), [_guessed(sensor)])
    if "spectral" in request.pair_settings:
        raise InputError("--sensor: gives R, and so does --spectral; leave one of them out")
    known = multispectral_sensors()
    if request.sensor not in known:
        raise InputError(f"--sensor: {request.sensor!r} is not known; give one of {', '.join(known)}")
    bands = _in_order(request.bands, msi) if request.bands else _bands_of(request.sensor, msi)
    return _response(request.sensor, bands), []


def _response(sensor: str, bands: Sequence[str]) -> SensorResponse:
    return SensorResponse.model_validate({"kind": "sensor", "sensor": sensor, "bands": list(bands)})


def _guessed(sensor: Recognised) -> str:
    """Return that the widths of a recognised sensor were taken."""
    others = f" ({' or '.join(sensor.others[:3])} fit as well)" if sensor.others else ""
    return (
        f"widths are not stated; the centres are within {sensor.apart:.1f} nm of {sensor.sensor}{others}, "
        "whose "
        f"published bands are guessed for R: is it this sensor? `--sensor {sensor.sensor} --bands "
        f"{','.join(sensor.bands)}` says so, `fwhm` gives other widths"
    )


def _in_order(bands: Sequence[str], msi: Inspected) -> Sequence[str]:
    """Return names of bands, given in the order of the file, in the order in which they are read."""
    kept, count = msi.scene.report["bands"], msi.scene.report["file_bands"]
    if len(bands) == count:
        return [bands[band] for band in kept]
    if len(bands) == len(kept):
        return [bands[sorted(kept).index(band)] for band in kept]
    raise InputError(
        f"{msi.source.path}: has {count} bands, of which {len(kept)} are read, but --bands names "
        f"{len(bands)}; name "
        "each band in the file's order, and leave bands out by `drop_bands`"
    )


def _bands_of(sensor: str, msi: Inspected) -> list[str]:
    """Return the sensor's bands that a file holds: by its wavelengths, or all where it has as many."""
    centres = {name: centre for name, (centre, _) in multispectral_bands(sensor).items()}
    wavelength, count = msi.scene.metadata.wavelength, msi.scene.shape[0]
    if wavelength is not None:
        names, listed = list(centres), np.array(list(centres.values()))
        nearest = np.abs(listed[:, None] - wavelength).argmin(axis=0)
        close = np.abs(listed[nearest] - wavelength) <= SAME_BAND * wavelength
        if close.all() and len(set(nearest.tolist())) == count:
            return [names[band] for band in nearest]
    elif len(centres) == count:
        return list(centres)
    raise InputError(
        f"{msi.source.path}: which {count} bands of {sensor} it holds is unknown; name each in the file's "
        f"order by --bands, from {', '.join(centres)}"
    )
