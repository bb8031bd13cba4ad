"""How stored numbers become values, and which mean no data, by CF attributes of an array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.labels import Labels

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Packing:
    """How numbers of an array become values.

    Attributes
    ----------
    gain, offset : (C,) float64 or None
        A value is ``gain * number + offset``; None where numbers are values.
    fill : tuple of float
        Numbers that mean no data.
    valid : (float, float)
        Smallest and largest valid number.
    """

    gain: Vector | None
    offset: Vector | None
    fill: tuple[float, ...]
    valid: tuple[float, float]


def packing(label: str, labels: Labels, bands: int) -> Packing:
    """Return the calibration and the missing values that an array's attributes declare.

    Parameters
    ----------
    label : str
        The array, for messages.
    labels : Labels
        Its labels.
    bands : int
        Number of its bands.

    Raises
    ------
    InputError
        An attribute is neither a number nor a number for each band.
    """
    known = labels.attributes
    gain = _per_band(label, "scale_factor", known.get("scale_factor", 1.0), bands)
    offset = _per_band(label, "add_offset", known.get("add_offset", 0.0), bands)
    fill = [
        number for key in ("_FillValue", "missing_value") for number in _numbers(label, key, known.get(key))
    ]
    span = _numbers(label, "valid_range", known.get("valid_range"))
    low = (_numbers(label, "valid_min", known.get("valid_min")) or span[:1] or [-np.inf])[0]
    high = (_numbers(label, "valid_max", known.get("valid_max")) or span[1:2] or [np.inf])[0]
    calibrated = bool((gain != 1).any() or offset.any())
    return Packing(gain if calibrated else None, offset if calibrated else None, tuple(fill), (low, high))


def _per_band(label: str, key: str, value: Any, bands: int) -> Vector:
    numbers = _numbers(label, key, value)
    if len(numbers) not in (1, bands):
        raise InputError(f"{label}: its {key} has {len(numbers)} numbers for {bands} bands; correct the file")
    return np.broadcast_to(np.array(numbers, np.float64), (bands,)).copy()


def _numbers(label: str, key: str, value: Any) -> list[float]:
    if value is None:
        return []
    try:
        return [float(number) for number in np.ravel(value)]
    except (TypeError, ValueError):
        raise InputError(f"{label}: its {key} {str(value)[:60]!r} is no number; correct the file") from None
