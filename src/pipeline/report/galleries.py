"""Rows of pictures that share one stretch or one colour scale: composites, error maps.

The pictures are made from the images that `overview` reduced.
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
    """An image with its caption, or the reason why there is none.

    Attributes
    ----------
    caption, alt : str
        Text below the image, also used as its alternative text.
    uri : str
        The image as a `data:` address; empty if there is none.
    note : str
        The reason why there is none.
    reduction : str
        How many pixels a picture pixel stands for, if it is more than one.
    """

    caption: str
    alt: str = ""
    uri: str = ""
    note: str = ""
    reduction: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures that share one stretch or one colour scale.

    Attributes
    ----------
    title, note : str
        Heading and explanation.
    pictures : list of Picture
        In their order on the page.
    scale : Markup
        Colour scale, if there is one.
    """

    title: str
    note: str
    pictures: list[Picture]
    scale: Markup = field(default_factory=Markup)


@dataclass(frozen=True)
class Marker:
    """A numbered pixel on a picture.

    Attributes
    ----------
    number : int
        From 1.
    left, top : float
        Position in percent of the picture's width and height.
    """

    number: int
    left: float
    top: float


def picture(pixels: Pixels, caption: str, alt: str, shape: tuple[int, int]) -> Picture:
    """Make a picture.

    Parameters
    ----------
    pixels : (h, w, 4)
        8-bit RGBA.
    caption, alt : str
        Texts of the picture.
    shape : (int, int)
        Height and width of the image that it shows.
    """
    return Picture(caption, alt, pictures.png_uri(pixels), reduction=pictures.reduction_in_words(*shape))


def composite_gallery(
    title: str,
    composite: Composite,
    index: int,
    wavelength: Wavelengths,
    observation: ObservedScene,
    kept: Overview,
) -> Gallery:
    """Show both inputs, all fused cubes and the reference, if there is one, in three bands.

    The stretch is taken from the reference or, without one, from the LR-HSI.

    Parameters
    ----------
    title : str
        Of the scene.
    composite : Composite
        The three bands.
    index : int
        Its index in `kept`.
    wavelength : (C,) or None
        Band centres in nm.
    observation : ObservedScene
        Sizes of the images, and R.
    kept : Overview
        Reduced images.
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
    """Show a single band in grey, or say that no band of several fits the composite."""
    if len(hr_msi) > 1:
        return Picture("HR-MSI", note="The HR-MSI has no band near one of the three wavelengths.")
    grey = np.repeat(hr_msi, 3, axis=0)
    alt = f"{composite.name} picture of {title}: HR-MSI"
    shown = pictures.colour_picture(grey, pictures.stretch(grey))
    return picture(shown, "HR-MSI, its only band, with its own stretch", alt, observation.hr_shape)


def _bands_in_words(composite: Composite, wavelength: Wavelengths) -> str:
    if wavelength is None:
        used = ", ".join(str(band + 1) for band in composite.bands)
        return f"Red, green and blue are the HSI's bands {used}."
    used = ", ".join(f"{wavelength[band]:.0f}" for band in composite.bands)
    return f"Red, green and blue are the HSI's bands at {used} nm and the MSI's nearest ones."


SCALE = "All methods share one colour scale, which is linear in the square root."
BESIDE_ERROR = (
    "All these pictures share one colour scale, which is linear in the square root. Where a standard "
    "deviation is reliable, it is as bright as the error at the same place."
)


def error_galleries(title: str, kept: Overview, shape: tuple[int, int]) -> list[Gallery]:
    """Map the RMS error, the standard deviation beside the error that it predicts, and the angle.

    Parameters
    ----------
    title : str
        Of the scene.
    kept : Overview
        Reduced images.
    shape : (int, int)
        Height and width of the scene.
    """
    errors, angles = [], []
    for label, own in kept.errors.items():
        errors.append((label, f"RMS error over bands of {label} for {title}", own.rms))
        angles.append((label, f"Spectral angle (SAM) of {label} for {title}", own.sam))
    deviations = []
    for label, view in kept.views.items():
        if view.deviation is not None:
            alt = f"Standard deviation of {label} for {title}"
            deviations.append((f"{label}: standard deviation", alt, view.deviation))
            if label in kept.errors:
                alt = f"RMS error of {label} for {title}, on the scale of the deviations"
                deviations.append((f"{label}: error", alt, kept.errors[label].rms))
    quantity, note = (
        ("Standard deviation and error", BESIDE_ERROR) if errors else ("Standard deviation", SCALE)
    )
    return [
        _map_gallery(name, note, unit, maps, shape)
        for name, note, unit, maps in (
            ("RMS error over bands", SCALE, "RMS error [scene values]", errors),
            (f"{quantity}, RMS over bands", note, f"{quantity} [scene values]", deviations),
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
    """Show maps, each with its caption and alternative text, on one colour scale."""
    upper = pictures.common_upper([plane for _, _, plane in maps])
    shown = [picture(pictures.map_picture(plane, upper), caption, alt, shape) for caption, alt, plane in maps]
    return Gallery(name, note, shown, Markup(figures.colour_bar(upper, unit)))


def location_picture(title: str, kept: Overview, shape: tuple[int, int]) -> Picture:
    """Show the reference, or else the first fused cube, on which the typical pixels are marked.

    Parameters
    ----------
    title : str
        Of the scene.
    kept : Overview
        Reduced images.
    shape : (int, int)
        Height and width of the scene.
    """
    where, planes = "Reference", kept.reference
    if planes is None and kept.views:
        where, view = next(iter(kept.views.items()))
        planes = view.planes
    if planes is None:
        return Picture("", note="There is no picture.")
    shown = pictures.colour_picture(planes[0], pictures.stretch(planes[0]))
    return picture(shown, "Location of the pixels", f"{where} of {title} with numbered pixels", shape)


def markers(pixels: Sequence[tuple[int, int]], shape: tuple[int, int]) -> list[Marker]:
    """Place markers on a picture, whose last picture pixels may reach beyond the image.

    Parameters
    ----------
    pixels : sequence of (int, int)
        Row and column in the image.
    shape : (int, int)
        Height and width of the image.
    """
    step = pictures.reduction(*shape)
    height, width = (-(-side // step) * step for side in shape)
    return [
        Marker(n, round(100 * (x + 0.5) / width, 2), round(100 * (y + 0.5) / height, 2))
        for n, (y, x) in enumerate(pixels, 1)
    ]
