"""Parts of a scene on which a method is trained count in no metric."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from pipeline.core.quality.comparison import compare
from pipeline.errors import InputError
from pipeline.methods.supervised import Region
from pipeline.steps.evaluate import PartlyScored


@pytest.fixture
def truth() -> xr.DataArray:
    values = np.random.default_rng(0).uniform(0.1, 1, (4, 90, 70)).astype(np.float32)
    return xr.DataArray(values, dims=("band", "y", "x"))


def test_errors_in_the_region_change_no_score(truth: xr.DataArray) -> None:
    cube = truth.values + np.float32(0.01)
    wrong = cube.copy()
    wrong[:, :40, 10:50] = 7
    reference = PartlyScored(truth, [Region(row=0, column=10, height=40, width=40)])
    scores, with_errors = (compare(reference, fused, ratio=4) for fused in (cube, wrong))
    assert scores.rmse == with_errors.rmse == pytest.approx(0.01, rel=1e-3)
    assert scores.sam == with_errors.sam
    masked = truth.values.copy()
    masked[:, :40, 10:50] = np.nan
    assert compare(masked, wrong, ratio=4).rmse == with_errors.rmse


def test_regions_may_reach_beyond_the_scene_but_not_cover_it(truth: xr.DataArray) -> None:
    part = PartlyScored(truth, [Region(row=80, column=60, height=100, width=100)])
    assert int(np.isnan(part[:, 70:90, 50:70]).sum()) == 4 * 10 * 10
    with pytest.raises(InputError, match="cover the whole scene of 90x70 pixels; train on a smaller region"):
        PartlyScored(truth, [Region(height=50, width=70), Region(row=40, height=50, width=70)])
    corner = [Region(height=90, width=69), Region(height=89, width=70)]
    assert int(np.isfinite(PartlyScored(truth, corner)[:, 0:90, 0:70]).sum()) == 4
    with pytest.raises(InputError, match="cover the whole scene"):
        PartlyScored(truth, [*corner, Region(row=89, column=69, height=1, width=1)])
