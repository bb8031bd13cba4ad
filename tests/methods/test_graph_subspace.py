"""The graph prior: its graph by hand, its solver by brute force, its draws by their covariance, its gain."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

import pipeline
from pipeline.config.scenes import SyntheticSource
from pipeline.core.estimation.noise_levels import estimate_noise
from pipeline.core.sensing.nodata import filled_observation
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.core.solvers.class_sums import ClassSums
from pipeline.core.solvers.engine import Engine, array, mixed
from pipeline.core.solvers.gaussian import GaussianFusion, data_terms
from pipeline.core.solvers.graph_fusion import CONVERGED, SOFTENING, GraphFusion, Quadratic
from pipeline.core.solvers.graph_prior import GraphPrior, class_precision, joined, nearest, sample_of, t_shape
from pipeline.core.solvers.pixel_graph import (
    REACH,
    nearest_by_shifts,
    nearest_by_tree,
    pixel_graph,
    quieted,
)
from pipeline.core.solvers.signs import SignField, philox
from pipeline.core.subspace.basis import fit_subspace
from pipeline.core.window import Window
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods import build, pool
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.methods.graph_subspace.deviation import Calibration, learn_spread
from pipeline.methods.graph_subspace.level_below import prior_below
from pipeline.methods.graph_subspace.method import FittedGraphSubspace
from pipeline.methods.graph_subspace.settings import GraphSubspaceSettings
from pipeline.methods.level_below import one_level_down
from pipeline.methods.pair_prior import prior_of
from scores import psnr

RNG = np.random.default_rng(6)


def fitted(observation: Observation, **options) -> FittedGraphSubspace:
    method = build(GraphSubspaceSettings(**options)).fit(observation)
    assert isinstance(method, FittedGraphSubspace)
    return method


# --- the graph


def test_edges_go_right_down_and_to_what_looks_alike():
    features = torch.tensor([[[0.0, 5, 9], [5, 0, 8.8]]], dtype=torch.float64)
    graph = pixel_graph(features, similar=1)
    edges = torch.stack([graph.first, graph.second], dim=1)
    by_slot = [{tuple(edge) for edge in edges[slot].tolist()} for slot in graph.slots]
    assert by_slot == [
        {(0, 1), (1, 2), (3, 4), (4, 5)},
        {(0, 3), (1, 4), (2, 5)},
        {(0, 4), (4, 0), (1, 3), (3, 1), (2, 5), (5, 2)},
    ]


def test_no_pixels_further_than_the_reach_are_tied():
    features = torch.zeros((1, 1, 3 * REACH), dtype=torch.float64)
    features[0, 0] = 100 * (torch.arange(3 * REACH) % (2 * REACH))  # equal values lie twice the reach apart
    graph = pixel_graph(features, similar=2)
    assert (graph.first - graph.second).abs().max() <= REACH


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.floats(0.1, 3))
def test_both_searches_for_similar_pixels_agree(bands, height, width, similar, spread):
    generator = torch.Generator().manual_seed(height * 41 + width)
    features = spread * torch.randn((bands, height, width), generator=generator, dtype=torch.float64)
    similar = min(similar, height * width - 1)
    if similar:
        assert torch.equal(nearest_by_shifts(features, similar), nearest_by_tree(features, similar))


def test_pixels_are_not_alike_for_their_noise():
    """Of two flat halves: noise of tied pixels would be the same, if it were left in."""
    scene = np.zeros((2, 32, 32))
    scene[:, :, 16:] = 1
    sigma = np.array([0.1, 0.05])
    noise = sigma[:, None, None] * RNG.standard_normal(scene.shape)
    share = []
    for image in (torch.from_numpy(scene + noise), quieted(scene + noise, sigma, Engine())):
        graph = pixel_graph(image, similar=3)
        tied = slice(graph.slots[2].start, None)
        first, second = (noise.reshape(2, -1)[:, ends[tied]] for ends in (graph.first, graph.second))
        share.append(np.corrcoef(first.ravel(), second.ravel())[0, 1])
        assert (scene[0].flat[graph.first[tied]] == scene[0].flat[graph.second[tied]]).all()
    assert share[0] > 0.7
    assert abs(share[1]) < 0.3


def test_what_stands_out_of_the_noise_stays():
    image = RNG.random((2, 6, 7)).astype(np.float32)

    def quiet(sigma: float) -> np.ndarray:
        return array(quieted(image, np.full(2, sigma), Engine()))

    assert np.allclose(quiet(0), image)
    assert np.abs(quiet(0.02) - image).max() < 0.02
    assert np.ptp(quiet(10.0)[:, 2:4, 2:4]) < np.ptp(image[:, 1:5, 1:5])
    assert (quieted(np.ones((1, 4, 4)), np.zeros(1), Engine()) == 1).all()


def test_sums_over_edges_are_those_of_the_differences():
    graph = pixel_graph(torch.from_numpy(RNG.random((2, 5, 4))), similar=2)
    edges, classes = len(graph.first), torch.from_numpy(RNG.integers(0, 3, len(graph.first)))
    image, weights = torch.from_numpy(RNG.standard_normal((20, 3))), torch.from_numpy(RNG.random(edges))
    matrices = list(torch.from_numpy(RNG.standard_normal((3, 3, 3))))
    incidence = torch.zeros((20, edges), dtype=torch.float64)
    incidence[graph.first, torch.arange(edges)], incidence[graph.second, torch.arange(edges)] = 1, -1
    sums = ClassSums(graph, classes, 3)
    at_ends = sums.at_ends(weights)
    products = torch.stack([matrices[k] for k in classes])
    for rows, values in (
        (sums.tied(image, at_ends, sums.degrees(at_ends)), incidence.T @ image),
        (sums.spread(incidence.T @ image, at_ends), incidence.T @ image),
    ):
        expected = incidence @ torch.einsum("e,ed,edf->ef", weights, values, products)
        assert torch.allclose(sums.over_classes(rows, matrices), expected)


def test_words_are_those_of_the_published_generator():
    """Known answers of Philox4x32-10 in Random123."""
    for counter, key, words in (
        ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF,) * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ):
        assert [int(word) for word in philox(tuple(torch.tensor(counter)), key)] == words


def test_signs_of_a_window_are_those_of_the_whole():
    whole = SignField(0, "draw", (200, 30, 40), (5, 7), Engine()).read()
    part = SignField(0, "draw", (200, 10, 9), (15, 27), Engine())
    assert torch.equal(part.read(), whole[:, 10:20, 20:29])
    assert torch.equal(part.read(130, 140), whole[130:140, 10:20, 20:29])
    assert set(whole.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(whole.mean())) < 4 / whole.numel() ** 0.5
    flat = whole.flatten(1)
    assert float((flat @ flat.T / flat.shape[1] - torch.eye(200)).abs().max()) < 5 / flat.shape[1] ** 0.5
    assert not torch.equal(SignField(1, "draw", (200, 30, 40), (5, 7), Engine()).read(), whole)


# --- the prior


def test_shape_of_a_t_is_found():
    true = np.array([[2.0, 0.6], [0.6, 0.5]])
    normal = np.linalg.cholesky(true) @ RNG.standard_normal((2, 200_000))
    samples = normal * np.sqrt(3 / RNG.chisquare(3, 200_000))
    shape, _ = t_shape(samples, 1e-6 * np.eye(2))
    assert np.allclose(shape, true, atol=0.03)


def test_a_class_with_few_differences_is_like_all():
    assert np.allclose(class_precision(np.empty((3, 0))), np.eye(3))
    many = np.diag([3.0, 1, 0.5]) @ RNG.standard_normal((3, 50_000))
    assert np.allclose(np.linalg.inv(class_precision(many)), np.diag([9, 1, 0.25]), atol=0.15)


def test_a_spectrum_belongs_to_the_nearest_centre():
    assert nearest(torch.tensor([[0.0, 4, 6]]), np.array([[0.0], [5.0]])).tolist() == [0, 1, 1]


def test_misfit_tells_a_wrong_psf_from_noise(landscape, landscape_srf):
    true = SpatialResponse.gaussian(ratio=4, fwhm=1.0)
    pair = simulate(landscape.data, spectral_response=landscape_srf, spatial_response=true)
    wrong = replace(pair, spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=1.4))
    assert fitted(pair, draws=0).prior.misfit < 0.001
    assert fitted(wrong, draws=0).prior.misfit > 0.005
    assert fitted(wrong, draws=0, misfit=False).prior.misfit == 0


@pytest.mark.parametrize(
    ("wrong", "least_gain"),
    [("gains", 0), ("dead", 0), ("response", -1)],  # dB; levels follow the HR-MSI, and so a wrong response
)
def test_misfit_is_none_of_the_spectral_response(landscape, landscape_srf, wrong, least_gain):
    pair = simulate(
        landscape.data, spectral_response=landscape_srf, spatial_response=SpatialResponse.bicubic(ratio=4)
    )
    gains = np.array([0.95, 1.05, 0.95, 1.05], np.float32)[:, None, None]
    without_a_band = np.where((np.arange(24) == 12)[:, None, None], np.float32(0), pair.lr_hsi)
    displaced = landscape_srf @ (0.8 * np.eye(24) + 0.2 * np.eye(24, k=1))
    told = {
        "gains": replace(pair, hr_msi=pair.hr_msi * gains),
        "response": replace(pair, spectral_response=displaced),
        "dead": replace(pair, lr_hsi=without_a_band),
    }[wrong]
    method = fitted(told, draws=0)
    assert method.prior.misfit < 0.005
    seen = np.arange(24) != 12
    closed = psnr(landscape.data[seen], build(GaussianSubspaceSettings()).fit(told).fuse()[seen])
    assert psnr(landscape.data[seen], method.fuse()[seen]) > closed + least_gain


# --- the solver


def small_problem(kind: str = "bicubic") -> tuple[Observation, GraphPrior]:
    """A scene of 4x8 pixels, with unequal noise and classes of unequal shape."""
    rng = np.random.default_rng(3)
    bands, d = 6, 3
    basis, srf = rng.standard_normal((d, bands)), rng.random((2, bands))
    response = SpatialResponse.bicubic(ratio=4)
    if kind == "psf":
        response = SpatialResponse.from_psf(rng.random((5, 5)), ratio=4)
    planes = np.cumsum(rng.standard_normal((d, 8, 4)) * (rng.random((8, 4)) < 0.3), axis=1)
    cube = np.tensordot(basis.T, planes, axes=1)
    observation = Observation(
        response.operator(8, 4).forward(cube).astype(np.float32),
        np.tensordot(srf, cube, axes=1).astype(np.float32),
        srf,
        response,
        rng.uniform(0.1, 0.3, bands),
        rng.uniform(0.1, 0.3, 2),
    )
    shapes = rng.standard_normal((2, d, 2 * d))
    precisions = shapes @ shapes.transpose(0, 2, 1)
    centres, detail = rng.standard_normal((2, 2)), np.eye(3) + 0.5
    return observation, GraphPrior(basis, precisions, centres, 1.0, 0.01, 10.0, np.inf, detail)


def dense(apply, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix of a linear map of images."""
    units = torch.eye(int(np.prod(shape)), dtype=torch.float64)
    return np.stack([array(apply(unit.view(shape))).ravel() for unit in units], axis=1)


