"""Whether fused cubes explain the two images down to their noise, and if not, in which bands and where.

Takes the residuals that `evaluate` left, per band and per pixel and in units of the noise level, and says
in words what they show. Needs no reference; nothing is fused or projected here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup

from pipeline.report.drawing import residual_figures
from pipeline.report.drawing.charts import mean_curves
from pipeline.report.drawing.figures import Look, band_curves
from pipeline.report.drawing.pictures import Floats, Wavelengths
from pipeline.report.drawing.places import Contours, contours, places
from pipeline.report.drawing.thumbnails import Thumbnail, windows
from pipeline.report.galleries import Gallery, picture
from pipeline.report.numbers.tables import Run, number
from pipeline.report.overview import Overview

LOW, HIGH = 0.8, 1.25
"""Residuals between these are at the noise level."""
BEYOND = (2, 3)
"""Noise levels beyond which pixels are counted."""
WORST = 3
"""Bands that are named."""
IMAGES = {"hsi": "LR-HSI", "msi": "HR-MSI"}
CAPTIONS = {
    "residual_hsi": "LR-HSI: RMS residual of each band, on a logarithmic axis. At 1 (dashed) the fused cube "
    "explains the band down to its noise.",
    "bias_hsi": "LR-HSI: mean residual of each band; above 0 (dashed) the cube is too dark.",
    "residual_msi": "HR-MSI: RMS residual of each band, on a logarithmic axis; dashed: the noise level.",
    "bias_msi": "HR-MSI: mean residual of each band; above 0 (dashed) the cube is too dark.",
}


class Plane(Protocol):
    """A map ``(y, x)``, in memory or not, whose slices NumPy can read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""

    def __getitem__(self, key: Any) -> Any:
        """The values of a window."""


@dataclass(frozen=True)
class Residuals:
    """The page's part on residuals: a sentence for each method, maps and curves."""

    findings: list[tuple[str, str]]
    galleries: list[Gallery]
    scale: Markup
    charts: list[tuple[Markup, str]]


@dataclass(frozen=True)
class Map:
    """What is kept of a map of residuals.

    Attributes
    ----------
    values : (h, w)
        Averaged down to a picture.
    shape : (int, int)
        Of the whole map.
    shares : (float, float)
        Of its pixels with data, those above the two levels of `BEYOND`.
    """

    values: Floats
    shape: tuple[int, int]
    shares: tuple[float, float]


def residuals(
    title: str,
    runs: Mapping[str, Run],
    maps: Mapping[str, tuple[Plane, Plane]],
    wavelength: Wavelengths,
    names: Mapping[str, Sequence[str]],
    kept: Overview,
    look: Look,
) -> Residuals | None:
    """Sentences, maps and curves of the residuals; None where no run has any by band or pixel.

    Parameters
    ----------
    title : str
    runs : dict
        Each method's run with the seed that is shown.
    maps : dict of (h, w) and (H, W)
        RMS over bands of the residuals of LR-HSI and HR-MSI, by label.
    wavelength : (C,) or None
    names : dict of sequence of str
        Of the bands of both images, `hsi` and `msi`.
    kept : Overview
        Whose pictures tell where the scene has contours.
    look : dict
    """
    kept_maps = {
        label: dict(zip(IMAGES, map(read_map, planes), strict=True)) for label, planes in maps.items()
    }
    if not kept_maps and not any("residual_hsi" in run["per_band"] for run in runs.values()):
        return None
    edges = {"hsi": contours(kept.lr_hsi.reshape(-1, *kept.lr_hsi.shape[-2:])), "msi": contours(kept.hr_msi)}
    upper = residual_figures.common_upper([m.values for own in kept_maps.values() for m in own.values()])
    return Residuals(
        [(label, sentence(run, names, kept_maps.get(label, {}), edges)) for label, run in runs.items()],
        [_gallery(title, image, {k: own[image] for k, own in kept_maps.items()}, upper) for image in IMAGES]
        if kept_maps
        else [],
        Markup(residual_figures.colour_bar(upper) if kept_maps else ""),
        _charts(runs, wavelength, names["msi"], look),
    )


