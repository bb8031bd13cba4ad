"""Step `degrade`: degrade a pair to the next Wald level, where its LR-HSI is the reference.

Both images are degraded by the LR-HSI's own response, which is assumed to hold one scale up (Wald et al.
1997); the shift between the images is removed with the HR-MSI. No noise is added: the noise of the
images is averaged. Responses and noise levels follow from the result of `estimate`; none is estimated again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.observation import Image, ObservedScene
from pipeline.core.window import Window
from pipeline.runs.observation import (
    metadata_level_down,
    observation_template,
    read_completed_scene,
    shape_level_down,
    write_observation,
)
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.runs.timing import Timing
from pipeline.settings.strict import Strict
from pipeline.store.schema import metadata_from, placeholder
from pipeline.store.store import read_store


def run(*, observation: Path, estimate: Path, out: Path) -> None:
    """Write `observation.zarr` and its ledger.

    Parameters
    ----------
    observation : Path
        Ledger of the pair's observation, as `align` wrote it.
    estimate : Path
        Ledger of the pair's estimated responses and noise levels.
    out : Path
        The ledger to write, `observation.json`.

    Raises
    ------
    InputError
        The LR-HSI is too small for another level.
    """
    timing = Timing("degrade")
    with timing.measure("compute"), ProgressReport() as progress:
        scene = read_completed_scene(observation, estimate)
        like = metadata_level_down(metadata_from(read_store(observation)), scene)
        pair = DegradedPair(scene)
        origin = provenance("degrade", settings=Strict(), inputs=[observation, estimate])
        template = observation_template(pair.without_images(), like)
        write_observation(out, template, pair.response.ratio, origin, pair.images, progress)
    timing.write(out.parent)


class DegradedPair:
    """A scene whose HR-MSI and LR-HSI are both degraded by its spatial response.

    Parameters
    ----------
    scene : ObservedScene
        The pair, with its estimated responses and noise levels.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the HR grid one level down: the LR-HSI's, cut to whole LR pixels.
    """

    def __init__(self, scene: ObservedScene) -> None:
        self.scene, response = scene, scene.spatial_response
        self.shape = shape_level_down(scene)
        y, x = response.shift
        self.response = response.shifted(-y, -x)

    def without_images(self) -> ObservedScene:
        """Return the degraded pair without its images, with the noise levels that the averaging leaves."""
        scene = self.scene
        gain = np.sqrt(self.response.noise_gain(*self.shape))
        rows, columns = (self.response.lr_size(side) for side in self.shape)
        return ObservedScene(
            placeholder(scene.bands, rows, columns),
            placeholder(scene.hr_msi.shape[0], *self.shape),
            scene.spectral_response,
            self.response,
            gain * scene.sigma_hsi,
            np.sqrt(scene.spatial_response.noise_gain(*scene.hr_shape)) * scene.sigma_msi,
        )

    def images(self, tile: Window) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the degraded LR-HSI and HR-MSI in one tile of whole LR pixels."""
        scene = self.scene
        # a few estimated values among those that H averages do less harm than LR pixels without data
        hsi, msi = scene.filled
        operator, window = self.response.window_operator(self.shape, tile.coarsened(self.response.ratio))
        lr_hsi = operator.forward_with_nodata(_read(hsi, window))
        operator, window = scene.spatial_response.window_operator(scene.hr_shape, tile)
        return lr_hsi, operator.forward_with_nodata(_read(msi, window))


def _read(image: Image, window: Window) -> Any:
    return np.asarray(image[:, *window.slices], np.float64)