@pytest.mark.parametrize("kind", ["bicubic", "psf"])
def test_preconditioner_is_the_inverse_of_the_gaussian_problem(kind):
    observation, prior = small_problem(kind)
    precision = prior.precisions[0]
    fusion = GaussianFusion(data_terms(observation, prior.basis, Engine()), precision)
    terms, operator = fusion.terms, observation.operator

    def apply(image: torch.Tensor) -> torch.Tensor:
        measured = np.tensordot(terms.by_hsi, operator.forward(array(image)), axes=1)
        own = terms.by_msi @ terms.basis_msi.T + precision
        return torch.from_numpy(operator.adjoint(measured) + np.tensordot(own, array(image), axes=1))

    shape = (3, 8, 4)
    assert np.allclose(dense(apply, shape) @ dense(fusion.invert, shape), np.eye(96), atol=1e-6)


def test_quadratic_is_minimised_as_by_brute_force():
    observation, prior = small_problem()
    fusion = GraphFusion(observation, prior, Engine(), similar=2)
    quadratic = Quadratic(fusion, torch.from_numpy(RNG.uniform(0.1, 3, len(fusion.graph.first))))
    matrix = dense(quadratic.apply, (3, 8, 4))
    assert np.allclose(matrix, matrix.T)
    expected = np.linalg.solve(matrix, array(fusion.rhs).ravel())
    found = quadratic.minimise(fusion.rhs, torch.zeros_like(fusion.rhs), steps=60)
    assert np.allclose(array(found).ravel(), expected, atol=1e-8)


