"""Bands of a pair's MSI before anything is estimated: R, names, and how far the HSI covers them.

They come from the configuration, or from the band centres and widths in the MSI's file. No pixel is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.config.responses import GaussianResponse, SpectralConfig
from pipeline.config.scenes import Pair
from pipeline.core.estimation.responses.goodness import srf_coverage
from pipeline.core.scene import OpenScene
from pipeline.core.sensing.spectral import BandsOutsideError, band_spacing
from pipeline.errors import InputError
from pipeline.inputs.pairs.pair import OpenPair
from pipeline.inputs.responses import read_response, srf_curves

SAME_BAND = 0.1  # fraction of the wavelength by which a row of R may lie away from its MSI band


@dataclass(frozen=True)
class MsiBands:
    """Bands of an MSI.

    Attributes
    ----------
    response : (c, C) float64
        R; constant if unknown.
    known : bool
        Whether R is known.
    names : list of str
        Names of the bands in messages and the report.
    coverage : (c,) list of float, or None
        Fraction of each band's SRF that the HSI covers.
    """

    response: NDArray[np.float64]
    known: bool
    names: list[str]
    coverage: list[float] | None = None


def msi_bands(pair: Pair, images: OpenPair) -> MsiBands:
    """Return the MSI's bands as the configuration or its file describes them.

    Parameters
    ----------
    pair : Pair
        The configuration.
    images : OpenPair
        The opened images.

    Raises
    ------
    InputError
        R does not fit the MSI's number of bands or their wavelengths.
    """
    spectral, names = described_bands(pair, images), band_names(pair, images)
    hsi = images.hsi.metadata
    count, hsi_bands = images.msi.shape[0], images.hsi.shape[0]
    if spectral is None:
        return MsiBands(np.full((count, hsi_bands), 1 / hsi_bands), False, names)
    try:
        response = read_response(spectral, hsi.wavelength, hsi.fwhm)
    except BandsOutsideError as error:
        raise _outside(images, error.bands) from None
    if len(response) != count:
        raise InputError(
            f"{images.msi.name}: has {count} bands, but `spectral` describes {len(response)}; "
            "name the bands of both in the same order"
        )
    _check_order(response, pair, images)
    curves = srf_curves(spectral)
    if curves is None or hsi.wavelength is None:
        return MsiBands(response, True, names)
    coverage = [float(srf_coverage(*curve, hsi.wavelength, hsi.fwhm)[0]) for curve in curves]
    return MsiBands(response, True, names, coverage)


def described_bands(pair: Pair, images: OpenPair) -> SpectralConfig | None:
    """Return R as configured, else Gaussians of the MSI's own centres and widths where both files have some.

    Parameters
    ----------
    pair : Pair
        The configuration.
    images : OpenPair
        The opened images.
    """
    configured = pair.configured_response
    msi = images.msi.metadata
    if configured is not None or msi.wavelength is None or images.hsi.metadata.wavelength is None:
        return configured
    widths = msi.fwhm
    if widths is None:
        if msi.wavelength.size < 2:
            raise InputError(f"{images.msi.name}: its only band has a centre, but no width; give its `fwhm`")
        widths = band_spacing(msi.wavelength)
    return GaussianResponse(kind="gaussian", centres=msi.wavelength.tolist(), fwhm=widths.tolist())


def _outside(images: OpenPair, bands: Sequence[int]) -> InputError:
    """Return the error of MSI bands that the HSI does not reach, named as `drop_bands` names them."""
    hsi, msi = images.hsi.metadata.wavelength, images.msi.metadata.wavelength
    assert hsi is not None
    labels = labels_of(images.msi)
    names = [labels[band] for band in bands]
    centres = ""
    if images.msi.band_names is not None and msi is not None:
        centres = f" ({', '.join(f'{msi[band]:.0f}' for band in bands)} nm)"
    several = "s" * (len(bands) > 1)
    listing = ", ".join(names)
    return InputError(
        f"{images.msi.name}: its band{several} {listing}{centres} lie{'s' * (not several)} outside the HSI's "
        "range, "
        f"{hsi.min():.0f} to {hsi.max():.0f} nm, and cannot be fused with it; leave "
        f"{'them' if several else 'it'} "
        f"out by `drop_bands: [{listing}]`"
    )


def labels_of(scene: OpenScene) -> list[str]:
    """Return how the bands of an MSI are called in `drop_bands`: by name, by wavelength, or by number.

    Parameters
    ----------
    scene : OpenScene
        The opened image.
    """
    if scene.band_names is not None:
        return list(scene.band_names)
    if scene.metadata.wavelength is not None:
        return [f"{nm:.0f} nm" for nm in scene.metadata.wavelength]
    numbers = getattr(scene, "report", {}).get("bands", range(scene.shape[0]))
    return [str(band) for band in numbers]


def _check_order(response: NDArray[np.float64], pair: Pair, images: OpenPair) -> None:
    """Refuse an R whose rows do not lie at the wavelengths that the MSI's file has for its bands."""
    hsi, msi = images.hsi.metadata.wavelength, images.msi.metadata.wavelength
    if hsi is None or msi is None:
        return
    centres = response @ hsi / response.sum(axis=1)
    apart = np.flatnonzero(np.abs(centres - msi) > SAME_BAND * msi)
    for band in apart.tolist():
        raise InputError(
            f"{images.msi.name}: its band {band + 1} lies at {msi[band]:.0f} nm, but this band of "
            f"`spectral` at {centres[band]:.0f} nm; name the bands in the order in which they are read, by "
            "wavelength"
        )


def band_names(pair: Pair, images: OpenPair) -> list[str]:
    """Return names of the MSI's bands: from the file, else from R, else their wavelengths or numbers.

    Parameters
    ----------
    pair : Pair
        The configuration.
    images : OpenPair
        The opened images.
    """
    wavelength = images.msi.metadata.wavelength
    count = images.msi.shape[0]
    candidates = [images.msi.band_names, getattr(pair.configured_response, "bands", None)]
    if wavelength is not None:
        candidates.append([f"{centre:.0f} nm" for centre in wavelength])
    numbers = [str(band) for band in range(1, count + 1)]
    return next((list(names) for names in candidates if names and len(names) == count), numbers)
