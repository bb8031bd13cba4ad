"""Step `simulate`: simulate the two images that the configured sensors would take of a reference.

The observation store holds all that a method may see, among it the H that the configuration gives to the
methods; the true H is in the store's provenance. The reference stays in its own store. Both are read and
written tile by tile, and a killed run keeps the tiles that it has written.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from pipeline.config.experiment import Noise
from pipeline.config.responses import Response
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.sensing.simulation import Sensors, Simulation
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.inputs.responses import read_response
from pipeline.runs.observation import observation_template, observation_tiles, write_observation
from pipeline.runs.paths import SOURCE
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import check_origin, provenance
from pipeline.runs.timing import Timing
from pipeline.settings.strict import Strict
from pipeline.store.schema import metadata_from, placeholder, variable_of
from pipeline.store.store import read_store


class Settings(Strict):
    """The settings of `simulate`.

    Attributes
    ----------
    response : Response
        Spatial and spectral response of the sensors.
    noise : Noise
        Signal-to-noise ratio of both images.
    """

    response: Response
    noise: Noise


def run(*, reference: Path, settings: Settings, seed: NonNegativeInt, out: Path) -> None:
    """Write `observation.zarr` and its ledger.

    Parameters
    ----------
    reference : Path
        Ledger of the reference.
    settings : Settings
        The sensors' responses and the noise.
    seed : int
        Seed of the noise.
    out : Path
        The ledger to write, `observation.json`.

    Raises
    ------
    InputError
        The reference is missing, damaged, or was made from another source than the one recorded beside it.
    """
    timing = Timing("simulate")
    with timing.measure("io"):
        dataset = read_store(reference)
        sources = [path for path in [reference.with_name(SOURCE)] if path.exists()]
        check_origin(reference, dataset.attrs.get("provenance", {}), inputs=sources)
        metadata = metadata_from(dataset)
        response = read_response(settings.response.spectral, metadata.wavelength, metadata.fwhm)
        table = getattr(settings.response.spectral, "path", None)
        inputs = [reference, Path(table)] if table else [reference]
        origin = provenance("simulate", settings=settings, inputs=inputs, seed=seed)
        assumed = (settings.response.told or settings.response.spatial).build()
    sensors = Sensors(variable_of(dataset, "reference"), response, settings.response.spatial.build())
    origin["simulated_with"] = sensors.spatial_response.to_dict()
    ratio = sensors.spatial_response.ratio
    with timing.measure("compute"), ProgressReport() as progress:
        simulation = Simulation(
            sensors,
            observation_tiles(sensors.reference.shape[0], sensors.hr_shape, ratio),
            snr_db=settings.noise.snr_db if settings.response.snr_db is None else settings.response.snr_db,
            per_band=settings.noise.per_band,
            seed=seed,
            progress=progress,
        )
        template = observation_template(_without_images(simulation, assumed), metadata)
        write_observation(out, template, ratio, origin, partial(_images, simulation), progress)
    timing.write(out.parent)


def _without_images(simulation: Simulation, assumed: SpatialResponse) -> ObservedScene:
    """Return the scene before its images are made, with the H that the methods assume."""
    sensors = simulation.sensors
    return ObservedScene(
        placeholder(len(simulation.sigma_hsi), *sensors.lr_shape),
        placeholder(len(simulation.sigma_msi), *sensors.hr_shape),
        sensors.spectral_response,
        assumed,
        simulation.sigma_hsi,
        simulation.sigma_msi,
    )


def _images(simulation: Simulation, tile: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the LR-HSI and the HR-MSI of one tile."""
    part = simulation.observe(tile)
    return part.lr_hsi, part.hr_msi