def test_values_without_weight_add_no_precision_and_no_noise():
    """Pixel by pixel as by hand, errors of the model included; draws have the noise of what was measured."""
    observation, prior = small_problem()
    rng = np.random.default_rng(8)
    hsi, msi = observation.lr_hsi.copy(), observation.hr_msi.copy()
    hsi[rng.random(hsi.shape) < 0.3] = np.nan
    hsi[:, 1, 0] = np.nan
    msi[rng.random(msi.shape) < 0.3] = np.nan
    whole = GraphFusion(observation, prior, Engine(), similar=2).terms
    gappy = filled_observation(replace(observation, lr_hsi=hsi, hr_msi=msi))
    terms = GraphFusion(gappy, prior, Engine(), similar=2).terms
    forward = dense(whole.operator.forward, (3, 8, 4)).reshape(3, -1, 96)
    precision, rhs = np.zeros((96, 96)), np.zeros(96)
    for pixel, spectrum in enumerate(hsi.reshape(6, -1).T):
        known = np.flatnonzero(~np.isnan(spectrum))
        basis, blurred = prior.basis[:, known], forward[:, pixel]
        # of the measured bands: noise, and the model's errors as far as they show in these bands
        noise = np.diag(observation.sigma_hsi[known] ** 2) + prior.misfit * basis.T @ basis
        precision += blurred.T @ basis @ np.linalg.solve(noise, basis.T @ blurred)
        rhs += blurred.T @ basis @ np.linalg.solve(noise, spectrum[known])
    response, sigma = prior.basis @ observation.spectral_response.T, observation.sigma_msi
    for place in range(32):
        for band in np.flatnonzero(~np.isnan(msi.reshape(2, -1)[:, place])):
            row = np.kron(response[:, band], np.eye(32)[place]) / sigma[band]
            precision += np.outer(row, row)
            rhs += row * msi.reshape(2, -1)[band, place] / sigma[band]
    assert np.allclose(dense(terms.apply, (3, 8, 4)), precision)
    assert np.allclose(array(terms.rhs).ravel(), rhs)
    coarse, fine = (
        dense(
            lambda image: terms.noise(image, torch.zeros((2, 8, 4), dtype=torch.float64), sigma), (3, 2, 1)
        ),
        dense(
            lambda image: terms.noise(torch.zeros((3, 2, 1), dtype=torch.float64), image, sigma), (2, 8, 4)
        ),
    )
    assert np.allclose(coarse @ coarse.T + fine @ fine.T, precision)


