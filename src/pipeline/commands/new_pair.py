"""`pipeline pair`: write the experiment of a real pair as commented YAML, from the content of its two files.

The YAML is a draft for the user to edit. Facts missing from the files are asked for in one line instead of
guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
import yaml

from pipeline.commands.inspect import (
    LARGEST_SCALED,
    Inspected,
    Line,
    common,
    inspect,
    pair_lines,
    paired,
    source_of,
)
from pipeline.config.experiment import parse_experiment
from pipeline.config.responses import REMEDIES, SensorResponse
from pipeline.config.scenes import NAME, FileSource, Pair
from pipeline.core.estimation.agreement import radiometric_agreement
from pipeline.core.sensing.sensors import multispectral_bands, multispectral_sensors
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.inputs.pairs.grids import Nesting
from pipeline.inputs.pairs.msi_response import SAME_BAND, MsiBands, msi_bands
from pipeline.inputs.pairs.pair import OpenPair
from pipeline.methods import methods, settings_of
from pipeline.store.files import write_text

ESTIMATED = "the experiment estimates it, by `spectral_response: calibrated`"
LEAST_LEVELS = 1000  # that values must have to be rounded


@dataclass(frozen=True)
class Request:
    """The arguments of `pipeline pair`.

    Attributes
    ----------
    hsi, msi : str
        Paths, or `path::variable`.
    out : Path
        The experiment's file; its name is the experiment's.
    scene : str or None
        Name of the scene; default: the experiment's.
    scale_hsi, scale_msi : float or None
        Numbers by which values are divided.
    sensor : str or None
        The multispectral sensor.
    bands : sequence of str or None
        Names of its bands in the file's order.
    ratio : str or None
        LR pixel size over HR pixel size, if the files do not state it.
    products : bool
        Whether fused cubes are exported.
    """

    hsi: str
    msi: str
    out: Path
    scene: str | None = None
    scale_hsi: float | None = None
    scale_msi: float | None = None
    sensor: str | None = None
    bands: Sequence[str] | None = None
    ratio: str | None = None
    products: bool = True


def run(request: Request) -> str:
    """Write the experiment's file, and return a description of the pair in words.

    Parameters
    ----------
    request : Request
        The two files, and facts that they do not state.

    Raises
    ------
    InputError
        A file cannot be used, the two do not belong together, an option is missing, or the experiment's
        file exists already. Nothing is written then.
    """
    experiment, scene = _names(request)
    hsi = _scaled(request.hsi, request.scale_hsi, "hsi")
    msi = _scaled(request.msi, request.scale_msi, "msi")
    spectral = _sensor(request, msi)
    pair = Pair(hsi=hsi.source, msi=msi.source, spectral=spectral, ratio=request.ratio)
    images = paired(hsi, msi, pair)
    description = pair_lines(images)
    bands = msi_bands(pair, images)
    doubts = _doubts(hsi, msi, images, bands)
    text = _text(Draft(experiment, scene, pair, hsi, msi, images, bands.known, request.products))
    parse_experiment(yaml.safe_load(text), str(request.out))
    write_text(request.out, text)
    return "\n".join(
        [
            f"{request.out}: scene {scene}",
            *(f"  {label:10} {value}" for label, value in [*description, *doubts]),
        ]
    )


def _doubts(hsi: Inspected, msi: Inspected, images: OpenPair, bands: MsiBands) -> list[Line]:
    """Return what contradicts itself in the images, before they are registered."""
    doubts = [f"{image.source.path}: {text}" for image in (hsi, msi) for text in image.doubts()]
    if bands.known:
        blur = SpatialResponse.gaussian(ratio=images.ratio, fwhm=1.0)
        scene = images.observed(images.nesting(), blur, bands.response)
        doubts += [
            finding.with_remedy(REMEDIES | {"gain": ESTIMATED})
            for finding in radiometric_agreement(scene, bands.names)
        ]
    return [("check", text) for text in doubts]


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


def _scaled(text: str, scale: float | None, role: str) -> Inspected:
    """Inspect an image with its scale, which is required if its values are too large for reflectance."""
    if scale is not None and not 0 < scale < float("inf"):
        raise InputError(f"--scale-{role}: {scale:g} cannot divide values; give a positive number")
    source = source_of(text)
    image = inspect(source if scale is None else source.model_copy(update={"scale": scale}))
    if scale is None and image.unit_unknown and image.values is not None:
        low, high = image.values
        raise InputError(
            f"{image.source.path}: its values, {low:.4g} to {high:.4g}, have no unit; give "
            f"--scale-{role} 10000 if they are {image.guess}, or --scale-{role} 1 to leave them unchanged"
        )
    return image


def _sensor(request: Request, msi: Inspected) -> SensorResponse | None:
    """Return the bands of the requested sensor that the MSI holds."""
    if request.sensor is None:
        if request.bands:
            raise InputError("--bands: names the bands of a sensor; give it by --sensor")
        return None
    known = multispectral_sensors()
    if request.sensor not in known:
        raise InputError(f"--sensor: {request.sensor!r} is not known; give one of {', '.join(known)}")
    bands = request.bands or _bands_of(request.sensor, msi)
    return SensorResponse.model_validate({"kind": "sensor", "sensor": request.sensor, "bands": list(bands)})


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


@dataclass(frozen=True)
class Draft:
    """Everything that the experiment's file is written from.

    Attributes
    ----------
    experiment, scene : str
        Their names.
    pair : Pair
        The pair as the experiment will describe it.
    hsi, msi : Inspected
        The two files.
    images : OpenPair
        The two images on nested grids.
    known : bool
        Whether R is known.
    products : bool
        Whether fused cubes are exported.
    """

    experiment: str
    scene: str
    pair: Pair
    hsi: Inspected
    msi: Inspected
    images: OpenPair
    known: bool
    products: bool


def _text(draft: Draft) -> str:
    """Return the experiment as commented YAML."""
    nesting, pair, known = draft.images.nesting(), draft.pair, draft.known
    lines = [
        "# Written by `pipeline pair`, to be edited. docs/real_pairs.md says what to look at; every key",
        "# with its default is in config/schema.json. Paths start in the folder where snakemake runs.",
        f"experiment: {_name(draft.experiment)}",
        "scenes:",
        f"  {_name(draft.scene)}:",
        "    pair:",
        *_image("hsi", draft.hsi),
        *_image("msi", draft.msi),
        *_spectral(pair, known),
        "      # spatial: {kind: gaussian, ratio: ..., fwhm: ...}   the HSI's PSF, where it is known",
        *_ratio(pair, nesting),
        *_crop(nesting),
        "    estimation:",
        *_estimation(draft.hsi, draft.msi, known),
        *_wald(draft.scene, nesting),
        "methods:   # docs/methods/index.md",
        *_methods(),
    ]
    if draft.products:
        lines.append(
            f"products: {{formats: [cog], dtype: {_dtype(draft.hsi)}, quality: true}}   # docs/products.md"
        )
    return "\n".join(lines) + "\n"


def _image(role: str, image: Inspected) -> list[str]:
    """Return the lines of an image."""
    source: FileSource = image.source
    lines = [
        f"      # {' '.join(image.summary().split())}",
        f"      {role}:",
        "        kind: file",
        f"        path: {_quoted(source.path)}",
    ]
    if source.variable is not None:
        lines.append(f"        variable: {_quoted(source.variable)}")
    lines.append(f"        scale: {source.scale:.17g}   # divides values; products have the file's again")
    if image.scene.metadata.wavelength is None:
        lines.append(
            "        # wavelengths: ...   in nm, where they are known: a list, first:last:count, a sensor"
        )
    return lines


def _spectral(pair: Pair, known: bool) -> list[str]:
    """Return the lines of R."""
    if isinstance(pair.spectral, SensorResponse):
        bands = json.dumps(pair.spectral.bands)
        return [f"      spectral: {{kind: sensor, sensor: {pair.spectral.sensor}, bands: {bands}}}"]
    origin = "comes from the MSI's own band centres and widths" if known else "is unknown and is estimated"
    return [f"      # spectral: {{kind: table, path: ...}}   here R {origin}"]


def _ratio(pair: Pair, nesting: Nesting) -> list[str]:
    if pair.ratio is not None:
        return [f"      ratio: {json.dumps(pair.ratio)}"]
    return [f"      # ratio: {nesting.ratio}, as the files say"]


def _crop(nesting: Nesting) -> list[str]:
    side = 24 // nesting.ratio.denominator * nesting.ratio.denominator  # whole HR pixels
    return [
        f"    # {common(nesting)}; for a first try a part of it, in LR pixels:",
        f"    # crop: {{height: {side}, width: {side}}}",
    ]


def _estimation(hsi: Inspected, msi: Inspected, known: bool) -> list[str]:
    """Return the lines of the estimation."""
    units = [image.scene.metadata.units for image in (hsi, msi)]
    offset = "true" if units[0] != units[1] and None not in units else "false"
    spectral = (
        "calibrated   # R as above, times a gain of each band" if known else "estimated   # from both images"
    )
    return [
        f"      spectral_response: {spectral}",
        "      spatial_response: gaussian   # width and centre of the PSF; or given, separable, free",
        f"      offset: {offset}   # true: of each MSI band too, for images in other units",
        "      noise: estimated",
    ]


def _methods() -> list[str]:
    """Return the lines of the methods, from fast to slow; methods that train are commented out."""
    proposed = [(name, settings_of(name)) for name in methods()]
    return [
        f"  {'# ' * settings.trains}{name}: {settings.proposal.settings}   # {settings.proposal.remark}"
        for name, settings in sorted(proposed, key=lambda entry: entry[1].seconds_per_megapixel)
        if settings.proposal
    ]


def _dtype(hsi: Inspected) -> str:
    """Return integer, of half the size, for cubes of reflectance x 10000 in whole numbers; else float32."""
    most = hsi.values[1] * hsi.source.scale if hsi.values else 0.0
    return "integer" if LEAST_LEVELS <= most <= LARGEST_SCALED else "float32"


def _wald(scene: str, nesting: Nesting) -> list[str]:
    """Return the line of the scene one Wald level down, where the images are large enough for it."""
    least = nesting.ratio.numerator + nesting.ratio.denominator  # the shift may cost pixels
    if nesting.ratio == 1:
        return []
    if min(nesting.lr.shape) < least:
        return [f"  # {scene}_wald: {{wald: {_name(scene)}}}   too small for another level of this ratio"]
    remark = "evaluated one Wald level down, with the HSI as reference"
    return [f"  {_name(f'{scene}_wald')}: {{wald: {_name(scene)}}}   # {remark}"]


def _name(name: str) -> str:
    """Return a name as YAML reads it back as text: plain, or quoted where it could be a number or a date.

    >>> _name("field"), _name("20220724"), _name("no")
    ('field', '"20220724"', '"no"')
    """
    plain = len(name) > 1 and name[0].isalpha() and yaml.safe_load(name) == name
    return name if plain else _quoted(name)


def _quoted(text: str) -> str:
    """Return any text as a quoted YAML scalar on one line."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=inf).strip()
