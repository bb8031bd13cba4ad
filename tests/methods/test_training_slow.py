"""A real training of ARGS-Diff on the demo's scene: minutes, run by `make test-slow`."""

from pathlib import Path

import pytest

import pipeline
from pipeline.config.experiment import load_experiment
from pipeline.inputs.responses import read_response
from pipeline.inputs.synthetic.scene import synthetic_scene

pytestmark = pytest.mark.slow


def test_quick_budget_is_far_above_interpolation():
    experiment = load_experiment(Path(__file__).parents[2] / "config/demo.yaml")
    (config,), (response,) = experiment.scenes.values(), experiment.responses.values()
    scene = synthetic_scene(config.source)
    scene = scene.crop(config.window(scene.shape))
    srf = read_response(response.spectral, scene.wavelength, scene.fwhm)
    blur = response.spatial.build()
    pair = pipeline.simulate(scene.data, spectral_response=srf, spatial_response=blur)

    def psnr(method, **settings):
        result = pipeline.fuse(
            pair.lr_hsi, pair.hr_msi, spectral_response=srf, spatial_response=blur, method=method, **settings
        )
        return pipeline.evaluate(scene.data, result.cube, ratio=4)["psnr"]

    assert psnr("args_diff", budget="quick") > psnr("bicubic") + 8
