"""The configuration of a real pair as commented YAML, a draft for the user to edit."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import yaml

from pipeline.commands.inspect import LARGEST_SCALED, Inspected, common
from pipeline.config.responses import SensorResponse
from pipeline.config.scenes import FileSource, Pair
from pipeline.inputs.pairs.grids import Nesting
from pipeline.inputs.pairs.pair import OpenPair
from pipeline.methods import methods, settings_of

LEAST_LEVELS = 1000  # that values must have to be rounded


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
    assumed : dict
        What was guessed of `hsi` and `msi`, sentences.
    estimate_offset : bool
        Whether an offset of each MSI band is estimated.
    """

    experiment: str
    scene: str
    pair: Pair
    hsi: Inspected
    msi: Inspected
    images: OpenPair
    known: bool
    products: bool
    assumed: Mapping[str, Sequence[str]]
    estimate_offset: bool


def experiment_text(draft: Draft) -> str:
    """Return the experiment as commented YAML.

    Parameters
    ----------
    draft : Draft
        The pair, and what was assumed of its images.
    """
    nesting, pair = draft.images.nesting(), draft.pair
    lines = [
        "# Written by `pipeline pair`, to be edited. docs/real_pairs.md says what to look at; every key",
        "# with its default is in config/schema.json. Paths start in the folder where snakemake runs.",
        f"experiment: {_name(draft.experiment)}",
        "scenes:",
        f"  {_name(draft.scene)}:",
        "    pair:",
        *_image("hsi", draft.hsi, draft.assumed["hsi"]),
        *_image("msi", draft.msi, draft.assumed["msi"]),
        *_spectral(draft),
        *_given(pair),
        *_ratio(pair, nesting),
        *_crop(nesting),
        "    estimation:",
        *_estimation(draft),
        *_wald(draft.scene, nesting),
        "methods:   # docs/methods/index.md",
        *_methods(),
    ]
    if draft.products:
        lines.append(
            f"products: {{formats: [cog], dtype: {_dtype(draft.hsi)}, quality: true}}   # docs/products.md"
        )
    return "\n".join(lines) + "\n"


def _image(role: str, image: Inspected, assumed: Sequence[str]) -> list[str]:
    """Return the lines of an image, with what was assumed of it as comments."""
    source: FileSource = image.source
    lines = [
        f"      # {' '.join(image.summary().split())}",
        *(line for text in assumed for line in _comment(f"assumed: {text}")),
        f"      {role}:",
        "        kind: file",
        f"        path: {_quoted(source.path)}",
    ]
    given = source.model_dump(mode="json", exclude={"kind", "path", "scale"}, exclude_defaults=True)
    lines += [f"        {key}: {_flow(value)}" for key, value in given.items()]
    lines.append(
        f"        scale: {image.scene.report['scale']:.17g}   # divides values; products have the file's "
        "again"
    )
    if image.scene.metadata.wavelength is None:
        lines.append(
            "        # wavelengths: ...   in nm, where they are known: a list, first:last:count, a sensor"
        )
    return lines


def _comment(text: str) -> list[str]:
    """Return the lines of a comment above an image."""
    return textwrap.wrap(
        " ".join(text.split()), 110, initial_indent="      # ", subsequent_indent="      #   "
    )


def _flow(value: Any) -> str:
    """Return a value as YAML on one line; texts in quotes."""
    if isinstance(value, float) and not np.isfinite(value):
        return ".nan" if np.isnan(value) else f"{'-' * (value < 0)}.inf"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(part)}' for key, part in value.items())}}}"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _spectral(draft: Draft) -> list[str]:
    """Return the lines of R."""
    spectral = draft.pair.spectral
    if isinstance(spectral, SensorResponse):
        bands = json.dumps(spectral.bands)
        return [f"      spectral: {{kind: sensor, sensor: {spectral.sensor}, bands: {bands}}}"]
    if spectral is not None:
        return [f"      spectral: {_flow(spectral.model_dump(mode='json', exclude_defaults=True))}"]
    if not draft.known:
        origin = "is unknown and is estimated"
    elif draft.msi.scene.metadata.fwhm is None:
        origin = "has the MSI's own band centres; the widths are guessed from their spacing"
    else:
        origin = "comes from the MSI's own band centres and widths"
    return [f"      # spectral: {{kind: table, path: ...}}   here R {origin}"]


def _given(pair: Pair) -> list[str]:
    """Return the lines of a reference, a PSF and an alignment that were given."""
    dumped = pair.model_dump(mode="json", exclude_defaults=True)
    lines = [
        f"      {key}: {_flow(dumped[key])}" for key in ("reference", "spatial", "alignment") if key in dumped
    ]
    if pair.spatial is None:
        lines.append(
            "      # spatial: {kind: gaussian, ratio: ..., fwhm: ...}   the HSI's PSF, where it is known"
        )
    return lines


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


def _estimation(draft: Draft) -> list[str]:
    """Return the lines of the estimation."""
    units = [_physical(image) for image in (draft.hsi, draft.msi)]
    differ = units[0] != units[1] and None not in units
    offset = "true" if differ or draft.estimate_offset else "false"
    spectral = (
        "calibrated   # R as above, times a gain of each band"
        if draft.known
        else "estimated   # from both images"
    )
    return [
        f"      spectral_response: {spectral}",
        "      spatial_response: gaussian   # width and centre of the PSF; or given, separable, free",
        f"      offset: {offset}   # true: of each MSI band too, for images in other units",
        "      noise: estimated",
    ]


def _physical(image: Inspected) -> str | None:
    """Return the units of an image after its division by the scale."""
    units, scale = image.scene.metadata.units, image.scene.report["scale"]
    return "reflectance" if units == f"reflectance x {scale:g}" else units


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
    most = hsi.values[1] * hsi.scene.report["scale"] if hsi.values else 0.0
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
