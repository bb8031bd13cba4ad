"""How two grids nest: ratios, windows, sub-pixel remainders, and pairs that do not belong together."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.scene import Metadata
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.pairs.grids import Raster, cropped, nest, nested_ratio, offset


def raster(name: str, shape: tuple[int, int], place: tuple[float, ...] | None, crs="EPSG:32633") -> Raster:
    """A grid from its affine; without one, an image without georeference."""
    return Raster(name, shape, Metadata(crs=crs if place else None, transform=place))


def square(pixel: float, x: float = 0.0, y: float = 0.0) -> tuple[float, ...]:
    return (pixel, 0.0, x, 0.0, -pixel, y)


BERLIN_HSI = raster("hsi", (80, 60), square(30.0, 383472.37, 5818302.35))
BERLIN_MSI = raster("msi", (660, 494), square(3.6, 383469.97, 5818303.55))


def test_the_berlin_grids_nest_at_25_thirds():
    assert nested_ratio(BERLIN_HSI, BERLIN_MSI) == Fraction(25, 3)
    np.testing.assert_allclose(offset(BERLIN_HSI, BERLIN_MSI), (1.2 / 3.6, 2.4 / 3.6), atol=1e-6)
    found = nest(BERLIN_HSI, BERLIN_MSI, Fraction(25, 3))
    assert found.lr == Window(0, 78, 0, 57)
    assert found.hr == Window(0, 650, 1, 476)
    # the HSI's corner lies 0.333 HR pixels below pixel 0, and 0.667 right of it, so 0.333 left of pixel 1
    np.testing.assert_allclose(found.shift, (0.04, -0.04), atol=1e-6)


@settings(deadline=None, max_examples=200)
@given(
    ratio=st.sampled_from([Fraction(1), Fraction(3), Fraction(4), Fraction(25, 3), Fraction(10, 3)]),
    corner=st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
    shift=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    sizes=st.tuples(st.integers(12, 40), st.integers(12, 40), st.integers(60, 200), st.integers(60, 200)),
)
def test_windows_lie_inside_and_cover_the_same_ground(ratio, corner, shift, sizes):
    hsi = raster("hsi", sizes[:2], square(float(ratio), corner[1], -corner[0]))
    msi = raster("msi", sizes[2:], square(1.0))
    try:
        found = nest(hsi, msi, ratio, shift)
    except InputError:
        return
    for axis in (0, 1):
        lr = (found.lr.y0, found.lr.y1) if axis == 0 else (found.lr.x0, found.lr.x1)
        hr = (found.hr.y0, found.hr.y1) if axis == 0 else (found.hr.x0, found.hr.x1)
        assert 0 <= lr[0] < lr[1] <= hsi.shape[axis]
        assert 0 <= hr[0] < hr[1] <= msi.shape[axis]
        assert hr[1] - hr[0] == (lr[1] - lr[0]) * ratio
        start = corner[axis] + (shift[axis] + lr[0]) * float(ratio)
        assert abs(start - hr[0] - found.shift[axis] * float(ratio)) < 1e-6
        assert abs(found.shift[axis] * float(ratio)) <= 0.5 + 1e-6  # the rounding of a corner


def test_a_crop_keeps_the_shift_and_cuts_whole_pixels():
    found = nest(BERLIN_HSI, BERLIN_MSI, Fraction(25, 3))
    part = cropped(found, Window(3, 9, 6, 12))
    assert part.lr == Window(3, 9, 6, 12)
    assert part.hr == Window(25, 75, 51, 101)
    assert part.shift == found.shift
    with pytest.raises(InputError, match="multiples of 3"):
        cropped(found, Window(1, 4, 0, 3))


def test_images_without_crs_nest_by_their_sizes():
    assert nested_ratio(raster("a", (72, 58), None), raster("b", (216, 174), None)) == 3
    assert nested_ratio(raster("a", (72, 58), None), raster("b", (216, 170), None), 3) == 3
    with pytest.raises(InputError, match="do not determine the ratio; give `ratio`"):
        nested_ratio(raster("a", (72, 58), None), raster("b", (216, 170), None))


def test_other_crs_or_a_small_rotation_calls_for_resampling():
    assert nested_ratio(BERLIN_HSI, raster("msi", (660, 494), square(3.6), "EPSG:32632")) is None
    turned = (3.6, 0.1, 383469.97, 0.1, -3.6, 5818303.55)
    assert nested_ratio(BERLIN_HSI, raster("msi", (660, 494), turned)) is None
    assert nested_ratio(BERLIN_HSI, raster("msi", (660, 494), square(3.67))) is None


def test_both_rotated_alike_nest():
    cos, sin = np.cos(0.3), np.sin(0.3)
    hsi = (30 * cos, 30 * sin, 0.0, 30 * sin, -30 * cos, 0.0)
    msi = (10 * cos, 10 * sin, 0.0, 10 * sin, -10 * cos, 0.0)
    assert nested_ratio(raster("a", (20, 20), hsi), raster("b", (60, 60), msi)) == 3


@pytest.mark.parametrize(
    ("hsi", "msi", "message"),
    [
        (raster("h", (8, 8), None), BERLIN_MSI, "h: has no CRS"),
        (BERLIN_HSI, raster("m", (8, 8), None), "m: has no CRS"),
        (BERLIN_HSI, raster("m", (9, 9), (-3.6, 0, 383500.0, 0, 3.6, 5818000.0)), "rotated by 180 degrees"),
        (BERLIN_HSI, raster("m", (9, 9), (3.6, 0, 383500.0, 0, 3.6, 5818000.0)), "along rows"),
        (BERLIN_HSI, raster("m", (9, 9), (0, 3.6, 383500.0, -3.6, 0, 5818000.0)), "exchanged or turned"),
        (BERLIN_MSI, BERLIN_HSI, "coarser than the HSI"),
    ],
)
def test_pairs_that_cannot_be_used_are_refused_in_one_line(hsi, msi, message):
    with pytest.raises(InputError, match=message) as error:
        nested_ratio(hsi, msi)
    assert "\n" not in str(error.value)


def test_disjoint_footprints_are_named():
    far = raster("far", (660, 494), square(3.6, 483469.97, 5818303.55))
    with pytest.raises(InputError, match=r"hsi and far: their footprints have no .* in common") as error:
        nest(BERLIN_HSI, far, Fraction(25, 3))
    assert "383472.37" in str(error.value)


def test_a_ratio_that_contradicts_the_georeferences_is_refused():
    with pytest.raises(InputError, match=r"ratio: 4 does not fit"):
        nested_ratio(BERLIN_HSI, BERLIN_MSI, 4)
    assert nested_ratio(BERLIN_HSI, BERLIN_MSI, "25/3") == Fraction(25, 3)


@pytest.mark.parametrize("ratio", [0, "1/2", -4])
def test_a_ratio_below_one_is_refused(ratio):
    with pytest.raises(InputError, match=f"ratio: {ratio} is below 1"):
        nested_ratio(BERLIN_HSI, BERLIN_MSI, ratio)


def test_a_ratio_that_contradicts_the_sizes_is_refused():
    with pytest.raises(InputError, match=r"ratio: 2 does not fit .* are 1 : 4"):
        nested_ratio(raster("a", (20, 20), None), raster("b", (80, 80), None), 2)


def test_axes_of_another_crs_are_left_to_the_warp():
    msi = raster("m", (9, 9), (0, 3.6, 383500.0, -3.6, 0, 5818000.0), "EPSG:32632")
    assert nested_ratio(BERLIN_HSI, msi) is None
