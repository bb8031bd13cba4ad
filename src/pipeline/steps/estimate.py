"""Step `estimate`: estimate the responses and noise levels that the methods use.

Given values are passed on; estimated ones come from a sample of the observed pixels alone, read in
blocks. The result is a store of its own, so that a method sees the estimate and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pipeline.config.responses import Estimation
from pipeline.core.estimation.noise_levels import estimate_noise
from pipeline.core.estimation.responses import Responses, estimate_responses
from pipeline.core.sensing.calibration import CalibratedImage
from pipeline.core.sensing.observation import ObservedScene, Progress
from pipeline.methods.device import torch_threads
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.runs.timing import Timing
from pipeline.store.schema import observed_scene
from pipeline.store.store import read_store, write_store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Told:
    """What the methods are told.

    Attributes
    ----------
    scene : ObservedScene
        Its HR-MSI in the units of its LR-HSI.
    responses : Responses or None
        How its responses were found, where they were estimated.
    """

    scene: ObservedScene
    responses: Responses | None = None


def run(*, observation: Path, settings: Estimation, out: Path) -> None:
    """Write `estimate.zarr` and its ledger.

    Parameters
    ----------
    observation : Path
        Ledger of the observation.
    settings : Estimation
        What is estimated and what is taken from the observation.
    out : Path
        The ledger to write, `estimate.json`.
    """
    timing = Timing("estimate")
    with timing.measure("io"):
        dataset = read_store(observation)
        seen = observed_scene(dataset)
        aligned = dataset.attrs.get("alignment", {})
        settings = possible(settings, aligned)
    with timing.measure("compute"), torch_threads(1), ProgressReport() as progress:
        told = told_to_methods(seen, settings, aligned, progress)
    with timing.measure("io"):
        origin = provenance("estimate", settings=settings, inputs=[observation])
        described = estimate_dataset(told, settings, aligned.get("msi_bands"))
        write_store(out.with_suffix(".zarr"), described, origin)
    timing.write(out.parent)


def possible(settings: Estimation, aligned: Mapping[str, Any]) -> Estimation:
    """The settings, with R estimated where the alignment of a pair knew none to calibrate."""
    if aligned.get("spectral_known", True) or settings.spectral_response == "estimated":
        return settings
    return settings.model_copy(update={"spectral_response": "estimated", "support": "all"})


def told_to_methods(
    scene: ObservedScene, settings: Estimation, aligned: Mapping[str, Any], progress: Progress
) -> Told:
    """The scene with the estimates that `settings` asks for in place of the truth.

    `aligned` is what `align` found of a pair, empty for a simulated scene.
    """
    coverage = aligned.get("coverage")
    found = None
    if settings.spectral_response != "given" or settings.spatial_response != "given":
        found = estimate_responses(
            scene,
            spectral=settings.spectral_response,
            spatial=settings.spatial_response,
            support=scene.spectral_response > 0 if settings.support == "given" else None,
            offset=settings.offset,
            coverage=None if coverage is None else np.array(coverage),
            names=aligned.get("msi_bands"),
            progress=progress,
        )
        for warning in found.warnings:
            log.warning("%s", warning)
        scene = with_responses(scene, found)
    if settings.noise == "estimated":
        sigma_hsi, sigma_msi = estimate_noise(scene, progress=progress)
        scene = replace(scene, sigma_hsi=sigma_hsi, sigma_msi=sigma_msi)
    return Told(scene, found)


def with_responses(scene: ObservedScene, found: Responses) -> ObservedScene:
    """The scene with estimated responses, its HR-MSI and that image's noise in the LR-HSI's units."""
    return replace(
        scene,
        hr_msi=CalibratedImage(scene.hr_msi, found.gain, found.offset),
        spectral_response=found.spectral_response,
        spatial_response=found.spatial_response,
        sigma_msi=scene.sigma_msi / found.gain,
    )


def estimate_dataset(told: Told, settings: Estimation, names: list[str] | None = None) -> xr.Dataset:
    """Dataset of what was told.

    Variables `spectral_response` (msi_band, band), `sigma_hsi` (band) and `sigma_msi` (msi_band), the
    spatial response as an attribute; where responses were estimated, `gain` and `offset` (msi_band) and
    the attribute `responses`, which says how well they fit.
    """
    scene, found = told.scene, told.responses
    dataset = xr.Dataset(
        {
            "spectral_response": (("msi_band", "band"), scene.spectral_response),
            "sigma_hsi": ("band", scene.sigma_hsi),
            "sigma_msi": ("msi_band", scene.sigma_msi),
        },
        attrs={"spatial_response": scene.spatial_response.to_dict()},
    )
    if found is None:
        return dataset
    return dataset.assign(gain=("msi_band", found.gain), offset=("msi_band", found.offset)).assign_attrs(
        responses=_report(found, settings, names)
    )


def _report(found: Responses, settings: Estimation, names: list[str] | None) -> dict[str, Any]:
    """How the responses were found and how well they fit, JSON-ready."""
    coverage = found.coverage if found.coverage is not None else np.full(len(found.gain), np.nan)
    columns = {
        "gain": found.gain,
        "gain_error": found.gain_error,
        "offset": found.offset + 0.0,  # not -0
        "correlation": found.correlation,
        "residual": found.excess,
        "coverage": coverage,
    }
    return {
        "spectral": settings.spectral_response,
        "spatial": settings.spatial_response,
        "fwhm": found.fwhm.tolist(),
        "fwhm_error": found.fwhm_error.tolist(),
        "shift": found.centre.tolist(),
        "shift_error": found.centre_error.tolist(),
        "bands": [
            {"name": names[i] if names else f"{i + 1}"}
            | {key: _number(values[i]) for key, values in columns.items()}
            for i in range(len(found.gain))
        ],
        "warnings": list(found.warnings),
    }


def _number(value: float) -> float | None:
    """A number that JSON can hold."""
    return float(value) if np.isfinite(value) else None
