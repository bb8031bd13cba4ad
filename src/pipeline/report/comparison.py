"""One scene under one response: all methods' pictures, maps, charts and tables, ready for the page.

Images may lie on disk and have any size: what `overview` keeps of them is all that is shown. A scene of
two real images may have no reference. No number of the tables is computed here; they come from the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from pipeline.core.sensing.observation import Image, ObservedScene, Progress, no_progress
from pipeline.report import pair
from pipeline.report.drawing import figures, pictures
from pipeline.report.drawing.charts import charts
from pipeline.report.drawing.pictures import Wavelengths
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
from pipeline.report.numbers.columns import COST, HEADLINE, QUALITY
from pipeline.report.numbers.published import Line, side_by_side
from pipeline.report.overview import Overview, overview
from pipeline.report.residuals import Plane, Residuals, residuals


@dataclass(frozen=True)
class Comparison:
    """What the page shows of one scene and response."""

    title: str
    anchor: str
    facts: str
    seed: int
    has_reference: bool
    without: list[str]
    unseen: list[str]
    quality: tables.Table
    differences: list[significance.Contrast]
    cost: tables.Table
    devices: dict[str, str]
    published: list[Line]
    alignment: pair.Alignment | None
    responses: pair.Responses | None
    galleries: list[Gallery]
    maps: list[Gallery]
    locations: Picture
    markers: list[Marker]
    spectra: Markup
    spectra_note: str
    residuals: Residuals | None
    charts: list[tuple[Markup, str]]


def common_seed(runs: Sequence[tables.Run]) -> int:
    """The lowest of the seeds that most methods ran with; all of them, as a rule."""
    seeds: list[int] = [run["seed"] for run in runs]
    return max(sorted(set(seeds)), key=seeds.count)


def compare(
    title: str,
    reference: Image | None,
    wavelength: Wavelengths,
    observation: ObservedScene,
    cubes: Mapping[str, Image],
    runs: Sequence[tables.Run],
    labels: Sequence[str],
    dataset: str | None = None,
    progress: Progress = no_progress,
    unseen: Sequence[str] = (),
    records: pair.Records | None = None,
    residual_maps: Mapping[str, tuple[Plane, Plane]] | None = None,
    deviations: Mapping[str, Image] | None = None,
) -> Comparison:
    """Put all methods side by side.

    Parameters
    ----------
    title : str
        Scene, or scene and response.
    reference : (C, H, W) or None
        In memory, or anything whose slices NumPy can read; so are all other images.
    wavelength : (C,) or None
        In nm.
    observation : ObservedScene
        Of the seed that `common_seed` names; of two real images as the methods were told of it, with the
        HR-MSI in the LR-HSI's units.
    cubes : dict of (C, H, W)
        Fused from that observation, by label.
    runs : sequence of dict
        All runs' `metrics.json`.
    labels : sequence of str
        Methods in the order of the experiment.
    dataset : str, optional
        Data set whose published results are shown beside these.
    progress : callable
    unseen : sequence of str
        Methods that are in the tables alone, although they ran.
    records : Records, optional
        What `align` and `estimate` found.
    residual_maps : dict of (h, w) and (H, W), optional
        Residuals of LR-HSI and HR-MSI of each fused cube in noise levels, by label.
    deviations : dict of (C, H, W), optional
        Standard deviations of those fused cubes that have one, by label.
    """
    look = figures.looks([label for label in labels if label not in unseen])
    shown = pictures.composites(wavelength, observation.bands)
    kept = overview(reference, observation, cubes, shown, progress, deviations)
    seed, found = common_seed(runs), records or pair.Records()
    names = {
        "hsi": pictures.band_names(wavelength, observation.bands),
        "msi": found.msi_names(observation.hr_msi.shape[0]),
    }
    return Comparison(
        title=title,
        anchor="scene-" + "-".join(title.split("/")),
        facts=_facts(wavelength, observation),
        seed=seed,
        has_reference=reference is not None,
        without=[label for label in labels if label not in cubes and label not in unseen],
        unseen=list(unseen),
        quality=tables.table(runs, labels, tables.filled(runs, QUALITY)),
        differences=significance.contrasts(runs, labels, HEADLINE),
        cost=tables.table(runs, labels, COST),
        devices=tables.devices(runs, labels),
        published=side_by_side(dataset, runs, labels) if dataset else [],
        alignment=pair.alignment(found),
        responses=pair.responses(found, observation, wavelength),
        galleries=[
            composite_gallery(title, composite, index, wavelength, observation, kept)
            for index, composite in enumerate(shown)
        ],
        maps=error_galleries(title, kept, observation.hr_shape),
        locations=location_picture(title, kept, observation.hr_shape),
        markers=markers(kept.pixels, observation.hr_shape),
        spectra=_spectra(kept, wavelength, observation, look),
        spectra_note=_spectra_note(kept),
        residuals=residuals(
            title,
            {run["label"]: run for run in runs if run["seed"] == seed and run["label"] in look},
            residual_maps or {},
            wavelength,
            names,
            kept,
            look,
        ),
        charts=charts(
            runs,
            list(look),
            {label: errors.sam_shares for label, errors in kept.errors.items()},
            wavelength,
            look,
        ),
    )


def _facts(wavelength: Wavelengths, observation: ObservedScene) -> str:
    (height, width), (lr_height, lr_width) = observation.hr_shape, observation.lr_shape
    span = "" if wavelength is None else f" ({np.min(wavelength):.0f}–{np.max(wavelength):.0f} nm)"  # noqa: RUF001
    return (
        f"HR-HSI and HR-MSI {height} × {width} pixels, LR-HSI {lr_height} × {lr_width} "  # noqa: RUF001
        f"(ratio {observation.spatial_response.ratio}); {observation.bands} HSI bands{span}, "
        f"{observation.hr_msi.shape[0]} MSI bands"
    )


def _spectra(
    kept: Overview, wavelength: Wavelengths, observation: ObservedScene, look: figures.Look
) -> Markup:
    """The fused spectra upon the reference's, or else upon what the two images saw there."""
    if not kept.pixels:
        return Markup()
    titles = [f"Pixel {n}: row {y}, column {x}" for n, (y, x) in enumerate(kept.pixels, 1)]
    fused = {label: view.spectra for label, view in kept.views.items()}
    if kept.reference is not None:
        return Markup(figures.spectra(kept.spectra, fused, wavelength, titles, look))
    response = observation.spectral_response
    seen = pictures.msi_centres(response, wavelength), kept.msi_values / response.sum(axis=1)
    return Markup(figures.spectra(kept.spectra, fused, wavelength, titles, look, "LR-HSI", seen))


def _spectra_note(kept: Overview) -> str:
    if kept.reference is not None or not kept.views:
        return ""
    return (
        f"The pixels were chosen on the cube of {next(iter(kept.views))}. Grey: the LR-HSI's spectrum of the "
        "LR pixel around each; diamonds: the HR-MSI at the pixel itself, in the HSI's units at its bands' "
        "centres. The LR pixel holds other materials as well, so shapes should agree rather than levels; "
        "fused spectra should pass the diamonds."
    )
