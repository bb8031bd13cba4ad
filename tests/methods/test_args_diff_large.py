"""ARGS-Diff on scenes larger than a patch: pool, lattice, frozen norms, recording, and how they agree."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.scenes import SyntheticSource
from pipeline.core.diffusion.norms import FrozenNorm, Norm, RecordingNorm
from pipeline.core.diffusion.schedules import times
from pipeline.core.sensing.nodata import filled_observation
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods import pool
from pipeline.methods.args_diff.fitted import FittedArgsDiff
from pipeline.methods.args_diff.guidance import RecordedLoss
from pipeline.methods.args_diff.method import ArgsDiff
from pipeline.methods.args_diff.networks import STRIDE, SpatialUNet
from pipeline.methods.args_diff.recording import FrozenUNet, Recording, RecordingUNet
from pipeline.methods.args_diff.sampling import GuidedRun
from pipeline.methods.args_diff.settings import ArgsDiffSettings, TrainingBudget
from pipeline.methods.device import on_device
from pipeline.methods.diffusion import anchors
from pipeline.methods.diffusion.anchors import anchor_windows, farthest
from pipeline.methods.diffusion.guidance import guidance_of
from pipeline.methods.diffusion.patches import halo, patches
from pipeline.methods.pool import lr_inside, training_pool, unit_scale
from tape import Tape

TINY = TrainingBudget(width=32, spatial_iterations=6, spatial_batch=2, crop=16, spectral_iterations=12)
CPU = torch.device("cpu")
RESPONSES = [
    SpatialResponse.bicubic(ratio=4),
    SpatialResponse.gaussian(ratio="25/3", fwhm=1.0),
    SpatialResponse.box(ratio="5/2"),
]


def tiny(**changes) -> ArgsDiffSettings:
    fields = {"budget": TINY, "d": 3, "steps": 5, "precision": "float32", "threads": 1, "patch": 32}
    return ArgsDiffSettings(**fields | changes)


@pytest.fixture(scope="module")
def strip(landscape_srf: np.ndarray) -> Observation:
    """A scene of 32x200 pixels: seven patches of 32, of which the first do not see the last."""
    scene = synthetic_scene(SyntheticSource(kind="synthetic", height=32, width=200, bands=24, seed=4))
    return simulate(
        scene.data, spectral_response=landscape_srf, spatial_response=SpatialResponse.bicubic(ratio=4)
    )


@pytest.fixture(scope="module")
def fitted(strip: Observation) -> FittedArgsDiff:
    return ArgsDiff(tiny()).fit(strip)


@pytest.fixture(scope="module")
def product(fitted: FittedArgsDiff) -> np.ndarray:
    return fitted.fuse()


def blank(height: int, width: int, response: SpatialResponse, bands: int = 2) -> Observation:
    """Zeros of a size, with a response."""
    lr = response.lr_size(height), response.lr_size(width)
    return Observation(
        np.zeros((bands, *lr), np.float32),
        np.zeros((1, height, width), np.float32),
        np.full((1, bands), 1 / bands),
        response,
        np.ones(bands),
        np.ones(1),
    )


# --- norms and networks


def random_unet(norm: type[Norm]) -> SpatialUNet:
    torch.manual_seed(0)
    network = SpatialUNet(3, 32, norm)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return on_device(network, CPU).requires_grad_(False).eval()


def noise_and_gradient(network, x: torch.Tensor, direction: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    noise = network(x, torch.full((len(x),), 500))
    return [noise.detach(), *torch.autograd.grad(noise, x, direction)]


def recorded(x: torch.Tensor, direction: torch.Tensor) -> tuple[list[torch.Tensor], Recording]:
    recorder = RecordingUNet(random_unet(RecordingNorm))
    result = noise_and_gradient(recorder, x, direction)
    kept = torch.stack(recorder.statistics), torch.stack(recorder.slopes)
    return result, Recording(torch.empty(0), torch.empty(0), torch.empty(0), *kept)


def test_recording_changes_nothing_on_one_image():
    x, direction = torch.randn(2, 1, 3, 24, 40)
    plain = noise_and_gradient(random_unet(Norm), x, direction)
    assert all(torch.equal(*pair) for pair in zip(plain, recorded(x, direction)[0], strict=True))


@pytest.mark.parametrize("images", [1, 3])
def test_frozen_network_reproduces_the_recorded_one(images):
    """Noise and gradient on the same images, from their recorded means alone, one by one."""
    x, direction = torch.randn(2, images, 3, 24, 40)
    together, recording = recorded(x, direction)
    frozen = FrozenUNet(random_unet(FrozenNorm), [500], recording)
    for i in range(images):
        alone = noise_and_gradient(frozen, x[i : i + 1], direction[i : i + 1])
        for ours, theirs in zip(alone, together, strict=True):
            assert float((ours[0] - theirs[i]).abs().max()) < 1e-4 * float(theirs.abs().max())


def test_frozen_network_of_a_pixel_does_not_reach_across_the_image():
    x, direction = torch.randn(2, 1, 3, 8, 1024)
    _, recording = recorded(x, direction)
    frozen = FrozenUNet(random_unet(FrozenNorm), [500], recording)
    changed = x.clone()
    changed[..., 960:] += 1
    before, after = (noise_and_gradient(frozen, image, direction) for image in (x, changed))
    assert all(torch.equal(a[..., :128], b[..., :128]) for a, b in zip(before, after, strict=True))
    assert not torch.equal(before[0], after[0])


# --- patches


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(RESPONSES), st.data())
@settings(max_examples=40, deadline=None)
def test_every_pixel_belongs_to_one_patch_whatever_is_asked(rows, cols, response, data):
    step = response.ratio.numerator
    scene = blank(rows * step, cols * step, response)
    height, width = scene.hr_shape
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(y, data.draw(st.integers(y + 1, height)), x, data.draw(st.integers(x + 1, width)))
    count = np.zeros(scene.hr_shape, int)
    found = patches(scene, window, 32, STRIDE)
    for patch in found:
        count[patch.core.slices] += 1
        assert patch.window.y0 % STRIDE == 0
        assert patch.window.x0 % STRIDE == 0
        assert patch in patches(scene, scene.whole, 32, STRIDE)
    assert (count[window.slices] == 1).all()
    assert count.max() == 1


@given(st.integers(0, 9), st.integers(4, 12), st.sampled_from(RESPONSES))
@settings(max_examples=12, deadline=None)
def test_lr_pixels_of_a_window_see_nothing_outside_it(start, size, response):
    height, width = (n * response.ratio.numerator for n in (24, 8))
    scene = blank(height, width, response)
    window = Window(start * 8, min(height, (start + size) * 8), 0, width)
    lr = lr_inside(scene, window)
    whole = scene.operator.forward(np.eye(height)[:, :, None] * np.ones((1, 1, width)))  # H of each row
    seen = np.abs(whole[:, lr.y0 : lr.y1]).max(axis=(1, 2), initial=0) > 0
    assert not seen[: window.y0].any()
    assert not seen[window.y1 :].any()


def test_no_lr_pixel_sees_a_window_alone_that_is_narrower_than_h():
    scene = blank(64, 64, SpatialResponse.gaussian(ratio=4, fwhm=4.0))
    assert min(lr_inside(scene, Window(0, 8, 0, 8)).shape) == 0


@pytest.mark.parametrize("window", [Window(0, 32, 40, 120), Window(8, 32, 104, 200)])
def test_residuals_of_a_window_are_those_of_the_whole(window, strip):
    """Where LR pixels see nothing outside; H's borders are those of the image, not of the window."""
    basis = torch.rand(3, strip.bands)
    coefficients = torch.rand(3, *strip.hr_shape)
    whole = guidance_of(strip, strip, strip.whole, 1.0, CPU)
    part = strip.crop(strip.padded_window(window, 0))
    own = guidance_of(strip, part, window, 1.0, CPU)
    lr = lr_inside(strip, window)
    expected = whole.residuals(coefficients, basis)
    found = own.residuals(coefficients[:, *window.slices], basis)
    assert lr.shape > (0, 0)
    assert torch.allclose(found[0], expected[0][:, *lr.slices], atol=1e-5)
    assert torch.allclose(found[1], expected[1][:, *window.slices], atol=1e-5)


