"""Borders of H: what a wrong one costs, and that tiles have a border only where the scene ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pipeline
from pipeline.config.scenes import SyntheticSource
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.rim import without_rim
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.completion import completed, learn_completion
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods import build, settings_of
from scores import psnr

SAMPLES = np.exp(-0.5 * np.square((np.arange(12) - 5.5) / 2))
PSF = SpatialResponse.from_psf(np.outer(SAMPLES, SAMPLES), ratio=4)


def scene(side: int) -> np.ndarray:
    source = SyntheticSource(kind="synthetic", height=side, width=side, bands=24, seed=4)
    return synthetic_scene(source).data


def dark_beyond(side: int, ratio_response: SpatialResponse = PSF) -> Observation:
    """A pair whose LR-HSI is blurred with zeros beyond the scene."""
    srf = np.kron(np.eye(4), np.full(6, 1 / 6))
    return simulate(scene(side), spectral_response=srf, spatial_response=ratio_response.bordered("zero"))


def fused(pair: Observation, border: str) -> np.ndarray:
    return pipeline.fuse(
        pair.lr_hsi,
        pair.hr_msi,
        spectral_response=pair.spectral_response,
        spatial_response=pair.spatial_response.bordered(border),
        draws=0,
    ).cube


def test_a_contradicted_border_costs_little_once_it_is_ignored() -> None:
    pair, truth = dark_beyond(64), scene(64)
    inside = slice(8, -8)
    right, mirrored, ignored = (fused(pair, border) for border in ("zero", "mirror", "ignore"))
    scores = [psnr(truth[:, inside, inside], cube[:, inside, inside]) for cube in (right, mirrored, ignored)]
    assert scores[2] > scores[0] - 0.1
    assert scores[2] > scores[1] + 0.1
    assert scores[1] > scores[0] - 0.5  # noise levels are estimated away from the rim
    assert not np.isnan(ignored).any()


@pytest.mark.parametrize("border", ["zero", "ignore"])
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("gaussian_subspace", 1e-5), pytest.param("graph_subspace", 5e-4, marks=pytest.mark.long)],
)
def test_tiles_have_a_border_where_the_scene_ends(name: str, tolerance: float, border: str) -> None:
    response = SpatialResponse.gaussian(ratio=2, fwhm=1.0)
    pair = dark_beyond(96, response)
    told = without_rim(replace(pair, spatial_response=response.bordered(border)))
    settings = {"draws": 0} if name == "graph_subspace" else {}
    method = build(settings_of(name)(method=name, **settings))
    fitted = method.fit(completed(told, learn_completion(told)))
    whole = fitted.fuse()
    assert not np.isnan(whole).any()
    for window in (Window(32, 64, 64, 96), Window(0, 32, 0, 32)):
        assert fitted.read(window).hr_shape < pair.hr_shape
        error = np.square(fitted.fuse(window) - whole[:, *window.slices])
        assert np.sqrt(error.mean()) < tolerance * np.ptp(whole)


def test_a_scene_that_is_all_rim_is_refused() -> None:
    wide = dark_beyond(32, SpatialResponse.gaussian(ratio=4, fwhm=5.0))
    with pytest.raises(
        InputError, match="with the border ignored, none of 8x8 LR pixels is left; use the bor"
    ):
        fused(wide, "ignore")


def test_other_methods_take_every_border() -> None:
    pair = dark_beyond(32)
    for border in ("zero", "ignore"):
        for name in ("bicubic", "gaussian_subspace", "cnmf", "hysure"):
            cube = pipeline.fuse(
                pair.lr_hsi,
                pair.hr_msi,
                spectral_response=pair.spectral_response,
                spatial_response=pair.spatial_response.bordered(border),
                method=name,
            ).cube
            assert np.isfinite(cube).all()
