"""Residuals on the page: whether fused cubes explain the two images, and if not, in which bands and where.

The step `evaluate` has stored the residuals by band and by pixel, in units of the noise level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from pipeline.report.results import Plane, SceneResults

LOW, HIGH = 0.8, 1.25
"""Residuals between these are at the noise level."""
BEYOND = (2, 3)
"""Noise levels beyond which pixels are counted."""
WORST = 3
"""Number of bands that are named."""
IMAGES = {"hsi": "LR-HSI", "msi": "HR-MSI"}
CAPTIONS = {
    "residual_hsi": "LR-HSI: RMS residual of each band, on a logarithmic axis. At 1 (dashed) the fused cube "
    "explains the band down to its noise.",
    "bias_hsi": "LR-HSI: mean residual of each band. Above 0 (dashed) the fused cube is too dark.",
    "residual_msi": "HR-MSI: RMS residual of each band, on a logarithmic axis. At 1 (dashed) the fused cube "
    "explains the band down to its noise.",
    "bias_msi": "HR-MSI: mean residual of each band. Above 0 (dashed) the fused cube is too dark.",
}


@dataclass(frozen=True)
class Residuals:
    """The page's part on residuals.

    Attributes
    ----------
    sentences : list of (str, str)
        Label and description of each method's residuals.
    galleries : list of Gallery
        Maps.
    scale : Markup
        Colour scale of the maps.
    charts : list of (Markup, str)
        Curves over the bands, with their captions.
    """

    sentences: list[tuple[str, str]]
    galleries: list[Gallery]
    scale: Markup
    charts: list[tuple[Markup, str]]


@dataclass(frozen=True)
class Map:
    """A map of residuals, reduced to a picture.

    Attributes
    ----------
    values : (h, w)
        Averaged down to a picture.
    shape : (int, int)
        Height and width of the whole map.
    fractions : (float, float)
        Fractions of the pixels with data that lie above the two levels of `BEYOND`.
    """

    values: Floats
    shape: tuple[int, int]
    fractions: tuple[float, float]


def residuals(scene: SceneResults, kept: Overview) -> Residuals | None:
    """Describe and draw the residuals; None where no run has any by band or pixel.

    Parameters
    ----------
    scene : SceneResults
        Runs and residual maps.
    kept : Overview
        Pictures of the scene, on which its contours are located.
    """
    runs = {
        run["label"]: run for run in scene.runs if run["seed"] == scene.seed and run["label"] in scene.drawn
    }
    maps = {
        label: dict(zip(IMAGES, map(read_map, images.residual_maps), strict=True))
        for label, images in scene.fused.items()
        if images.residual_maps is not None
    }
    if not maps and not any("residual_hsi" in run["per_band"] for run in runs.values()):
        return None
    names = {"hsi": scene.hsi_names, "msi": scene.msi_names}
    edges = {"hsi": contours(kept.lr_hsi.reshape(-1, *kept.lr_hsi.shape[-2:])), "msi": contours(kept.hr_msi)}
    sentences = [(label, sentence(run, names, maps.get(label, {}), edges)) for label, run in runs.items()]
    curves = _charts(runs, scene.wavelength, scene.msi_names, scene.look)
    if not maps:
        return Residuals(sentences, [], Markup(), curves)
    upper = residual_figures.common_upper([image.values for own in maps.values() for image in own.values()])
    galleries = [
        _gallery(scene.title, image, {label: own[image] for label, own in maps.items()}, upper)
        for image in IMAGES
    ]
    return Residuals(sentences, galleries, Markup(residual_figures.colour_bar(upper)), curves)


def read_map(plane: Plane) -> Map:
    """Reduce a map, window by window.

    Parameters
    ----------
    plane : (y, x)
        Residuals in noise levels.
    """
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
    """Describe whether a run's residuals of both images are at the noise level, and where they are not.

    Parameters
    ----------
    run : dict
        Its `metrics.json`.
    names : dict of sequence of str
        Names of the bands of both images, `hsi` and `msi`.
    maps : dict of Map
        Residual maps of both images, if there are any.
    edges : dict of (h, w) or None
        Contours of both images.
    """
    clauses = []
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
        clauses.append(", ".join(parts))
    return "; ".join(clauses) + "."


def _level_in_words(level: float) -> str:
    if np.isnan(level):
        return "without a residual"
    if level > HIGH:
        return f"above the noise level ({level:#.3g} times)"
    if level < LOW:
        return (
            f"below the noise level ({level:.2f} times): the cube fits noise, or the noise is overestimated"
        )
    return f"at the noise level ({level:.2f})"


def _bands_in_words(level: float, bands: Floats, names: Sequence[str]) -> list[str]:
    """Name the worst bands above the noise level, and how many bands are above it."""
    above = int((bands > HIGH).sum())
    if above == 0 or len(bands) != len(names):
        return []
    worst = np.argsort(-np.nan_to_num(bands, nan=-np.inf), kind="stable")[: min(WORST, above)]
    listed = ", ".join(f"{names[band]} ({bands[band]:#.3g})" for band in sorted(worst.tolist()))
    if level > HIGH:
        most = "in all bands" if above == len(bands) else f"in {above} of {len(bands)} bands"
        return [f"{most}, highest in {listed}"]
    return [f"except in {above} of {len(bands)} bands: {listed}{' …' if above > WORST else ''}"]


def _bias_in_words(bands: Floats, bias: Floats) -> list[str]:
    """State the share of whole-band offsets in the residual's power, if it is more than half."""
    if bias.shape != bands.shape or not np.nansum(bands**2) > 0:
        return []
    share = float(np.nansum(bias**2) / np.nansum(bands**2))
    return [f"{share:.0%} of its power in offsets of whole bands"] if share > 0.5 else []


def _places_in_words(residual: Map, edges: Contours | None) -> list[str]:
    (low, high), (few, many) = residual.fractions, BEYOND
    fractions = f"with {low:.0%} of the pixels beyond {few} noise levels and {high:.0%} beyond {many}"
    return [fractions, places(residual.values, edges)]


def _gallery(title: str, image: str, maps: Mapping[str, Map], upper: float) -> Gallery:
    name = f"Residual of the {IMAGES[image]}"
    shown = [
        picture(
            residual_figures.map_picture(residual.values, upper),
            label,
            f"{name} of {label} for {title}",
            residual.shape,
        )
        for label, residual in maps.items()
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
