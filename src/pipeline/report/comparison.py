"""One scene under one response: all methods' pictures, maps, charts and tables, ready for the page.

Images may lie on disk and have any size; the page shows what `overview` keeps of them. The numbers of the
tables come from the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from pipeline.core.sensing.observation import Progress, no_progress
from pipeline.report import pair
from pipeline.report.drawing import figures, pictures
from pipeline.report.drawing.charts import Charts, charts
from pipeline.report.drawing.pictures import Composite
from pipeline.report.galleries import (
    Gallery,
    Marker,
    Picture,
    composite_gallery,
    error_galleries,
    location_picture,
    markers,
)
from pipeline.report.numbers import significance, tables
from pipeline.report.numbers.columns import AGAINST_REFERENCE, COST, HEADLINE, QUALITY
from pipeline.report.numbers.published import Line, side_by_side
from pipeline.report.overview import Overview, overview
from pipeline.report.residuals import Residuals, residuals
from pipeline.report.results import SceneResults

WIDEST = 11  # columns of metrics that fit beside the methods and seeds


@dataclass(frozen=True)
class Numbers:
    """The tables of a scene.

    Attributes
    ----------
    quality, cost : Table
        Metrics, and time, memory and parameters.
    differences : list of Contrast
        Differences from the best method.
    devices : dict of str
        Device of each method.
    published : list of Line
        Published results beside own ones; empty for other data sets.
    """

    quality: tables.Table
    cost: tables.Table
    differences: list[significance.Contrast]
    devices: dict[str, str]
    published: list[Line]

    @property
    def quality_parts(self) -> list[tables.Table]:
        """Metrics in one table, or where that is too wide for the page, in two."""
        columns = self.quality.columns
        if len(columns) <= WIDEST:
            return [self.quality]
        return list(self.quality.split(sum(column.key in AGAINST_REFERENCE for column in columns)))


@dataclass(frozen=True)
class Views:
    """The pictures and spectra of a scene.

    Attributes
    ----------
    composites, maps : list of Gallery
        Inputs, fused cubes and reference in three bands; maps of errors and deviations.
    locations : Picture
        Where the pixels of the spectra lie.
    markers : list of Marker
        Their numbers on that picture.
    spectra, spectra_note : Markup, str
        Chart of the spectra, and a further sentence of its caption.
    """

    composites: list[Gallery]
    maps: list[Gallery]
    locations: Picture
    markers: list[Marker]
    spectra: Markup
    spectra_note: str


@dataclass(frozen=True)
class Comparison:
    """A scene under one response on the page.

    Attributes
    ----------
    title, anchor, facts : str
        Heading, identifier in the page, and sizes of the images.
    missing_values : str or None
        How much of the images is missing; None without missing values.
    seed : int
        Seed whose images are shown.
    has_reference : bool
        Whether the scene has a reference.
    learned : str
        Which methods learn from more than the pair, in a sentence.
    missing, tables_only : list of str
        Methods without pictures, since they did not run with that seed, or as the study wants it.
    numbers : Numbers
        Tables.
    alignment, responses : Alignment, Responses or None
        How two real images were aligned, and which responses were estimated.
    assumed : tuple of str
        What was assumed of the scene's files.
    agreement : list of str or None
        Where the two images contradict the responses; None where nothing is to be said.
    views : Views
        Pictures.
    residuals : Residuals or None
        Residuals by band and pixel.
    charts : list of (Markup, str)
        SVG and caption.
    """

    title: str
    anchor: str
    facts: str
    missing_values: str | None
    seed: int
    has_reference: bool
    learned: str
    missing: list[str]
    tables_only: list[str]
    numbers: Numbers
    alignment: pair.Alignment | None
    responses: pair.Responses | None
    assumed: tuple[str, ...]
    agreement: list[str] | None
    views: Views
    residuals: Residuals | None
    charts: Charts


def compare(scene: SceneResults, progress: Progress = no_progress) -> Comparison:
    """Put all methods side by side.

    Parameters
    ----------
    scene : SceneResults
        Runs and images.
    progress : callable
        Is called with the parts of the images that are read.
    """
    composites = pictures.composites(scene.wavelength, scene.observation.bands)
    cubes = {label: images.cube for label, images in scene.fused.items()}
    deviations = {
        label: images.deviation for label, images in scene.fused.items() if images.deviation is not None
    }
    kept = overview(scene.reference, scene.observation, cubes, composites, progress, deviations)
    sam_shares = {label: errors.sam_shares for label, errors in kept.errors.items()}
    return Comparison(
        title=scene.title,
        anchor="scene-" + "-".join(scene.title.split("/")),
        facts=_facts(scene),
        missing_values=pair.missing(scene.records),
        seed=scene.seed,
        has_reference=scene.reference is not None,
        learned=scene.learned,
        missing=scene.missing,
        tables_only=list(scene.tables_only),
        numbers=_numbers(scene),
        alignment=pair.alignment(scene.records),
        responses=pair.responses(scene.records, scene.observation, scene.wavelength),
        assumed=scene.records.assumed,
        agreement=pair.agreement(scene.records),
        views=_views(scene, composites, kept),
        residuals=residuals(scene, kept),
        charts=charts(scene.runs, scene.drawn, sam_shares, scene.wavelength, scene.look),
    )


def _facts(scene: SceneResults) -> str:
    (height, width), (lr_height, lr_width) = scene.observation.hr_shape, scene.observation.lr_shape
    span = ""
    if scene.wavelength is not None:
        span = f" ({np.min(scene.wavelength):.0f}–{np.max(scene.wavelength):.0f} nm)"  # noqa: RUF001
    return (
        f"HR-HSI and HR-MSI {height} × {width} pixels, LR-HSI {lr_height} × {lr_width} "  # noqa: RUF001
        f"(ratio {scene.observation.spatial_response.ratio}); {scene.observation.bands} HSI bands{span}, "
        f"{scene.observation.hr_msi.shape[0]} MSI bands"
    )


def _numbers(scene: SceneResults) -> Numbers:
    runs, labels = scene.runs, scene.labels
    return Numbers(
        quality=tables.table(runs, labels, tables.filled(runs, QUALITY)),
        cost=tables.table(runs, labels, COST),
        differences=significance.contrasts(runs, labels, HEADLINE),
        devices=tables.devices(runs, labels),
        published=side_by_side(scene.dataset, runs, labels) if scene.dataset else [],
    )


def _views(scene: SceneResults, composites: Sequence[Composite], kept: Overview) -> Views:
    shape = scene.observation.hr_shape
    return Views(
        composites=[
            composite_gallery(scene.title, composite, index, scene.wavelength, scene.observation, kept)
            for index, composite in enumerate(composites)
        ],
        maps=error_galleries(scene.title, kept, shape),
        locations=location_picture(scene.title, kept, shape),
        markers=markers(kept.pixels, shape),
        spectra=_spectra(scene, kept),
        spectra_note=_spectra_note(kept),
    )


def _spectra(scene: SceneResults, kept: Overview) -> Markup:
    """Draw the fused spectra over the spectra of the reference or, without one, of the two images."""
    if not kept.pixels:
        return Markup()
    titles = [f"Pixel {n}: row {y}, column {x}" for n, (y, x) in enumerate(kept.pixels, 1)]
    fused = {label: view.spectra for label, view in kept.views.items()}
    content = figures.Spectra(kept.spectra, fused, scene.wavelength, titles)
    if kept.reference is None:
        response = scene.observation.spectral_response
        centres = pictures.msi_centres(response, scene.wavelength)
        points = centres, kept.msi_values / response.sum(axis=1)
        content = figures.Spectra(kept.spectra, fused, scene.wavelength, titles, "LR-HSI", points)
    return Markup(figures.spectra(content, scene.look))


def _spectra_note(kept: Overview) -> str:
    if kept.reference is not None or not kept.views:
        return ""
    return (
        f"The pixels were chosen on the cube of {next(iter(kept.views))}. Grey: the LR-HSI's spectrum of the "
        "LR pixel around each. Diamonds: the HR-MSI at the pixel itself, in the HSI's units, at the centres "
        "of its bands. The LR pixel holds other materials as well, so its spectrum should agree with the "
        "fused spectra in shape rather than in level; fused spectra should pass through the diamonds."
    )
