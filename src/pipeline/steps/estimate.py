"""Step `estimate`: what the methods are told of the spectral response and the noise.

Given values are passed on; estimated ones come from a sample of the observed pixels alone, read in
blocks. The result is a store of its own, so that a method sees the estimate and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import xarray as xr

from pipeline.core.estimation import (
    estimate_hsi_noise,
    estimate_msi_noise,
    estimate_spectral_response,
    matched_pixels,
)
from pipeline.core.observation import ObservedScene, Progress
from pipeline.data.schema import observed_scene
from pipeline.data.store import read_store, write_store
from pipeline.methods.device import torch_threads
from pipeline.provenance import provenance
from pipeline.scenes import Estimation
from pipeline.steps.progress import ProgressReport
from pipeline.steps.timing import Timing


def run(*, observation: Path, settings: Estimation, out: Path) -> None:
    """Write `estimate.zarr` and its ledger `out`."""
    timing = Timing("estimate")
    with timing.measure("io"):
        seen = observed_scene(read_store(observation))
    with timing.measure("compute"), torch_threads(1), ProgressReport() as progress:
        told = told_to_methods(seen, settings, progress)
    with timing.measure("io"):
        origin = provenance("estimate", settings=settings, inputs=[observation])
        write_store(out.with_suffix(".zarr"), estimate_dataset(told), origin)
    timing.write(out.parent)


def told_to_methods(scene: ObservedScene, settings: Estimation, progress: Progress) -> ObservedScene:
    """The scene with the estimates that `settings` asks for in place of the truth."""
    if "estimated" not in (settings.spectral_response, settings.noise):
        return scene
    pixels = matched_pixels(scene, progress=progress)
    if settings.spectral_response == "estimated":
        scene = replace(scene, spectral_response=estimate_spectral_response(pixels, progress))
    if settings.noise == "estimated":
        sigma_hsi = estimate_hsi_noise(pixels)
        sigma_msi = estimate_msi_noise(pixels, scene.spectral_response, sigma_hsi)
        scene = replace(scene, sigma_hsi=sigma_hsi, sigma_msi=sigma_msi)
    return scene


def estimate_dataset(told: ObservedScene) -> xr.Dataset:
    """Dataset with `spectral_response` (msi_band, band), `sigma_hsi` (band) and `sigma_msi` (msi_band)."""
    return xr.Dataset(
        {
            "spectral_response": (("msi_band", "band"), told.spectral_response),
            "sigma_hsi": ("band", told.sigma_hsi),
            "sigma_msi": ("msi_band", told.sigma_msi),
        }
    )
