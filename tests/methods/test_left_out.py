"""What a subspace leaves out, against spectra that are known without noise."""

import numpy as np
import pytest

from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.basis import Subspace, fit_subspace
from pipeline.core.window import Window
from pipeline.methods.graph_subspace.left_out import (
    left_out,
    noise_in_subspace,
    optimism,
    shrunk,
    unexplained,
)

RNG = np.random.default_rng(6)
BANDS = 60


def observed(truth: np.ndarray, sigma: np.ndarray, seed: int) -> Observation:
    """An LR-HSI with noise; the HR-MSI does not matter here."""
    noise = sigma[:, None, None] * np.random.default_rng(seed).standard_normal(truth.shape)
    _, height, width = truth.shape
    return Observation(
        lr_hsi=(truth + noise).astype(np.float32),
        hr_msi=np.zeros((1, 4 * height, 4 * width), np.float32),
        spectral_response=np.full((1, len(truth)), 1 / len(truth)),
        spatial_response=SpatialResponse.bicubic(ratio=4),
        sigma_hsi=sigma,
        sigma_msi=np.ones(1),
    )


def mixed(height: int, width: int) -> np.ndarray:
    """Thirty components as strong in each band, the weakest far below the noise of a single pixel."""
    strength = 1.6 ** -np.arange(30)[:, None] * 4
    spectra = np.sign(np.random.default_rng(1).standard_normal((30, BANDS))) * strength
    return np.einsum("kb,kyx->byx", spectra, np.random.default_rng(2).standard_normal((30, height, width)))


@pytest.mark.parametrize(("side", "within"), [(12, 0.2), (16, 0.1), (24, 0.1)])
def test_what_was_fitted_to_noise_is_counted(side: int, within: float) -> None:
    """As much is left out of the truth as is said, which residuals alone do not tell."""
    truth, sigma = mixed(side, side), np.linspace(0.2, 0.4, BANDS)
    flat = truth.reshape(BANDS, -1)
    corrected, plain, true = [], [], []
    for seed in range(12):
        pair = observed(truth, sigma, seed)
        subspace = fit_subspace(pair.lr_hsi, sigma, 8)
        true.append(np.square(flat - subspace.basis.T @ (subspace.projection @ flat)).mean())
        pixels = pair.lr_hsi.reshape(BANDS, -1)
        plain.append(unexplained(pixels, subspace, sigma).mean())
        corrected.append(plain[-1] + optimism(pixels, sigma, 8).mean())
        found = [left_out([pair], subspace.basis, share).mean() for share in (0.0, 0.5, 1.0)]
        assert found == sorted(found)
        assert 0.9 < found[-1] / corrected[-1] < 1.8  # no band is credited with less than the mean
    assert np.mean(corrected) == pytest.approx(np.mean(true), rel=within)
    assert np.mean(plain) < 0.8 * np.mean(true)


def test_what_a_basis_of_other_pixels_leaves_out_is_counted() -> None:
    """Parts of a scene may hold what the scene's basis lacks."""
    truth, sigma = mixed(24, 24), np.full(BANDS, 0.01)
    basis = np.random.default_rng(3).standard_normal((8, BANDS))
    flat = truth.reshape(BANDS, -1)
    subspace = Subspace.of(basis, sigma)
    true = np.square(flat - basis.T @ (subspace.projection @ flat)).mean()
    pair = observed(truth, sigma, 0)
    pixels = pair.lr_hsi.reshape(BANDS, -1)
    assert unexplained(pixels, subspace, sigma).mean() == pytest.approx(true, rel=0.01)
    whole = left_out([pair], basis, 1.0)
    assert true <= whole.mean() < 1.5 * true  # no band is credited with less than the mean of all
    parts = [pair.crop(window) for window in pair.whole.split(48)]
    assert left_out(parts, basis, 1.0) == pytest.approx(whole, rel=0.02)


def test_bands_of_other_units_are_alike() -> None:
    """Half of the bands in units a tenth as large."""
    truth, sigma = mixed(24, 24), np.full(BANDS, 0.3)
    units = np.where(np.arange(BANDS) < BANDS // 2, 0.1, 1.0)
    pair = observed(truth, sigma, 0)
    other = observed(truth * units[:, None, None], sigma * units, 0)
    found = left_out([pair], fit_subspace(pair.lr_hsi, sigma, 8).basis, 1.0)
    scaled = left_out([other], fit_subspace(other.lr_hsi, other.sigma_hsi, 8).basis, 1.0)
    assert scaled == pytest.approx(found * units**2, rel=1e-3)


def test_of_pure_noise_little_is_said() -> None:
    sigma = np.full(BANDS, 0.3)
    pair = observed(np.full((BANDS, 20, 20), 5.0), sigma, 4)
    basis = fit_subspace(pair.lr_hsi, sigma, 3).basis
    assert left_out([pair], basis, 1.0).mean() < 0.02 * 0.3**2


@pytest.mark.parametrize("pixels", [7, 8, 12, 40])
def test_few_pixels_leave_it_finite(pixels: int) -> None:
    truth, sigma = mixed(1, pixels), np.full(BANDS, 0.1)
    pair = observed(truth, sigma, 5)
    found = left_out([pair], fit_subspace(pair.lr_hsi, sigma, min(pixels, 10)).basis, 1.0)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert found.any() == (pixels >= 8)


def test_no_data_does_not_count() -> None:
    pair = observed(mixed(24, 24), np.full(BANDS, 0.2), 6)
    basis = fit_subspace(pair.lr_hsi, pair.sigma_hsi, 8).basis
    cut = left_out([pair.crop(Window(0, 64, 0, 96))], basis, 1.0)
    pair.lr_hsi[3, 16:] = np.nan
    assert left_out([pair], basis, 1.0) == pytest.approx(cut)


def test_nothing_is_left_out_of_the_whole_space() -> None:
    sigma = RNG.uniform(0.1, 1, BANDS)
    pixels = RNG.standard_normal((BANDS, 200)).astype(np.float32)
    assert np.abs(unexplained(pixels, fit_subspace(pixels[:, None], sigma, BANDS), sigma)).max() < 1e-9
    assert np.abs(optimism(pixels, sigma, BANDS)).max() < 1e-9


def test_noise_in_the_whole_space_is_all_of_it() -> None:
    sigma = RNG.uniform(0.1, 1, 5)
    assert np.allclose(noise_in_subspace(RNG.standard_normal((5, 5)), sigma), sigma**2)
    part = noise_in_subspace(RNG.standard_normal((2, 5)), sigma)
    assert (part > 0).all()
    assert (part <= sigma**2).all()


def test_power_of_single_bands_is_believed_as_far_as_it_can_be_known() -> None:
    count, noise = 400, np.full(60, 0.25)
    error = 2 * noise**2 / count
    pure = np.square(0.5 * RNG.standard_normal((60, count))).mean(axis=1) - noise
    assert shrunk(pure, error).mean() < 0.01  # a single band's sampling error is 0.018
    power = noise.copy()
    power[7] += 1.0
    found = np.square(np.sqrt(power)[:, None] * RNG.standard_normal((60, count))).mean(axis=1) - noise
    assert shrunk(found, error)[7] == pytest.approx(1.0, rel=0.25)
    assert shrunk(found, error)[8] == pytest.approx(1 / 60, rel=1.0)  # the mean, below which none is
