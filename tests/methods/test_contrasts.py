"""What bands differ by: how white it is, and how much H averages away, against maps of known spectra."""

from itertools import product

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.methods.graph_subspace.contrasts import fine_power, semivariances, white_share

BICUBIC = SpatialResponse.bicubic(ratio=4)
GAIN = BICUBIC.noise_gain(192, 192)


@pytest.mark.parametrize(("white", "smooth"), [(1.0, 0.0), (0.5, 1.0), (0.5, 0.5), (0.1, 1.0)])
def test_white_share_of_maps(white: float, smooth: float) -> None:
    """What the bands have in common does not count, nor does their noise as white."""
    width = 2
    rng = np.random.default_rng(3)
    common = rng.standard_normal((192, 192))
    common = 2 * common + 5 * gaussian_filter(common, 1)
    own = gaussian_filter(rng.standard_normal((3, 192, 192)), (0, width, width))
    own = smooth * own / own.std() + white * rng.standard_normal(own.shape)
    sigma = np.full(3, 0.3)
    image = common + own + sigma[:, None, None] * rng.standard_normal(own.shape)
    valid = np.ones((192, 192), bool)
    valid[20:30, 40:50] = False
    image[:, ~valid] = np.nan
    one, two = (white**2 + smooth**2 * (1 - np.exp(-((lag / width) ** 2) / 4)) for lag in (1, 2))
    expected = max(0, 2 * one - two) / (one + 0.3**2)
    assert white_share([(image, valid)], sigma) == pytest.approx(expected, abs=0.06)


def test_white_share_of_patches_is_the_true_one() -> None:
    """The variogram of patches with edges grows linearly."""
    rng = np.random.default_rng(8)
    patches = np.sign(gaussian_filter(rng.standard_normal((3, 256, 256)), (0, 8, 8)))
    edges = semivariances([(patches, np.ones((256, 256), bool))], 1)[0].diagonal().mean()
    image = patches + 0.4 * rng.standard_normal(patches.shape)
    found = white_share([(image, np.ones((256, 256), bool))], np.full(3, 1e-3))
    assert found == pytest.approx(0.4**2 / (0.4**2 + edges), abs=0.05)


def test_noise_that_is_told_too_low_is_hardly_taken_for_white() -> None:
    """Bands that differ by noise alone."""
    rng = np.random.default_rng(9)
    image = gaussian_filter(rng.standard_normal((128, 128)), 3) + 0.1 * rng.standard_normal((3, 128, 128))
    valid = np.ones((128, 128), bool)
    shares = [white_share([(image, valid)], np.full(3, sigma)) for sigma in (0.12, 0.1, 0.09)]
    assert shares[0] == 0
    assert shares[1] < 0.05
    assert shares[2] == pytest.approx(1 - 0.9**2, abs=0.05)


def test_semivariances_are_those_of_all_pairs():
    rng = np.random.default_rng(4)
    image, valid = rng.standard_normal((2, 7, 6)), rng.random((7, 6)) > 0.2
    total, pairs = np.zeros((2, 2)), 0
    for y, x in product(range(7), range(6)):
        for other in ((y + 2, x), (y, x + 2)):
            if other[0] < 7 and other[1] < 6 and valid[y, x] and valid[other]:
                step = image[:, other[0], other[1]] - image[:, y, x]
                total, pairs = total + np.outer(step, step), pairs + 1
    found, number = semivariances([(image, valid)], 2)
    assert number == pairs
    assert np.allclose(found, total / pairs / 2)


def test_a_single_band_is_taken_as_it_is() -> None:
    image = np.random.default_rng(1).standard_normal((1, 96, 96))
    valid = np.ones((96, 96), bool)
    assert white_share([(image, valid)], np.array([0.1])) > 0.95
    assert white_share([(image, valid)], np.array([1.0])) < 0.05
    assert white_share([(gaussian_filter(image, (0, 2, 2)), valid)], np.array([1e-3])) == 0
    assert white_share([(image, ~valid)], np.array([0.1])) == 0


def seen(own: np.ndarray, snr_db: float = 40) -> Observation:
    """A pair whose HR-MSI has bands that share much, and each its own map."""
    common = 9 * gaussian_filter(np.random.default_rng(7).standard_normal(own.shape[1:]), 20)
    return simulate(
        (common + own + np.arange(4, 4 + len(own))[:, None, None]).astype(np.float32),
        spectral_response=np.eye(len(own)),
        spatial_response=BICUBIC,
        snr_db=snr_db,
    )


@pytest.mark.parametrize("width", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("white", [0.0, 0.3, 1.0])
def test_of_what_is_not_white_h_leaves_as_much_as_of_contrasts(width: float, white: float) -> None:
    own = gaussian_filter(np.random.default_rng(2).standard_normal((3, 192, 192)), (0, width, width))
    own /= own.std()
    left = BICUBIC.operator(192, 192).forward(own).var()
    expected = 1 / (white * GAIN + (1 - white) * left)
    pair = seen(own)
    pair.hr_msi[:, 30:50, 60:90] = np.nan
    assert fine_power([pair], white) == pytest.approx(expected, rel=0.1)
    parts = [pair.crop(window) for window in pair.whole.split(96)]
    assert fine_power(parts, white) == pytest.approx(expected, rel=0.15)


def test_a_dead_band_does_not_count() -> None:
    own = gaussian_filter(np.random.default_rng(2).standard_normal((4, 192, 192)), (0, 2, 2))
    own /= own.std()
    pair, alive = seen(own), seen(own[[0, 1, 3]])
    for value in (0, 0.7):
        pair.hr_msi[2] = value
        assert fine_power([pair], 0.1) == pytest.approx(fine_power([alive], 0.1), rel=0.02)
        valid = np.ones((192, 192), bool)
        shares = [white_share([(part.hr_msi.astype(float), valid)], part.sigma_msi) for part in (pair, alive)]
        assert shares[0] == pytest.approx(shares[1], abs=0.01)


def test_of_a_single_band_all_counts() -> None:
    own = gaussian_filter(np.random.default_rng(5).standard_normal((1, 192, 192)), (0, 2, 2))
    pair = seen(40 * own)
    left = BICUBIC.operator(192, 192).forward(pair.hr_msi.astype(float)).var() / pair.hr_msi.var()
    assert fine_power([pair], 0.0) == pytest.approx(1 / left, rel=0.05)


def test_a_few_pixels_say_little() -> None:
    """Twelve bands in four LR pixels, nine and sixteen."""
    for side in (8, 12, 16):
        own = gaussian_filter(np.random.default_rng(side).standard_normal((12, side, side)), (0, 4, 4))
        assert 1 <= fine_power([seen(own / own.std())], 0.0) < 5


def test_of_noise_alone_nothing_is_concluded() -> None:
    alike = seen(np.zeros((3, 192, 192)), snr_db=20)
    assert fine_power([alike], 0.0) == pytest.approx(1, abs=0.1)
    gone = seen(np.zeros((3, 64, 64)))
    gone.lr_hsi[:] = np.nan
    assert fine_power([gone], 0.0) == 1
    assert fine_power([gone], 0.5) == pytest.approx(1 / (0.5 * BICUBIC.noise_gain(64, 64) + 0.5))
