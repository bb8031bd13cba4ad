"""What limits PLRDiff on a scene with a reference: its base bands, their residual, or the sampling.

Prints PSNR and SAM of the fused cube, and of the cubes that the *true* base bands would give with the same E
and each kind of residual: no sampling of base bands can do better than about these. Opens the reference, and
so serves no choice of a setting.

    python benchmarks/diagnose_plrdiff.py results/benchmark_local/jasper_ridge/landsat8/seed0/plrdiff_self
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.quality.metrics import evaluate
from pipeline.core.quality.residuals import residuals
from pipeline.core.sensing.observation import Observation
from pipeline.core.subspace.base_bands import base_bands
from pipeline.methods.diffusion.low_rank_model import LowRankModel
from pipeline.methods.diffusion.low_rank_observation import piece_of
from pipeline.runs.observation import read_scene
from pipeline.store.schema import scene_from
from pipeline.store.store import read_store


def ceiling(
    model: LowRankModel, kind: str, reference: NDArray[np.float32], seen: Observation
) -> NDArray[np.float32]:
    """Return the cube that the reference's own base bands give with E and a kind of residual."""
    piece = piece_of(seen, seen, seen.whole, model, kind, torch.device("cpu"))
    assert piece is not None
    base = reference[base_bands(len(reference), len(model.mixing))]
    return np.tensordot(model.mixing.T, base, axes=1) + piece.residual.numpy() * np.float32(model.scale)


def scores(name: str, cube: NDArray[np.float32], reference: NDArray[np.float32], seen: Observation) -> None:
    """Print a cube's PSNR, SAM and residuals."""
    quality, rest = evaluate(reference, cube, ratio=seen.spatial_response.ratio), residuals(cube, seen)
    print(
        f"{name:36s} {quality['psnr']:7.2f} {quality['sam']:7.2f} {rest.hsi.level:8.2f} {rest.msi.level:8.2f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    folder = parser.parse_args().run
    settings = json.loads((folder / "metrics.json").read_text())["settings"]
    scene = read_scene(folder.parent / "observation.json", folder.parent / "estimate.json")
    seen = scene.crop(scene.whole)
    reference = scene_from(read_store(folder.parents[2] / "reference.json")).data
    model = LowRankModel.of(seen, settings["rank"])
    print(f"{'':36s} {'PSNR':>7s} {'SAM':>7s} {'res HSI':>8s} {'res MSI':>8s}")
    scores("as fused", np.asarray(read_store(folder / "fused.json")["fused"]), reference, seen)
    for kind in ("optimised", "interpolated", "none"):
        scores(f"true base bands, residual {kind}", ceiling(model, kind, reference, seen), reference, seen)


if __name__ == "__main__":
    main()