def objective(fusion: GraphFusion, coefficients: torch.Tensor) -> float:
    """What `GraphFusion` minimises."""
    terms, d = fusion.terms, len(coefficients)
    hsi = array(terms.operator.forward(coefficients) - terms.coefficients)
    msi = array(terms.hr_msi) - np.tensordot(terms.basis_msi.T, array(coefficients), axes=1)
    strengths = array(fusion.strengths)
    size = strengths / array(fusion.weights(coefficients))
    return float(
        np.einsum("dyx,de,eyx->", hsi, terms.by_hsi, hsi) / 2
        + np.square(msi / fusion.observation.sigma_msi[:, None, None]).sum() / 2
        + d / 2 * (strengths * np.log(size)).sum()
        + float(((coefficients - fusion.mean) * mixed(fusion.of_detail, coefficients - fusion.mean)).sum())
        / 2
    )


def test_quadratic_is_the_objective_with_fixed_weights():
    """Its gradient at the point at which the weights were taken is the objective's."""
    observation, prior = small_problem()
    fusion = GraphFusion(observation, prior, Engine(), similar=2)
    point, step = torch.from_numpy(RNG.standard_normal((2, 3, 8, 4)))
    quadratic = Quadratic(fusion, fusion.weights(point))
    slope = float(((quadratic.apply(point) - fusion.rhs) * step).sum())
    numeric = (objective(fusion, point + 1e-5 * step) - objective(fusion, point - 1e-5 * step)) / 2e-5
    assert slope == pytest.approx(numeric, rel=1e-5)


def test_no_round_raises_the_objective(observation_of_landscape):
    fusion = GraphFusion(observation_of_landscape, fitted(observation_of_landscape, draws=0).prior, Engine())
    solutions = [fusion.settle(rounds, seed=0).coefficients for rounds in (1, 2, 4, 8)]
    values = [objective(fusion, coefficients) for coefficients in solutions]
    assert values == sorted(values, reverse=True)


@pytest.fixture(scope="module")
def sea_and_sand(shared_data) -> tuple[np.ndarray, Observation]:
    """A scene of a real sensor and its pair, in which weights differ by a factor of thousands."""
    cube = loadmat(shared_data / "cat_island/cat_island.mat")["data"].transpose(2, 0, 1)[:, 40:88, 40:88]
    cube = cube.astype(np.float32) / cube.max()
    return cube, simulate(
        cube,
        spectral_response=gaussian_response(
            np.array([480.0, 560, 660, 850, 1650, 2200]),
            np.array([60.0, 60, 40, 60, 90, 180]),
            np.linspace(400, 2500, len(cube)),
        ),
        spatial_response=SpatialResponse.bicubic(ratio=4),
        snr_db=35,
    )


