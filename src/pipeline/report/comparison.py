"""One scene under one response: all methods' pictures, maps, charts and tables, ready for the page.

Fused cubes come one after the other and are dropped once their pictures are taken, so that memory
holds the reference and one cube.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from pipeline.core.observation import Observation
from pipeline.report import figures, pictures, tables
from pipeline.report.charts import charts
from pipeline.report.pictures import Composite, Floats, Pixels, Wavelengths

SHARES = 401
"""Points of the distribution of spectral angles."""


@dataclass(frozen=True)
class Picture:
    """An image with its caption, or the reason why there is none."""

    caption: str
    alt: str = ""
    uri: str = ""
    note: str = ""


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
    quality: tables.Table
    cost: tables.Table
    galleries: list[Gallery]
    maps: list[Gallery]
    locations: Picture
    markers: list[Marker]
    spectra: Markup
    charts: list[tuple[Markup, str]]


@dataclass(frozen=True)
class Views:
    """What is kept of a fused cube."""

    planes: list[Floats]
    error: Floats
    sam: Floats
    sam_shares: Floats
    spectra: Floats


def common_seed(runs: Sequence[tables.Run]) -> int:
    """The lowest of the seeds that most methods ran with; all of them, as a rule."""
    seeds: list[int] = [run["seed"] for run in runs]
    return max(sorted(set(seeds)), key=seeds.count)


def compare(
    title: str,
    reference: Floats,
    wavelength: Wavelengths,
    observation: Observation,
    cubes: Iterable[tuple[str, Floats]],
    runs: Sequence[tables.Run],
    labels: Sequence[str],
) -> Comparison:
    """Put all methods side by side.

    Parameters
    ----------
    title : str
        Scene, or scene and response.
    reference : (C, H, W)
    wavelength : (C,) or None
        In nm.
    observation : Observation
        Of the seed that `common_seed` names.
    cubes : iterable of (label, (C, H, W))
        Fused from that observation, read when their turn comes.
    runs : sequence of dict
        All runs' `metrics.json`.
    labels : sequence of str
        Methods in the order of the experiment.
    """
    shown = pictures.composites(wavelength, reference.shape[0])
    pixels = pictures.typical_pixels(reference)
    views = {label: _views(reference, cube, shown, pixels) for label, cube in cubes}
    look = figures.looks(labels)
    titles = [f"Pixel {n}: row {y}, column {x}" for n, (y, x) in enumerate(pixels, 1)]
    at = ([y for y, _ in pixels], [x for _, x in pixels])
    height, width = reference.shape[1:]
    locations = _picture(
        _colour(_planes(reference, shown[0]), _limits(reference, shown[0])),
        "Location of the pixels",
        f"Reference of {title} with numbered pixels",
    )
    return Comparison(
        title=title,
        anchor="scene-" + "-".join(title.split("/")),
        facts=_facts(reference, wavelength, observation),
        seed=common_seed(runs),
        without=[label for label in labels if label not in views],
        quality=tables.table(runs, labels, tables.QUALITY),
        cost=tables.table(runs, labels, tables.COST),
        galleries=[
            _gallery(title, composite, index, reference, wavelength, observation, views)
            for index, composite in enumerate(shown)
        ],
        maps=_maps(title, views),
        locations=locations,
        markers=[
            Marker(n, round(100 * (x + 0.5) / width, 2), round(100 * (y + 0.5) / height, 2))
            for n, (y, x) in enumerate(pixels, 1)
        ],
        spectra=Markup(
            figures.spectra(
                reference[:, *at].T, {k: v.spectra for k, v in views.items()}, wavelength, titles, look
            )
        )
        if pixels
        else Markup(),
        charts=charts(runs, labels, {k: v.sam_shares for k, v in views.items()}, wavelength, look),
    )


def _facts(reference: Floats, wavelength: Wavelengths, observation: Observation) -> str:
    bands, height, width = reference.shape
    span = "" if wavelength is None else f" ({np.min(wavelength):.0f}–{np.max(wavelength):.0f} nm)"  # noqa: RUF001
    lr_height, lr_width = observation.lr_shape
    return (
        f"HR-HSI and HR-MSI {height} × {width} pixels, LR-HSI {lr_height} × {lr_width} "  # noqa: RUF001
        f"(ratio {observation.spatial_response.ratio}); {bands} HSI bands{span}, "
        f"{len(observation.hr_msi)} MSI bands"
    )


def _views(reference: Floats, cube: Floats, shown: list[Composite], pixels: list[tuple[int, int]]) -> Views:
    sam = pictures.sam_map(reference, cube)
    valid = sam[np.isfinite(sam)]
    return Views(
        planes=[_planes(cube, composite) for composite in shown],
        error=pictures.shrink(pictures.rms_error_map(reference, cube)),
        sam=pictures.shrink(sam),
        sam_shares=np.quantile(valid, np.linspace(0, 1, SHARES)) if valid.size else np.empty(0),
        spectra=cube[:, [y for y, _ in pixels], [x for _, x in pixels]].T,
    )


def _planes(cube: Floats, composite: Composite) -> Floats:
    return pictures.shrink(cube[list(composite.bands)])


def _limits(reference: Floats, composite: Composite) -> Floats:
    return pictures.stretch(reference[list(composite.bands)])


def _colour(planes: Floats, limits: Floats) -> Pixels:
    return pictures.colour_picture(planes, limits)


def _picture(pixels: Pixels, caption: str, alt: str) -> Picture:
    return Picture(caption, alt, pictures.png_uri(pixels))


def _gallery(
    title: str,
    composite: Composite,
    index: int,
    reference: Floats,
    wavelength: Wavelengths,
    observation: Observation,
    views: dict[str, Views],
) -> Gallery:
    limits = _limits(reference, composite)

    def show(planes: Floats, caption: str) -> Picture:
        return _picture(_colour(planes, limits), caption, f"{composite.name} picture of {title}: {caption}")

    msi = pictures.msi_planes(observation.hr_msi, observation.spectral_response, wavelength, composite)
    return Gallery(
        composite.name,
        _bands_in_words(composite, wavelength),
        [
            show(_planes(observation.lr_hsi, composite), "LR-HSI"),
            Picture("HR-MSI", note="has no band near one of the three wavelengths")
            if msi is None
            else show(pictures.shrink(msi), "HR-MSI"),
            *(show(view.planes[index], label) for label, view in views.items()),
            show(_planes(reference, composite), "Reference"),
        ],
    )


def _bands_in_words(composite: Composite, wavelength: Wavelengths) -> str:
    if wavelength is None:
        used = ", ".join(str(band + 1) for band in composite.bands)
        return f"Red, green and blue are the HSI's bands {used}."
    used = ", ".join(f"{wavelength[band]:.0f}" for band in composite.bands)
    return f"Red, green and blue are the HSI's bands at {used} nm and the MSI's nearest ones."


def _maps(title: str, views: dict[str, Views]) -> list[Gallery]:
    galleries = []
    for name, scale_name, maps in (
        ("RMS error over bands", "RMS error [scene values]", {k: v.error for k, v in views.items()}),
        ("Spectral angle (SAM)", "SAM [°]", {k: v.sam for k, v in views.items()}),
    ):
        upper = pictures.common_upper(list(maps.values()))
        shown = [
            _picture(pictures.map_picture(values, upper), label, f"{name} of {label} for {title}")
            for label, values in maps.items()
        ]
        note = "One colour scale, linear in the square root, for all methods."
        galleries.append(Gallery(name, note, shown, Markup(figures.colour_bar(upper, scale_name))))
    return galleries
