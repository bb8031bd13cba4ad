"""Step `simulate`: the two images that the configured sensors would take of a reference.

The observation store holds all that a method may see; the reference stays in its own store.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Noise, Response
from pipeline.core.simulation import simulate
from pipeline.data.response_files import read_response
from pipeline.data.schema import metadata_from, observation_dataset, scene_from
from pipeline.data.store import read_store, write_store
from pipeline.provenance import provenance
from pipeline.settings import Strict
from pipeline.steps.timing import Timing


class Settings(Strict):
    """What `simulate` takes from an experiment."""

    response: Response
    noise: Noise


def run(*, reference: Path, settings: Settings, seed: int, out: Path) -> None:
    """Write `observation.zarr` and its ledger `out`."""
    timing = Timing("simulate")
    with timing.measure("io"):
        dataset = read_store(reference)
        scene, metadata = scene_from(dataset), metadata_from(dataset)
        response = read_response(settings.response.spectral, scene.wavelength, scene.fwhm)
    with timing.measure("compute"):
        observation = simulate(
            scene.data,
            spectral_response=response,
            spatial_response=settings.response.spatial.build(),
            snr_db=settings.noise.snr_db,
            per_band=settings.noise.per_band,
            seed=seed,
        )
    with timing.measure("io"):
        table = getattr(settings.response.spectral, "path", None)
        inputs = [reference, Path(table)] if table else [reference]
        origin = provenance("simulate", settings=settings, inputs=inputs, seed=seed)
        write_store(out.with_suffix(".zarr"), observation_dataset(observation, metadata), origin)
    timing.write(out.parent)