def assert_converged(pair: Observation) -> None:
    """Compare each round with so many steps that nothing changes any more."""
    method = fitted(pair, draws=0)
    fusion = GraphFusion(pair, method.prior, Engine())
    coefficients = fusion.start()
    for steps in method.steps.rounds:
        quadratic = Quadratic(fusion, fusion.weights(coefficients))
        exact = quadratic.minimise(fusion.rhs, coefficients, 10 * steps + 100)
        coefficients = quadratic.minimise(fusion.rhs, coefficients, steps)
        error = coefficients - exact
        assert (error * quadratic.apply(error)).mean() < 1.5 * CONVERGED


def test_settled_steps_reach_the_minimum_of_each_round(observation_of_landscape):
    assert_converged(observation_of_landscape)


def test_the_solver_converges_on_sea_and_sand(sea_and_sand):
    assert_converged(sea_and_sand[1])


def test_no_difference_is_freer_than_the_largest_of_the_lr_hsi():
    observation, prior = small_problem()
    fusion = GraphFusion(observation, replace(prior, largest=2.0), Engine(), similar=2)
    steep = torch.from_numpy(1e3 * RNG.standard_normal((3, 8, 4)))
    assert torch.allclose(fusion.weights(steep), fusion.strengths / (SOFTENING**2 + 2.0))


def test_sea_and_sand_are_better_than_the_closed_form(sea_and_sand):
    truth, pair = sea_and_sand
    closed = build(GaussianSubspaceSettings()).fit(pair).fuse()
    assert psnr(truth, fitted(pair, draws=0).fuse()) > psnr(truth, closed) + 0.5


@pytest.mark.long
def test_draws_have_the_posterior_covariance():
    observation, prior = small_problem()
    solution = GraphFusion(observation, prior, Engine(), similar=2).settle(2, seed=0)
    expected = np.linalg.inv(dense(solution.posterior.apply, (3, 8, 4)))
    draws = np.array([array(draw).ravel() for draw in solution.posterior.draws(1500, seed=5, steps=100)])
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((draws.T @ draws / len(draws) - expected) / scale).max() < 0.15
    assert np.abs(draws.mean(axis=0) / np.sqrt(np.diag(expected))).max() < 0.15


# --- the method


