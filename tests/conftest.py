"""Fixtures that several test files use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.scene import Scene


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real development scenes, which lies beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real development scenes are not here ({folder.name} beside the repository)")
    return folder


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
