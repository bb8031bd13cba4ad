"""Spectral responses against quadrature and closed forms, and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.experiment import load_experiment
from pipeline.config.responses import GaussianResponse, MatrixResponse, TableResponse
from pipeline.core.sensing.spatial import FWHM_PER_SIGMA
from pipeline.core.sensing.spectral import band_spacing, gaussian_response, table_response
from pipeline.errors import InputError
from pipeline.inputs.file_scene import read_scene
from pipeline.inputs.responses import read_response, read_table

HSI = np.arange(400.0, 1000.0, 7.0)
WIDTH = np.linspace(5.0, 14.0, HSI.size)
CONFIG = Path(__file__).parents[2] / "config"


def density(nm: np.ndarray, centre: float, fwhm: float) -> np.ndarray:
    sigma = fwhm / FWHM_PER_SIGMA
    return np.exp(-0.5 * ((nm - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def quadrature(nm: np.ndarray, srf: np.ndarray, wavelength: np.ndarray, fwhm: np.ndarray) -> np.ndarray:
    """Brute force: the trapezoidal rule on a grid much finer than the table."""
    fine = np.union1d(np.linspace(nm[0], nm[-1], 20_001), nm)  # with the table's kinks
    rows = [
        [
            np.trapezoid(np.interp(fine, nm, row) * density(fine, c, w), fine)
            for c, w in zip(wavelength, fwhm, strict=True)
        ]
        for row in srf
    ]
    response = np.array(rows)
    return response / response.sum(axis=1, keepdims=True)


def test_table_matches_quadrature() -> None:
    rng = np.random.default_rng(0)
    nm = np.sort(rng.uniform(480, 620, 30))
    srf = rng.uniform(0, 1, (2, 30))
    srf[1, 10:] = 0  # steps down to zero; neither row ends at zero on the left: the table is cut there
    found = table_response(nm, srf, HSI, WIDTH)
    np.testing.assert_allclose(found, quadrature(nm, srf, HSI, WIDTH), atol=2e-6)


@given(st.floats(450, 900), st.floats(3, 90), st.floats(1, 40))
def test_triangle_seen_by_one_narrow_band_is_its_height(centre: float, half: float, spacing: float) -> None:
    nm = np.array([centre - half, centre, centre + half])
    hsi = centre + spacing * np.array([-0.5, 0.0, 0.25])
    found = table_response(nm, np.array([0.0, 1.0, 0.0]), hsi, np.full(3, 1e-4))[0]
    heights = np.maximum(0, 1 - np.abs(hsi - centre) / half)
    np.testing.assert_allclose(found, heights / heights.sum(), atol=1e-4)


def test_gaussian_bands_match_a_fine_table() -> None:
    nm = np.arange(300.0, 1100.0, 0.05)
    centres, widths = np.array([500.0, 720.0]), np.array([60.0, 25.0])
    srf = np.array([density(nm, c, w) for c, w in zip(centres, widths, strict=True)])
    np.testing.assert_allclose(
        gaussian_response(centres, widths, HSI, WIDTH), table_response(nm, srf, HSI, WIDTH), atol=1e-6
    )


def test_a_flat_spectrum_keeps_its_value() -> None:
    for response in (
        gaussian_response(np.array([450.0, 900.0]), np.array([40.0, 80.0]), HSI),
        table_response(np.array([500.0, 600.0]), np.array([[1.0, 1.0], [0.0, 3.0]]), HSI),
    ):
        np.testing.assert_allclose(response @ np.full(HSI.size, 0.3), 0.3, rtol=1e-12)
        assert (response >= 0).all()


def test_srf_scale_and_hsi_order_do_not_matter() -> None:
    nm, srf = np.array([500.0, 550.0, 600.0]), np.array([0.2, 1.0, 0.1])
    plain = table_response(nm, srf, HSI, WIDTH)
    np.testing.assert_allclose(table_response(nm, 50 * srf, HSI, WIDTH), plain, rtol=1e-12)
    order = np.random.default_rng(0).permutation(HSI.size)
    np.testing.assert_allclose(table_response(nm, srf, HSI[order], WIDTH[order]), plain[:, order], rtol=1e-9)


def test_uncovered_band_is_named() -> None:
    nm = np.array([500.0, 600.0, 2100.0, 2200.0])
    srf = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    srf[:, 1:3] = 0
    with pytest.raises(InputError, match="MSI band SWIR lies outside the HSI's bands"):
        table_response(nm, srf, HSI, WIDTH, ["Green", "SWIR"])
    with pytest.raises(InputError, match="MSI band 0 lies outside"):
        gaussian_response(np.array([1500.0]), np.array([50.0]), HSI)


def test_empty_column_is_named() -> None:
    with pytest.raises(InputError, match="MSI band dead lies outside"):
        table_response(np.array([500.0, 600.0]), np.zeros((1, 2)), HSI, names=["dead"])


def test_spacing_ignores_gaps_and_detector_overlap() -> None:
    wavelength = np.array([900.0, 910.0, 920.0, 905.0, 917.0, 929.0, 1500.0, 1512.0])
    np.testing.assert_array_equal(band_spacing(wavelength), [10, 10, 10, 12, 12, 12, 12, 12])
    with pytest.raises(InputError, match="single band"):
        band_spacing(np.array([500.0]))
    with pytest.raises(InputError, match="equal wavelength"):
        band_spacing(np.array([500.0, 500.0]))


def test_wrong_tables_and_widths_are_refused() -> None:
    with pytest.raises(InputError, match="increasing wavelengths"):
        table_response(np.array([500.0, 500.0]), np.ones((1, 2)), HSI)
    with pytest.raises(InputError, match="86 positive widths"):
        table_response(np.array([500.0, 600.0]), np.ones((1, 2)), HSI, np.zeros(86))


def write_table(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_table_columns_by_name(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv", "nm,A,S,S\n600,1,2,3\n500,4,5,6\n")
    nm, srf, names = read_table(Path(path), ["S", "S", "A"])
    assert nm.tolist() == [500.0, 600.0]
    assert srf.tolist() == [[5, 2], [6, 3], [4, 1]]
    assert names == ["S", "S", "A"]
    assert read_table(Path(path))[2] == ["A", "S", "S"]
    with pytest.raises(InputError, match="no band 'B8'; it holds A, S, S"):
        read_table(Path(path), ["B8"])
    with pytest.raises(InputError, match="no band 'A'"):
        read_table(Path(path), ["A", "A"])


@pytest.mark.parametrize("text", ["", "nm,A\n", "nm,A\n500,x\n", "nm,A\n500,1,2\n", "nm\n500\n"])
def test_what_is_no_table(tmp_path: Path, text: str) -> None:
    path = write_table(tmp_path / "t.csv", text)
    with pytest.raises(InputError, match=r"t\.csv: not a response table"):
        read_table(Path(path))


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_response(TableResponse(kind="table", path=str(tmp_path / "no.csv")), HSI)
    page = write_table(tmp_path / "page.csv", "<!DOCTYPE html><html></html>")
    with pytest.raises(InputError, match="is a web page"):
        read_response(TableResponse(kind="table", path=page), HSI)
    nan = write_table(tmp_path / "nan.csv", "nm,A\n500,1\n600,nan\n")
    with pytest.raises(InputError, match="NaN"):
        read_response(TableResponse(kind="table", path=nan), HSI)
    good = write_table(tmp_path / "good.csv", "nm,A,B\n500,1,0\n600,1,0\n2000,0,0\n2100,0,1\n")
    with pytest.raises(InputError, match=r"good\.csv: .*MSI band B lies outside"):
        read_response(TableResponse(kind="table", path=good), HSI)
    with pytest.raises(InputError, match="needs the HSI's wavelengths"):
        read_response(TableResponse(kind="table", path=good), None)


def test_gaussian_response_from_configuration() -> None:
    config = GaussianResponse(kind="gaussian", centres=[500, 700], fwhm=60)
    found = read_response(config, HSI, WIDTH)
    np.testing.assert_allclose(
        found, gaussian_response(np.array([500.0, 700]), np.array([60.0, 60]), HSI, WIDTH)
    )
    with pytest.raises(InputError, match=r"MSI band 0 \(3000 nm\)"):
        read_response(GaussianResponse(kind="gaussian", centres=[3000], fwhm=60), HSI)


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".mat"])
def test_matrix_files(tmp_path: Path, suffix: str) -> None:
    matrix = np.random.default_rng(0).uniform(0, 1, (3, HSI.size))
    path = tmp_path / f"R{suffix}"
    if suffix == ".csv":
        np.savetxt(path, matrix, delimiter=",")
    elif suffix == ".npy":
        np.save(path, matrix)
    elif suffix == ".npz":
        np.savez(path, R=matrix)
    else:
        scipy.io.savemat(path, {"R": matrix, "notes": "text"})
    config = MatrixResponse(kind="matrix", path=str(path))
    np.testing.assert_allclose(read_response(config, HSI), matrix, rtol=1e-15)
    np.testing.assert_allclose(read_response(config, None), matrix, rtol=1e-15)


def test_wrong_matrices_are_refused(tmp_path: Path) -> None:
    def refused(matrix: np.ndarray) -> str:
        np.save(tmp_path / "R.npy", matrix)
        with pytest.raises(InputError) as caught:
            read_response(MatrixResponse(kind="matrix", path=str(tmp_path / "R.npy")), HSI)
        return str(caught.value)

    assert "transpose it" in refused(np.ones((HSI.size, 3)))
    assert "expected (MSI bands, 86)" in refused(np.ones((3, 50)))
    assert "row 1 is all zero" in refused(np.eye(3, HSI.size) * np.array([[1.0], [0], [1]]))
    assert "none of the arrays has 2 axes" in refused(np.ones(5))
    (tmp_path / "R.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a matrix of numbers"):
        read_response(MatrixResponse(kind="matrix", path=str(tmp_path / "R.csv")), HSI)


@pytest.mark.parametrize(
    ("experiment", "centres"),
    [
        ("jasper_ridge", [443, 482, 561, 655, 865, 1609, 2201]),
        ("samson", [480, 551, 665, 805]),
        ("cave_brocade", [460, 545, 630]),
    ],
)
@pytest.mark.usefixtures("catalogued")
def test_real_sensors_on_real_scenes(experiment: str, centres: list[float]) -> None:
    content = load_experiment(CONFIG / f"{experiment}.yaml")
    scene = read_scene(content.scenes[experiment].source)
    (response,) = content.responses.values()
    assert scene.wavelength is not None
    found = read_response(response.spectral, scene.wavelength, scene.fwhm)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found @ scene.wavelength, centres, atol=15)
    assert (found >= 0).all()
    msi = np.tensordot(found, scene.data, axes=1)
    assert scene.data.min() <= msi.min()
    assert msi.max() <= scene.data.max()
