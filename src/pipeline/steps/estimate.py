"""Step `estimate`: estimate the responses and noise levels that the methods use.

Given values are passed on; estimates come from a sample of the observed pixels alone, read in blocks. The
result is a store of its own, from which a method learns the responses and noise levels, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pipeline.config.responses import REMEDIES, Estimation
from pipeline.core.estimation.agreement import agreement
from pipeline.core.estimation.noise_levels import estimate_noise
from pipeline.core.estimation.responses import Responses, estimate_responses
from pipeline.core.sensing.calibration import CalibratedImage
from pipeline.core.sensing.observation import ObservedScene, Progress
from pipeline.core.subspace.completion import Completion, completed, learn_completion
from pipeline.runs.observation import COMPLETION
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.runs.timing import Timing
from pipeline.store.schema import observed_scene
from pipeline.store.store import read_store, write_store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settled:
    """A scene with the responses and noise levels that the methods are given.

    Attributes
    ----------
    scene : ObservedScene
        The observation with the settled responses and noise levels, its HR-MSI in the LR-HSI's units.
    responses : Responses or None
        Details of the estimated responses; None where both were given.
    agreement : tuple of str
        Sentences on where the two images contradict these responses.
    completion : Completion or None
        Models from which missing values are estimated; None for a scene without any.
    """

    scene: ObservedScene
    responses: Responses | None = None
    agreement: tuple[str, ...] = ()
    completion: Completion | None = None


def run(*, observation: Path, settings: Estimation, out: Path) -> None:
    """Write `estimate.zarr` and its ledger.

    Parameters
    ----------
    observation : Path
        Ledger of the observation.
    settings : Estimation
        Choice of what is estimated and what is taken from the observation.
    out : Path
        The ledger to write, `estimate.json`.
    """
    timing = Timing("estimate")
    with timing.measure("io"):
        dataset = read_store(observation)
        scene = observed_scene(dataset)
        alignment = dataset.attrs.get("alignment", {})
        settings = possible(settings, alignment)
    with timing.measure("compute"), ProgressReport() as progress:
        settled = settle(scene, settings, alignment, progress)
    with timing.measure("io"):
        origin = provenance("estimate", settings=settings, inputs=[observation])
        described = estimate_dataset(settled, settings, alignment.get("msi_bands"))
        write_store(out.with_suffix(".zarr"), described, origin)
    timing.write(out.parent)


def possible(settings: Estimation, alignment: Mapping[str, Any]) -> Estimation:
    """Return the settings, with R estimated where the pair has no R that could be calibrated.

    Parameters
    ----------
    settings : Estimation
        The configured settings.
    alignment : mapping
        Record of `align`; empty for a simulated scene.
    """
    if alignment.get("spectral_known", True) or settings.spectral_response == "estimated":
        return settings
    return settings.model_copy(update={"spectral_response": "estimated", "support": "all"})


def settle(
    scene: ObservedScene, settings: Estimation, alignment: Mapping[str, Any], progress: Progress
) -> Settled:
    """Replace responses and noise levels of a scene by estimates, where the settings ask for them.

    Parameters
    ----------
    scene : ObservedScene
        The observation.
    settings : Estimation
        Choice of what is estimated.
    alignment : mapping
        Record of `align`; empty for a simulated scene.
    progress : callable
        Called after each block of pixels and each iteration.
    """
    coverage = alignment.get("coverage")
    responses, completion = None, learn_completion(scene)
    observed = completed(scene, completion)
    if settings.spectral_response != "given" or settings.spatial_response != "given":
        responses = estimate_responses(
            observed,
            spectral=settings.spectral_response,
            spatial=settings.spatial_response,
            support=scene.spectral_response > 0 if settings.support == "given" else None,
            offset=settings.offset,
            coverage=None if coverage is None else np.array(coverage),
            names=alignment.get("msi_bands"),
            progress=progress,
        )
        scene = with_responses(scene, responses)
        completion = None if completion is None else learn_completion(scene)
    if settings.noise == "estimated":
        sigma_hsi, sigma_msi = estimate_noise(completed(scene, completion), progress=progress)
        scene = replace(scene, sigma_hsi=sigma_hsi, sigma_msi=sigma_msi)
    seen, names = completed(scene, completion), alignment.get("msi_bands")
    sentences = _contradictions(observed, seen, settings, names, progress)
    if completion is not None:
        log.info("%s", completion.missing.sentence())
    for sentence in (*sentences, *(responses.warnings if responses else ())):
        log.warning("%s", sentence)
    return Settled(scene, responses, sentences, completion)


def _contradictions(
    observed: ObservedScene,
    settled: ObservedScene,
    settings: Estimation,
    names: list[str] | None,
    progress: Progress,
) -> tuple[str, ...]:
    """Return sentences on where the images contradict the responses, except what was estimated.

    Gain and offset are sought in the MSI as observed: estimated gains hide an offset in part.
    """
    calibrated = settings.spectral_response == "calibrated"
    estimated = {"psf"} if settings.spatial_response != "given" else set()
    if calibrated:
        settled = replace(observed, spatial_response=settled.spatial_response)
        estimated |= {"gain", "offset", "gain and offset"} if settings.offset else {"gain"}
    return tuple(
        finding.with_remedy(REMEDIES)
        for finding in agreement(settled, names, progress)
        if finding.cause not in estimated
    )


def with_responses(scene: ObservedScene, responses: Responses) -> ObservedScene:
    """Return the scene with estimated responses, its HR-MSI and that image's noise in the LR-HSI's units.

    Parameters
    ----------
    scene : ObservedScene
        The observation.
    responses : Responses
        Estimated responses, with gain and offset of each MSI band.
    """
    return replace(
        scene,
        hr_msi=CalibratedImage(scene.hr_msi, responses.gain, responses.offset),
        spectral_response=responses.spectral_response,
        spatial_response=responses.spatial_response.bordered(scene.spatial_response.border),
        sigma_msi=scene.sigma_msi / responses.gain,
    )


def estimate_dataset(settled: Settled, settings: Estimation, names: list[str] | None = None) -> xr.Dataset:
    """Return the dataset of settled responses and noise levels.

    Variables `spectral_response` (msi_band, band), `sigma_hsi` (band) and `sigma_msi` (msi_band), the
    spatial response as an attribute. A scene with missing values has the models from which they are
    estimated, `completion_*`, and the attribute `missing`, a sentence on how many there are. Where responses
    were estimated, there are `gain` and `offset` (msi_band) and the attribute `responses`, which says how
    well they fit. The attribute `agreement` holds the sentences on where the images contradict the responses.

    Parameters
    ----------
    settled : Settled
        The scene as given to the methods.
    settings : Estimation
        Choice of what was estimated.
    names : list of str, optional
        Names of the MSI bands; default: their numbers.
    """
    scene, responses = settled.scene, settled.responses
    dataset = xr.Dataset(
        {
            "spectral_response": (("msi_band", "band"), scene.spectral_response),
            "sigma_hsi": ("band", scene.sigma_hsi),
            "sigma_msi": ("msi_band", scene.sigma_msi),
        },
        attrs={"spatial_response": scene.spatial_response.to_dict(), "agreement": list(settled.agreement)},
    )
    if settled.completion is not None:
        dataset = dataset.assign_attrs(missing=settled.completion.missing.sentence()).assign(
            {
                f"{COMPLETION}{name}": ([f"{COMPLETION}{name}_{axis}" for axis in range(array.ndim)], array)
                for name, array in settled.completion.state().items()
            }
        )
    if responses is None:
        return dataset
    calibration = {"gain": ("msi_band", responses.gain), "offset": ("msi_band", responses.offset)}
    return dataset.assign(calibration).assign_attrs(responses=_report(responses, settings, names))


def _report(responses: Responses, settings: Estimation, names: list[str] | None) -> dict[str, Any]:
    """Return the estimated responses and how well they fit, JSON-ready."""
    coverage = responses.coverage if responses.coverage is not None else np.full(len(responses.gain), np.nan)
    columns = {
        "gain": responses.gain,
        "gain_error": responses.gain_error,
        "offset": responses.offset + 0.0,  # not -0
        "correlation": responses.correlation,
        "residual": responses.excess,
        "coverage": coverage,
    }
    return {
        "spectral": settings.spectral_response,
        "spatial": settings.spatial_response,
        "fwhm": responses.fwhm.tolist(),
        "fwhm_error": responses.fwhm_error.tolist(),
        "shift": responses.centre.tolist(),
        "shift_error": responses.centre_error.tolist(),
        "bands": [
            {"name": names[i] if names else f"{i + 1}"}
            | {key: _number(values[i]) for key, values in columns.items()}
            for i in range(len(responses.gain))
        ],
        "warnings": list(responses.warnings),
    }


def _number(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return float(value) if np.isfinite(value) else None
