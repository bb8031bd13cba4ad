"""The experiment file of a pair: two files in, a commented YAML out, after a look into both.

Not a step of the workflow: `pipeline pair` writes what people then edit. What the files do not tell is
asked for in one line instead of guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from pipeline.commands.inspect import (
    LARGEST_SCALED,
    Inspected,
    common,
    inspect,
    pair_lines,
    paired,
    source_of,
)
from pipeline.config.experiment import parse_experiment
from pipeline.config.responses import SensorResponse
from pipeline.config.scenes import NAME, FileSource, Pair
from pipeline.errors import InputError
from pipeline.inputs.pairs.grids import Nesting
from pipeline.inputs.pairs.msi_response import SAME_BAND, msi_bands
from pipeline.inputs.pairs.pair import OpenPair
from pipeline.inputs.sensors import multispectral_bands, multispectral_sensors
from pipeline.methods import methods, settings_of
from pipeline.store.files import write_text

LEAST_LEVELS = 1000  # that values must have to be rounded


@dataclass(frozen=True)
class Request:
    """What people say of a pair.

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
        LR pixel size over HR pixel size, where the files do not tell.
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
    """Write the experiment's file; what was found of the pair, for people.

    Raises
    ------
    InputError
        A file cannot be used, the two do not belong together, something has to be told, or the file
        is there already. Nothing is written then.
    """
    experiment, scene = _names(request)
    hsi = _scaled(request.hsi, request.scale_hsi, "hsi")
    msi = _scaled(request.msi, request.scale_msi, "msi")
    spectral = _sensor(request, msi)
    pair = Pair(hsi=hsi.source, msi=msi.source, spectral=spectral, ratio=request.ratio)
    images = paired(hsi, msi, pair)
    found = pair_lines(images)
    known = msi_bands(pair, images).known
    text = _text(experiment, scene, pair, hsi, msi, images, known, request.products)
    parse_experiment(yaml.safe_load(text), str(request.out))
    write_text(request.out, text)
    return "\n".join([f"{request.out}: scene {scene}", *(f"  {label:10} {value}" for label, value in found)])


def _names(request: Request) -> tuple[str, str]:
    """Names of the experiment and the scene."""
    out = request.out
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"{out}: an experiment's file ends in .yaml; correct --out")
    if out.exists():
        raise InputError(f"{out}: is there already and is left as it is; give another --out, or delete it")
    scene = request.scene or out.stem
    for option, name in (("--out", out.stem), ("--name", scene)):
        if not re.fullmatch(NAME, name):
            raise InputError(
                f"{option}: {name!r} cannot be a name; use letters, digits, _ . - and begin with one of the "
                "first two"
            )
    return out.stem, scene


def _scaled(text: str, scale: float | None, role: str) -> Inspected:
    """An image with its scale, which must be told where values are too large for reflectance."""
    if scale is not None and not 0 < scale < float("inf"):
        raise InputError(f"--scale-{role}: {scale:g} cannot divide values; give a positive number")
    source = source_of(text)
    seen = inspect(source if scale is None else source.model_copy(update={"scale": scale}))
    if scale is None and seen.unit_unknown and seen.values is not None:
        low, high = seen.values
        raise InputError(
            f"{seen.source.path}: its values, {low:.4g} to {high:.4g}, have no unit; say whether they are "
            f"{seen.guess} by --scale-{role} 10000, or are to be taken as they are by --scale-{role} 1"
        )
    return seen


def _sensor(request: Request, msi: Inspected) -> SensorResponse | None:
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
    """The sensor's bands that a file holds: by its wavelengths, or all where it has as many."""
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
        f"{msi.source.path}: which {count} bands of {sensor} it holds is not told; name each in the file's "
        f"order by --bands, from {', '.join(centres)}"
    )


def _text(
    experiment: str,
    scene: str,
    pair: Pair,
    hsi: Inspected,
    msi: Inspected,
    images: OpenPair,
    known: bool,
    products: bool,
) -> str:
    """The experiment as commented YAML."""
    nesting = images.nesting()
    lines = [
        "# Written by `pipeline pair`, to be edited. docs/real_pairs.md says what to look at; every key",
        "# with its default is in config/schema.json. Paths are seen from the folder where snakemake runs.",
        f"experiment: {experiment}",
        "scenes:",
        f"  {scene}:",
        "    pair:",
        *_image("hsi", hsi),
        *_image("msi", msi),
        *_spectral(pair, known),
        "      # spatial: {kind: gaussian, ratio: ..., fwhm: ...}   the HSI's PSF, where it is known",
        *_ratio(pair, nesting),
        *_crop(nesting),
        "    estimation:",
        *_estimation(hsi, msi, known),
        *_wald(scene, nesting),
        "methods:   # docs/methods/index.md",
        *_methods(),
    ]
    if products:
        lines.append(
            f"products: {{formats: [cog], dtype: {_dtype(hsi)}, quality: true}}   # docs/products.md"
        )
    return "\n".join(lines) + "\n"


def _image(role: str, seen: Inspected) -> list[str]:
    """The lines of one image."""
    source: FileSource = seen.source
    lines = [
        f"      # {' '.join(seen.summary().split())}",
        f"      {role}:",
        "        kind: file",
        f"        path: {json.dumps(source.path, ensure_ascii=False)}",
    ]
    if source.variable is not None:
        lines.append(f"        variable: {json.dumps(source.variable, ensure_ascii=False)}")
    lines.append(f"        scale: {source.scale:.17g}   # divides values; products have the file's again")
    if seen.scene.metadata.wavelength is None:
        lines.append(
            "        # wavelengths: ...   in nm, where they are known: a list, first:last:count, a sensor"
        )
    return lines


def _spectral(pair: Pair, known: bool) -> list[str]:
    """The lines of R."""
    if isinstance(pair.spectral, SensorResponse):
        bands = json.dumps(pair.spectral.bands)
        return [f"      spectral: {{kind: sensor, sensor: {pair.spectral.sensor}, bands: {bands}}}"]
    origin = "comes from the MSI's own band centres and widths" if known else "is not told and is estimated"
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
    """The lines of what is estimated."""
    units = [one.scene.metadata.units for one in (hsi, msi)]
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
    """The lines of the methods, from the fastest to the slowest; those that train are commented out."""
    proposed = [(name, settings_of(name)) for name in methods()]
    return [
        f"  {'# ' * settings.trains}{name}: {settings.proposal.settings}   # {settings.proposal.remark}"
        for name, settings in sorted(proposed, key=lambda entry: entry[1].seconds_per_megapixel)
        if settings.proposal
    ]


def _dtype(hsi: Inspected) -> str:
    """int16 for cubes whose values are whole numbers of reflectance x 10000, for half the size."""
    most = hsi.values[1] * hsi.source.scale if hsi.values else 0.0
    return "int16" if LEAST_LEVELS <= most <= LARGEST_SCALED else "float32"


def _wald(scene: str, nesting: Nesting) -> list[str]:
    """The scene one Wald level down, where the images are large enough for it."""
    least = nesting.ratio.numerator + nesting.ratio.denominator  # the shift may cost pixels
    if nesting.ratio == 1:
        return []
    if min(nesting.lr.shape) < least:
        return [f"  # {scene}_wald: {{wald: {scene}}}   too small for another level of this ratio"]
    return [f"  {scene}_wald: {{wald: {scene}}}   # judged one level down, with the HSI as reference"]
