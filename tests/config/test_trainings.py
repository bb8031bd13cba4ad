"""Where supervised methods learn: which runs share a training, what each may read, what is left out."""

from typing import Any

import pytest

from pipeline.config.experiment import Experiment, Observed, Run, parse_experiment
from pipeline.errors import InputError

SYNTHETIC = {"kind": "synthetic", "height": 256, "width": 256, "bands": 16}


def experiment(methods: dict[str, Any], **changes: Any) -> Experiment:
    content: dict[str, Any] = {
        "experiment": "trainings",
        "scenes": {name: {"source": SYNTHETIC | {"seed": seed}} for seed, name in enumerate("abc")},
        "responses": {
            "four": {
                "spatial": {"kind": "bicubic", "ratio": 4},
                "spectral": {"kind": "gaussian", "centres": [480, 560, 660, 830], "fwhm": 80},
            }
        },
        "noise": {"seeds": [3, 5]},
        "methods": {"bicubic": {}} | methods,
    }
    return parse_experiment(content | changes, "test")


def test_one_training_on_other_scenes_serves_all_and_they_are_not_fused() -> None:
    label = {"ddpm_fus": {"training": {"scenes": ["a", "c"]}}}
    settled = experiment(label)
    runs = list(settled.runs())
    assert {run.scene for run in runs} == {"b"}
    first = Run("b", "four", "ddpm_fus", 3)
    assert settled.trained_by(first) is None
    assert settled.trained_by(first._replace(seed=5)) == first
    assert settled.examples_of(first) == [Observed("a", "four", 3), Observed("c", "four", 3)]
    more = {"steps": {"method": "ddpm_fus", "steps": 50, "training": {"scenes": ["a", "c"]}}}
    assert experiment(label | more).trained_by(first._replace(label="steps")) == first


def test_trainings_on_the_pair_belong_to_their_scene_and_seed() -> None:
    settled = experiment({"ddpm_fus": {}, "steps": {"method": "ddpm_fus", "steps": 50}})
    run = Run("b", "four", "ddpm_fus", 5)
    assert settled.trained_by(run) is None
    assert settled.trained_by(run._replace(label="steps")) == run
    assert all(settled.examples_of(run) == [] for run in settled.runs())
    assert len(list(settled.runs())) == 3 * 3 * 2


def test_a_region_is_not_scored_for_any_method() -> None:
    region = {"row": 8, "column": 0, "height": 40, "width": 64}
    settled = experiment({"ddpm_fus": {"training": {"region": region}, "budget": "quick"}})
    run = Run("b", "four", "ddpm_fus", 5)
    assert settled.examples_of(run) == [Observed("b", "four", 5)]
    (unscored,) = settled.unscored("b")
    margin = settled.methods["ddpm_fus"].receptive_radius + 32  # type: ignore[attr-defined]
    assert unscored.window.slices == (slice(0, 48 + margin), slice(0, 64 + margin))
    assert experiment({}).unscored("b") == []


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"scenes": ["a", "x"]}, r"training.scenes: \['x'\] are not among the scenes \['a', 'b', 'c'\]"),
        ({"scenes": ["a", "b", "c"]}, "every scene is trained on; leave at least one to fuse"),
        ({"scenes": []}, "at least 1 item"),
        ({"region": {"height": 0, "width": 8}}, "greater than or equal to 1"),
    ],
)
def test_trainings_that_cannot_be_are_refused(training: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        experiment({"ddpm_fus": {"training": training}})


def test_a_scene_without_a_reference_teaches_nothing() -> None:
    pair = {name: {"kind": "file", "path": f"{name}.tif"} for name in ("hsi", "msi")}
    scenes = {"a": {"source": SYNTHETIC}, "real": {"pair": pair}}
    with pytest.raises(InputError, match="scene 'real' has no reference to learn from"):
        experiment({"ddpm_fus": {"training": {"scenes": ["real"]}}}, scenes=scenes)


def test_a_scene_under_another_response_is_refused() -> None:
    responses = experiment({}).model_dump(mode="json")["responses"]
    scenes = {
        name: {"source": SYNTHETIC, "responses": [response]}
        for name, response in (("a", "four"), ("b", "other"))
    }
    with pytest.raises(InputError, match="scene 'a' is not observed under the response 'other' of scene 'b'"):
        experiment(
            {"ddpm_fus": {"training": {"scenes": ["a"]}}},
            scenes=scenes,
            responses=responses | {"other": responses["four"]},
        )
