"""The Python interface and the protocol that every method behind it keeps."""

from pathlib import Path

import numpy as np
import pytest

import pipeline
from brief import BRIEF
from pipeline.config.experiment import load_experiment
from pipeline.core.window import Window
from pipeline.inputs.file_scene import read_scene
from pipeline.inputs.responses import read_response
from pipeline.methods import build, settings_of


@pytest.fixture(params=pipeline.methods())
def method(request):
    return request.param


def test_fuse_returns_the_cube_and_its_origin(method, observation_of_landscape):
    pair = observation_of_landscape
    result = pipeline.fuse(
        pair.lr_hsi,
        pair.hr_msi,
        spectral_response=pair.spectral_response,
        spatial_response=pair.spatial_response,
        method=method,
        **BRIEF.get(method, {}),
    )
    assert result.cube.shape == (pair.bands, *pair.hr_shape)
    assert result.cube.dtype == np.float32
    assert np.isfinite(result.cube).all()
    assert result.seconds == pytest.approx(sum(result.provenance["seconds"].values()))
    assert result.provenance["method"] == method
    assert result.provenance["seed"] == 0
    assert len(result.provenance["sigma_hsi"]) == pair.bands


def test_restored_method_fuses_the_same_bytes(method, observation_of_landscape):
    settings = settings_of(method)(**BRIEF.get(method, {}))
    fitted = build(settings).fit(observation_of_landscape, 3)
    state = fitted.state()
    restored = build(settings).restore(observation_of_landscape, state, 3)
    assert restored.fuse().tobytes() == fitted.fuse().tobytes()
    assert restored.parameters == fitted.parameters
    assert all(isinstance(array, np.ndarray) for array in state.values())


def test_window_agrees_with_the_whole(method, observation_of_landscape):
    settings = settings_of(method)(**BRIEF.get(method, {}))
    fitted = build(settings).fit(observation_of_landscape)
    whole = fitted.fuse()
    window = Window(9, 23, 17, 40)
    part = fitted.fuse(window)
    assert part.shape == (whole.shape[0], 14, 23)
    assert np.abs(part - whole[:, 9:23, 17:40]).max() < 1e-4 * np.ptp(whole)


def test_closed_form_beats_bicubic_by_far(observation_of_landscape, landscape):
    pair = observation_of_landscape

    def psnr(name):
        cube = pipeline.fuse(
            pair.lr_hsi,
            pair.hr_msi,
            spectral_response=pair.spectral_response,
            spatial_response=pair.spatial_response,
            method=name,
        ).cube
        return pipeline.evaluate(landscape.data, cube, ratio=4)["psnr"]

    assert psnr("gaussian_subspace") > psnr("bicubic") + 4


@pytest.mark.usefixtures("catalogued")
def test_figures_of_jasper_ridge():
    """The closed form's and the interpolation's figures on a real scene, noise levels estimated."""
    experiment = load_experiment(Path(__file__).parents[1] / "config/jasper_ridge.yaml")
    config = experiment.scenes["jasper_ridge"]
    scene = read_scene(config.source)
    scene = scene.crop(config.window(scene.shape))
    response = experiment.responses["landsat8"]
    srf = read_response(response.spectral, scene.wavelength, scene.fwhm)
    blur = response.spatial.build()
    pair = pipeline.simulate(scene.data, spectral_response=srf, spatial_response=blur)

    def psnr(name):
        result = pipeline.fuse(
            pair.lr_hsi, pair.hr_msi, spectral_response=srf, spatial_response=blur, method=name
        )
        return pipeline.evaluate(scene.data, result.cube, ratio=4)["psnr"]

    assert psnr("bicubic") == pytest.approx(24.5, abs=0.5)
    assert psnr("gaussian_subspace") > 39.5


