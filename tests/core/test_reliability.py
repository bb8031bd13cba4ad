"""Coverage and rank correlation of standard deviations, on errors of known distribution."""

import numpy as np
import pytest

from pipeline.core.quality import reliability as module
from pipeline.core.quality.reliability import NOMINAL, grouped, rank_correlation, reliability, square_side
from pipeline.errors import InputError
from pipeline.report.drawing.figures import coverage, looks, spreads

RNG = np.random.default_rng(8)


def normal_errors(shape=(4, 96, 80)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A reference, and a cube with errors whose standard deviation grows to the right."""
    reference = RNG.random(shape, np.float32)
    deviation = np.broadcast_to(np.geomspace(0.01, 0.1, shape[2]), shape).astype(np.float32)
    return reference, reference + deviation * RNG.standard_normal(shape, np.float32), deviation


def test_honest_intervals_hold_their_share():
    found = reliability(*normal_errors())
    assert np.allclose(found.curves()["coverage"], NOMINAL, atol=0.01)
    assert found.coverage_90 == pytest.approx(0.9, abs=0.01)
    assert found.band_coverage_90 == pytest.approx([0.9] * 4, abs=0.02)
    assert found.rank_correlation > 0.95
    assert np.allclose(found.predicted, found.actual, rtol=0.1)


def test_narrow_intervals_hold_less():
    reference, cube, deviation = normal_errors()
    found = reliability(reference, cube, deviation / 2)
    # of a normal variable 58.9 % lie within 1.645 / 2 standard deviations
    assert found.coverage_90 == pytest.approx(0.589, abs=0.01)
    assert found.rank_correlation > 0.95


def test_a_deviation_that_knows_nothing_has_no_rank():
    reference, cube, deviation = normal_errors()
    shuffled = RNG.permuted(deviation, axis=2)
    assert abs(reliability(reference, cube, shuffled).rank_correlation) < 0.2
    assert reliability(reference, cube, np.full_like(deviation, 0.1)).rank_correlation is None


def test_blocks_do_not_matter(monkeypatch):
    arrays = normal_errors((3, 200, 150))
    whole = reliability(*arrays)
    monkeypatch.setattr(module, "block_side", lambda bands: 64)
    parts = reliability(*arrays)
    assert (parts.band_coverage == whole.band_coverage).all()
    assert parts.rank_correlation == pytest.approx(whole.rank_correlation)
    assert np.allclose(parts.predicted, whole.predicted)


def test_pixels_without_data_do_not_count():
    reference, cube, deviation = (image.copy() for image in normal_errors())
    plain = reliability(reference[..., 8:], cube[..., 8:], deviation[..., 8:])
    cube[1, :, :4], deviation[0, :, 4:8] = np.nan, np.nan
    holed = reliability(reference, cube, deviation)
    assert (holed.band_coverage == plain.band_coverage).all()
    assert holed.rank_correlation == pytest.approx(plain.rank_correlation)
    with pytest.raises(InputError, match="no pixel is valid"):
        reliability(reference, np.full_like(cube, np.nan), deviation)


def test_shapes_must_agree():
    reference, cube, deviation = normal_errors()
    with pytest.raises(InputError, match="deviation: shape"):
        reliability(reference, cube, deviation[:, 1:])


def test_squares_of_large_scenes_are_larger():
    assert [
        square_side(shape) for shape in ((8192, 8192), (8200, 8192), (20_000, 20_000), (10**5, 10**5))
    ] == [
        8,
        16,
        32,
        64,
    ]


def test_figures_say_what_they_show():
    look = looks(["mine"])
    levels, shares = np.array([0.5, 0.9]), np.array([0.4, 0.8])
    drawn = coverage({"mine": levels}, {"mine": shares}, look)
    assert "Nominal coverage [%]" in drawn
    assert "mine" in drawn
    drawn = spreads({"mine": np.array([0.01, 0.02])}, {"mine": np.array([0.02, 0.03])}, look)
    assert "RMS error [scene values]" in drawn
    assert spreads({"mine": np.zeros(2)}, {"mine": np.zeros(2)}, look)


def test_ranks_and_groups_by_hand():
    assert rank_correlation(np.array([1.0, 2, 4]), np.array([10.0, 30, 20])) == pytest.approx(0.5)
    assert rank_correlation(np.array([1.0, 2]), np.array([1.0, 2])) is None
    predicted, found = grouped(np.array([9.0, 1, 4]), np.array([1.0, 4, 16]))
    assert predicted == [1, 2, 3]
    assert found == [2, 4, 1]