def read_map(plane: Plane) -> Map:
    """Go through a map window by window."""
    height, width = plane.shape
    small, valid, beyond = Thumbnail(height, width), 0, np.zeros(2, np.int64)
    for window in windows(height, width):
        values = np.asarray(plane[window.slices], np.float32)
        small.add(window, values)
        valid += int(np.isfinite(values).sum())
        beyond += [int((values > level).sum()) for level in BEYOND]
    low, high = (beyond / max(valid, 1)).tolist()
    return Map(small.values, (height, width), (low, high))


def sentence(
    run: Run,
    names: Mapping[str, Sequence[str]],
    maps: Mapping[str, Map],
    edges: Mapping[str, Contours | None],
) -> str:
    """Whether a run's residuals of both images are at the noise level, and if not, where they are not."""
    said = []
    for image, title in IMAGES.items():
        level = number(run["metrics"].get(f"residual_{image}"))
        bands, bias = (
            np.array([number(value) for value in run["per_band"].get(f"{key}_{image}") or []])
            for key in ("residual", "bias")
        )
        parts = [f"{title} {_level_in_words(level)}", *_bands_in_words(level, bands, names[image])]
        if level > HIGH:
            parts += _bias_in_words(bands, bias)
            parts += _places_in_words(maps[image], edges[image]) if image in maps else []
        said.append(", ".join(parts))
    return "; ".join(said) + "."


def _level_in_words(level: float) -> str:
    if np.isnan(level):
        return "without a residual"
    if level > HIGH:
        return f"above the noise level ({level:#.3g} times it)"
    if level < LOW:
        return f"below the noise level ({level:.2f} of it): the cube fits noise, or there is less of it"
    return f"at the noise level ({level:.2f})"


def _bands_in_words(level: float, bands: Floats, names: Sequence[str]) -> list[str]:
    """The worst bands of an image that is above the noise, and how many are as bad; else what sticks out."""
    above = int((bands > HIGH).sum())
    if above == 0 or len(bands) != len(names):
        return []
    worst = np.argsort(-np.nan_to_num(bands, nan=-np.inf), kind="stable")[: min(WORST, above)]
    listed = ", ".join(f"{names[band]} ({bands[band]:#.3g})" for band in sorted(worst.tolist()))
    if level > HIGH:
        most = "in all bands" if above == len(bands) else f"in {above} of {len(bands)} bands"
        return [f"{most}, most in {listed}"]
    return [f"though not in {above} of {len(bands)} bands: {listed}{' …' if above > WORST else ''}"]


def _bias_in_words(bands: Floats, bias: Floats) -> list[str]:
    """Whether offsets of whole bands make up most of the residual's power."""
    if bias.shape != bands.shape or not np.nansum(bands**2) > 0:
        return []
    share = float(np.nansum(bias**2) / np.nansum(bands**2))
    return [f"{share:.0%} of its power in offsets of whole bands"] if share > 0.5 else []


def _places_in_words(found: Map, edges: Contours | None) -> list[str]:
    (low, high), (few, many) = found.shares, BEYOND
    shares = f"with {low:.0%} of the pixels beyond {few} noise levels and {high:.0%} beyond {many}"
    return [shares, places(found.values, edges)]


def _gallery(title: str, image: str, maps: Mapping[str, Map], upper: float) -> Gallery:
    name = f"Residual of the {IMAGES[image]}"
    shown = [
        picture(
            residual_figures.map_picture(found.values, upper),
            label,
            f"{name} of {label} for {title}",
            found.shape,
        )
        for label, found in maps.items()
    ]
    return Gallery(name, "RMS over bands, in noise levels.", shown)


def _charts(
    runs: Mapping[str, Run], wavelength: Wavelengths, msi_names: Sequence[str], look: Look
) -> list[tuple[Markup, str]]:
    groups = {label: [run] for label, run in runs.items()}
    drawn = []
    for key, caption in CAPTIONS.items():
        curves = mean_curves(groups, key)
        if not curves:
            continue
        log, level = (True, 1.0) if key.startswith("residual") else (False, 0.0)
        name = f"{'Residual' if log else 'Mean residual'} [noise levels]"
        if key.endswith("hsi"):
            svg = band_curves(curves, wavelength, name, look, log, level)
        else:
            svg = residual_figures.named_bands(curves, msi_names, name, look, log, level)
        drawn.append((Markup(svg), caption))
    return drawn
