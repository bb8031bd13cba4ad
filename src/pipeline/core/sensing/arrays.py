"""Arguments of the Python interface as arrays of real numbers, whatever library they come from.

No-data is NaN afterwards: masked values, and the fill value that an xarray object declares.

>>> real_array("lr_hsi", np.ma.masked_equal([[1, -9999]], -9999))
array([[ 1., nan]])
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

ROWS = frozenset({"y", "lat", "latitude", "northing", "row", "rows", "line", "lines", "height"})
COLUMNS = frozenset(
    {"x", "lon", "longitude", "easting", "col", "column", "columns", "sample", "samples", "width"}
)
FILL_VALUES = ("_FillValue", "missing_value", "nodata")  # attributes of an xarray object that was not decoded


def real_array(name: str, values: Any) -> NDArray[Any]:
    """Convert an argument to an array of real numbers, with NaN for no-data.

    NumPy arrays and lists, masked or not, PyTorch tensors of any type and device, and xarray and Dask arrays
    are converted; an xarray cube is put in the order (band, y, x) by the names of its dimensions.

    Parameters
    ----------
    name : str
        Name of the argument in errors.
    values : array_like
        The argument.

    Raises
    ------
    InputError
        It has rows of unequal length, or values that are no real numbers, or cannot be read as an array.
    """
    try:
        array = _array(values)
    except ValueError:
        if hasattr(values, "shape"):  # not from a list: from the file or store that lies behind the array
            raise
        raise InputError(f"{name}: expected an array of numbers, got rows of unequal length") from None
    except (TypeError, RuntimeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{name}: {type(values).__name__} cannot be read as an array ({reason}); convert it to NumPy"
        ) from None
    if array.dtype.kind not in "buif":
        kind = "complex numbers, expected real ones" if array.dtype.kind == "c" else f"type {array.dtype}"
        raise InputError(f"{name}: expected numbers, got an array of {kind}")
    return array


def oriented(image: Any) -> Any:
    """Put an xarray cube in the order (band, y, x) by its dimensions' names; leave others as they are."""
    dims = getattr(image, "dims", None)
    if not isinstance(dims, tuple) or len(dims) != 3 or not hasattr(image, "transpose"):
        return image
    names = [str(dim).lower() for dim in dims]
    places = [next((i for i, dim in enumerate(names) if dim in known), None) for known in (ROWS, COLUMNS)]
    if None in places:
        return image
    y, x = (place for place in places if place is not None)
    return image.transpose(dims[3 - y - x], dims[y], dims[x])


def _array(values: Any) -> NDArray[Any]:
    if hasattr(values, "detach") and hasattr(
        values, "numpy"
    ):  # a tensor: NumPy has no bfloat16, and refuses what needs a gradient
        tensor = values.detach().cpu()
        tensor = tensor.to_dense() if tensor.is_sparse else tensor
        return np.asarray((tensor if str(tensor.dtype) != "torch.bfloat16" else tensor.float()).numpy())
    if hasattr(values, "dims") and hasattr(values, "attrs"):
        array = _array(oriented(values).data)
        fills = [values.attrs[key] for key in FILL_VALUES if key in values.attrs]
        return _without(array, np.isin(array, np.ravel(fills))) if fills else array
    if hasattr(values, "compute"):  # NumPy would drop the mask of a masked Dask array
        return _array(values.compute())
    if isinstance(values, np.ma.MaskedArray):
        return _without(values.data, np.ma.getmaskarray(values))
    if isinstance(values, list | tuple) and any(hasattr(value, "shape") for value in values):
        return np.stack([_array(value) for value in values])
    return np.asarray(values)


def _without(array: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    """Set values to NaN; integers become floating-point numbers that hold them exactly."""
    array = np.asarray(array)
    if not missing.any() or array.dtype.kind not in "buif":
        return array
    return np.where(missing, np.nan, array.astype(np.result_type(array.dtype, np.float16), copy=False))
