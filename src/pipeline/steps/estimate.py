"""Step `estimate`: what the methods are told of the spectral response and the noise.

Given values are passed on; estimated ones come from the observed images alone. The result is a
store of its own, so that a method sees the estimate and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import xarray as xr

from pipeline.config import Estimation
from pipeline.core.estimation import estimate_hsi_noise, estimate_msi_noise, estimate_spectral_response
from pipeline.core.observation import Observation
from pipeline.data.schema import observation_from
from pipeline.data.store import read_store, write_store
from pipeline.methods.device import torch_threads
from pipeline.provenance import provenance
from pipeline.steps.progress import ProgressReport
from pipeline.steps.timing import Timing


def run(*, observation: Path, settings: Estimation, out: Path) -> None:
    """Write `estimate.zarr` and its ledger `out`."""
    timing = Timing("estimate")
    with timing.measure("io"):
        seen = observation_from(read_store(observation))
    with timing.measure("compute"):
        told = told_to_methods(seen, settings)
    with timing.measure("io"):
        origin = provenance("estimate", settings=settings, inputs=[observation])
        write_store(out.with_suffix(".zarr"), estimate_dataset(told), origin)
    timing.write(out.parent)


def told_to_methods(observation: Observation, settings: Estimation) -> Observation:
    """The observation with the estimates that `settings` asks for in place of the truth."""
    images, operator = (observation.lr_hsi, observation.hr_msi), observation.operator
    if settings.spectral_response == "estimated":
        with torch_threads(1), ProgressReport() as progress:
            response = estimate_spectral_response(*images, operator, progress)
        observation = replace(observation, spectral_response=response)
    if settings.noise == "estimated":
        sigma_hsi = estimate_hsi_noise(observation.lr_hsi)
        sigma_msi = estimate_msi_noise(*images, observation.spectral_response, operator, sigma_hsi)
        observation = replace(observation, sigma_hsi=sigma_hsi, sigma_msi=sigma_msi)
    return observation


def estimate_dataset(told: Observation) -> xr.Dataset:
    """Dataset with `spectral_response` (msi_band, band), `sigma_hsi` (band) and `sigma_msi` (msi_band)."""
    return xr.Dataset(
        {
            "spectral_response": (("msi_band", "band"), told.spectral_response),
            "sigma_hsi": ("band", told.sigma_hsi),
            "sigma_msi": ("msi_band", told.sigma_msi),
        }
    )