def test_halo_holds_all_lr_pixels_that_see_a_core():
    assert halo(SpatialResponse.bicubic(ratio=4), STRIDE) == 48
    wide = SpatialResponse.bicubic(ratio=30)
    assert halo(wide, STRIDE) >= 2 * wide.support_lr * 30
    assert ArgsDiff(tiny()).halo_lr(SpatialResponse.bicubic(ratio=4)) == 12


def test_a_step_in_patches_can_be_replayed_on_the_same_memory(strip, fitted):
    """As in a CUDA graph, with the statistics of another call in each step."""
    recording, guidance = fitted.recording, guidance_of(strip, strip, strip.whole, 1.0, CPU)
    loss = RecordedLoss([guidance], recording.bases, recording.pulls, fitted.settings)
    calls = [t for t, _ in times(5, 1000)]
    network = FrozenUNet(fitted.sampling_networks(FrozenNorm)[0], calls, recording)
    start = [fitted.start([strip.whole])]
    plain, replayed = (GuidedRun([network], start, loss, fitted.settings) for _ in range(2))
    with Tape() as tape:
        replayed.advance()
    for _ in range(3):
        tape.replay()
    for _ in range(4):
        plain.advance()
    assert torch.equal(replayed.factors[0], plain.factors[0])


# --- the product


