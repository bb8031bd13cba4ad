"""What limits ARGS-Diff on a scene: its networks, its coefficients A or its basis E.

Takes a finished run of the workflow and prints (1) the error of both networks against t, on pixels
of the reference, which they never saw; (2) the loss over the sampling steps; (3) the fused cube
against cubes in which A or E is replaced by the best one. It opens the reference, as `evaluate`
does, and is no part of the method.

    python benchmarks/diagnose_args_diff.py results/benchmark_local/jasper_ridge/landsat8/seed0/args_diff
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
from pipeline.core.sensing.spatial import upsample
from pipeline.core.solvers.engine import Engine, array
from pipeline.core.solvers.gaussian import GaussianFusion, data_terms
from pipeline.core.subspace.basis import detail_covariance
from pipeline.methods.args_diff.fitted import FittedArgsDiff
from pipeline.methods.args_diff.guidance import JointLoss
from pipeline.methods.args_diff.method import ArgsDiff
from pipeline.methods.args_diff.networks import alpha_bar
from pipeline.methods.args_diff.sampling import sample
from pipeline.methods.args_diff.settings import ArgsDiffSettings
from pipeline.methods.checkpoint import read_arrays
from pipeline.methods.diffusion.guidance import guidance_of
from pipeline.runs.observation import read_scene
from pipeline.store.schema import scene_from
from pipeline.store.store import read_store

TIMES = (50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 990)


def network_errors(fitted: FittedArgsDiff, reference: NDArray[np.float32]) -> None:
    """Print the mean squared error of the predicted noise; 1 is that of predicting nothing."""
    observation, scale = fitted.scene, fitted.scale
    spectra = reference.reshape(len(reference), -1).T / scale
    msi = np.tensordot(observation.spectral_response, reference, axes=1) / scale
    generator = torch.Generator().manual_seed(0)
    bands = torch.randint(len(msi), (fitted.settings.d,), generator=generator)
    clean = (torch.from_numpy(msi).float()[bands][None] * 2 - 1, torch.from_numpy(spectra) * 2 - 1)
    abar = alpha_bar().float()
    print("    t    sigma   spatial  spectral   (mean squared error of the predicted noise)")
    for t in TIMES:
        errors = []
        for network, x in zip(fitted.sampling_networks(), clean, strict=True):
            noise = torch.randn(x.shape, generator=generator)
            noisy = abar[t].sqrt() * x + (1 - abar[t]).sqrt() * noise
            with torch.no_grad():
                predicted = network(noisy, torch.full((len(x),), t)).float()
            errors.append(float((predicted - noise).square().mean()))
        print(f"{t:5d} {float((1 - abar[t]).sqrt()):8.4f} {errors[0]:9.3f} {errors[1]:9.3f}")


def scores(name: str, cube: NDArray[np.float64], reference: NDArray[np.float32], seen: Observation) -> None:
    """Print one cube's PSNR and residuals."""
    cube = cube.astype(np.float32)
    rest = residuals(cube, seen)
    psnr = evaluate(reference, cube, ratio=seen.spatial_response.ratio)["psnr"]
    print(f"{name:44s} {psnr:6.2f} {rest.hsi.level:8.2f} {rest.msi.level:8.2f}")


def main() -> None:
    """Print the three diagnoses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--variant", choices=["code", "paper"], default="code")
    folder = (arguments := parser.parse_args()).run
    settings = ArgsDiffSettings(**json.loads((folder / "metrics.json").read_text())["settings"])
    settings = settings.model_copy(update={"variant": arguments.variant})
    seed = int(folder.parent.name.removeprefix("seed"))
    seen = read_scene(folder.parent / "observation.json", folder.parent / "estimate.json")
    reference = scene_from(read_store(folder.parents[2] / "reference.json")).data
    state, _ = read_arrays(folder / "fitted.safetensors")
    fitted = ArgsDiff(settings).restore(seen, state, seed)
    torch.set_num_threads(settings.threads)
    network_errors(fitted, reference)

    scale = fitted.scale
    guidance = guidance_of(seen, seen, seen.whole, scale, torch.device("cpu"))
    assert guidance is not None

    def progress(phase: str, done: int, total: int, loss: float) -> None:
        if done in (1, 2, 5, 10, 20, total - 1) or done % 50 == 0:
            print(f"step {done:4d}  loss {loss:10.3f}")

    start = [fitted.start([seen.whole]), fitted.start_basis()]
    planes, basis = sample(
        fitted.sampling_networks(), start, JointLoss([guidance], settings), settings, progress
    )
    a, e = (factor.numpy().astype(np.float64) for factor in (planes[0], basis))
    orthonormal = np.linalg.qr(e.T)[0].T
    coarse = np.tensordot(orthonormal, seen.lr_hsi, axes=1)
    mean, precision = (
        upsample(coarse, seen.hr_shape),
        np.linalg.inv(detail_covariance(coarse, seen.spatial_response)),
    )
    best_e = np.linalg.lstsq(a.reshape(len(a), -1).T, reference.reshape(len(reference), -1).T, rcond=None)[0]
    in_e = np.tensordot(orthonormal, reference, axes=1)
    print(f"{'':44s}   PSNR  res HSI  res MSI")
    terms = data_terms(seen, orthonormal, Engine())
    closed = array(GaussianFusion(terms, precision).solve(torch.from_numpy(mean)))
    for name, basis, coefficients in (
        ("A E as sampled", e * scale, a),
        ("E as sampled, closed form for A", orthonormal, closed),
        ("E as sampled, best A (from the reference)", orthonormal, in_e),
        ("A as sampled, best E (from the reference)", best_e, a),
    ):
        scores(name, np.tensordot(basis.T, coefficients, axes=1), reference, seen)


if __name__ == "__main__":
    main()