def test_named_response_takes_the_ratio_from_the_sizes(observation_of_landscape):
    pair = observation_of_landscape
    named, given = (
        pipeline.fuse(
            pair.lr_hsi, pair.hr_msi, spectral_response=pair.spectral_response, spatial_response=response
        ).cube
        for response in ("bicubic", pipeline.SpatialResponse.bicubic(ratio=4))
    )
    assert np.array_equal(named, given)


def call(pair, **changes):
    arguments = {
        "lr_hsi": pair.lr_hsi,
        "hr_msi": pair.hr_msi,
        "spectral_response": pair.spectral_response,
        "spatial_response": pair.spatial_response,
    } | changes
    return pipeline.fuse(arguments.pop("lr_hsi"), arguments.pop("hr_msi"), **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            lambda p: {"method": "magic"},
            "magic.*unknown; use one of args_diff, bicubic, .*miae",
        ),
        (lambda p: {"dd": 3}, "unknown key 'dd'.*accepted: "),
        (lambda p: {"d": 25}, "25 subspace dimensions.*at most 24"),
        (lambda p: {"d": "many"}, "d: should be a valid integer"),
        (
            lambda p: {"lr_hsi": p.lr_hsi[0]},
            r"lr_hsi: expected three axes \(band, y, x\), got shape \(8, 10\)",
        ),
        (lambda p: {"lr_hsi": np.moveaxis(p.lr_hsi, 0, 2)}, "24 bands on the last axis"),
        (lambda p: {"lr_hsi": p.lr_hsi[:, 1:]}, "7x10 pixels do not match"),
        (
            lambda p: {"hr_msi": p.hr_msi[:, :30]},
            "30 HR pixels.*crop to a multiple of 4, the nearest being 28 or 32",
        ),
        (lambda p: {"hr_msi": p.hr_msi.astype(object)}, "expected numbers"),
        (lambda p: {"lr_hsi": p.lr_hsi + np.inf}, "infinite"),
        (lambda p: {"lr_hsi": p.lr_hsi * np.nan}, "lr_hsi: 24 of 24 bands hold no valid value"),
        (lambda p: {"hr_msi": p.hr_msi * np.nan}, "hr_msi: 4 of 4 bands hold no valid value"),
        (lambda p: {"spectral_response": p.spectral_response[:, 1:]}, r"expected shape \(4, 24\)"),
        (lambda p: {"spectral_response": p.spectral_response * [[1], [0], [1], [1]]}, "row 1 is all zero"),
        (lambda p: {"spatial_response": "sinc"}, "'sinc' is unknown; use bicubic, gaussian, box"),
        (lambda p: {"spatial_response": np.ones((4, 4))}, "expected a SpatialResponse, got ndarray"),
        (lambda p: {"spectral_response": "abc"}, "spectral_response: expected numbers"),
        (lambda p: {"spectral_response": [[1, 2], [1]]}, "rows of unequal length"),
        (
            lambda p: {"lr_hsi": np.where(np.arange(24)[:, None, None] == 3, np.nan, p.lr_hsi)},
            r"lr_hsi: 1 of 24 bands hold no valid value \(counted from 0: 3\)",
        ),
        (lambda p: {"sigma_hsi": 0}, "sigma_hsi: expected one positive number or 24"),
        (lambda p: {"sigma_msi": [1, 2]}, "sigma_msi: expected one positive number or 4"),
    ],
)
def test_bad_input_is_one_clear_line(changes, message, observation_of_landscape):
    with pytest.raises(pipeline.InputError, match=message) as error:
        call(observation_of_landscape, **changes(observation_of_landscape))
    assert "\n" not in str(error.value)


def test_nothing_of_the_reference_reaches_a_method(observation_of_landscape):
    fields = set(vars(observation_of_landscape)) - {"operator"}
    assert fields == {
        "lr_hsi",
        "hr_msi",
        "spectral_response",
        "spatial_response",
        "sigma_hsi",
        "sigma_msi",
        "origin",
        "gaps",
    }
