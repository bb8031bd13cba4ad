"""Fixtures that several test files use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mirror import link
from pipeline.config.scenes import SyntheticSource
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.inputs.synthetic.scene import synthetic_scene


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("gpu") is not None:
        import torch  # here: most tests need no tensors

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU, and PyTorch finds none")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real development scenes, which lies beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real development scenes are not here ({folder.name} beside the repository)")
    return folder


@pytest.fixture(scope="session")
def data_sets(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror of the catalogue, or a folder of data sets, with the development scenes."""
    folder = tmp_path_factory.mktemp("mirror")
    link(shared_data, folder)
    return folder


@pytest.fixture
def catalogued(data_sets: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of data sets in which the configurations find their scenes."""
    monkeypatch.setenv("PIPELINE_DATA", str(data_sets))
    return data_sets


@pytest.fixture
def small_scene() -> Scene:
    """A scene of 6 bands, 40x72 pixels, with a CRS and two no-data pixels."""
    data = np.random.default_rng(1).uniform(0.02, 0.7, (6, 40, 72)).astype(np.float32)
    data[:, 3, 5] = np.nan
    data[2, 30, 60] = np.nan
    return Scene(
        data,
        wavelength=np.array([450.0, 550.0, 650.0, 850.0, 1650.0, 2200.0]),
        fwhm=np.full(6, 10.0),
        scale=10_000.0,
        crs="EPSG:32633",
        transform=(10.0, 0.0, 366015.0, 0.0, -10.0, 5806125.0),
    )


@pytest.fixture(scope="session")
def landscape() -> Scene:
    """A synthetic scene of 24 bands, 32x40 pixels."""
    source = SyntheticSource(kind="synthetic", height=32, width=40, bands=24, seed=4)
    return synthetic_scene(source)


@pytest.fixture(scope="session")
def landscape_srf(landscape: Scene) -> np.ndarray:
    """Four Gaussian bands over the landscape's wavelengths."""
    return gaussian_response(
        np.array([480.0, 560, 660, 850]), np.array([60.0, 60, 60, 120]), landscape.wavelength, landscape.fwhm
    )


@pytest.fixture(scope="session")
def observation_of_landscape(landscape: Scene, landscape_srf: np.ndarray) -> Observation:
    """The landscape seen through a bicubic response of ratio 4 and four bands, at 35 dB."""
    return simulate(
        landscape.data,
        spectral_response=landscape_srf,
        spatial_response=SpatialResponse.bicubic(ratio=4),
    )


@pytest.fixture(scope="session")
def apart(observation_of_landscape: Observation) -> Observation:
    """The landscape's LR-HSI in its right part alone, and the HR-MSI in the left."""
    lr_hsi, hr_msi = observation_of_landscape.lr_hsi.copy(), observation_of_landscape.hr_msi.copy()
    lr_hsi[:, :, :6] = np.nan
    hr_msi[:, :, 20:] = np.nan
    return replace(observation_of_landscape, lr_hsi=lr_hsi, hr_msi=hr_msi)
