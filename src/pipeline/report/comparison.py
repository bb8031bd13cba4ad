"""One scene under one response: all methods' pictures, maps, charts and tables, ready for the page.

Images may lie on disk and have any size: what `overview` keeps of them is all that is shown. No
number of the tables is computed here; they come from the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from pipeline.core.observation import Image, ObservedScene, Progress, no_progress
from pipeline.report import figures, pictures, significance, tables
from pipeline.report.charts import charts
from pipeline.report.overview import Overview, Views, overview
from pipeline.report.pictures import Composite, Floats, Pixels, Wavelengths
from pipeline.report.published import Line, side_by_side


@dataclass(frozen=True)
class Picture:
    """An image with its caption and reduction, or the reason why there is none."""

    caption: str
    alt: str = ""
    uri: str = ""
    note: str = ""
    reduction: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures that share one stretch or one colour scale."""

    title: str
    note: str
    pictures: list[Picture]
    scale: Markup = field(default_factory=Markup)


@dataclass(frozen=True)
class Marker:
    """A numbered pixel on a picture, in percent of its width and height."""

    number: int
    left: float
    top: float


@dataclass(frozen=True)
class Comparison:
    """What the page shows of one scene and response."""

    title: str
    anchor: str
    facts: str
    seed: int
    without: list[str]
    unseen: list[str]
    quality: tables.Table
    differences: list[significance.Contrast]
    cost: tables.Table
    devices: dict[str, str]
    published: list[Line]
    galleries: list[Gallery]
    maps: list[Gallery]
    locations: Picture
    markers: list[Marker]
    spectra: Markup
    charts: list[tuple[Markup, str]]


def common_seed(runs: Sequence[tables.Run]) -> int:
    """The lowest of the seeds that most methods ran with; all of them, as a rule."""
    seeds: list[int] = [run["seed"] for run in runs]
    return max(sorted(set(seeds)), key=seeds.count)


def compare(
    title: str,
    reference: Image,
    wavelength: Wavelengths,
    observation: ObservedScene,
    cubes: Mapping[str, Image],
    runs: Sequence[tables.Run],
    labels: Sequence[str],
    dataset: str | None = None,
    progress: Progress = no_progress,
    unseen: Sequence[str] = (),
) -> Comparison:
    """Put all methods side by side.

    Parameters
    ----------
    title : str
        Scene, or scene and response.
    reference : (C, H, W)
        In memory, or anything whose slices NumPy can read; so are all other images.
    wavelength : (C,) or None
        In nm.
    observation : ObservedScene
        Of the seed that `common_seed` names.
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
    """
    look = figures.looks([label for label in labels if label not in unseen])
    shown = pictures.composites(wavelength, reference.shape[0])
    kept = overview(reference, observation, cubes, shown, progress)
    return Comparison(
        title=title,
        anchor="scene-" + "-".join(title.split("/")),
        facts=_facts(wavelength, observation),
        seed=common_seed(runs),
        without=[label for label in labels if label not in cubes and label not in unseen],
        unseen=list(unseen),
        quality=tables.table(runs, labels, tables.QUALITY),
        differences=significance.contrasts(runs, labels, tables.HEADLINE),
        cost=tables.table(runs, labels, tables.COST),
        devices=tables.devices(runs, labels),
        published=side_by_side(dataset, runs, labels) if dataset else [],
        galleries=[
            _gallery(title, composite, index, wavelength, observation, kept)
            for index, composite in enumerate(shown)
        ],
        maps=_maps(title, kept.views, observation.hr_shape),
        locations=_picture(
            pictures.colour_picture(kept.reference[0], pictures.stretch(kept.reference[0])),
            "Location of the pixels",
            f"Reference of {title} with numbered pixels",
            observation.hr_shape,
        ),
        markers=_markers(kept.pixels, observation.hr_shape),
        spectra=_spectra(kept, wavelength, look),
        charts=charts(
            runs,
            list(look),
            {label: view.sam_shares for label, view in kept.views.items()},
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


def _markers(pixels: Sequence[tuple[int, int]], shape: tuple[int, int]) -> list[Marker]:
    """Markers on a picture of an image of that shape, whose last picture pixels may reach beyond it."""
    step = pictures.reduction(*shape)
    height, width = (-(-side // step) * step for side in shape)
    return [
        Marker(n, round(100 * (x + 0.5) / width, 2), round(100 * (y + 0.5) / height, 2))
        for n, (y, x) in enumerate(pixels, 1)
    ]


def _spectra(kept: Overview, wavelength: Wavelengths, look: figures.Look) -> Markup:
    if not kept.pixels:
        return Markup()
    titles = [f"Pixel {n}: row {y}, column {x}" for n, (y, x) in enumerate(kept.pixels, 1)]
    fused = {label: view.spectra for label, view in kept.views.items()}
    return Markup(figures.spectra(kept.spectra, fused, wavelength, titles, look))


def _picture(pixels: Pixels, caption: str, alt: str, shape: tuple[int, int]) -> Picture:
    """A picture of an image of that shape."""
    return Picture(caption, alt, pictures.png_uri(pixels), reduction=pictures.reduction_in_words(*shape))


def _gallery(
    title: str,
    composite: Composite,
    index: int,
    wavelength: Wavelengths,
    observation: ObservedScene,
    kept: Overview,
) -> Gallery:
    limits = pictures.stretch(kept.reference[index])

    def show(planes: Floats, caption: str, shape: tuple[int, int] = observation.hr_shape) -> Picture:
        alt = f"{composite.name} picture of {title}: {caption}"
        return _picture(pictures.colour_picture(planes, limits), caption, alt, shape)

    msi = pictures.msi_planes(kept.hr_msi, observation.spectral_response, wavelength, composite)
    return Gallery(
        composite.name,
        _bands_in_words(composite, wavelength),
        [
            show(kept.lr_hsi[index], "LR-HSI", observation.lr_shape),
            Picture("HR-MSI", note="has no band near one of the three wavelengths")
            if msi is None
            else show(msi, "HR-MSI"),
            *(show(view.planes[index], label) for label, view in kept.views.items()),
            show(kept.reference[index], "Reference"),
        ],
    )


def _bands_in_words(composite: Composite, wavelength: Wavelengths) -> str:
    if wavelength is None:
        used = ", ".join(str(band + 1) for band in composite.bands)
        return f"Red, green and blue are the HSI's bands {used}."
    used = ", ".join(f"{wavelength[band]:.0f}" for band in composite.bands)
    return f"Red, green and blue are the HSI's bands at {used} nm and the MSI's nearest ones."


def _maps(title: str, views: Mapping[str, Views], shape: tuple[int, int]) -> list[Gallery]:
    galleries = []
    for name, scale_name, maps in (
        ("RMS error over bands", "RMS error [scene values]", {k: v.error for k, v in views.items()}),
        ("Spectral angle (SAM)", "SAM [°]", {k: v.sam for k, v in views.items()}),
    ):
        upper = pictures.common_upper(list(maps.values()))
        shown = [
            _picture(pictures.map_picture(values, upper), label, f"{name} of {label} for {title}", shape)
            for label, values in maps.items()
        ]
        note = "One colour scale, linear in the square root, for all methods."
        galleries.append(Gallery(name, note, shown, Markup(figures.colour_bar(upper, scale_name))))
    return galleries
