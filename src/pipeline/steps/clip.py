"""Step `clip`: store the reference of a pair, clipped to the common footprint of its two images.

The reference is a file on the MSI's grid with the HSI's bands; `align` has recorded the footprint.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr
from affine import Affine
from rasterio.crs import CRS

from pipeline.config.scenes import Pair
from pipeline.config.scenes import Scene as SceneConfig
from pipeline.core.scene import Metadata, OpenScene, shifted
from pipeline.core.sensing.spectral import band_spacing
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.file_scene import open_file
from pipeline.inputs.source import locate
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.runs.reference import write_reference
from pipeline.runs.timing import Timing
from pipeline.store.files import read_record
from pipeline.store.schema import metadata_from
from pipeline.store.store import read_store

TOLERANCE = 0.25  # HR pixels by which a reference may lie off the MSI's grid


def run(*, source: Path, observation: Path, settings: SceneConfig, out: Path) -> None:
    """Write `reference.zarr` and its ledger.

    Parameters
    ----------
    source : Path
        `source.json`, which holds the digests of the pair's files.
    observation : Path
        Ledger of the pair's observation, which holds the footprint that `align` determined.
    settings : SceneConfig
        The scene's entry in the experiment, with a pair that has a `reference`.
    out : Path
        The ledger to write, `reference.json`.

    Raises
    ------
    InputError
        The pair has no reference, or its reference has another grid or other bands.
    """
    pair = settings.pair
    if pair is None or pair.reference is None:
        raise InputError("clip: the scene has no pair with a `reference`; give its file there")
    timing = Timing("clip")
    with timing.measure("io"), ProgressReport() as progress:
        dataset = read_store(observation)
        scene = open_file(pair.reference, read_record(source)["reference"]["sha256"])
        window = Window(*dataset.attrs["alignment"]["hr_window"])
        _check_reference(pair, scene, window, dataset)
        origin = provenance("clip", settings=settings, inputs=[source, observation])
        write_reference(out, scene, window, origin, progress)
    timing.write(out.parent)


def _check_reference(pair: Pair, scene: OpenScene, window: Window, dataset: xr.Dataset) -> None:
    """Refuse a reference whose grid is not the MSI's or whose bands are not the HSI's."""
    hsi, msi = (locate(pair.files[role]).name for role in ("hsi", "msi"))
    alignment, like = dataset.attrs["alignment"], metadata_from(dataset)
    if list(scene.shape[1:]) != alignment["msi_shape"] or alignment["resampled"]:
        raise InputError(
            f"{scene.name}: {scene.shape[1]}x{scene.shape[2]} pixels are not the grid of "
            f"{msi}; bring the reference to the MSI's grid, and both to the HSI's CRS"
        )
    clipped = replace(scene.metadata, transform=shifted(scene.metadata.transform, window.y0, window.x0))
    if not _same_place(clipped, like, window.shape):
        raise InputError(
            f"{scene.name}: its pixels lie elsewhere than those of {msi}; "
            "bring the reference to the MSI's grid"
        )
    if not _same_bands(scene, dataset.sizes["band"], like):
        raise InputError(
            f"{scene.name}: its {scene.shape[0]} bands are not the {dataset.sizes['band']} of "
            f"{hsi}; leave out others by `bad_bands` of both"
        )


def _same_place(first: Metadata, second: Metadata, shape: tuple[int, int]) -> bool:
    """Return whether two grids of one shape coincide, as far as their georeferences show."""
    if first.transform is None or second.transform is None:
        return True
    if first.crs and second.crs and CRS.from_user_input(first.crs) != CRS.from_user_input(second.crs):
        return False
    turn = ~Affine(*first.transform) @ Affine(*second.transform)
    height, width = shape
    corners = [(0, 0), (width, 0), (0, height)]
    return all(max(abs(a - b) for a, b in zip(turn @ at, at, strict=True)) < TOLERANCE for at in corners)


def _same_bands(scene: OpenScene, count: int, like: Metadata) -> bool:
    """Return whether a scene has `count` bands, at the same wavelengths as far as these are known."""
    own = scene.metadata.wavelength
    if scene.shape[0] != count or own is None or like.wavelength is None:
        return scene.shape[0] == count
    return bool((np.abs(own - like.wavelength) < band_spacing(like.wavelength)).all())