@pytest.mark.long
def test_replay_of_the_anchor_reproduces_the_joint_run(strip):
    """The scene is its own anchor: in one piece as published, or in seven patches that see all of it."""
    scene = strip.crop(Window(0, 32, 0, 72))
    state = ArgsDiff(tiny(patch=32)).fit(scene).state()
    published = ArgsDiff(tiny(patch=256)).restore(scene, state)
    in_patches = ArgsDiff(tiny(patch=32)).restore(scene, state)
    assert [patch.window for patch in patches(scene, Window(0, 32, 32, 64), 32, STRIDE)] == [scene.whole]
    difference = (published.fuse() - in_patches.fuse())[:, :, 32:64]
    assert float(np.abs(difference).max()) < 1e-4


@pytest.mark.long
def test_product_does_not_depend_on_the_tiles(fitted, product):
    windows = [Window(0, 32, 0, 64), Window(0, 24, 72, 96), Window(24, 32, 176, 200)]
    for window in windows:
        assert np.allclose(fitted.fuse(window), product[:, *window.slices], rtol=0, atol=1e-6)


@pytest.mark.long
def test_window_depends_on_its_surroundings_alone(strip, fitted, product):
    """Another scene to the right of what the first patch sees changes none of its bytes."""
    far = np.s_[:, :, 104:]
    other = replace(strip, hr_msi=strip.hr_msi.copy(), lr_hsi=strip.lr_hsi.copy())
    other.hr_msi[far] = 0.1
    other.lr_hsi[:, :, 26:] = np.nan
    again = ArgsDiff(tiny()).restore(other, fitted.state()).fuse(Window(0, 32, 0, 32))
    assert np.allclose(again, product[:, :, :32], rtol=0, atol=1e-6)


def test_patches_without_data_are_nodata_and_harm_no_other(strip, fitted):
    gap = replace(strip, hr_msi=strip.hr_msi.copy())
    gap.hr_msi[:, :, 8:] = np.nan
    cube = ArgsDiff(tiny()).restore(gap, fitted.state()).fuse(Window(0, 32, 0, 200))
    assert np.isfinite(cube[:, :, :8]).all()
    assert np.isnan(cube[:, :, 8:]).all()


@pytest.mark.long
def test_state_holds_all_that_a_tile_needs(strip, fitted, product):
    class Unreadable(Observation):
        def blocks(self):
            raise AssertionError("a tile read the whole scene")

    scene = Unreadable(**vars(strip))
    restored = ArgsDiff(tiny()).restore(scene, fitted.state())
    window = Window(0, 32, 96, 128)
    assert np.array_equal(restored.fuse(window), ArgsDiff(tiny()).restore(strip, fitted.state()).fuse(window))
    assert np.allclose(restored.fuse(window), product[:, *window.slices], rtol=0, atol=1e-6)


@pytest.mark.long
def test_scene_of_one_patch_is_sampled_as_published_and_once(strip):
    one = ArgsDiff(tiny(patch=80)).fit(strip)
    assert one.recording is None
    assert not any(name.startswith("recording") for name in one.state())
    steps = []
    window = one.fuse(Window(3, 9, 50, 130), lambda *event: steps.append(event))
    assert np.array_equal(window, one.fuse(progress=lambda *event: steps.append(event))[:, 3:9, 50:130])
    assert len(steps) == 4


@pytest.mark.long
@pytest.mark.parametrize("changes", [{"argm": False}, {"precision": "bfloat16"}])
def test_options_apply_in_patches(changes, strip, product):
    fitted = ArgsDiff(tiny(**changes)).fit(strip)
    cube = fitted.fuse(Window(0, 32, 0, 32))
    assert np.isfinite(cube).all()
    assert not np.array_equal(cube, product[:, :, :32])


# --- what training reads