def test_gains_on_the_gaussian_prior(landscape, landscape_srf):
    for response in (SpatialResponse.bicubic(ratio=4), SpatialResponse.gaussian(ratio="8/3", fwhm=1.0)):
        scene = landscape.data[:, : 32 // 8 * 8, : 40 // 8 * 8]
        pair = simulate(scene, spectral_response=landscape_srf, spatial_response=response)
        gaussian = build(GaussianSubspaceSettings()).fit(pair).fuse()
        assert psnr(scene, fitted(pair, draws=0).fuse()) > psnr(scene, gaussian)


def test_a_scene_of_its_own_model_is_recovered():
    """Patches of five spectra, which the HR-MSI tells apart but does not see in full."""
    rng = np.random.default_rng(1)
    labels = np.kron(rng.integers(0, 5, (8, 8)), np.ones((8, 8), int))
    scene = rng.uniform(0.1, 1, (5, 20))[labels].transpose(2, 0, 1).astype(np.float32)
    pair = simulate(
        scene,
        spectral_response=np.kron(np.eye(3), np.full(7, 1 / 7))[:, :20],
        spatial_response=SpatialResponse.bicubic(ratio=4),
        snr_db=100,
    )
    assert psnr(scene, fitted(pair, draws=0).fuse()) > 45


def test_wrong_responses_cost_little(landscape_srf):
    """What the model's errors cost the Gaussian prior, which trusts it, is several times as much."""
    scene = synthetic_scene(SyntheticSource(kind="synthetic", height=64, width=64, bands=24, seed=6)).data
    true = SpatialResponse.gaussian(ratio=4, fwhm=1.0)
    pair = simulate(scene, spectral_response=landscape_srf, spatial_response=true)
    right = psnr(scene, fitted(pair, draws=0).fuse())
    for told in (SpatialResponse.gaussian(ratio=4, fwhm=1.3), true.shifted(0.3, 0.0)):
        wrong = replace(pair, spatial_response=told)
        cost = right - psnr(scene, fitted(wrong, draws=0).fuse())
        gaussian = (psnr(scene, build(GaussianSubspaceSettings()).fit(of).fuse()) for of in (pair, wrong))
        trusting = next(gaussian) - next(gaussian)
        assert cost < trusting / 2


@pytest.mark.long
def test_tiles_agree_with_the_whole_image():
    source = SyntheticSource(kind="synthetic", height=128, width=128, bands=20, seed=1)
    scene = synthetic_scene(source)
    pair = simulate(
        scene.data,
        spectral_response=np.kron(np.eye(4), np.full(5, 0.2)),
        spatial_response=SpatialResponse.bicubic(ratio=2),
    )
    method = fitted(pair)
    whole = method.fuse_part_with_deviation(method.read(pair.whole), pair.whole)
    error = whole.cube - scene.data
    for window in (Window(48, 80, 48, 80), Window(0, 32, 96, 128)):
        part = method.read(window)
        assert part.hr_shape < pair.hr_shape
        tile = method.fuse_part_with_deviation(part, window)
        difference = tile.cube - whole.cube[:, *window.slices]
        assert np.square(difference).mean() < 0.01 * np.square(error).mean()
        assert np.allclose(tile.deviation, whole.deviation[:, *window.slices], rtol=0.3, atol=1e-4)


def test_nodata_does_not_spread(observation_of_landscape):
    lr_hsi, hr_msi = observation_of_landscape.lr_hsi.copy(), observation_of_landscape.hr_msi.copy()
    lr_hsi[3, 2, 5] = np.nan
    hr_msi[:, 20, 30] = np.nan
    holed = replace(observation_of_landscape, lr_hsi=lr_hsi, hr_msi=hr_msi)
    method = fitted(holed, draws=2)
    fused = method.fuse_part_with_deviation(method.read(holed.whole), holed.whole)
    expected = np.zeros((32, 40), bool)
    expected[8:12, 20:24] = expected[20, 30] = True
    for layer in fused:
        assert np.array_equal(np.isnan(layer).any(axis=0), expected)


def test_units_of_the_images_do_not_matter(observation_of_landscape):
    names = ("lr_hsi", "hr_msi", "sigma_hsi", "sigma_msi")
    scaled = {name: getattr(observation_of_landscape, name) * np.float32(1024) for name in names}
    one, other = fitted(observation_of_landscape), fitted(replace(observation_of_landscape, **scaled))
    assert np.allclose(one.fuse() * 1024, other.fuse(), rtol=1e-4)


@pytest.mark.parametrize(
    "image", ["zero", "constant", "one LR pixel", "one row", "one MSI band", "no coupled pixel"]
)
def test_images_that_tell_little_still_give_a_cube(observation_of_landscape, image):
    pair = observation_of_landscape
    if image == "one LR pixel":
        pair = pair.crop(Window(0, 4, 0, 4))
    elif image == "one row":
        pair = pair.crop(Window(0, 4, 0, 40))
    elif image == "one MSI band":
        pair = replace(
            pair,
            hr_msi=pair.hr_msi[:1],
            spectral_response=pair.spectral_response[:1],
            sigma_msi=pair.sigma_msi[:1],
        )
    elif image == "no coupled pixel":
        hr_msi = pair.hr_msi.copy()
        hr_msi[:, ::4, ::4] = np.nan
        pair = replace(pair, hr_msi=hr_msi)
    else:
        level = np.float32(image == "constant")
        pair = replace(pair, lr_hsi=np.full_like(pair.lr_hsi, level), hr_msi=np.full_like(pair.hr_msi, level))
    method = fitted(pair, draws=2)
    cube, deviation = method.fuse_part_with_deviation(method.read(pair.whole), pair.whole)
    present = ~np.isnan(pair.hr_msi).any(axis=0)
    assert np.isfinite(cube[:, present]).all()
    assert (deviation[:, present] >= 0).all()
    assert (deviation[:, present] > 0).all() or image == "zero"


def test_ratio_one_is_a_blur(landscape, landscape_srf):
    response = SpatialResponse.gaussian(ratio=1, fwhm=1.5)
    pair = simulate(landscape.data, spectral_response=landscape_srf, spatial_response=response)
    assert psnr(landscape.data, fitted(pair, draws=2).fuse()) > psnr(landscape.data, pair.lr_hsi)


def test_noise_that_is_estimated_leaves_the_misfit(landscape, landscape_srf):
    """Else a wrong PSF would be taken for noise of the HR-MSI."""
    true = SpatialResponse.gaussian(ratio=4, fwhm=1.0)
    pair = simulate(landscape.data, spectral_response=landscape_srf, spatial_response=true, snr_db=45)
    wrong = replace(pair, spatial_response=true.shifted(0.4, 0.0))
    sigma_hsi, sigma_msi = estimate_noise(wrong)
    told = replace(wrong, sigma_hsi=sigma_hsi, sigma_msi=sigma_msi)
    assert fitted(told, draws=0).prior.misfit > 0.01


def test_samples_of_several_parts_are_one(observation_of_landscape):
    pair = observation_of_landscape
    subspace = fit_subspace(pair.lr_hsi, pair.sigma_hsi, 4)
    parts = [pair.crop(Window(0, 16, 0, 40)), pair.crop(Window(16, 32, 0, 40))]
    both, one = joined([sample_of(part, subspace) for part in parts]), sample_of(parts[1], subspace)
    assert both.coefficients.shape[1] == 80
    own = both.edges[:, both.edges.min(axis=0) >= 40]
    assert np.array_equal(own - 40, one.edges)
    first, second = own
    difference = both.coefficients[:, first] - both.coefficients[:, second]
    assert np.allclose(difference, one.coefficients[:, one.edges[0]] - one.coefficients[:, one.edges[1]])


# --- the standard deviation


def test_intervals_hold_what_they_should(landscape, landscape_srf):
    pair = simulate(
        landscape.data, spectral_response=landscape_srf, spatial_response=SpatialResponse.bicubic(ratio=4)
    )
    method = fitted(pair)
    cube, deviation = method.fuse_part_with_deviation(method.read(pair.whole), pair.whole)
    assert deviation is not None
    inside = (np.abs(cube - landscape.data) <= 1.645 * deviation).mean()
    assert 0.8 < inside < 0.97


def test_one_level_down_is_as_noisy_and_half_as_sharp(observation_of_landscape):
    window, below = one_level_down(observation_of_landscape, seed=0)
    assert (window.shape, below.hr_shape, below.lr_shape) == ((8, 8), (8, 8), (2, 2))
    assert np.array_equal(below.sigma_hsi, observation_of_landscape.sigma_hsi)
    flat = replace(
        observation_of_landscape,
        lr_hsi=np.zeros((24, 8, 10), np.float32),
        hr_msi=np.zeros_like(observation_of_landscape.hr_msi),
    )
    _, noise = one_level_down(flat, seed=0)
    gain = flat.spatial_response.noise_gain(8, 8)
    assert noise.lr_hsi.std() == pytest.approx(np.sqrt(1 - gain) * flat.sigma_hsi[0], rel=0.15)


def test_a_part_too_small_to_degrade_leaves_the_posterior_as_it_is(observation_of_landscape):
    method = fitted(observation_of_landscape, draws=0)
    corner = observation_of_landscape.crop(Window(0, 8, 0, 8))
    spread = learn_spread(
        Calibration([corner], 1.0, 2, 2, 0),
        lambda prior, part: method.method.settled(prior, part, 0),
        method.prior,
    )
    assert (spread.factor == 1).all()


def synthetic_pair(height: int, width: int, response: SpatialResponse) -> Observation:
    source = SyntheticSource(
        kind="synthetic", height=height, width=width, bands=16, wavelength_range=(430, 860)
    )
    return simulate(
        np.asarray(synthetic_scene(source).data, np.float32),
        spectral_response=np.kron(np.eye(4), np.full(4, 0.25)),
        spatial_response=response,
        snr_db=35,
        seed=1,
    )


@pytest.fixture(scope="module")
def large_observation() -> Observation:
    return synthetic_pair(80, 96, SpatialResponse.bicubic(ratio=4))


@pytest.mark.parametrize("fwhm", [0.7, 1.4])
def test_misfit_of_a_wrong_psf_is_large(fwhm):
    pair = synthetic_pair(80, 96, SpatialResponse.gaussian(ratio=4, fwhm=1.0))
    wrong = replace(pair, spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=fwhm))
    assert fitted(wrong, draws=0).prior.misfit > 0.03


