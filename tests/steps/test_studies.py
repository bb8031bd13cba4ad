"""Studies: what a sweep stands for, trainings that are shared, and what the report draws of them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from snakemake.utils import update_config

from pipeline.config.experiment import Run, load_experiment, parse_experiment
from pipeline.config.studies import Cost, Sweep, Trajectory
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate as core_simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.methods import build
from pipeline.methods.args_diff.sampling import sample
from pipeline.methods.args_diff.settings import ArgsDiffSettings, TrainingBudget
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.report.drawing import study_figures
from pipeline.report.page import Provenance, render
from pipeline.report.studies import pictured, sections
from pipeline.runs.fitted_store import check_fitted
from pipeline.steps import crop, download, estimate, simulate, trace, train
from pipeline.store.files import read_json
from pipeline.store.schema import observation_from
from pipeline.store.store import read_store
from workflow_copy import ROOT, Workflow

STUDIES = "config/test/studies.yaml"
BUDGET = TrainingBudget(
    width=32, spatial_iterations=3, spatial_batch=2, crop=16, spectral_iterations=12, spectral_batch=16
)


def tiny(**changes: Any) -> ArgsDiffSettings:
    """ARGS-Diff in a second."""
    base = {"budget": BUDGET, "d": 3, "steps": 4, "precision": "float32", "device": "cpu", "threads": 1}
    return ArgsDiffSettings(**(base | changes))


def content(**changes: Any) -> dict[str, Any]:
    """A configuration with a sweep."""
    spectral = {"kind": "gaussian", "centres": [480, 560, 660, 830], "fwhm": 80}
    return {
        "experiment": "e",
        "scenes": {"s": {"source": {"kind": "synthetic", "height": 32, "width": 32, "bands": 16}}},
        "responses": {"r": {"spatial": {"kind": "bicubic", "ratio": 4}, "spectral": spectral}},
        "defaults": {"args_diff": {"budget": "quick", "threads": 1}},
        "methods": {"bicubic": None},
        "studies": {
            "rho": {
                "kind": "sweep",
                "title": "steps",
                "method": {"method": "args_diff"},
                "over": {"rho1": [0.01, 0.05], "rho2": [0.03]},
            }
        },
    } | changes


# --- configuration


def test_a_sweep_stands_for_its_methods() -> None:
    experiment = parse_experiment(content(), "test")
    assert list(experiment.methods) == ["bicubic", "rho-0.01-0.03", "rho-0.05-0.03"]
    first = experiment.methods["rho-0.01-0.03"]
    assert first.deciding() == ArgsDiffSettings(budget="quick", threads=1, rho1=0.01, rho2=0.03).deciding()
    again = parse_experiment(json.loads(experiment.model_dump_json()), "test")
    assert again.model_dump_json() == experiment.model_dump_json()
    assert list(again.methods) == list(experiment.methods)


def test_a_sweep_of_responses_sets_what_lies_deep() -> None:
    response = content()["responses"]["r"] | {
        "spatial": {"kind": "gaussian", "ratio": 4},
        "told": {"kind": "bicubic", "ratio": 4},
    }
    sweep = {"kind": "sweep", "title": "t", "response": response, "over": {"spatial.fwhm": [0.8, 1.5]}}
    given = content(studies={"fwhm": sweep}, methods={"args_diff": {}})
    del given["responses"]
    experiment = parse_experiment(given, "test")
    assert {k: r.spatial.fwhm for k, r in experiment.responses.items()} == {"fwhm-0.8": 0.8, "fwhm-1.5": 1.5}
    assert experiment.methods["args_diff"].training.width == 32


def test_an_empty_scene_is_left_out() -> None:
    scenes = content()["scenes"] | {"other": None}
    assert list(parse_experiment(content(scenes=scenes), "test").scenes) == ["s"]


SWEEP = content()["studies"]["rho"]
SNR = {"kind": "sweep", "title": "t", "response": content()["responses"]["r"], "over": {"snr_db": [20, 30]}}
TRAJECTORY = {"kind": "trajectory", "title": "t", "methods": ["rho-0.01-0.03"]}


def test_a_scene_may_leave_out_the_responses_of_a_sweep_that_another_has() -> None:
    scene = content()["scenes"]["s"]
    scenes = {"with": scene | {"responses": ["snr-20", "snr-30"]}, "without": scene | {"responses": ["r"]}}
    experiment = parse_experiment(content(scenes=scenes, studies={"snr": SNR}, defaults={}), "test")
    assert list(experiment.observed()) == [("with", "snr-20"), ("with", "snr-30"), ("without", "r")]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"methods": {"rho-0.01-0.03": {"method": "bicubic"}}}, "methods.rho-0.01-0.03: is a label of"),
        ({"defaults": {"args_dif": {}}}, "defaults.args_dif: the experiment has no such method"),
        ({"studies": {"rho": SWEEP | {"over": {}}}}, "studies.rho.over:"),
        (
            {"studies": {"rho": SWEEP | {"method": None}}},
            "studies.rho: a sweep needs either method or response",
        ),
        ({"studies": {"rho": SWEEP | {"over": {"rho3": [1]}}}}, "methods.rho-1: unknown key 'rho3'"),
        (
            {"studies": {"w": SWEEP | {"method": {"budget": "quick"}, "over": {"budget.width": [32]}}}},
            "studies.w: over.budget.width: budget is 'quick', which has no fields; write them out",
        ),
        (
            {"studies": {"T": SWEEP | {"over": {"steps": [5, 5]}}}},
            "studies.T.over.steps: 5 and 5 have the same label, 5; leave one out",
        ),
        (
            {"studies": {"rho": SWEEP | {"over": {"rho1": [0.1, 0.1000001]}}}},
            "studies.rho.over.rho1: 0.1 and 0.1000001 have the same label, 0.1; leave one out",
        ),
        (
            {
                "scenes": {"s": content()["scenes"]["s"] | {"responses": ["r"]}},
                "studies": {"snr": SNR},
                "defaults": {},
            },
            "studies.snr: no scene uses its responses; name them in the scenes' `responses`: snr-20, snr-30",
        ),
        (
            {"studies": {"rho": SWEEP, "c": TRAJECTORY | {"methods": ["rho-0.01-0.03", "bicubic"]}}},
            "studies.c.methods: 'bicubic' is of bicubic, which has no sampling to trace",
        ),
        (
            {"studies": {"rho": SWEEP, "c": TRAJECTORY | {"times": [501, 0]}}},
            "studies.c.times: 501 is above the 500 steps of methods.rho-0.01-0.03; choose from 500 to 0",
        ),
        ({"studies": {1: SWEEP}}, "studies: 1 is read as int, but a name is text; put it in quotes"),
        ({"methods": ["a"]}, 'methods: should be a valid dictionary, found ["a"]'),
        ({"defaults": {"bicubic": "x"}}, 'defaults.bicubic: should be a valid dictionary, found "x"'),
        ({"defaults": {"args_diff": 3}}, "defaults.args_diff: should be a valid dictionary, found 3"),
        (
            {"studies": {"c": {"kind": "trajectory", "title": "t", "methods": ["no"]}}, "defaults": {}},
            "studies.c.methods: 'no' is not among the methods",
        ),
    ],
)
def test_a_wrong_study_is_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match="^test: " + re.escape(line)) as caught:
        parse_experiment(content(**changes), "test")
    assert "\n" not in str(caught.value)


def test_what_is_told_has_the_true_ratio() -> None:
    response = content()["responses"]["r"] | {"told": {"kind": "bicubic", "ratio": 2}}
    with pytest.raises(InputError, match=r"responses.r: told.ratio: 2 differs from spatial.ratio, 4"):
        parse_experiment(content(responses={"r": response}), "test")


COMMITTED = sorted(set((ROOT / "config/studies").glob("*.yaml")) - {ROOT / "config/studies/paper_size.yaml"})


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_every_study_is_valid_in_both_sizes(path: Path) -> None:
    assert list(load_experiment(path).scenes) == ["synthetic"]
    given = yaml.safe_load(path.read_text())
    update_config(given, yaml.safe_load(path.with_name("paper_size.yaml").read_text()))
    large = parse_experiment(given, path.name)
    assert {scene.size for scene in large.scenes.values()} == {(256, 256)}
    used = [s for s in large.methods.values() if isinstance(s, ArgsDiffSettings)]
    assert {s.training.spatial_iterations for s in used} == {30_000}
    assert all(s.in_one_piece((256, 256)) for s in used)


def test_the_first_label_with_an_equal_training_trains() -> None:
    methods = {
        "gaussian_subspace": {},
        "a": {"method": "args_diff", "seeds": [1]},
        "b": {"method": "args_diff", "steps": 20, "argm": False, "rho1": 0.1, "lambda2": 0, "r": 2},
        "c": {"method": "args_diff", "d": 4},
        "e": {"method": "args_diff", "variant": "paper", "patch": 128},
        "same": {"method": "gaussian_subspace"},
    }
    experiment = parse_experiment(content(methods=methods, studies={}, noise={"seeds": [0, 1]}), "test")
    donors = {label: experiment.trained_by(Run("s", "r", label, 1)) for label in methods}
    a = Run("s", "r", "a", 1)
    assert donors == {"gaussian_subspace": None, "a": None, "b": a, "c": None, "e": a, "same": None}
    assert experiment.trained_by(Run("s", "r", "e", 0)) == Run("s", "r", "b", 0)


def test_a_trajectory_follows_the_first_seed_alone() -> None:
    methods = {"bicubic": {}, "a": {"method": "args_diff"}, "b": {"method": "args_diff", "seeds": [2]}}
    again = TRAJECTORY | {"methods": ["a"]}
    given = content(
        methods=methods,
        studies={"c": TRAJECTORY | {"methods": ["b", "a"]}, "d": again},
        noise={"seeds": [1, 2]},
    )
    assert list(parse_experiment(given, "test").traced()) == [("s", "r", "a", 1), ("s", "r", "b", 2)]


# --- sampling


def zero_noise(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """A network that predicts no noise."""
    return torch.zeros_like(x)


class Quadratic:
    """A loss of both factors."""

    recording = False

    def __call__(self, step: int, use: int, factors: list[torch.Tensor]) -> torch.Tensor:
        return sum((factor - 0.3).square().sum() for factor in factors)


def test_the_argm_moves_the_factors_it_is_on_for() -> None:
    start = [torch.full((1, 2, 3, 3), 0.01), torch.full((2, 5), 0.01)]
    ends = {
        argm: sample([zero_noise] * 2, start, Quadratic(), tiny(steps=2, argm=argm, r=0.5), lambda *_: None)
        for argm in (True, False, "coefficients", "basis")
    }
    on, off = ends[True], ends[False]
    assert not torch.equal(on[0], off[0])
    assert not torch.equal(on[1], off[1])
    for argm, (a, e) in {"coefficients": (on, off), "basis": (off, on)}.items():
        assert torch.equal(ends[argm][0], a[0])
        assert torch.equal(ends[argm][1], e[1])


def test_a_trace_ends_where_the_fusion_does(observation_of_landscape: Observation) -> None:
    fitted = build(tiny()).fit(observation_of_landscape)
    kept = fitted.trace([4, 2, 1, 0])
    assert {planes.shape for planes in kept.values()} == {(3, 32, 40)}
    cube = fitted.fuse()
    assert np.array_equal(kept[0], fitted._factors[0][0].numpy())
    assert np.array_equal(kept[1], kept[0])
    basis = fitted._factors[1].numpy()
    made = np.clip(np.tensordot(basis.T, kept[0], axes=1), 0, 1) * fitted.scale
    assert np.allclose(made, cube, atol=1e-6)
    spatial, _ = fitted.sampling_networks()
    noise = fitted.start([observation_of_landscape.whole])
    share = 0.001 + 0.999 * (1 - np.exp(-10 * (1 - 1000 / 1000))) / (1 - np.exp(-10))
    with torch.no_grad():
        eps = spatial(noise, torch.tensor([999]))
    first = ((noise - (1 - share) ** 0.5 * eps) / share**0.5).clamp(-1, 1)
    assert np.allclose(kept[4], (first[0].numpy() + 1) / 2, atol=1e-4)
    with pytest.raises(InputError, match="times: 5 is not among the steps left, 4 to 0"):
        fitted.trace([5])


def test_a_scene_in_patches_is_not_traced(observation_of_landscape: Observation) -> None:
    method = build(tiny(patch=32))
    fitted = build(tiny()).fit(observation_of_landscape)
    large = method.restore(observation_of_landscape, fitted.state())
    with pytest.raises(InputError, match="can be traced; crop it, or raise patch"):
        large.trace([0])


# --- trainings


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Ledgers of an observation, told another H than the true one, and of its estimate."""
    folder = tmp_path_factory.mktemp("studies")
    experiment = load_experiment(ROOT / STUDIES)
    (scene,), (response,) = experiment.scenes.values(), experiment.responses.values()
    settings = simulate.Settings(response=response, noise=experiment.noise)
    download.run(settings=scene, out=folder / "source.json")
    crop.run(source=folder / "source.json", settings=scene, out=folder / "reference.json")
    simulate.run(
        reference=folder / "reference.json", settings=settings, seed=0, out=folder / "observation.json"
    )
    estimate.run(
        observation=folder / "observation.json",
        settings=experiment.estimation,
        out=folder / "estimate.json",
    )
    return folder / "observation.json", folder / "estimate.json"


