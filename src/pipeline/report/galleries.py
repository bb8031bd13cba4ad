"""Rows of pictures that share one stretch or one colour scale: composites, error maps.

Turns what `overview` kept into pictures with captions; nothing is read from images here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from pipeline.core.sensing.observation import ObservedScene
from pipeline.report.drawing import figures, pictures
from pipeline.report.drawing.pictures import Composite, Floats, Pixels, Wavelengths
from pipeline.report.overview import Overview


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


def picture(pixels: Pixels, caption: str, alt: str, shape: tuple[int, int]) -> Picture:
    """A picture of an image of that shape."""
    return Picture(caption, alt, pictures.png_uri(pixels), reduction=pictures.reduction_in_words(*shape))


def composite_gallery(
    title: str,
    composite: Composite,
    index: int,
    wavelength: Wavelengths,
    observation: ObservedScene,
    kept: Overview,
) -> Gallery:
    """Both inputs, all fused cubes and the reference, if there is one, in three bands.

    The stretch is that of the reference, or else of the LR-HSI.
    """
    stretched = kept.lr_hsi if kept.reference is None else kept.reference
    limits = pictures.stretch(stretched[index])

    def show(planes: Floats, caption: str, shape: tuple[int, int] = observation.hr_shape) -> Picture:
        alt = f"{composite.name} picture of {title}: {caption}"
        return picture(pictures.colour_picture(planes, limits), caption, alt, shape)

    msi = pictures.msi_planes(kept.hr_msi, observation.spectral_response, wavelength, composite)
    return Gallery(
        composite.name,
        _bands_in_words(composite, wavelength),
        [
            show(kept.lr_hsi[index], "LR-HSI", observation.lr_shape),
            _msi_instead(title, composite, observation, kept.hr_msi) if msi is None else show(msi, "HR-MSI"),
            *(show(view.planes[index], label) for label, view in kept.views.items()),
            *([] if kept.reference is None else [show(kept.reference[index], "Reference")]),
        ],
    )


def _msi_instead(title: str, composite: Composite, observation: ObservedScene, hr_msi: Floats) -> Picture:
    """A single band in grey; of several that do not fit the composite, nothing."""
    if len(hr_msi) > 1:
        return Picture("HR-MSI", note="has no band near one of the three wavelengths")
    grey = np.repeat(hr_msi, 3, axis=0)
    alt = f"{composite.name} picture of {title}: HR-MSI"
    shown = pictures.colour_picture(grey, pictures.stretch(grey))
    return picture(shown, "HR-MSI, its only band on a stretch of its own", alt, observation.hr_shape)


def _bands_in_words(composite: Composite, wavelength: Wavelengths) -> str:
    if wavelength is None:
        used = ", ".join(str(band + 1) for band in composite.bands)
        return f"Red, green and blue are the HSI's bands {used}."
    used = ", ".join(f"{wavelength[band]:.0f}" for band in composite.bands)
    return f"Red, green and blue are the HSI's bands at {used} nm and the MSI's nearest ones."


SCALE = "One colour scale, linear in the square root, for all methods."
FORETOLD = (
    "One colour scale, linear in the square root, for these pictures. A method that knows how far off it is "
    "has a deviation as bright as its error from place to place."
)


def error_galleries(title: str, kept: Overview, shape: tuple[int, int]) -> list[Gallery]:
    """Maps of the RMS error, of the standard deviation beside the error it foretells, and of the angle."""
    errors, angles = [], []
    for label, found in kept.errors.items():
        errors.append((label, f"RMS error over bands of {label} for {title}", found.rms))
        angles.append((label, f"Spectral angle (SAM) of {label} for {title}", found.sam))
    foretold = []
    for label, view in kept.views.items():
        if view.deviation is not None:
            foretold.append(
                (f"{label}: deviation", f"Standard deviation of {label} for {title}", view.deviation)
            )
            if label in kept.errors:
                alt = f"RMS error of {label} for {title}, on the scale of the deviations"
                foretold.append((f"{label}: error", alt, kept.errors[label].rms))
    quantity, note = ("Standard deviation and error", FORETOLD) if errors else ("Standard deviation", SCALE)
    return [
        _map_gallery(name, note, unit, maps, shape)
        for name, note, unit, maps in (
            ("RMS error over bands", SCALE, "RMS error [scene values]", errors),
            (f"{quantity}, RMS over bands", note, f"{quantity} [scene values]", foretold),
            ("Spectral angle (SAM)", SCALE, "SAM [°]", angles),
        )
        if maps
    ]


def _map_gallery(
    name: str,
    note: str,
    unit: str,
    maps: Sequence[tuple[str, str, Floats]],
    shape: tuple[int, int],
) -> Gallery:
    """Maps, each with its caption and what stands for it, on one colour scale."""
    upper = pictures.common_upper([plane for _, _, plane in maps])
    shown = [picture(pictures.map_picture(plane, upper), caption, alt, shape) for caption, alt, plane in maps]
    return Gallery(name, note, shown, Markup(figures.colour_bar(upper, unit)))


def location_picture(title: str, kept: Overview, shape: tuple[int, int]) -> Picture:
    """Where the typical pixels lie: on the reference, or else on the first fused cube."""
    where, planes = "Reference", kept.reference
    if planes is None and kept.views:
        where, view = next(iter(kept.views.items()))
        planes = view.planes
    if planes is None:
        return Picture("", note="no picture")
    shown = pictures.colour_picture(planes[0], pictures.stretch(planes[0]))
    return picture(shown, "Location of the pixels", f"{where} of {title} with numbered pixels", shape)


def markers(pixels: Sequence[tuple[int, int]], shape: tuple[int, int]) -> list[Marker]:
    """Markers on a picture of an image of that shape, whose last picture pixels may reach beyond it."""
    step = pictures.reduction(*shape)
    height, width = (-(-side // step) * step for side in shape)
    return [
        Marker(n, round(100 * (x + 0.5) / width, 2), round(100 * (y + 0.5) / height, 2))
        for n, (y, x) in enumerate(pixels, 1)
    ]