class Counting:
    """An image whose reads are counted in values."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.read = array, array.shape, 0

    def __getitem__(self, key):
        values = self.array[key]
        self.read += values.size
        return values


def on_disk(observation: Observation) -> ObservedScene:
    fields = vars(observation) | {
        "lr_hsi": Counting(observation.lr_hsi),
        "hr_msi": Counting(observation.hr_msi),
    }
    return ObservedScene(**{k: v for k, v in fields.items() if k in ObservedScene.__dataclass_fields__})


@pytest.fixture
def small_pool(monkeypatch):
    monkeypatch.setattr(pool, "WINDOWS", 3)
    monkeypatch.setattr(pool, "SIDE", 16)
    monkeypatch.setattr(anchors, "SIDE", 16)
    monkeypatch.setattr(anchors, "ANCHOR_PIXELS", 3 * 8 * 8)


def test_training_reads_no_more_of_a_larger_scene(small_pool):
    reads = []
    for size in (64, 256):
        scene = on_disk(blank(size, size, SpatialResponse.bicubic(ratio=4)))
        windows = training_pool(scene, 0, "args_diff", STRIDE)
        assert [part.hr_shape for part in windows] == [(16, 16)] * 3
        anchor_windows(scene, windows, "args_diff")
        reads.append(scene.hr_msi.read)
    assert reads[0] == reads[1] == 3 * 16 * 16


def test_pool_is_drawn_by_the_seed_from_windows_with_data(small_pool, strip):
    holed = replace(strip, hr_msi=strip.hr_msi.copy())
    holed.hr_msi[:, :, :100] = np.nan
    corners = [
        [part.origin for part in training_pool(holed, seed, "args_diff", STRIDE)] for seed in (0, 0, 1)
    ]
    assert corners[0] == corners[1] != corners[2]
    assert all(x >= 96 and x % 16 == 0 for _, x in corners[0] + corners[2])
    holed.hr_msi[:] = np.nan
    with pytest.raises(InputError, match="no window of 16x16 pixels has data in 40% of its pixels"):
        training_pool(holed, 0, "args_diff", STRIDE)


def test_small_scene_is_its_own_pool_and_anchor(strip):
    (part,) = training_pool(strip, 0, "args_diff", STRIDE)
    assert np.array_equal(part.hr_msi, strip.hr_msi)
    assert [window for _, window in anchor_windows(strip, [part], "args_diff")] == [strip.whole]


def test_anchors_lie_in_the_pool_and_differ(small_pool, strip):
    windows = training_pool(strip, 0, "args_diff", STRIDE)
    anchors = anchor_windows(strip, windows, "args_diff")
    assert len({window for _, window in anchors}) == 3
    for part, window in anchors:
        assert window.shape == (8, 8)
        assert part.origin[0] <= window.y0 <= window.y1 <= part.origin[0] + 16
        assert part.origin[1] <= window.x0 <= window.x1 <= part.origin[1] + 16


def test_farthest_starts_in_the_middle_and_takes_the_extremes():
    features = np.array([[0.0], [5.0], [5.1], [10.0], [9.0]])
    assert farthest(features, 3) == [2, 0, 3]
    assert len(farthest(features, 9)) == 5


@pytest.mark.long
def test_large_scene_is_fitted_from_its_pool(monkeypatch, strip):
    monkeypatch.setattr(pool, "WINDOWS", 1)
    monkeypatch.setattr(pool, "SIDE", 64)
    monkeypatch.setattr(anchors, "SIDE", 64)
    monkeypatch.setattr(anchors, "ANCHOR_PIXELS", 2 * 32 * 32)
    fitted = ArgsDiff(tiny()).fit(on_disk(strip))
    assert fitted.recording is not None
    assert fitted.recording.statistics.shape == (5, 45, 2, 32)
    assert np.isfinite(fitted.fuse(Window(0, 32, 64, 96))).all()


def test_scale_is_the_largest_value_of_valid_pixels(strip):
    holed = replace(strip, hr_msi=strip.hr_msi.copy(), lr_hsi=strip.lr_hsi.copy())
    holed.lr_hsi[:, 2, 3] = np.nan
    holed.hr_msi[:, holed.hr_msi.max(axis=0) > 0.5] = np.nan
    filled = filled_observation(holed)
    assert unit_scale(holed) == float(max(filled.lr_hsi.max(), filled.hr_msi.max()))


@pytest.mark.long
def test_rational_ratio_in_patches(landscape_srf):
    scene = synthetic_scene(SyntheticSource(kind="synthetic", height=50, width=100, bands=24, seed=4))
    response = SpatialResponse.gaussian(ratio=Fraction(25, 3), fwhm=1.0)
    seen = simulate(scene.data, spectral_response=landscape_srf, spatial_response=response)
    fitted = ArgsDiff(tiny(patch=64)).fit(seen)
    assert fitted.recording is not None
    assert np.isfinite(fitted.fuse(Window(0, 50, 25, 75))).all()