def test_misfit_is_that_of_the_scene_however_it_is_cut(large_observation):
    """At the borders of parts H(Y) is not that of the scene."""
    parts = [large_observation.crop(window) for window in large_observation.whole.split(40)]
    assert prior_of(large_observation, [large_observation], None, 3, 0).misfit < 1e-4
    assert prior_of(large_observation, parts, None, 3, 0).misfit < 1e-4


def test_level_below_starts_at_an_offset(observation_of_landscape):
    window, below = one_level_down(observation_of_landscape, seed=0, offset=(2, 1))
    assert window == Window(2, 6, 1, 9)
    assert (below.lr_shape, below.hr_shape, below.origin) == ((1, 2), (4, 8), (2, 1))
    clean = observation_of_landscape.spatial_response.operator(4, 8).forward(
        observation_of_landscape.lr_hsi[:, 2:6, 1:9].astype(np.float64)
    )
    assert np.abs(below.lr_hsi - clean).max() < 5 * observation_of_landscape.sigma_hsi.max()


def test_prior_below_is_learned_from_what_is_degraded(large_observation):
    prior = fitted(large_observation, draws=0, classes=3).prior
    below = prior_below([large_observation], prior, classes=3, seed=0)
    assert below.basis.shape == prior.basis.shape
    span = np.linalg.lstsq(prior.basis.T, below.basis.T, rcond=None)[0]
    assert np.allclose(prior.basis.T @ span, below.basis.T)
    assert not np.allclose(below.precisions, prior.precisions)
    again = prior_below([large_observation], prior, classes=3, seed=0)
    assert np.array_equal(below.precisions, again.precisions)
    assert prior_below([large_observation], replace(prior, misfit=0.0), 3, 0).misfit == 0


