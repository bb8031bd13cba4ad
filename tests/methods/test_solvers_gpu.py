"""The methods that solve for the cube, on a GPU: the CPU's result, and equal bytes twice."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.sensing.observation import Observation
from pipeline.methods import build, settings_of
from pipeline.methods.base import Fused

pytestmark = pytest.mark.gpu
METHODS = ("gaussian_subspace", "graph_subspace", "hysure")


def fused(method: str, observation: Observation, device: str, precision: str) -> Fused:
    fitted = build(settings_of(method)(method=method, device=device, precision=precision)).fit(observation)
    assert (fitted.device == "cpu") == (device == "cpu")
    return fitted.fuse_part_with_deviation(fitted.read(observation.whole), observation.whole)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float64", 1e-6)])
def test_gpu_agrees_with_the_cpu(
    method: str, precision: str, tolerance: float, observation_of_landscape: Observation
) -> None:
    """Up to rounding, for the standard deviation too; cubes are float32 whatever they were computed in."""
    here, there = (fused(method, observation_of_landscape, device, precision) for device in ("cuda", "cpu"))
    full_scale = np.ptp(there.cube)
    assert np.abs(here.cube - there.cube).max() < tolerance * full_scale
    assert (here.deviation is None) == (there.deviation is None)
    if here.deviation is not None and there.deviation is not None:
        assert np.abs(here.deviation - there.deviation).max() < tolerance * full_scale


@pytest.mark.parametrize("method", METHODS)
def test_equal_runs_give_equal_bytes(method: str, observation_of_landscape: Observation) -> None:
    first, second = (fused(method, observation_of_landscape, "cuda", "auto") for _ in range(2))
    assert first.cube.tobytes() == second.cube.tobytes()
    if first.deviation is not None and second.deviation is not None:
        assert first.deviation.tobytes() == second.deviation.tobytes()