def trained(
    prepared: tuple[Path, Path], out: Path, settings: ArgsDiffSettings, by: Path | None = None
) -> Path:
    observation, told = prepared
    path = out / "fitted.safetensors"
    train.run(observation=observation, estimate=told, settings=settings, seed=0, out=path, trained_by=by)
    return path


def test_methods_are_told_another_response_than_the_true_one(prepared: tuple[Path, Path]) -> None:
    dataset = read_store(prepared[0])
    seen = observation_from(dataset)
    assert seen.spatial_response == SpatialResponse.bicubic(ratio=4)
    true = SpatialResponse.gaussian(ratio=4, fwhm=0.8)
    assert SpatialResponse.from_dict(dataset.attrs["provenance"]["simulated_with"]) == true
    reference = np.asarray(read_store(prepared[0].with_name("reference.json"))["reference"])
    made = core_simulate(reference, spectral_response=seen.spectral_response, spatial_response=true)
    assert np.array_equal(seen.lr_hsi, made.lr_hsi)
    assert np.array_equal(seen.hr_msi, made.hr_msi)


def test_a_response_has_its_own_noise(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    experiment = load_experiment(ROOT / STUDIES)
    (response,) = experiment.responses.values()
    settings = simulate.Settings(
        response=response.model_copy(update={"snr_db": 15.0}), noise=experiment.noise
    )
    out = tmp_path / "observation.json"
    simulate.run(reference=prepared[0].with_name("reference.json"), settings=settings, seed=0, out=out)
    noisy, base = (observation_from(read_store(path)) for path in (out, prepared[0]))
    assert noisy.sigma_hsi == pytest.approx(10 * base.sigma_hsi)


@pytest.mark.long
def test_a_shared_training_has_the_same_bytes(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    first = trained(prepared, tmp_path / "first", tiny())
    alone = trained(prepared, tmp_path / "alone", tiny(steps=7, argm="basis"))
    assert alone.read_bytes() == first.read_bytes()
    shared = trained(prepared, tmp_path / "shared", tiny(steps=7, argm="basis"), first)
    assert shared.read_bytes() == first.read_bytes()
    assert not shared.samefile(first)
    assert shared.with_name(train.TIMING).read_bytes() == first.with_name(train.TIMING).read_bytes()

    shutil.rmtree(first.parent)  # the label was dropped from the experiment
    before = shared.stat().st_ino
    shared.unlink()
    assert trained(prepared, shared.parent, tiny(steps=9)).stat().st_ino == before


@pytest.mark.long
def test_another_training_is_not_taken_over(
    prepared: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = trained(prepared, tmp_path / "first", tiny())
    damaged = tmp_path / "damaged" / first.name
    damaged.parent.mkdir()
    damaged.write_bytes(first.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="was changed since `train` wrote it"):
        trained(prepared, tmp_path / "again", tiny(steps=2), damaged)
    alone = trained(prepared, tmp_path / "alone", tiny(d=2))
    assert not caplog.text
    other = trained(prepared, tmp_path / "other", tiny(d=2), first)
    assert f"{first}: is of another training; training this label by itself" in caplog.text
    assert other.read_bytes() == alone.read_bytes()


@pytest.mark.long
def test_labels_of_a_scene_in_patches_share_networks(
    monkeypatch: pytest.MonkeyPatch, prepared: tuple[Path, Path], tmp_path: Path
) -> None:
    """A patch of 24 pixels makes the small scene a large one, whose anchor depends on the sampling."""
    monkeypatch.setattr(ArgsDiffSettings, "in_one_piece", lambda self, shape: False)
    first = trained(prepared, tmp_path / "first", tiny())
    alone = trained(prepared, tmp_path / "alone", tiny(steps=3))
    shared = trained(prepared, tmp_path / "shared", tiny(steps=3), first)
    assert shared.read_bytes() == alone.read_bytes()
    assert shared.read_bytes() != first.read_bytes()
    assert check_fitted(shared)[1]["training"] == check_fitted(first)[1]["training"]
    seconds = [read_json(path.with_name(train.TIMING))["seconds"]["compute"] for path in (first, shared)]
    assert seconds[1] > seconds[0]


def test_only_a_sampling_method_is_traced(prepared: tuple[Path, Path], tmp_path: Path) -> None:
    settings = GaussianSubspaceSettings()
    fitted = trained(prepared, tmp_path, settings)
    with pytest.raises(InputError, match="gaussian_subspace: has no sampling to trace"):
        trace.run(
            observation=prepared[0],
            estimate=prepared[1],
            fitted=fitted,
            times=[0],
            settings=settings,
            seed=0,
            out=tmp_path / "trace.json",
        )


# --- report


def run_of(label: str, seed: int, psnr: float, response: str = "r") -> dict[str, Any]:
    """What the sections take from one `metrics.json`."""
    return {
        **{"scene": "field", "response": response, "label": label, "seed": seed},
        "metrics": {"psnr": psnr, "sam": 50 - psnr},
        "seconds": {"estimate": 1.0, "train": 20.0, "fuse": 4.0, "io": 9.0},
        **{"peak_mem_mb": 500.0, "parameters": 2_000_000},
    }


def texts(svg: str) -> list[str]:
    """The words on a chart."""
    return re.findall(r">([^<>]+)</(?:text|tspan)>", svg)


def test_a_grid_is_a_heat_map_with_its_values() -> None:
    sweep = Sweep(kind="sweep", title="t", method={}, over={"rho1": [0.01, 0.05], "rho2": [0.03, 0.07]})
    labels = list(sweep.labels("rho"))
    runs = [run_of(label, seed, 30 + i + seed) for i, label in enumerate(labels) for seed in (0, 1)]
    (section,) = sections({"rho": sweep}, runs, labels, {})
    ((svg, caption),) = section.figures
    shown = texts(svg)
    assert [text for text in shown if re.fullmatch(r"3\d\.\d\d", text)] == [
        "30.50",
        "31.50",
        "32.50",
        "33.50",
    ]
    assert {"ρ₁, step size on A", "ρ₂, step size on E", "PSNR [dB]", "SAM [°]"} <= set(shown)
    assert caption.startswith("field, r: mean over 2 noise seeds.")
    assert pictured({"rho": sweep}, ["bicubic", *labels]) == ["bicubic", labels[0], labels[-1]]


def test_swept_responses_are_a_line_for_each_method() -> None:
    sweep = Sweep(kind="sweep", title="t", response={}, over={"snr_db": [20, 30]})
    runs = [
        run_of(label, 0, 20 + step, response)
        for label in ("bicubic", "cnmf")
        for step, response in enumerate(sweep.labels("snr"))
    ]
    (section,) = sections({"snr": sweep}, runs, ["bicubic", "cnmf"], {})
    ((svg, caption),) = section.figures
    assert {"bicubic", "cnmf", "SNR [dB]", "20", "30"} <= set(texts(svg))
    assert caption == "field: mean over the noise seeds (1 noise seed)."


def test_differences_are_between_equal_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep(kind="sweep", title="t", method={}, over={"argm": [False, True]})
    gains = {0: 0.5, 1: -0.25}
    runs = [
        run_of(label, seed, 30 + 5 * seed + (gains[seed] if on else 0))
        for on, label in enumerate(("argm-false", "argm-true"))
        for seed in gains
    ]
    seen = {}

    def differences(values: Any, base: str) -> str:
        seen[base] = values
        return ""

    monkeypatch.setattr(study_figures, "differences", differences)
    (section,) = sections({"argm": sweep}, runs, ["argm-false", "argm-true"], {})
    assert seen["argm-false"]["argm-true"]["psnr"].tolist() == [0.5, -0.25]
    assert seen["argm-false"]["argm-true"]["sam"].tolist() == [-0.5, 0.25]
    assert "argm-false (mean 32.50 dB PSNR, 17.500 ° SAM)" in section.figures[0][1]


def test_cost_counts_the_training() -> None:
    (section,) = sections({"c": Cost(kind="cost", title="t")}, [run_of("m", 0, 30)], ["m"], {})
    ((svg, caption),) = section.figures
    assert "m (2.00 M)" in texts(svg)
    assert "fusion alone (hollow markers)" in caption


def test_a_trajectory_is_a_row_for_each_method() -> None:
    study = Trajectory(kind="trajectory", title="t", methods=["off", "on"], times=[4, 0])
    ramp = np.zeros((2, 8, 8), np.float32)
    ramp[1] = np.linspace(0, 1, 8)
    traces = {
        ("field", "r", label): {4: ramp / 2, 0: ramp + (0.25 if label == "on" else 0)}
        for label in ("off", "on")
    }
    (section,) = sections({"c": study}, [], [], traces)
    off, on = section.galleries
    assert [picture.caption for picture in off.pictures] == ["4 steps left", "the end"]
    assert "coefficient 2 of 2" in off.note
    assert "from off over all coefficients, which lie in [0, 1]: 0.000 at 4, 0.250 at 0." in on.note


def test_the_page_says_which_blur_is_given_to_the_methods() -> None:
    given = content()
    given["responses"]["r"] |= {
        "spatial": {"kind": "gaussian", "ratio": 4, "fwhm": 1.5},
        "told": {"kind": "gaussian", "ratio": 4, "fwhm": 1},
    }
    page = render(parse_experiment(given, "test"), [], Provenance({}, [], [], {}, {}, ""))
    expected = (
        "gaussian blur, FWHM 1.5 LR pixels (given to the methods: gaussian blur, FWHM 1 LR pixels), ratio 4"
    )
    assert expected in page


# --- workflow


@pytest.mark.long
def test_a_sweep_trains_once(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path)
    workflow.run(STUDIES)
    results = tmp_path / "results/studies"
    folder = results / "synthetic/fwhm-0.8/seed0"
    first, second = (folder / f"T-{steps}/fitted.safetensors" for steps in (5, 3))
    assert first.read_bytes() == second.read_bytes()
    logs = tmp_path / "logs/studies/synthetic/fwhm-0.8/seed0"
    assert "spectral" in (logs / "T-5/train.log").read_text()
    assert "spectral" not in (logs / "T-3/train.log").read_text()
    page = (results / "report.html").read_text()
    assert all(f'id="study-{name}"' in page for name in ("T", "fwhm", "cost", "coefficients"))
    assert "3 steps left" in page

    # another T samples again, in that label alone, and takes over the training
    content = yaml.safe_load((ROOT / STUDIES).read_text())
    content["studies"]["T"]["over"]["steps"] = [5, 4]
    content["studies"]["coefficients"]["methods"] = ["T-5"]
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(content))
    planned = workflow.planned("changed.yaml")
    assert planned == dict.fromkeys(("train", "plan", "fuse", "mosaic", "evaluate", "report", "all"), 1) | {
        "total": 7
    }
    fitted = folder / "T-4/fitted.safetensors"
    workflow.run("changed.yaml", "--", str(fitted.relative_to(tmp_path)))
    assert fitted.read_bytes() == first.read_bytes()
    assert "spectral" not in (logs / "T-4/train.log").read_text()