def test_levels_below_have_noise_of_their_own(large_observation):
    flat = replace(
        large_observation,
        lr_hsi=np.zeros_like(large_observation.lr_hsi),
        hr_msi=np.zeros_like(large_observation.hr_msi),
    )
    (_, first), (_, second) = (one_level_down(flat, 0, (offset, 0)) for offset in (1, 2))
    assert np.abs(np.corrcoef(first.lr_hsi.ravel(), second.lr_hsi.ravel())[0, 1]) < 0.15


def test_prior_below_does_not_count_no_data():
    pair = synthetic_pair(128, 160, SpatialResponse.bicubic(ratio=4))
    prior = fitted(pair, draws=0, classes=1).prior
    cut = pair.crop(Window(0, 128, 0, 80))
    pair.lr_hsi[:, :, 20:] = np.nan
    of_holed, of_cut = (prior_below([part], prior, classes=1, seed=0) for part in (pair, cut))
    assert of_holed is not prior
    assert of_cut is not prior
    # the same LR pixels but for those beside the gap
    assert np.trace(of_holed.precisions[0]) == pytest.approx(np.trace(of_cut.precisions[0]), rel=0.5)
    shapes = [np.linalg.slogdet(below.basis @ below.basis.T)[1] for below in (of_holed, of_cut)]
    assert shapes[0] == pytest.approx(shapes[1], abs=2)
    assert abs(shapes[0] - np.linalg.slogdet(prior.basis @ prior.basis.T)[1]) > 4


def test_prior_below_is_the_scenes_own_where_there_is_too_little(observation_of_landscape):
    prior = fitted(observation_of_landscape, draws=0).prior
    corner = observation_of_landscape.crop(Window(0, 32, 0, 32))
    assert prior_below([corner], prior, classes=2, seed=0) is prior


def test_without_draws_there_is_no_deviation(observation_of_landscape):
    pair = observation_of_landscape
    told = {"spectral_response": pair.spectral_response, "spatial_response": pair.spatial_response}
    sure = pipeline.fuse(pair.lr_hsi, pair.hr_msi, **told, method="graph_subspace", draws=0)
    unsure = pipeline.fuse(pair.lr_hsi, pair.hr_msi, **told, method="graph_subspace", draws=2)
    assert sure.deviation is None
    assert unsure.deviation is not None
    assert unsure.deviation.shape == unsure.cube.shape
    assert (unsure.deviation > 0).all()
    assert np.array_equal(sure.cube, unsure.cube)


@pytest.mark.long
def test_prior_of_a_sample_serves_as_well_as_that_of_the_whole(large_observation, monkeypatch):
    whole = fitted(large_observation)
    monkeypatch.setattr(pool, "WINDOWS", 4)
    monkeypatch.setattr(pool, "SIDE", 32)
    sampled = fitted(large_observation)
    assert sampled.prior.basis.shape == whole.prior.basis.shape
    assert not np.array_equal(sampled.prior.precisions, whole.prior.precisions)
    first, second = (
        method.fuse_part_with_deviation(method.read(large_observation.whole), large_observation.whole)
        for method in (whole, sampled)
    )
    noise = float(large_observation.sigma_hsi.mean())
    assert np.sqrt(np.square(first.cube - second.cube).mean()) < noise
    assert np.median(second.deviation / first.deviation) == pytest.approx(1, abs=0.3)
