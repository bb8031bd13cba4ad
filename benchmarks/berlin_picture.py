"""The picture of the README: LR-HSI, HR-MSI, fused cube and its standard deviation, of the Berlin pair.

    snakemake --cores 2 --configfile config/berlin.yaml -- \
        results/berlin/berlin/measured/seed0/graph_subspace/fused.json
    python benchmarks/berlin_picture.py [results/berlin/berlin/measured/seed0] [docs/images/berlin.png]

The first command runs `graph_subspace` alone. The HSI is shown by three bands beyond those of the HR-MSI, so
that sharp detail in them was not copied.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

HSI_COLOURS = (2200.0, 1650.0, 850.0)
MSI_COLOURS = (647.0, 558.0, 484.0)
LR_SIDE = 30
LR_CORNER = (15, 26)
COLOURS = 200


def nearest(dataset: xr.Dataset, raster: str, band: str, wanted: tuple[float, ...]) -> NDArray[Any]:
    """Return the planes of a raster that are nearest to some wavelengths in nm."""
    centres = dataset[band].to_numpy()
    chosen = [int(np.argmin(np.abs(centres - wavelength))) for wavelength in wanted]
    return dataset[raster][chosen].to_numpy()


def stretched(planes: NDArray[Any], limits: NDArray[Any]) -> NDArray[Any]:
    """Scale planes (band, y, x) between limits (2, band) to colours (y, x, band) in [0, 1]."""
    low, high = limits[:, :, None, None]
    return np.clip((planes - low) / (high - low), 0, 1).transpose(1, 2, 0) ** 0.8


def rms(planes: NDArray[Any]) -> NDArray[Any]:
    """Return the root mean square over the bands."""
    return np.sqrt(np.mean(np.square(planes, dtype=np.float64), axis=0))


def main(run: Path, out: Path) -> None:
    """Draw the four images of a run side by side."""
    observation = xr.open_zarr(run / "observation.zarr", consolidated=False)
    fused = xr.open_zarr(run / "graph_subspace/fused.zarr", consolidated=False)
    lr = nearest(observation, "lr_hsi", "wavelength", HSI_COLOURS)
    msi = nearest(observation, "hr_msi", "msi_wavelength", MSI_COLOURS)
    cube = nearest(fused, "fused", "wavelength", HSI_COLOURS)
    ratio = cube.shape[1] / lr.shape[1]
    row, column = LR_CORNER
    coarse = (slice(row, row + LR_SIDE), slice(column, column + LR_SIDE))
    fine = tuple(slice(round(part.start * ratio), round(part.stop * ratio)) for part in coarse)
    limits = np.nanpercentile(cube[:, *fine], (1, 99), axis=(1, 2))
    msi_limits = np.nanpercentile(msi[:, *fine], (1, 99), axis=(1, 2))
    values, deviation = (rms(fused[raster][:, *fine].to_numpy()) for raster in ("fused", "deviation"))
    percent = 100 * deviation / np.nanmean(values)
    pictures = [
        (f"LR-HSI, {lr_bands(observation)} bands, 30 m", stretched(lr[:, *coarse], limits)),
        ("HR-MSI, 4 bands, 3.6 m", stretched(msi[:, *fine], msi_limits)),
        (f"Fused, {lr_bands(observation)} bands, 3.6 m", stretched(cube[:, *fine], limits)),
    ]
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.25), dpi=100)
    for axis, (title, picture) in zip(axes, pictures, strict=False):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(title, fontsize=11)
    low, high = np.nanpercentile(percent, (0.5, 99.5))
    shown = axes[3].imshow(percent, cmap="inferno", vmin=low, vmax=high)
    axes[3].set_title("Its standard deviation, all bands", fontsize=11)
    bar = figure.colorbar(shown, cax=axes[3].inset_axes((0.04, 0.03, 0.04, 0.5)), format="{x:.0f} %")
    bar.ax.tick_params(labelsize=9, colors="white", length=0)
    bar.outline.set_visible(False)
    for axis in axes:
        axis.set_axis_off()
    figure.subplots_adjust(0.003, 0.01, 0.997, 0.92, wspace=0.02)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    Image.open(out).convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT).save(out, optimize=True)


def lr_bands(observation: xr.Dataset) -> int:
    """Return the number of bands of the LR-HSI."""
    return int(observation.sizes["band"])


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    defaults = [Path("results/berlin/berlin/measured/seed0"), Path("docs/images/berlin.png")]
    main(*(given + defaults[len(given) :]))
