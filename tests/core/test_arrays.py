"""Arguments of the Python interface from NumPy, PyTorch, xarray and Dask, with their masks."""

import dask.array
import numpy as np
import pytest
import torch
import xarray as xr

import pipeline
from pipeline.core.sensing.arrays import oriented, real_array

CUBE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
MASK = CUBE % 5 == 0
HOLES = np.where(MASK, np.nan, CUBE.astype(np.float32))


def big_endian(cube):
    return np.ma.masked_array(cube.astype(">i2"), MASK)


@pytest.mark.parametrize(
    "values",
    [
        np.ma.masked_array(CUBE, MASK),
        big_endian(CUBE),
        np.ma.masked_array(np.where(MASK, 1e20, CUBE), MASK, dtype=np.float32),
        list(np.ma.masked_array(CUBE, MASK)),
        torch.tensor(HOLES, requires_grad=True),
        torch.tensor(HOLES, dtype=torch.bfloat16),
        [torch.tensor(plane) for plane in HOLES],
        dask.array.from_array(np.ma.masked_array(CUBE, MASK), chunks=2),
        xr.DataArray(HOLES, dims=("band", "y", "x")),
        xr.DataArray(np.moveaxis(HOLES, 0, 2), dims=("lat", "lon", "wavelength")),
        xr.DataArray(np.moveaxis(HOLES, 0, 1), dims=("y", "channel", "x")).chunk(2),
        xr.DataArray(
            np.where(MASK, -99, CUBE), dims=("band", "Line", "Sample"), attrs={"_FillValue": np.int16(-99)}
        ),
    ],
)
def test_missing_values_are_nan_whatever_library_marks_them(values):
    assert np.array_equal(real_array("lr_hsi", values), HOLES, equal_nan=True)


def test_other_arrays_keep_their_type_and_order():
    assert real_array("x", CUBE) is CUBE
    assert real_array("x", torch.tensor(CUBE)).dtype == np.int16
    assert real_array("x", xr.DataArray(CUBE, dims=("a", "b", "c"))).shape == CUBE.shape
    assert real_array("x", xr.DataArray(CUBE[0], dims=("x", "y"))).shape == CUBE[0].shape
    lazy = xr.DataArray(dask.array.from_array(CUBE), dims=("x", "y", "band"))
    assert oriented(lazy).chunks is not None
    assert oriented(lazy).shape == (4, 3, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (CUBE + 1j, "x: expected numbers, got an array of complex numbers"),
        (torch.tensor(CUBE) * 1j, "complex numbers"),
        (torch.empty(2, device="meta"), "x: Tensor cannot be read as an array"),
        ([CUBE, CUBE[:, 1:]], "rows of unequal length"),
        ([[1, 2], [3]], "rows of unequal length"),
        (None, "expected numbers, got an array of type object"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused(values, message):
    with pytest.raises(pipeline.InputError, match=message) as error:
        real_array("x", values)
    assert "\n" not in str(error.value)


def test_simulate_takes_the_mask_of_a_reference():
    reference = np.random.default_rng(0).random((6, 16, 16), np.float32) + 1
    mask = np.zeros(reference.shape, bool)
    mask[2, :4, :4] = True
    hidden = np.ma.masked_array(np.where(mask, -9999, reference), mask)
    sensors = {
        "spectral_response": np.kron(np.eye(2), np.ones(3)) / 3,
        "spatial_response": pipeline.SpatialResponse.box(ratio=4),
    }
    masked, marked = (
        pipeline.simulate(cube, **sensors) for cube in (hidden, np.where(mask, np.nan, reference))
    )
    assert np.array_equal(masked.lr_hsi, marked.lr_hsi, equal_nan=True)
    assert np.array_equal(masked.hr_msi, marked.hr_msi, equal_nan=True)
    assert np.isnan(masked.lr_hsi[2, 0, 0])


@pytest.mark.parametrize(
    "kind", [np.ma.masked_array, lambda data, mask: list(np.ma.masked_array(data, mask))]
)
def test_evaluate_takes_the_mask_of_a_cube(kind):
    reference = np.random.default_rng(0).random((3, 40, 40), np.float32)
    mask = np.zeros(reference.shape, bool)
    mask[:, :5] = True
    cube = reference + np.float32(0.1)
    scores = pipeline.evaluate(reference, kind(np.where(mask, -9999, cube), mask), ratio=4)
    assert scores["rmse"] == pytest.approx(0.1, rel=1e-5)
    swapped = pipeline.evaluate(kind(np.where(mask, -9999, reference), mask), cube, ratio=4)
    assert swapped["rmse"] == pytest.approx(0.1, rel=1e-5)
    tensor = pipeline.evaluate(reference, torch.tensor(cube, requires_grad=True), ratio=4)
    assert tensor["rmse"] == pytest.approx(0.1, rel=1e-5)
    turned = xr.DataArray(np.moveaxis(cube, 0, 2), dims=("y", "x", "band"))
    assert pipeline.evaluate(reference, turned, ratio=4)["rmse"] == pytest.approx(0.1, rel=1e-5)


def test_evaluate_refuses_an_imaginary_part_and_a_ratio_of_zero():
    cube = np.ones((3, 40, 40))
    with pytest.raises(pipeline.InputError, match="cube: expected numbers, got an array of complex numbers"):
        pipeline.evaluate(cube, cube + 1j, ratio=4)
    with pytest.raises(pipeline.InputError, match="ratio: expected a positive number, got 0"):
        pipeline.evaluate(cube, cube, ratio=0)
