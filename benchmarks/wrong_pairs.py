"""PSNR of the fast methods when what they are told of the spectral response, or an image, is wrong.

Each simulated scene of an experiment is fused with its first response and seed 0, under wrong spectral
responses, gains, stripes and dead bands (`docs/results/graph_subspace.md`). `config/robustness.yaml` has
what the workflow itself can simulate: wrong PSFs, shifts and other noise.

    python benchmarks/wrong_pairs.py [config/beyond.yaml] [--scenes samson pavia_centre]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.config.experiment import Experiment, load_experiment
from pipeline.config.scenes import Scene
from pipeline.core.quality.metrics import evaluate
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.inputs.file_scene import open_scene
from pipeline.inputs.responses import read_response
from pipeline.methods import build
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.methods.graph_subspace.settings import GraphSubspaceSettings
from pipeline.methods.hysure.settings import HysureSettings

METHODS = (GaussianSubspaceSettings(), HysureSettings(), GraphSubspaceSettings(draws=0))
GAIN = 0.05  # by which each MSI band is too bright or too dark
STRIPED = 0.1  # of the bands
STRIPES = 5.0  # standard deviation of the columns' offsets, in noise levels
DEAD = 3  # bands
AWAY = 5  # bands from either end, at least, that are dead

Array = NDArray[Any]
Wrong = Callable[[Observation, np.random.Generator], tuple[Observation, list[int]]]
"""An observation with a fault, and the bands that are not to be scored."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=Path("config/beyond.yaml"))
    parser.add_argument("--scenes", nargs="*")
    options = parser.parse_args()
    experiment = load_experiment(options.config)
    print("PSNR [dB] of", " / ".join(settings.method for settings in METHODS))
    for name, scene in experiment.scenes.items():
        if scene.pair is None and name in (options.scenes or experiment.scenes):
            reference, observation = observed(experiment, scene)
            for fault, wrong in FAULTS.items():
                told, left_out = wrong(observation, np.random.default_rng(0))
                scored = np.setdiff1d(np.arange(len(reference)), left_out)
                with threadpool_limits(1):
                    found = [score(settings, told, reference, scored) for settings in METHODS]
                print(f"{name:16}{fault:24}", " / ".join(f"{value:.1f}" for value in found), flush=True)


def observed(experiment: Experiment, scene: Scene) -> tuple[Array, Observation]:
    """Return the scene's reference and its observation at the experiment's noise."""
    given = scene.source
    source = open_scene(given)
    window = scene.window(source.shape[1:])
    reference = np.asarray(source.read(window), np.float32)
    names = list(scene.responses or experiment.responses)
    response = experiment.responses[names[0]]
    seen = read_response(response.spectral, source.metadata.wavelength, source.metadata.fwhm)
    return reference, simulate(
        reference,
        spectral_response=seen,
        spatial_response=response.spatial.build(),
        snr_db=experiment.noise.snr_db,
        seed=0,
    )


def score(settings: Any, told: Observation, reference: Array, scored: Array) -> float:
    """PSNR over some bands of what a method makes of an observation."""
    cube = build(settings).fit(told).fuse()
    return evaluate(reference[scored], cube[scored], ratio=float(told.spatial_response.ratio))["psnr"]


def as_it_is(pair: Observation, _: np.random.Generator) -> tuple[Observation, list[int]]:
    """No fault."""
    return pair, []


def displaced_response(pair: Observation, _: np.random.Generator) -> tuple[Observation, list[int]]:
    """All MSI bands told one HSI band too far towards long wavelengths."""
    moved = np.roll(pair.spectral_response, 1, axis=1)
    moved[:, 0] = 0
    return replace(pair, spectral_response=moved / moved.sum(axis=1, keepdims=True)), []


def wide_response(pair: Observation, _: np.random.Generator) -> tuple[Observation, list[int]]:
    """All MSI bands told as averages with both neighbours."""
    wide = np.stack([np.convolve(band, [0.25, 0.5, 0.25], "same") for band in pair.spectral_response])
    return replace(pair, spectral_response=wide / wide.sum(axis=1, keepdims=True)), []


def wrong_gains(pair: Observation, generator: np.random.Generator) -> tuple[Observation, list[int]]:
    """Each MSI band too bright or too dark."""
    gains = 1 + GAIN * generator.choice([-1, 1], len(pair.hr_msi))
    return replace(pair, hr_msi=(pair.hr_msi * gains[:, None, None]).astype(np.float32)), []


def striped(pair: Observation, generator: np.random.Generator) -> tuple[Observation, list[int]]:
    """Columns of some HSI bands displaced in value."""
    lr_hsi = pair.lr_hsi.copy()
    bands = generator.choice(len(lr_hsi), round(STRIPED * len(lr_hsi)), replace=False)
    offsets = STRIPES * generator.standard_normal((len(bands), 1, lr_hsi.shape[2]))
    lr_hsi[bands] += (offsets * pair.sigma_hsi[bands, None, None]).astype(np.float32)
    return replace(pair, lr_hsi=lr_hsi), []


def dead_bands(pair: Observation, generator: np.random.Generator) -> tuple[Observation, list[int]]:
    """Set some HSI bands to zero, unknown to the method."""
    lr_hsi = pair.lr_hsi.copy()
    bands = generator.choice(np.arange(AWAY, len(lr_hsi) - AWAY), DEAD, replace=False)
    lr_hsi[bands] = 0
    return replace(pair, lr_hsi=lr_hsi), bands.tolist()


FAULTS: dict[str, Wrong] = {
    "none": as_it_is,
    "R one band off": displaced_response,
    "R too wide": wide_response,
    "MSI gains 5 % off": wrong_gains,
    "a tenth of bands striped": striped,
    "three dead bands": dead_bands,
}

if __name__ == "__main__":
    main()
