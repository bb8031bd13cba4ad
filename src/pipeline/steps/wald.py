"""Step `wald`: store the LR-HSI of a pair as the reference of the scene one Wald level down.

The LR-HSI is cut to whole pixels of the next level; `degrade` makes the two images that belong to it. Bands
that a pixel lacks are estimated from its other bands, since metrics need all of them; pixels without any
measured value are no-data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.scene import Metadata, OpenScene
from pipeline.core.sensing.observation import Image
from pipeline.core.subspace.completion import completed, learn_completion
from pipeline.core.window import Window
from pipeline.runs.observation import metadata_level_down, shape_level_down
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.runs.reference import write_reference
from pipeline.runs.timing import Timing
from pipeline.settings.strict import Strict
from pipeline.store.schema import metadata_from, observed_scene
from pipeline.store.store import read_store


def run(*, observation: Path, out: Path) -> None:
    """Write `reference.zarr` and its ledger.

    Parameters
    ----------
    observation : Path
        Ledger of the pair's observation, as `align` wrote it.
    out : Path
        The ledger to write, `reference.json`.

    Raises
    ------
    InputError
        The LR-HSI is too small for another level.
    """
    timing = Timing("wald")
    with timing.measure("io"), ProgressReport() as progress:
        dataset = read_store(observation)
        measured = observed_scene(dataset)
        pair = completed(measured, learn_completion(measured))
        scene = StoredScene(observation, pair.lr_hsi, metadata_level_down(metadata_from(dataset), pair))
        height, width = shape_level_down(pair)
        origin = provenance("wald", settings=Strict(), inputs=[observation])
        write_reference(out, scene, Window(0, height, 0, width), origin, progress)
    timing.write(out.parent)


class StoredScene(OpenScene):
    """An image of a store as a scene.

    Parameters
    ----------
    ledger : Path
        The store's ledger, for messages.
    image : Image
        The image (band, y, x).
    metadata : Metadata
        Its bands and place.

    Attributes
    ----------
    name : str
        Path of the ledger.
    shape : (int, int, int)
        Bands, height and width.
    """

    def __init__(self, ledger: Path, image: Image, metadata: Metadata) -> None:
        self.name, self.metadata, self._image = str(ledger), metadata, image
        bands, height, width = image.shape
        self.shape = bands, height, width

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return values of a window (band, y, x)."""
        return np.asarray(self._image[:, *window.slices], np.float32)
